//! Bodies that are polled on the loop of their connection: from async code that writes, or from a stream.

use core::mem;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use bytes::Bytes;

use crate::current_request::CurrentRequest;
use crate::message::body::{Arriving, Attachment, Body, Content, Piece, PieceSource};
use crate::message::headers::HeaderValue;
use crate::message::trailers::{Closing, Trailers, announced};
use crate::sync::alarm::Alarm;
use crate::sync::contain::{contain, drop_within};
use crate::sync::notify::Notify;

impl Body {
    /// A body that a function yields piece by piece: `None` is its end, an error cuts the response. An empty piece is ignored.
    ///
    /// The function is polled on the loop of the connection, once the head is written and then each time that it was woken, until
    /// it is pending; a batch of pieces is one write. It is dropped when the peer has gone. A panic in it cuts the response. If the
    /// body may end with trailer fields, use [`poll_frames`](Self::poll_frames).
    ///
    /// This is how a stream becomes a body, here one of the crate futures:
    /// `Body::poll_fn(move |context| stream.poll_next_unpin(context))`.
    ///
    /// ```
    /// use core::convert::Infallible;
    /// use core::task::Poll;
    /// use coldstart::{Body, Bytes, Response, TestRequest};
    ///
    /// let response = TestRequest::get("/").run(|_| {
    ///     let mut words = ["a ", "poem\n"].into_iter();
    ///     Response::text(Body::poll_fn(move |_| {
    ///         let word = words.next().map(Bytes::from);
    ///         Poll::Ready(word.map(Ok::<_, Infallible>))
    ///     }))
    /// });
    /// assert_eq!(response.text(), "a poem\n");
    /// ```
    #[must_use]
    pub fn poll_fn<E>(
        poll: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, E>>> + Send + 'static,
    ) -> Self {
        Self(Content::Arriving(Box::new(Function::new(poll))))
    }

    /// A body that a function yields frame by frame, as [`poll_fn`](Self::poll_fn) does piece by piece: data, and at the end perhaps
    /// trailer fields, if they may be sent: see [`Trailers`]. They end the body: the function is not polled again.
    ///
    /// Bodies of the crate `http-body` have this form. If the length is known, announce it with
    /// [`with_len`](Self::with_len).
    ///
    /// ```
    /// use core::convert::Infallible;
    /// use core::task::Poll;
    /// use coldstart::message::{Frame, Trailers};
    /// use coldstart::{Body, Bytes, Response, TestRequest};
    ///
    /// let mut response = TestRequest::get("/").run(|_| {
    ///     let sum = Trailers::new().field("x-sum", 3_u64);
    ///     let frames = [Frame::Data(Bytes::from("1 + 2")), Frame::Trailers(sum)];
    ///     let mut frames = frames.into_iter().map(Ok::<_, Infallible>);
    ///     let body = Body::poll_frames(move |_| Poll::Ready(frames.next()));
    ///     Response::text(body).header("trailer", "x-sum")
    /// });
    /// assert_eq!(response.next_piece().as_deref(), Some(&b"1 + 2"[..]));
    /// assert_eq!(response.next_piece(), None);
    /// assert_eq!(response.trailer("x-sum"), Some("3"));
    /// ```
    #[must_use]
    pub fn poll_frames<E>(
        poll: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Frame, E>>> + Send + 'static,
    ) -> Self {
        Self(Content::Arriving(Box::new(Function::new(poll))))
    }
}

/// A part of a body that is polled: see [`Body::poll_frames`].
///
/// ```
/// use coldstart::Bytes;
/// use coldstart::message::{Frame, Trailers};
///
/// let frames = [Frame::from(Bytes::from("abc")), Frame::Trailers(Trailers::new().field("x-letters", 3_u64))];
/// let len = |frame: &Frame| match frame {
///     Frame::Data(bytes) => bytes.len(),
///     _ => 0,
/// };
/// assert_eq!(frames.iter().map(len).sum::<usize>(), 3);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Frame {
    /// Bytes of the content; none are ignored.
    Data(Bytes),
    /// The end, with these fields.
    Trailers(Trailers),
}

impl From<Bytes> for Frame {
    fn from(bytes: Bytes) -> Self {
        Self::Data(bytes)
    }
}

/// A body that a function yields, before it reaches the loop.
pub(crate) struct Function<F> {
    poll: F,
    /// What the thread works on that makes it.
    current: Option<Box<CurrentRequest>>,
}

impl<F> Function<F> {
    pub(crate) fn new(poll: F) -> Self {
        Self {
            poll,
            current: CurrentRequest::kept(),
        }
    }
}

impl<F, T, E> Arriving for Function<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<Result<T, E>>> + 'static,
    T: Into<Frame>,
{
    fn attach(self: Box<Self>, to: Attachment<'_>) -> Box<dyn PieceSource> {
        let frames = Frames {
            poll: self.poll,
            names: announced(to.fields),
        };
        Box::new(Polled::new(frames, to.notify, self.current))
    }
}

/// A function that yields a body.
struct Frames<F> {
    poll: F,
    /// The values of the response's `Trailer` fields.
    names: Vec<HeaderValue>,
}

impl<F, T, E> PollPiece for Frames<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<Result<T, E>>>,
    T: Into<Frame>,
{
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Piece> {
        #[cfg(feature = "_sim")]
        crate::sync::tally::count(|tally| tally.pieces += 1);
        (self.poll)(context).map(|item| match item.map(|item| item.map(Into::into)) {
            Some(Ok(Frame::Data(piece))) => Piece::Bytes(piece),
            Some(Ok(Frame::Trailers(trailers))) => {
                let names = mem::take(&mut self.names);
                Piece::Finished(Some(Box::new(Closing { trailers, names })))
            }
            Some(Err(_)) => Piece::Cut,
            None => Piece::Finished(None),
        })
    }
}

/// What yields pieces when it is polled.
pub(crate) trait PollPiece {
    /// The next piece if it waits already, or how the body ends. Runs none of the user's code, and is called before each poll.
    fn take_waiting(&mut self) -> Option<Piece> {
        None
    }

    /// The next piece, never [`Piece::Pending`], when none has waited. Whatever ends the body is the last.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Piece>;

    /// See [`PieceSource::half_close`].
    fn half_close(&self) {}

    /// See [`PieceSource::goes_on`].
    fn goes_on(&self) -> bool {
        false
    }
}

/// A body that is polled: until it is pending, and then again once it was woken.
pub(crate) struct Polled<P> {
    /// `None` once it is over.
    pieces: Option<P>,
    alarm: Arc<Alarm>,
    stage: Stage,
    current: Option<Box<CurrentRequest>>,
}

/// Whether a wake has to come before the next poll.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Ready,
    Waiting,
}

impl<P: PollPiece> Polled<P> {
    /// `current` is what the thread works on during each poll.
    pub(crate) fn new(pieces: P, notify: Notify, current: Option<Box<CurrentRequest>>) -> Self {
        let alarm = Arc::new(Alarm::default());
        let _ = alarm.attach(notify);
        Self {
            pieces: Some(pieces),
            alarm,
            stage: Stage::Ready,
            current,
        }
    }

    fn poll(&mut self) -> Poll<Piece> {
        let _scope = self.current.as_ref().map(|current| current.enter());
        let Some(pieces) = &mut self.pieces else {
            return Poll::Ready(Piece::Cut);
        };
        let waker = Waker::from(Arc::clone(&self.alarm));
        let polled = pieces.poll_piece(&mut Context::from_waker(&waker));
        if let Poll::Ready(piece) = &polled {
            self.end_with(piece);
        }
        polled
    }

    /// It is over once it has yielded what ends it.
    fn end_with(&mut self, piece: &Piece) {
        let is_last = !matches!(piece, Piece::Bytes(_) | Piece::Pending);
        if is_last && !self.goes_on() {
            self.end();
        }
    }
}

impl<P> Polled<P> {
    #[cold]
    fn broken(&mut self) -> Piece {
        // What has panicked is over. Its drop is another panic.
        let _ = contain(|| self.end());
        Piece::Broken
    }

    fn end(&mut self) {
        // First: what wakes it while it is dropped does nothing.
        self.alarm.end();
        let _scope = self.current.as_ref().map(|current| current.enter());
        drop_within(|| self.pieces = None);
    }
}

impl<P: PollPiece> PieceSource for Polled<P> {
    fn next(&mut self, polls_left: &mut usize) -> Piece {
        if self.stage == Stage::Waiting {
            if *polls_left == 0 || !self.alarm.begin_poll() {
                return Piece::Pending;
            }
            self.stage = Stage::Ready;
        }
        if let Some(piece) = self.pieces.as_mut().and_then(P::take_waiting) {
            // The end drops the user's code.
            let is_whole =
                matches!(piece, Piece::Bytes(_)) || contain(|| self.end_with(&piece)).is_some();
            return if is_whole { piece } else { self.broken() };
        }
        // Its wake-up may have come while the peer did not read, and passed without a poll.
        let unseen = self.alarm.unseen();
        match contain(|| self.poll()) {
            Some(Poll::Ready(piece)) => piece,
            Some(Poll::Pending) => {
                self.stage = Stage::Waiting;
                *polls_left = polls_left.saturating_sub(1);
                if let Some(notify) = unseen {
                    notify.notify();
                }
                Piece::Pending
            }
            None => self.broken(),
        }
    }

    fn half_close(&self) {
        if let Some(pieces) = &self.pieces {
            pieces.half_close();
        }
    }

    fn goes_on(&self) -> bool {
        self.pieces.as_ref().is_some_and(|pieces| pieces.goes_on())
    }
}

impl<P> Drop for Polled<P> {
    fn drop(&mut self) {
        self.end();
    }
}
