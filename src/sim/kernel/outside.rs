//! The kernel from the peers' side, and what an onlooker sees of it.

use super::link::{Custody, Excuse, Flow, INBOUND_LEN_MAX, Link, LinkId, PeerEnd, Scarcity, Told};
use super::{Interest, Kernel, Occurrence};

/// What peers do.
impl Kernel {
    /// `None`: nobody listens.
    pub(in crate::sim) fn connect(&mut self, outbound_len_max: usize) -> Option<LinkId> {
        if self.listener.flow != Flow::Open {
            return None;
        }
        let id = self.links.len();
        self.links.push(Link::new(outbound_len_max));
        self.listener.backlog.push_back(id);
        self.listener.edge = Told::Nothing;
        self.note(|| format!("peer connects as {id}"));
        Some(id)
    }

    /// How many of the bytes the kernel takes.
    pub(in crate::sim) fn peer_send(&mut self, id: LinkId, bytes: &[u8]) -> usize {
        let link = &mut self.links[id];
        if link.custody == Custody::Closed || link.inbound_flow != Flow::Open {
            // Nobody takes them: the answer to bytes behind a close is a reset.
            self.reset(id);
            return bytes.len();
        }
        if link.custody == Custody::Detached {
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

    /// The peer closes: an end, and a reset for whatever still comes or was not read.
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

    /// At most `len_max` bytes, and how the direction stands once none are left.
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
            self.tell_of_room(id);
        }
        (bytes, flow)
    }

    pub(super) fn tell_of_room(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        if link.scarcity == Scarcity::Met && link.has_wide_room() {
            link.scarcity = Scarcity::None;
            if link.watch.interest == Interest::InputAndRoom {
                self.edge(id);
            }
        }
    }

    pub(in crate::sim) fn outbound_len(&self, id: LinkId) -> usize {
        self.links[id].outbound.len()
    }

    pub(in crate::sim) fn custody(&self, id: LinkId) -> Custody {
        self.links[id].custody
    }

    /// When the server stopped to listen.
    pub(in crate::sim) const fn stopped_at(&self) -> Option<u64> {
        self.listener.stopped_at
    }

    /// Why the peer of this connection can't expect its answers.
    pub(in crate::sim) fn excuse(&self, id: LinkId) -> Option<Excuse> {
        self.links[id].excuse
    }

    /// What a poll has found is on its way to the loop.
    pub(in crate::sim) fn on_told(&mut self, found: &[Occurrence]) {
        if !found.contains(&Occurrence::Wake) {
            return;
        }
        let is_told = |link: &Link| {
            let is_its = |one: &Occurrence| matches!(one, Occurrence::Socket(key, _) if Some(*key) == link.watch.key);
            found.iter().any(is_its)
        };
        for link in self.links.iter_mut().filter(|link| is_told(link)) {
            link.told_beside_mail += 1;
        }
    }

    /// Those that no event beside mail excuses.
    pub(in crate::sim) fn needless_reads(&self, id: LinkId) -> u32 {
        let link = &self.links[id];
        link.needless_reads.saturating_sub(link.told_beside_mail)
    }

    pub(in crate::sim) fn links_len(&self) -> usize {
        self.links.len()
    }
}
