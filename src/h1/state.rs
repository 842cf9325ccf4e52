//! Every state transition of the protocol. It sees no bytes.
//!
//! Three small machines: what was received of the request ([`Recv`]), what was sent of the response ([`Send`]), and why the
//! connection will end ([`Close`]). The loop only sees what [`next`] makes of them. Each match is total; an *impossible*
//! cell is a defect of ours, never of the peer's. `src/README.md` shows the tables, and a test compares them.

/// What was received of the current request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recv {
    /// Nothing yet: between requests, or right after accept.
    Idle,
    /// Part of a head.
    Head,
    /// The head, and perhaps a part of the body.
    Body,
    /// The same, and the handler takes the body while it responds.
    Pulled,
    /// The whole request, and HTTP has ended with it: what follows are bytes without a framing, until the peer ends its side.
    Tunnel,
    /// The whole request.
    Done,
    /// The peer ended its side between requests.
    Closed,
    /// The request was refused: its response is the connection's last.
    Refused,
    /// The peer ended its side in the middle of a request, which gets no response.
    Failed,
}

/// What can happen to the receiving half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecvFact {
    /// Bytes were received, but no complete head yet.
    Bytes,
    /// A head was received, and it announces a body.
    HeadAndBody,
    /// A head was received, and it is the whole request.
    HeadAlone,
    /// The handler takes the body as it arrives, and may respond meanwhile.
    Pulled,
    /// The handler takes no more of the body.
    Left,
    /// The response has ended HTTP on this connection.
    Switched,
    /// The body is complete.
    BodyEnd,
    /// The peer will send no more.
    EndOfInput,
    /// The request is refused.
    Refused,
    /// The exchange is complete in both directions; the next may begin.
    NextCycle,
}

impl Recv {
    pub(crate) const fn on(self, fact: RecvFact) -> Self {
        match self.step(fact) {
            Some(state) => state,
            None => {
                debug_assert!(false, "this fact is impossible in this receiving state");
                Self::Failed
            }
        }
    }

    /// `None` in an impossible cell.
    const fn step(self, fact: RecvFact) -> Option<Self> {
        use RecvFact as F;
        match (self, fact) {
            (Self::Idle | Self::Head, F::Bytes) => Some(Self::Head),
            (Self::Idle | Self::Head, F::HeadAndBody) => Some(Self::Body),
            (Self::Idle | Self::Head, F::HeadAlone) => Some(Self::Done),
            (Self::Body, F::Pulled) => Some(Self::Pulled),
            (Self::Pulled, F::Left) => Some(Self::Body),
            (Self::Done, F::Switched) => Some(Self::Tunnel),
            // Without a framing, the end of the input is no cut.
            (Self::Tunnel, F::Left | F::EndOfInput) => Some(Self::Done),
            (Self::Body | Self::Pulled, F::BodyEnd) => Some(Self::Done),
            (Self::Idle | Self::Closed, F::EndOfInput) => Some(Self::Closed),
            (Self::Head | Self::Body | Self::Pulled | Self::Failed, F::EndOfInput) => {
                Some(Self::Failed)
            }
            // A half-close after a whole request is reported again once the response was sent.
            (Self::Done, F::EndOfInput) => Some(Self::Done),
            (Self::Refused, F::EndOfInput) => Some(Self::Refused),
            (Self::Idle | Self::Head | Self::Body | Self::Pulled, F::Refused) => {
                Some(Self::Refused)
            }
            (Self::Done, F::NextCycle) => Some(Self::Idle),
            (
                Self::Idle | Self::Head,
                F::Pulled | F::Left | F::Switched | F::BodyEnd | F::NextCycle,
            )
            | (
                Self::Body,
                F::Bytes | F::HeadAndBody | F::HeadAlone | F::Left | F::Switched | F::NextCycle,
            )
            | (
                Self::Pulled,
                F::Bytes | F::HeadAndBody | F::HeadAlone | F::Pulled | F::Switched | F::NextCycle,
            )
            | (
                Self::Tunnel,
                F::Bytes
                | F::HeadAndBody
                | F::HeadAlone
                | F::Pulled
                | F::Switched
                | F::BodyEnd
                | F::Refused
                | F::NextCycle,
            )
            | (
                Self::Done,
                F::Bytes
                | F::HeadAndBody
                | F::HeadAlone
                | F::Pulled
                | F::Left
                | F::BodyEnd
                | F::Refused,
            )
            | (
                Self::Closed | Self::Refused | Self::Failed,
                F::Bytes
                | F::HeadAndBody
                | F::HeadAlone
                | F::Pulled
                | F::Left
                | F::Switched
                | F::BodyEnd
                | F::Refused
                | F::NextCycle,
            ) => None,
        }
    }
}

/// What was sent of the current response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Send {
    /// Nothing, or only `100 Continue`.
    Waiting,
    /// The head, and perhaps a part of the body.
    Body,
    /// The whole response.
    Done,
    /// The same, and our side of the connection was ended, while the peer's goes on.
    Ended,
    /// The response was cut: the peer must be able to tell.
    Failed,
}

/// What can happen to the sending half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendFact {
    /// A head was sent, and its body follows.
    HeadAndBody,
    /// A head was sent, and it is the whole response.
    HeadAlone,
    /// The body is complete.
    BodyEnd,
    /// The body can't be completed.
    Cut,
    /// Our side of the connection was ended.
    Ended,
    /// The exchange is complete in both directions; the next may begin.
    NextCycle,
}

impl Send {
    pub(crate) const fn on(self, fact: SendFact) -> Self {
        match self.step(fact) {
            Some(state) => state,
            None => {
                debug_assert!(false, "this fact is impossible in this sending state");
                Self::Failed
            }
        }
    }

    /// `None` in an impossible cell.
    const fn step(self, fact: SendFact) -> Option<Self> {
        use SendFact as F;
        match (self, fact) {
            (Self::Waiting, F::HeadAndBody) => Some(Self::Body),
            (Self::Waiting, F::HeadAlone) | (Self::Body, F::BodyEnd) => Some(Self::Done),
            (Self::Waiting | Self::Body | Self::Failed, F::Cut) => Some(Self::Failed),
            (Self::Done, F::Ended) => Some(Self::Ended),
            (Self::Done, F::NextCycle) => Some(Self::Waiting),
            (Self::Waiting, F::BodyEnd | F::Ended | F::NextCycle)
            | (Self::Body, F::HeadAndBody | F::HeadAlone | F::Ended | F::NextCycle)
            | (Self::Done, F::HeadAndBody | F::HeadAlone | F::BodyEnd | F::Cut)
            | (
                Self::Ended,
                F::HeadAndBody | F::HeadAlone | F::BodyEnd | F::Cut | F::Ended | F::NextCycle,
            )
            | (
                Self::Failed,
                F::HeadAndBody | F::HeadAlone | F::BodyEnd | F::Ended | F::NextCycle,
            ) => None,
        }
    }
}

/// Whether the peer waits for `100 Continue` (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Continuation {
    Unasked,
    Asked,
    Given,
}

/// Why the connection ends after this exchange. The first reason stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// It does not end: the connection persists (RFC 9112 §9.3).
    Unset,
    /// The peer sent `Connection: close`.
    PeerAsked,
    /// The peer speaks HTTP/1.0 and did not ask to keep the connection.
    PeerIsOld,
    /// The peer's message was refused.
    PeerRefused,
    /// The handler asked for it, or only the end of the connection can end its response.
    HandlerAsked,
    /// The server is draining.
    ServerStopping,
    /// The rest of the body is too long to be discarded.
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

/// What the loop has to do with the connection once all pending bytes were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read more bytes from the peer.
    Read,
    /// Encode more of the response's body.
    Write,
    /// Read and write, each as far as it goes: neither waits for the other.
    Both,
    /// End our side, and read on.
    End,
    /// Wait for a response: the whole request was received.
    Wait,
    /// End our side, discard what still arrives for a while, then close.
    Linger,
    /// Close.
    Close,
}

impl Next {
    /// Whether to read although pending bytes can't be sent.
    pub(crate) const fn is_reading_meanwhile(self) -> bool {
        match self {
            Self::Both | Self::End => true,
            Self::Read | Self::Write | Self::Wait | Self::Linger | Self::Close => false,
        }
    }
}

/// What the loop has to do next: asked several times for each request, so it is one load.
pub(crate) fn next(recv: Recv, send: Send, close: Close) -> Next {
    static OPEN: Table = table(Close::Unset);
    static CLOSING: Table = table(Close::PeerAsked);
    debug_assert!(
        step(recv, send, close).is_some(),
        "a response without a request"
    );
    let table = if close.is_set() { &CLOSING } else { &OPEN };
    let row = table.get(recv as usize);
    let cell = row.and_then(|row| row.get(send as usize));
    cell.copied().unwrap_or(Next::Close)
}

const RECV: [Recv; 9] = [
    Recv::Idle,
    Recv::Head,
    Recv::Body,
    Recv::Pulled,
    Recv::Tunnel,
    Recv::Done,
    Recv::Closed,
    Recv::Refused,
    Recv::Failed,
];
const SEND: [Send; 5] = [
    Send::Waiting,
    Send::Body,
    Send::Done,
    Send::Ended,
    Send::Failed,
];

type Table = [[Next; SEND.len()]; RECV.len()];

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "evaluated by the compiler, for which an index out of bounds is an error"
)]
const fn table(close: Close) -> Table {
    let mut table = [[Next::Close; SEND.len()]; RECV.len()];
    let mut place = 0;
    while place < RECV.len() * SEND.len() {
        let (recv, send) = (RECV[place / SEND.len()], SEND[place % SEND.len()]);
        if let Some(next) = step(recv, send, close) {
            table[recv as usize][send as usize] = next;
        }
        place += 1;
    }
    table
}

/// `None` in an impossible cell.
const fn step(recv: Recv, send: Send, close: Close) -> Option<Next> {
    match (recv, send) {
        (Recv::Idle, Send::Waiting) if close.is_set() => Some(Next::Close),
        (Recv::Idle | Recv::Head | Recv::Body, Send::Waiting) => Some(Next::Read),
        (Recv::Done, Send::Waiting) => Some(Next::Wait),
        (Recv::Pulled, Send::Waiting | Send::Body | Send::Done) => Some(Next::Both),
        (Recv::Tunnel, Send::Body) => Some(Next::Both),
        (Recv::Tunnel, Send::Done) => Some(Next::End),
        (Recv::Tunnel, Send::Ended) => Some(Next::Read),
        (Recv::Body | Recv::Done, Send::Body) => Some(Next::Write),
        // An early response: the rest of the body is discarded, or the connection closed.
        (Recv::Body, Send::Done) if close.is_set() => Some(Next::Linger),
        (Recv::Body, Send::Done) => Some(Next::Read),
        (Recv::Done, Send::Done) if close.is_set() => Some(Next::Linger),
        (Recv::Done, Send::Done) => Some(Next::Read),
        (Recv::Done, Send::Ended) => Some(Next::Linger),
        // A response that was cut: those before it must still arrive.
        (Recv::Body | Recv::Pulled | Recv::Tunnel | Recv::Done, Send::Failed) => Some(Next::Linger),
        (Recv::Refused | Recv::Failed, Send::Done) => Some(Next::Linger),
        (Recv::Refused, Send::Waiting) => Some(Next::Wait),
        (Recv::Refused, Send::Body)
        | (Recv::Failed, Send::Waiting | Send::Body)
        | (Recv::Closed, Send::Waiting)
        | (Recv::Idle | Recv::Head | Recv::Closed | Recv::Refused | Recv::Failed, Send::Failed) => {
            Some(Next::Close)
        }
        (Recv::Idle | Recv::Head | Recv::Closed, Send::Body | Send::Done | Send::Ended)
        | (Recv::Body | Recv::Pulled | Recv::Refused | Recv::Failed, Send::Ended)
        | (Recv::Tunnel, Send::Waiting) => None,
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Debug;

    use super::{Close, RECV, Recv, RecvFact, SEND, Send, SendFact, next, step};

    const MAP: &str = include_str!("../README.md");
    /// One line per row: its name, then one cell per column.
    fn table<R: Debug, C: Debug>(
        rows: &[R],
        columns: &[C],
        cell: impl Fn(&R, &C) -> String,
    ) -> String {
        let line = |name: &str, cells: &[String]| {
            let cells = cells
                .iter()
                .map(|cell| format!("{cell:<12}"))
                .collect::<String>();
            format!("{}\n", format!("{name:<8}{cells}").trim_end())
        };
        let names: Vec<String> = columns.iter().map(|column| format!("{column:?}")).collect();
        let mut table = line("", &names);
        for row in rows {
            let cells: Vec<String> = columns.iter().map(|column| cell(row, column)).collect();
            table.push_str(&line(&format!("{row:?}"), &cells));
        }
        table
    }

    fn shown<T: Debug>(cell: Option<T>) -> String {
        cell.map_or_else(|| "·".to_owned(), |state| format!("{state:?}"))
    }

    /// Compares with the block of this name in the map.
    fn assert_documented(name: &str, table: &str) {
        let block = MAP
            .split(&format!("```{name}\n"))
            .nth(1)
            .and_then(|rest| rest.split("```").next())
            .unwrap_or_default();
        assert_eq!(
            block, table,
            "src/README.md, block {name}; it should be:\n{table}"
        );
    }

    #[test]
    fn every_step_of_the_receiving_half_is_documented() {
        let facts = [
            RecvFact::Bytes,
            RecvFact::HeadAndBody,
            RecvFact::HeadAlone,
            RecvFact::Pulled,
            RecvFact::Left,
            RecvFact::Switched,
            RecvFact::BodyEnd,
            RecvFact::EndOfInput,
            RecvFact::Refused,
            RecvFact::NextCycle,
        ];
        assert_documented(
            "recv",
            &table(&RECV, &facts, |state, fact| shown(state.step(*fact))),
        );
    }

    #[test]
    fn every_step_of_the_sending_half_is_documented() {
        let facts = [
            SendFact::HeadAndBody,
            SendFact::HeadAlone,
            SendFact::BodyEnd,
            SendFact::Cut,
            SendFact::Ended,
            SendFact::NextCycle,
        ];
        assert_documented(
            "send",
            &table(&SEND, &facts, |state, fact| shown(state.step(*fact))),
        );
    }

    #[test]
    fn every_next_step_of_the_loop_is_documented() {
        let cell = |recv: &Recv, send: &Send| {
            let open = step(*recv, *send, Close::Unset);
            let closing = step(*recv, *send, Close::PeerAsked);
            if open == closing {
                shown(open)
            } else {
                format!("{}/{}", shown(open), shown(closing))
            }
        };
        assert_documented("next", &table(&RECV, &SEND, cell));
        for (recv, send) in RECV.iter().flat_map(|recv| SEND.map(|send| (*recv, send))) {
            for close in [Close::Unset, Close::PeerAsked] {
                if let Some(expected) = step(recv, send, close) {
                    assert_eq!(next(recv, send, close), expected, "{recv:?} {send:?}");
                }
            }
        }
    }

    #[test]
    fn the_first_reason_to_close_is_kept_and_all_reasons_have_the_same_effect() {
        let reasons = [
            Close::PeerAsked,
            Close::PeerIsOld,
            Close::PeerRefused,
            Close::HandlerAsked,
            Close::ServerStopping,
            Close::BodyUnread,
        ];
        for reason in reasons {
            assert_eq!(Close::Unset.or(reason), reason);
            assert_eq!(reason.or(Close::Unset), reason);
            assert_eq!(reason.or(Close::PeerAsked), reason);
            for (recv, send) in RECV.iter().flat_map(|recv| SEND.map(|send| (*recv, send))) {
                let next = step(recv, send, reason);
                assert_eq!(next, step(recv, send, Close::PeerAsked));
            }
        }
    }
}
