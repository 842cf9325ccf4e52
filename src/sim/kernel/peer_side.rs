//! The kernel's interface for peers, and accessors for the harness and the oracle.

use super::link::{EdgeState, Excuse, Flow, INBOUND_LEN_MAX, Link, LinkId, PeerEnd, ServerEnd};
use super::{Interest, Kernel, Occurrence};
use crate::reactor::IdlePolicy;
use crate::sim::oracle::DRAIN_TIMEOUT;

/// The peers' system calls, and accessors.
impl Kernel {
    /// `None`: connection refused.
    pub(in crate::sim) fn connect(&mut self, outbound_len_max: usize) -> Option<LinkId> {
        if self.listener.flow != Flow::Open {
            return None;
        }
        let id = self.links.len();
        self.links.push(Link::new(outbound_len_max));
        self.listener.backlog.push_back(id);
        self.listener.edge = EdgeState::Pending;
        self.note(|| format!("peer connects as {id}"));
        Some(id)
    }

    /// Returns how many of the bytes the kernel takes.
    pub(in crate::sim) fn peer_send(&mut self, id: LinkId, bytes: &[u8]) -> usize {
        let link = &mut self.links[id];
        if link.server_end == ServerEnd::Closed || link.inbound_flow != Flow::Open {
            // Data after a close causes a reset.
            self.reset(id);
            return bytes.len();
        }
        if link.server_end == ServerEnd::Detached {
            return bytes.len();
        }
        let len = bytes.len().min(INBOUND_LEN_MAX - link.inbound.len());
        link.inbound.extend(&bytes[..len]);
        self.note(|| format!("peer {id} sends {}", bytes[..len.min(60)].escape_ascii()));
        if len > 0 {
            self.edge(id);
        }
        len
    }

    pub(in crate::sim) fn peer_end(&mut self, id: LinkId) {
        self.note(|| format!("peer {id} ends its side"));
        if self.links[id].inbound_flow == Flow::Open {
            self.links[id].inbound_flow = Flow::Ended;
            self.edge(id);
        }
    }

    /// close(2) by the peer: a FIN, or a reset if it has not read everything.
    pub(in crate::sim) fn peer_close(&mut self, id: LinkId) {
        self.links[id].peer_end = PeerEnd::Closed;
        if self.links[id].outbound.is_empty() {
            self.peer_end(id);
        } else {
            self.reset(id);
        }
    }

    pub(in crate::sim) fn reset(&mut self, id: LinkId) {
        self.note(|| format!("connection {id} is reset"));
        let link = &mut self.links[id];
        link.inbound_flow = Flow::Broken;
        link.outbound_flow = Flow::Broken;
        link.outbound.clear();
        self.touched.insert(id);
        self.edge(id);
    }

    /// Reads at most `len_max` bytes; returns the state of the direction once the queue is empty.
    pub(in crate::sim) fn peer_read(&mut self, id: LinkId, len_max: usize) -> (Vec<u8>, Flow) {
        let link = &mut self.links[id];
        let len = link.outbound.len().min(len_max);
        let bytes: Vec<u8> = link.outbound.drain(..len).collect();
        let flow = if link.outbound.is_empty() {
            link.outbound_flow
        } else {
            Flow::Open
        };
        if len > 0 {
            self.report_room(id);
        }
        (bytes, flow)
    }

    pub(super) fn report_room(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        if link.is_send_blocked && link.has_wide_room() {
            link.is_send_blocked = false;
            if link.watch.interest == Interest::InputAndRoom {
                self.edge(id);
            }
        }
    }

    pub(in crate::sim) fn outbound_len(&self, id: LinkId) -> usize {
        self.links[id].outbound.len()
    }

    pub(in crate::sim) fn server_end(&self, id: LinkId) -> ServerEnd {
        self.links[id].server_end
    }

    /// The server is asked to stop.
    pub(in crate::sim) fn ask_to_stop(&mut self) {
        self.listener.asked_at.get_or_insert(self.now);
    }

    /// Whether the server closes what is idle: to make room for others, or because it stops.
    pub(super) fn idle_policy(&self) -> IdlePolicy {
        match self.listener.asked_at {
            Some(_) => IdlePolicy::Evict,
            None => self.idle,
        }
    }

    /// When the server stopped listening.
    pub(in crate::sim) const fn stopped_at(&self) -> Option<u64> {
        self.listener.stopped_at
    }

    /// Whether the time to drain may be over. It counts from when the server sees that it is asked to stop, and the server may serve
    /// what else it has found before it stops listening.
    pub(in crate::sim) fn is_past_drain(&self) -> bool {
        let asked_at = self.listener.asked_at;
        asked_at.is_some_and(|at| at + DRAIN_TIMEOUT <= self.now)
    }

    /// Why this connection's peer can't expect its responses.
    pub(in crate::sim) fn excuse(&self, id: LinkId) -> Option<Excuse> {
        self.links[id].excuse
    }

    /// Counts events that a poll returns together with a wake-up.
    pub(in crate::sim) fn on_reported(&mut self, found: &[Occurrence]) {
        if !found.contains(&Occurrence::Wake) {
            return;
        }
        let is_reported = |link: &Link| {
            let is_its = |one: &Occurrence| matches!(one, Occurrence::Socket(key, _) if Some(*key) == link.watch.key);
            found.iter().any(is_its)
        };
        for link in self.links.iter_mut().filter(|link| is_reported(link)) {
            link.events_with_wakeup += 1;
        }
    }

    /// Needless reads, without those that a wake-up in the same poll explains.
    pub(in crate::sim) fn needless_reads(&self, id: LinkId) -> u32 {
        let link = &self.links[id];
        link.needless_reads.saturating_sub(link.events_with_wakeup)
    }

    pub(in crate::sim) fn links_len(&self) -> usize {
        self.links.len()
    }
}
