//! Why a piece of a body was not sent.

use core::fmt;

use bytes::Bytes;

/// Why a piece was not sent.
///
/// ```
/// use coldstart::Body;
/// use coldstart::message::SendError;
///
/// let (sender, body) = Body::channel(4);
/// assert_eq!(sender.send("four"), Ok(()));
/// // Only the loop can make room, and the handler still has the body: this belongs on another thread.
/// assert_eq!(sender.send("more"), Err(SendError::WouldDeadlock));
/// drop(body);
/// assert_eq!(sender.send("more"), Err(SendError::PeerGone));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The peer has closed the connection, or the response was cut.
    PeerGone,
    /// The thread would wait for itself: it runs the loop, or still has to return the response.
    WouldDeadlock,
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PeerGone => "the peer has gone",
            Self::WouldDeadlock => {
                "the channel is full, and only this thread could make room: send from another one, or use try_send"
            }
        })
    }
}

impl core::error::Error for SendError {}

/// Why [`BodySender::try_send`](crate::message::BodySender::try_send) did not send a piece.
///
/// ```
/// use coldstart::Body;
/// use coldstart::message::TrySendError;
///
/// let (sender, body) = Body::channel(4);
/// assert_eq!(sender.try_send("four"), Ok(()));
/// assert_eq!(sender.try_send("more"), Err(TrySendError::Full("more".into())));
/// drop(body);
/// assert_eq!(sender.try_send("more"), Err(TrySendError::PeerGone));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendError {
    /// `bytes_max` bytes are waiting; this returns the piece.
    Full(Bytes),
    /// The peer has closed the connection, or the response was cut.
    PeerGone,
}

impl fmt::Display for TrySendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full(_) => "the body's channel is full",
            Self::PeerGone => "the peer has gone",
        })
    }
}

impl core::error::Error for TrySendError {}
