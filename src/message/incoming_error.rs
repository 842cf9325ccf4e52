//! Why the body of a request is not complete.

use core::fmt;

use crate::h1::Refusal;

/// Why a body is not complete. As a response it has the status that the server would have sent by itself, and the connection
/// ends.
///
/// ```
/// use coldstart::handler::{IntoResponse, incoming};
/// use coldstart::message::IncomingError;
/// use coldstart::{Status, TestRequest};
///
/// let mut handler = incoming(|_, mut body| async move {
///     match body.collect(4).await {
///         Ok(note) => format!("{} bytes\n", note.len()).into_response(),
///         Err(IncomingError::TooLarge) => (Status::CONTENT_TOO_LARGE, "4 bytes at most\n").into_response(),
///         Err(error) => error.into_response(),
///     }
/// });
/// assert_eq!(TestRequest::post("/").body("milk").run_handler(&mut handler).text(), "4 bytes\n");
/// assert_eq!(TestRequest::post("/").body("bread").run_handler(&mut handler).text(), "4 bytes at most\n");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IncomingError {
    /// The peer has ended its side, or the connection is gone: 400.
    PeerLeft,
    /// The body is malformed, for this reason: 400.
    Malformed(&'static str),
    /// The body is larger than its bound: 413.
    TooLarge,
    /// The body did not arrive in time: 408.
    TimedOut,
    /// All peers together hold [`Limits::memory_max`](crate::server::Limits::memory_max) already: 503.
    OutOfMemory,
}

impl IncomingError {
    /// As the server refuses it; `None` if the server would not respond at all.
    pub(crate) const fn refusal(self) -> Option<Refusal> {
        match self {
            Self::PeerLeft => None,
            Self::Malformed(_) => Some(Refusal::Chunk),
            Self::TooLarge => Some(Refusal::BodyTooLarge),
            Self::TimedOut => Some(Refusal::Timeout),
            Self::OutOfMemory => Some(Refusal::Memory),
        }
    }
}

impl From<Refusal> for IncomingError {
    fn from(refusal: Refusal) -> Self {
        match refusal.status() {
            408 => Self::TimedOut,
            413 => Self::TooLarge,
            503 => Self::OutOfMemory,
            _ => Self::Malformed(refusal.reason()),
        }
    }
}

impl fmt::Display for IncomingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PeerLeft => "the peer left before the body was complete",
            Self::Malformed(reason) => reason,
            Self::TooLarge => Refusal::BodyTooLarge.reason(),
            Self::TimedOut => Refusal::Timeout.reason(),
            Self::OutOfMemory => Refusal::Memory.reason(),
        })
    }
}

impl core::error::Error for IncomingError {}
