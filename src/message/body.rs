//! Bodies of responses: whole, or arriving piece by piece.
//!
//! | where the bytes come from | body |
//! | --- | --- |
//! | they are here | [`Body::from`] |
//! | a file | [`Body::file`] |
//! | async code that writes them | [`Body::writer`] |
//! | a stream or a poll function | [`Body::poll_fn`], or [`Body::poll_frames`] with trailers |
//! | the same, of code that stays on its thread | [`LocalBody`](crate::message::LocalBody) |
//! | another thread, or an async runtime | [`Body::channel`] |
//!
//! All but the first two have [`Body::with_len`] if their length is known.

use core::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::h1::Connection;
use crate::message::headers::{HeaderName, HeaderValue};
use crate::message::trailers::EndWithTrailers;
use crate::observe::FieldName;
use crate::os::Outlet;
use crate::sync::memory::Memory;
use crate::sync::notify::Notify;

/// The body of a response.
///
/// Literals, strings, vectors and [`Bytes`] convert into it.
///
/// ```
/// use coldstart::{Body, Response};
///
/// let body = Body::from("hello");
/// assert_eq!((body.len(), body.as_bytes()), (Some(5), Some(&b"hello"[..])));
/// // A body that is still to be made has neither.
/// let body = Body::writer(async |out| Ok(out.send("hello").await?));
/// assert_eq!((body.len(), body.as_bytes()), (None, None));
/// let response = Response::text(body);
/// assert!(!response.content().is_empty());
/// ```
pub struct Body(pub(crate) Content);

/// What a body is made of.
pub(crate) enum Content {
    /// All of it.
    Whole(Bytes),
    /// Pieces that arrive one by one.
    Arriving(Box<dyn Arriving + Send>),
}

/// A body that arrives piece by piece, before it reaches the loop. A trait object, as is what becomes of it, so that programs
/// without such bodies link no code for them.
pub(crate) trait Arriving {
    /// Its length in bytes, if it is announced.
    fn len(&self) -> Option<u64> {
        None
    }

    /// Whether that is the length of what it is made of, and no other can be announced.
    fn has_own_len(&self) -> bool {
        false
    }

    /// The field for which a response must not be sent, if there is one.
    fn invalid_field(&self) -> Option<FieldName> {
        None
    }

    /// It has been returned: the thread that made it may wait for room now.
    fn hand_over(&self) {}

    /// The body for which this one stands, if that one cannot leave this thread.
    fn take_local(&mut self) -> Option<Box<dyn Arriving>> {
        None
    }

    /// It has reached the loop.
    fn attach(self: Box<Self>, to: Attachment<'_>) -> Box<dyn PieceSource>;
}

/// What a body becomes a part of when it reaches the loop.
pub(crate) struct Attachment<'a> {
    /// Called when there is something new.
    pub(crate) notify: Notify,
    /// Where what waits counts.
    pub(crate) memory: &'a Arc<Memory>,
    /// The fields of the response, but for its content type.
    pub(crate) fields: &'a [(HeaderName, HeaderValue)],
}

/// The loop's end of a body that arrives piece by piece.
pub(crate) trait PieceSource {
    /// The next piece. Code that waits is polled only if it was woken, and only if there are `polls_left`.
    fn next(&mut self, polls_left: &mut usize) -> Piece;

    /// The peer has ended its side: what produces the body can see that.
    fn half_close(&self) {}

    /// The same for a source that may send what is next by itself.
    fn send_next(&mut self, polls_left: &mut usize, _wire: Wire<'_>) -> Step {
        Step::Piece(self.next(polls_left))
    }

    /// Whether it goes on after [`Piece::Finished`], as the code of a socket does that reads on.
    fn goes_on(&self) -> bool {
        false
    }
}

/// The connection, for a source that sends by itself.
pub(crate) struct Wire<'a> {
    /// `None` while bytes wait that come first.
    pub(crate) outlet: Option<Outlet>,
    /// Counts what was sent.
    pub(crate) connection: &'a mut Connection,
    /// Pieces of bodies that may still be sent in this turn.
    pub(crate) pieces_left: &'a mut usize,
}

/// What is next in a body.
pub(crate) enum Piece {
    Bytes(Bytes),
    /// Nothing now; a notification will follow.
    Pending,
    /// The body is complete.
    Finished(Option<Box<dyn EndWithTrailers>>),
    /// It ended before it was complete.
    Cut,
    /// It is longer or shorter than announced.
    WrongLength,
    /// The code that produces it has panicked.
    Broken,
}

/// What a source did that may send by itself.
pub(crate) enum Step {
    /// Nothing: this is next.
    Piece(Piece),
    /// It sent the next bytes.
    Sent,
    /// The socket has no room.
    Full,
    /// The peer is gone.
    Gone,
}

impl Step {
    /// Whether it is not the last.
    pub(crate) const fn is_followed(&self) -> bool {
        match self {
            Self::Piece(Piece::Bytes(_) | Piece::Pending) | Self::Sent | Self::Full => true,
            Self::Piece(_) | Self::Gone => false,
        }
    }
}

impl Body {
    /// No bytes at all.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Content::Whole(Bytes::new()))
    }

    /// Its length in bytes, if it is known.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        match &self.0 {
            Content::Whole(bytes) => Some(bytes.len() as u64),
            Content::Arriving(body) => body.len(),
        }
    }

    /// See [`Arriving::invalid_field`].
    pub(crate) fn invalid_field(&self) -> Option<FieldName> {
        match &self.0 {
            Content::Arriving(body) => body.invalid_field(),
            Content::Whole(_) => None,
        }
    }

    /// Whether it is known to have no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The bytes, if the body is whole.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Content::Whole(bytes) => Some(bytes),
            Content::Arriving(_) => None,
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            Some(len) => write!(formatter, "Body({len} bytes)"),
            None => formatter.write_str("Body(arriving)"),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Content::Whole(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}
