//! Every transition of the protocol, and no byte.
//!
//! Three small machines: what has come of the request ([`Recv`]), what has gone of the answer ([`Send`]), and why the
//! connection will end ([`Close`]). [`next`] is all that the loop ever learns from them. Each match is total; a cell
//! marked *impossible* is a defect of ours, never of the peer's. `src/README.md` shows the tables; a test compares.

/// What has come of the current request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recv {
    /// Nothing yet: between requests, or fresh from accept.
    Idle,
    /// Part of a head.
    Head,
    /// The head; the body is under way.
    Body,
    /// The whole request.
    Done,
    /// The peer ended its side between requests.
    Closed,
    /// The request was refused, or the peer ended its side in the middle of it.
    Failed,
}

/// What can happen to the receiving half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecvFact {
    /// Bytes came, but no whole head yet.
    Bytes,
    /// A head came, and it announces a body.
    HeadAndBody,
    /// A head came, and it is the whole request.
    HeadAlone,
    /// The body is complete.
    BodyEnd,
    /// The peer will send no more.
    EndOfInput,
    /// The request is refused.
    Refused,
    /// The exchange is over on both sides; the next may begin.
    NextCycle,
}

impl Recv {
    pub(crate) const fn on(self, fact: RecvFact) -> Self {
        use RecvFact as F;
        match (self, fact) {
            (Self::Idle | Self::Head, F::Bytes) => Self::Head,
            (Self::Idle | Self::Head, F::HeadAndBody) => Self::Body,
            (Self::Idle | Self::Head, F::HeadAlone) => Self::Done,
            (Self::Body, F::BodyEnd) => Self::Done,
            (Self::Idle | Self::Closed, F::EndOfInput) => Self::Closed,
            (Self::Head | Self::Body | Self::Failed, F::EndOfInput) => Self::Failed,
            // A half-close behind a whole request is told again once the answer has gone.
            (Self::Done, F::EndOfInput) => Self::Done,
            (Self::Idle | Self::Head | Self::Body, F::Refused) => Self::Failed,
            (Self::Done, F::NextCycle) => Self::Idle,
            (Self::Idle | Self::Head, F::BodyEnd | F::NextCycle)
            | (Self::Body, F::Bytes | F::HeadAndBody | F::HeadAlone | F::NextCycle)
            | (Self::Done, F::Bytes | F::HeadAndBody | F::HeadAlone | F::BodyEnd | F::Refused)
            | (
                Self::Closed | Self::Failed,
                F::Bytes | F::HeadAndBody | F::HeadAlone | F::BodyEnd | F::Refused | F::NextCycle,
            ) => Self::impossible(),
        }
    }

    const fn impossible() -> Self {
        debug_assert!(false, "a fact met a receiving state that cannot have it");
        Self::Failed
    }
}

/// What has gone of the current answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Send {
    /// Nothing, or only `100 Continue`.
    Waiting,
    /// The head; the body is under way.
    Body,
    /// The whole answer.
    Done,
    /// The answer broke off: the peer must be able to tell.
    Failed,
}

/// What can happen to the sending half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendFact {
    /// A head went out, and its body follows.
    HeadAndBody,
    /// A head went out, and it is the whole answer.
    HeadAlone,
    /// The body is complete.
    BodyEnd,
    /// The body can't be completed.
    Cut,
    /// The exchange is over on both sides; the next may begin.
    NextCycle,
}

impl Send {
    pub(crate) const fn on(self, fact: SendFact) -> Self {
        use SendFact as F;
        match (self, fact) {
            (Self::Waiting, F::HeadAndBody) => Self::Body,
            (Self::Waiting, F::HeadAlone) | (Self::Body, F::BodyEnd) => Self::Done,
            (Self::Waiting | Self::Body | Self::Failed, F::Cut) => Self::Failed,
            (Self::Done, F::NextCycle) => Self::Waiting,
            (Self::Waiting, F::BodyEnd | F::NextCycle)
            | (Self::Body, F::HeadAndBody | F::HeadAlone | F::NextCycle)
            | (Self::Done, F::HeadAndBody | F::HeadAlone | F::BodyEnd | F::Cut)
            | (Self::Failed, F::HeadAndBody | F::HeadAlone | F::BodyEnd | F::NextCycle) => {
                Self::impossible()
            }
        }
    }

    const fn impossible() -> Self {
        debug_assert!(false, "a fact met a sending state that cannot have it");
        Self::Failed
    }
}

/// Why the connection ends after this exchange. The first reason stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// It does not: the connection persists (RFC 9112 §9.3).
    Unset,
    /// The peer sent `Connection: close`.
    PeerAsked,
    /// The peer speaks HTTP/1.0 and did not ask to keep the connection.
    PeerIsOld,
    /// The peer's message was refused.
    PeerRefused,
    /// The handler asked for it, or its answer can end no other way.
    HandlerAsked,
    /// The server is draining.
    ServerStopping,
    /// A rest of the body is too long to be thrown away.
    BodyUnread,
}

impl Close {
    /// The first reason that was given.
    pub(crate) const fn or(self, reason: Self) -> Self {
        match self {
            Self::Unset => reason,
            Self::PeerAsked
            | Self::PeerIsOld
            | Self::PeerRefused
            | Self::HandlerAsked
            | Self::ServerStopping
            | Self::BodyUnread => self,
        }
    }

    pub(crate) const fn is_set(self) -> bool {
        !matches!(self, Self::Unset)
    }
}

/// What the loop has to do with the connection, once all pending bytes have gone out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Bring more bytes of the peer's.
    Read,
    /// Bring more of the answer's body.
    Write,
    /// Bring an answer: the whole request is here.
    Wait,
    /// End our side, throw away what still comes for a while, then close.
    Linger,
    /// Close.
    Close,
}

/// The one question that the loop asks.
pub(crate) const fn next(recv: Recv, send: Send, close: Close) -> Next {
    match (recv, send) {
        (Recv::Idle, Send::Waiting) if close.is_set() => Next::Close,
        (Recv::Idle | Recv::Head | Recv::Body, Send::Waiting) => Next::Read,
        (Recv::Done, Send::Waiting) => Next::Wait,
        (Recv::Body | Recv::Done, Send::Body) => Next::Write,
        // An early answer: the rest of the body is thrown away, or the connection with it.
        (Recv::Body, Send::Done) if close.is_set() => Next::Linger,
        (Recv::Body, Send::Done) => Next::Read,
        (Recv::Done, Send::Done) if close.is_set() => Next::Linger,
        (Recv::Done, Send::Done) => Next::Read,
        (Recv::Failed, Send::Done) => Next::Linger,
        (Recv::Failed, Send::Waiting) if close.is_set() => Next::Wait,
        (Recv::Failed, Send::Waiting | Send::Body)
        | (Recv::Closed, Send::Waiting)
        | (_, Send::Failed) => Next::Close,
        (Recv::Idle | Recv::Head | Recv::Closed, Send::Body | Send::Done) => {
            debug_assert!(false, "an answer without a request");
            Next::Close
        }
    }
}
