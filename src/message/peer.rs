//! Whether a peer is still there, for the code that works on its response.

/// Whether the peer of a response is still connected.
///
/// ```
/// use coldstart::message::{PeerState, Written};
/// use coldstart::{Body, Response, TestRequest};
///
/// let response = TestRequest::get("/").run(|_| {
///     Response::text(Body::writer(async |out| {
///         for number in 0..3 {
///             // Costly work is not done for a peer that may have left.
///             if out.peer() != PeerState::Open {
///                 break;
///             }
///             out.send(number.to_string()).await?;
///         }
///         Written::Ok(())
///     }))
/// });
/// assert_eq!(response.text(), "012");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerState {
    /// It has not ended the connection, as far as the server knows.
    Open,
    /// It has ended its side. It may still read the response (RFC 9112 §9.6), or it may be gone: TCP does not tell the two
    /// apart before the response is sent.
    HalfClosed,
    /// It is gone: work for it can stop.
    Gone,
}
