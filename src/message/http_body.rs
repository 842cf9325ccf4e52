//! Bodies of the http-body crate: ours are such bodies, and such bodies become ours. Feature `http`.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};

use crate::current_request::CurrentRequest;
use crate::h1;
use crate::message::body::{Arriving, Attachment, Body, Content, Piece, PieceSource};
use crate::message::headers::HeaderValue;
use crate::message::incoming::Incoming;
use crate::message::incoming_error::IncomingError;
use crate::message::polled::{PollPiece, Polled};
use crate::message::request::HEAD_LIMITS_OPEN;
use crate::message::trailers::{Closing, Trailers, announced};

/// Read by its frames, the body ends with its trailers, and [`trailers`](Incoming::trailers) has none then.
impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        self.poll_chunk(context).map(|polled| match polled {
            Ok(Some(chunk)) => Some(Ok(Frame::data(chunk))),
            Ok(None) => {
                let section = self.take_trailers();
                let is_there = !section.is_empty();
                is_there.then(|| fields_of(&section).map(Frame::trailers))
            }
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        let (least, most) = Self::size_hint(self);
        let mut hint = SizeHint::new();
        hint.set_lower(least);
        if let Some(most) = most {
            hint.set_upper(most);
        }
        hint
    }
}

/// The fields of a trailer section. It was checked when it arrived, but the http crate has bounds of its own.
fn fields_of(section: &[u8]) -> Result<http::HeaderMap, IncomingError> {
    let malformed = IncomingError::Malformed("the trailers are too many or too long");
    let fields = h1::trailer_fields(section, &HEAD_LIMITS_OPEN).unwrap_or_default();
    let mut map = http::HeaderMap::new();
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed)?;
        let value = http::HeaderValue::from_bytes(value).map_err(|_| malformed)?;
        map.try_append(name, value).map_err(|_| malformed)?;
    }
    Ok(map)
}

impl Body {
    /// A body of the http-body crate: its data frames are sent as they are, without a copy if they are [`Bytes`], and its trailers as
    /// [`Trailers`]. An error cuts the response, which the peer can tell.
    ///
    /// One that knows its exact length announces it. It is then polled once here: mostly that is all of it. Otherwise the body
    /// is polled as that of [`poll_fn`](Self::poll_fn).
    #[must_use]
    pub fn from_http<B>(body: B) -> Self
    where
        B: http_body::Body + Send + 'static,
    {
        match body.size_hint().exact() {
            None => Self::in_frames(body),
            Some(0) if body.is_end_stream() => Self::empty(),
            Some(len) => Self::begun(Frames::new(body), len),
        }
    }

    /// A body whose length is not announced.
    pub(super) fn in_frames<B>(body: B) -> Self
    where
        B: http_body::Body + Send + 'static,
    {
        Self(Content::Arriving(Box::new(Frames::new(body))))
    }

    /// A body of this length, polled once.
    fn begun<B>(mut frames: Frames<B>, len: u64) -> Self
    where
        B: http_body::Body + Send + 'static,
    {
        // What it waits for, if anything, is asked for again when the body is attached to the loop.
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(first) = frames.poll(&mut context) {
            if let Next::Bytes(bytes) = &first
                && bytes.len() as u64 == len
                && frames.is_over()
            {
                return bytes.clone().into();
            }
            frames.first = Some(first);
        }
        Self(Content::Arriving(Box::new(frames))).with_len(len)
    }
}

/// A body of the http-body crate.
struct Frames<B> {
    body: Pin<Box<B>>,
    /// What the first poll has yielded.
    first: Option<Next>,
    /// The values of the response's `Trailer` fields.
    names: Vec<HeaderValue>,
}

/// What is next in it.
enum Next {
    Bytes(Bytes),
    Trailers(http::HeaderMap),
    End,
    Failure,
}

impl<B: http_body::Body> Frames<B> {
    fn new(body: B) -> Self {
        Self {
            body: Box::pin(body),
            first: None,
            names: Vec::new(),
        }
    }

    fn is_over(&self) -> bool {
        self.body.is_end_stream()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        let polled = self.body.as_mut().poll_frame(context);
        polled.map(
            |frame| match frame.map(|frame| frame.map(Frame::into_data)) {
                None => Next::End,
                Some(Err(_)) => Next::Failure,
                Some(Ok(Ok(mut bytes))) => Next::Bytes(bytes.copy_to_bytes(bytes.remaining())),
                Some(Ok(Err(frame))) => frame.into_trailers().map_or(Next::End, Next::Trailers),
            },
        )
    }
}

impl<B: http_body::Body + Send + 'static> Arriving for Frames<B> {
    fn attach(mut self: Box<Self>, to: Attachment<'_>) -> Box<dyn PieceSource> {
        self.names = announced(to.fields);
        Box::new(Polled::new(*self, to.notify, CurrentRequest::kept()))
    }
}

impl<B: http_body::Body> PollPiece for Frames<B> {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Piece> {
        let next = match self.first.take() {
            Some(first) => Poll::Ready(first),
            None => self.poll(context),
        };
        next.map(|next| match next {
            Next::Bytes(bytes) => Piece::Bytes(bytes),
            Next::End => Piece::Finished(None),
            Next::Failure => Piece::Cut,
            Next::Trailers(fields) => Piece::Finished(Some(Box::new(Closing {
                trailers: fields.into(),
                names: core::mem::take(&mut self.names),
            }))),
        })
    }
}

impl From<http::HeaderMap> for Trailers {
    fn from(fields: http::HeaderMap) -> Self {
        let mut trailers = Self::new();
        let mut name = None;
        for (next, value) in fields {
            name = next.or(name);
            if let Some(name) = &name {
                trailers = trailers.field(name.clone(), value);
            }
        }
        trailers
    }
}
