//! Bodies that arrive piece by piece and have announced their length.

use crate::message::body::{Arriving, Attachment, Body, Content, Piece, PieceSource};
use crate::message::trailers::EndWithTrailers;

impl Body {
    /// Announces the length of a body that arrives piece by piece, in bytes: the response then has a `Content-Length`. One that
    /// turns out shorter or longer is cut, and reported as
    /// [`ServerEvent::BodyLengthWrong`](crate::server::ServerEvent::BodyLengthWrong). The response is over with its last byte,
    /// and what would produce more is then dropped. No effect on bodies that are whole or in a file: they have their length.
    ///
    /// ```
    /// use coldstart::{Body, TestRequest, Response};
    ///
    /// let response = TestRequest::get("/").run(|_| {
    ///     let body = Body::writer(async |out| Ok(out.send("hello").await?));
    ///     Response::text(body.with_len(5))
    /// });
    /// assert_eq!(response.text(), "hello");
    /// ```
    #[must_use]
    pub fn with_len(self, len: u64) -> Self {
        match self.0 {
            Content::Arriving(body) if !body.has_own_len() => {
                Self(Content::Arriving(announced(body, len)))
            }
            content @ (Content::Whole(_) | Content::Arriving(_)) => Self(content),
        }
    }
}

impl Body {
    /// No bytes, and the length of a body that is not there: for a response to HEAD, which has the `Content-Length` that the one to
    /// GET would have (RFC 9110 §8.6). In any other response it counts as too short.
    ///
    /// ```
    /// use coldstart::{Body, Response};
    ///
    /// let response = Response::bytes(Body::absent(1_000_000));
    /// assert_eq!(response.content().len(), Some(1_000_000));
    /// ```
    #[must_use]
    pub fn absent(len: u64) -> Self {
        Self(Content::Arriving(announced(Box::new(Absent), len)))
    }
}

/// See [`Body::absent`].
struct Absent;

impl Arriving for Absent {
    fn attach(self: Box<Self>, _: Attachment<'_>) -> Box<dyn PieceSource> {
        self
    }
}

impl PieceSource for Absent {
    fn next(&mut self, _: &mut usize) -> Piece {
        Piece::Finished(None)
    }
}

/// A body and its announced length, before it reaches the loop.
pub(crate) struct Announced<B: ?Sized> {
    body: Box<B>,
    len: u64,
}

/// The same body with its announced length.
pub(crate) fn announced<B: Arriving + ?Sized>(body: Box<B>, len: u64) -> Box<Announced<B>> {
    Box::new(Announced { body, len })
}

impl<B: Arriving + ?Sized> Arriving for Announced<B> {
    fn len(&self) -> Option<u64> {
        Some(self.len)
    }

    fn hand_over(&self) {
        self.body.hand_over();
    }

    fn attach(self: Box<Self>, to: Attachment<'_>) -> Box<dyn PieceSource> {
        Box::new(Counted {
            source: self.body.attach(to),
            left: self.len,
            end: None,
        })
    }
}

/// A source that must yield as many bytes as were announced.
struct Counted {
    source: Box<dyn PieceSource>,
    left: u64,
    /// The end of the body, once it was seen.
    end: Option<Box<dyn EndWithTrailers>>,
}

impl PieceSource for Counted {
    fn next(&mut self, polls_left: &mut usize) -> Piece {
        if self.left == 0 {
            return Piece::Finished(self.end.take());
        }
        let piece = match self.source.next(polls_left) {
            Piece::Bytes(piece) => piece,
            Piece::Finished(_) => return Piece::WrongLength,
            end @ (Piece::Pending | Piece::Cut | Piece::WrongLength | Piece::Broken) => {
                return end;
            }
        };
        let Some(left) = self.left.checked_sub(piece.len() as u64) else {
            return Piece::WrongLength;
        };
        self.left = left;
        if left > 0 {
            return Piece::Bytes(piece);
        }
        // The last bytes end the response, so what is wrong with it has to be seen before they are sent.
        match self.source.next(polls_left) {
            Piece::Bytes(more) if !more.is_empty() => return Piece::WrongLength,
            Piece::Bytes(_) | Piece::Pending => {}
            Piece::Finished(end) => self.end = end,
            failure @ (Piece::Cut | Piece::WrongLength | Piece::Broken) => return failure,
        }
        Piece::Bytes(piece)
    }

    fn half_close(&self) {
        self.source.half_close();
    }
}
