//! One connection as the kernel keeps it: two queues, what was told of them, and whose its ends are.

use std::collections::VecDeque;

use crate::os::{Interest, Key, Readiness};

/// A connection, for as long as the world stands.
pub(in crate::sim) type LinkId = usize;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Flow {
    Open,
    /// Ended in order: behind the bytes that wait there are no more.
    Ended,
    /// Reset.
    Broken,
}

/// In whose hands the server's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Custody {
    Backlog,
    Server,
    Closed,
    /// Handed over: no longer the loop's.
    Detached,
}

/// Whether the server knows that nothing waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Told {
    Nothing,
    Drained,
    /// The same, by a fault, a moment before that came which waits now.
    DrainedTooEarly,
}

/// Why the peer can't expect its answers: a fault was injected here. The first one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Excuse {
    Reset,
    Cut,
    NeverAccepted,
    /// The last look before a time-out was told that nothing waits.
    ToldTooEarly,
}

/// Whether a write has found the socket full since room was last told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Scarcity {
    None,
    Met,
}

/// Whether the peer's process still has its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum PeerEnd {
    Held,
    Closed,
}

/// Bytes of the peer's that the kernel keeps until the server reads.
pub(in crate::sim) const INBOUND_LEN_MAX: usize = 256 * 1024;

/// What the server's list of watched sockets says of one.
#[derive(Debug)]
pub(in crate::sim) struct Watch {
    pub(in crate::sim) interest: Interest,
    pub(in crate::sim) key: Option<Key>,
    pub(in crate::sim) told: Told,
}

/// One connection, seen from between its ends.
#[derive(Debug)]
pub(in crate::sim) struct Link {
    pub(in crate::sim) custody: Custody,
    pub(in crate::sim) inbound: VecDeque<u8>,
    pub(in crate::sim) inbound_flow: Flow,
    pub(in crate::sim) outbound: VecDeque<u8>,
    pub(in crate::sim) outbound_flow: Flow,
    /// Bytes that wait for the peer at the most: the send buffer and the peer's window together.
    pub(in crate::sim) outbound_len_max: usize,
    pub(in crate::sim) watch: Watch,
    pub(in crate::sim) scarcity: Scarcity,
    pub(in crate::sim) peer_end: PeerEnd,
    pub(in crate::sim) excuse: Option<Excuse>,
    /// Reads although the server had been told that nothing waits.
    pub(in crate::sim) needless_reads: u32,
    /// Polls that told of it and woke the loop as well: mail comes first, so the read that it sets going may take what
    /// the event tells of, and one more is made in vain for the event itself.
    pub(in crate::sim) told_beside_mail: u32,
}

impl Link {
    /// A connection that waits to be accepted.
    pub(in crate::sim) const fn new(outbound_len_max: usize) -> Self {
        Self {
            custody: Custody::Backlog,
            inbound: VecDeque::new(),
            inbound_flow: Flow::Open,
            outbound: VecDeque::new(),
            outbound_flow: Flow::Open,
            outbound_len_max,
            watch: Watch {
                interest: Interest::Nothing,
                key: None,
                told: Told::Nothing,
            },
            scarcity: Scarcity::None,
            peer_end: PeerEnd::Held,
            excuse: None,
            needless_reads: 0,
            told_beside_mail: 0,
        }
    }

    pub(in crate::sim) fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::NOTHING;
        if !self.inbound.is_empty() || self.inbound_flow != Flow::Open {
            readiness = readiness.with(Readiness::READABLE);
        }
        if self.inbound_flow != Flow::Open {
            readiness = readiness.with(Readiness::ENDED);
        }
        let is_broken = self.inbound_flow == Flow::Broken;
        // EPOLLHUP: reset, or ended on both sides.
        if is_broken || (self.inbound_flow == Flow::Ended && self.outbound_flow != Flow::Open) {
            readiness = readiness.with(Readiness::BROKEN);
        }
        if self.watch.interest == Interest::InputAndRoom && (is_broken || self.has_wide_room()) {
            readiness = readiness.with(Readiness::WRITABLE);
        }
        readiness
    }

    /// The kernel tells of room once a third of it is free.
    pub(in crate::sim) fn has_wide_room(&self) -> bool {
        self.outbound.len().saturating_mul(3) <= self.outbound_len_max.saturating_mul(2)
            && self.outbound.len() < self.outbound_len_max
    }
}
