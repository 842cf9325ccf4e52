//! One simulated connection: a queue for each direction, what epoll has reported of it, and who holds each end.

use std::collections::VecDeque;

use crate::os::{Interest, Key, Readiness};
use crate::reactor::IdlePolicy;

/// Names a connection. Never used twice in a run.
pub(in crate::sim) type LinkId = usize;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Flow {
    Open,
    /// Ended by a FIN: no bytes follow those in the queue.
    Ended,
    /// The peer reset the connection.
    Broken,
}

/// Where the server's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum ServerEnd {
    /// In the listener's backlog.
    Queued,
    Accepted,
    Closed,
    /// Handed to an upgrade: no longer the loop's.
    Detached,
}

/// Whether the server may read: epoll reports an edge once, and the server reads until the queue is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum EdgeState {
    /// An edge is due or was reported, and the server has not seen the queue empty since.
    Pending,
    Drained,
    /// A fault returned EAGAIN although bytes are in the queue.
    FalselyDrained,
}

/// Why the peer can't expect its responses: an injected fault. The first one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Excuse {
    Reset,
    Cut,
    NeverAccepted,
    /// A fault returned EAGAIN to the last read before a time-out, or before the connection made room for another.
    FalselyDrained,
}

/// Whether the peer's process still has its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum PeerEnd {
    Held,
    Closed,
}

/// Bytes that the receive buffer holds.
pub(in crate::sim) const INBOUND_LEN_MAX: usize = 256 * 1024;

/// The connection's entry in the epoll instance.
#[derive(Debug)]
pub(in crate::sim) struct Watch {
    pub(in crate::sim) interest: Interest,
    pub(in crate::sim) key: Option<Key>,
    pub(in crate::sim) edge: EdgeState,
}

/// One connection. Inbound is from the peer to the server.
#[derive(Debug)]
pub(in crate::sim) struct Link {
    pub(in crate::sim) server_end: ServerEnd,
    pub(in crate::sim) inbound: VecDeque<u8>,
    pub(in crate::sim) inbound_flow: Flow,
    pub(in crate::sim) outbound: VecDeque<u8>,
    pub(in crate::sim) outbound_flow: Flow,
    /// The send buffer and the peer's window together, in bytes.
    pub(in crate::sim) outbound_len_max: usize,
    pub(in crate::sim) watch: Watch,
    /// A send was short or failed, and EPOLLOUT has not been reported since.
    pub(in crate::sim) is_send_blocked: bool,
    pub(in crate::sim) peer_end: PeerEnd,
    pub(in crate::sim) excuse: Option<Excuse>,
    /// Reads after the server saw the queue empty, without a new edge.
    pub(in crate::sim) needless_reads: u32,
    /// Polls that returned both a wake-up and an event for this socket. The loop handles the wake-up first, and the read
    /// that follows may take the event's bytes; the event then causes a needless read, which is no defect.
    pub(in crate::sim) events_with_wakeup: u32,
}

impl Link {
    /// A connection in the backlog.
    pub(in crate::sim) const fn new(outbound_len_max: usize) -> Self {
        Self {
            server_end: ServerEnd::Queued,
            inbound: VecDeque::new(),
            inbound_flow: Flow::Open,
            outbound: VecDeque::new(),
            outbound_flow: Flow::Open,
            outbound_len_max,
            watch: Watch {
                interest: Interest::Nothing,
                key: None,
                edge: EdgeState::Pending,
            },
            is_send_blocked: false,
            peer_end: PeerEnd::Held,
            excuse: None,
            needless_reads: 0,
            events_with_wakeup: 0,
        }
    }

    /// The server closes its end; returns how many bytes it has not read.
    pub(in crate::sim) fn close(&mut self, idle: IdlePolicy) -> usize {
        self.server_end = ServerEnd::Closed;
        let unread = self.inbound.len();
        // The server could not know of a request, and a full one makes room for another connection.
        let is_hidden = unread > 0 && self.watch.edge == EdgeState::FalselyDrained;
        if is_hidden && idle == IdlePolicy::Evict {
            self.excuse.get_or_insert(Excuse::FalselyDrained);
        }
        unread
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

    /// The kernel reports EPOLLOUT once a third of the buffer is free.
    pub(in crate::sim) fn has_wide_room(&self) -> bool {
        self.outbound.len().saturating_mul(3) <= self.outbound_len_max.saturating_mul(2)
            && self.outbound.len() < self.outbound_len_max
    }
}
