//! Whether a peer is still there, for the code that works on its response.

/// How far the peer of a response is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerState {
    /// It may send and receive, as far as is known.
    Open,
    /// It has ended its side. It may still read the response, as a client does that pipes its request (RFC 9112 §9.6), or it
    /// has gone: TCP does not tell the two apart before the response is sent.
    HalfClosed,
    /// It has gone: work for it can stop.
    Gone,
}
