//! The simulated kernel: connections as bounded byte queues, and edge-triggered readiness as epoll reports it.
//!
//! It keeps what the manual pages promise and nothing more: an edge is reported once; a short read or write means that
//! the queue was empty or full, and more bytes or room come with an edge of their own; the level is sampled when an edge
//! is reported.

mod counts;
mod files;
mod last_bytes;
mod link;
mod peer_side;
mod trace;

use std::collections::{BTreeSet, VecDeque};

use super::faults::{FaultRates, Injection, Syscall};
use super::prng::Prng;
use crate::os::{Fault, Interest, Key, Occurrence, Readiness};
use crate::reactor::IdlePolicy;
use counts::Counts;
use link::{EdgeState, Link, PeerEnd};
pub(super) use link::{Excuse, Flow, LinkId, ServerEnd};
use trace::Record;
pub use trace::Tracing;

/// The clock at the start of a run, in milliseconds.
const START: u64 = 1_000_000;

/// The listening socket.
#[derive(Debug)]
struct Listener {
    backlog: VecDeque<LinkId>,
    flow: Flow,
    edge: EdgeState,
    exhausted_until: u64,
    /// When the server was asked to stop.
    asked_at: Option<u64>,
    /// When the server closed it.
    stopped_at: Option<u64>,
}

/// Decides which faults happen.
#[derive(Debug)]
pub(super) struct FaultInjector {
    pub(super) rates: FaultRates,
    pub(super) injection: Injection,
    pub(super) prng: Prng,
}

#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) now: u64,
    /// Milliseconds during which the machine was frozen.
    pub(super) frozen: u64,
    links: Vec<Link>,
    listener: Listener,
    /// Links with an unreported edge, in order.
    ready: VecDeque<LinkId>,
    /// Links whose peers have something to react to.
    pub(super) touched: BTreeSet<LinkId>,
    /// Keys of closed links.
    retired: Vec<Key>,
    pub(super) faults: FaultInjector,
    pub(super) counts: Counts,
    pub(super) record: Record,
    /// What the server does with idle connections when it is full.
    pub(super) idle: IdlePolicy,
    /// What peers can make the server hold, if that may be too little for them.
    pub(super) memory_max: Option<usize>,
}

impl Kernel {
    pub(super) fn new(prng: Prng, rates: FaultRates, tracing: Tracing) -> Self {
        Self {
            now: START,
            frozen: 0,
            links: Vec::new(),
            listener: Listener {
                backlog: VecDeque::new(),
                flow: Flow::Open,
                edge: EdgeState::Drained,
                exhausted_until: 0,
                asked_at: None,
                stopped_at: None,
            },
            ready: VecDeque::new(),
            touched: BTreeSet::new(),
            retired: Vec::new(),
            faults: FaultInjector {
                rates,
                injection: Injection::default(),
                prng,
            },
            counts: Counts::default(),
            record: Record::new(tracing),
            idle: IdlePolicy::Keep,
            memory_max: None,
        }
    }

    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        self.record.note(self.now - START, what);
    }

    pub(super) fn violate(&mut self, what: String) {
        self.note(|| format!("VIOLATION {what}"));
        self.record.violations.push(what);
    }

    /// Whether the server may use this link; it is a violation if not.
    fn is_accepted(&mut self, id: LinkId, call: Syscall) -> bool {
        let server_end = self.links[id].server_end;
        if server_end != ServerEnd::Accepted {
            self.violate(format!(
                "{call:?} of connection {id}, which is {server_end:?}"
            ));
        }
        server_end == ServerEnd::Accepted
    }

    fn edge(&mut self, id: LinkId) {
        if self.links[id].watch.interest != Interest::Nothing && !self.ready.contains(&id) {
            self.ready.push_back(id);
        }
    }

    fn fault(&mut self, call: Syscall, id: Option<LinkId>) -> Option<Fault> {
        let fault = match self.faults.injection.on_call(call) {
            None => self.faults.rates.on_call(call, &mut self.faults.prng),
            injected => injected,
        }?;
        self.note(|| format!("fault {fault:?} in {call:?} of {id:?}"));
        let Some(id) = id else { return Some(fault) };
        let link = &mut self.links[id];
        match fault {
            Fault::Again => {}
            // What the kernel does not send itself is read.
            Fault::Exhausted | Fault::Other(_) if call == Syscall::SendFile => {}
            Fault::Gone => {
                link.excuse.get_or_insert(Excuse::Reset);
                link.inbound_flow = Flow::Broken;
                link.outbound_flow = Flow::Broken;
                self.touched.insert(id);
            }
            Fault::Exhausted | Fault::Other(_) => {
                link.excuse.get_or_insert(Excuse::Cut);
            }
        }
        Some(fault)
    }
}

/// The server's system calls.
impl Kernel {
    pub(super) fn has_events(&self) -> bool {
        !self.ready.is_empty() || self.listener.edge == EdgeState::Pending
    }

    /// Reports some of the pending edges, in any order.
    pub(super) fn report_events(&mut self, found: &mut Vec<Occurrence>) {
        if self.listener.edge == EdgeState::Pending {
            self.listener.edge = EdgeState::Drained;
            found.push(Occurrence::Listener);
        }
        let count = self.ready.len().min(self.faults.rates.events_a_poll);
        for id in self.ready.drain(..count).collect::<Vec<_>>() {
            let link = &mut self.links[id];
            let readiness = link.readiness();
            // An edge whose level is gone is not reported.
            if let Some(key) = link.watch.key
                && readiness != Readiness::NOTHING
            {
                link.watch.edge = EdgeState::Pending;
                self.counts.edges += 1;
                self.note(|| format!("event for {id}: {readiness:?}"));
                found.push(Occurrence::Socket(key, readiness));
            }
        }
        self.faults.prng.shuffle(found);
    }

    /// Adds spurious events: for retired keys, and for sockets without an edge.
    pub(super) fn add_spurious_events(&mut self, found: &mut Vec<Occurrence>) {
        let mut readiness = self.faults.prng.choose(&[
            Readiness::READABLE,
            Readiness::WRITABLE,
            Readiness::READABLE.with(Readiness::WRITABLE),
        ]);
        let mut keys: Vec<Key> = self
            .links
            .iter()
            .filter_map(|link| link.watch.key)
            .collect();
        if self.faults.prng.chance(300) || keys.is_empty() {
            keys.clone_from(&self.retired);
            // The session that now has the slot must not take the old one's event.
            readiness = readiness.with(Readiness::ENDED).with(Readiness::BROKEN);
        }
        // A second event for the same socket would hide a needless read.
        let is_reported = |key: &Key| {
            let reported = found.iter();
            reported
                .copied()
                .any(|one| matches!(one, Occurrence::Socket(other, _) if other == *key))
        };
        keys.retain(|key| !is_reported(key));
        if !keys.is_empty() && self.faults.prng.chance(self.faults.rates.spurious) {
            let key = self.faults.prng.choose(&keys);
            for link in self
                .links
                .iter_mut()
                .filter(|link| link.watch.key == Some(key))
            {
                link.watch.edge = EdgeState::Pending;
                self.counts.spurious += 1;
            }
            self.note(|| format!("spurious event for {key:?}: {readiness:?}"));
            found.push(Occurrence::Socket(key, readiness));
        }
        if self.faults.prng.chance(self.faults.rates.spurious) {
            found.push(
                self.faults
                    .prng
                    .choose(&[Occurrence::Listener, Occurrence::Wake]),
            );
        }
    }

    pub(super) fn accept(&mut self) -> Result<LinkId, Fault> {
        self.counts.accepts += 1;
        let Some(id) = self.listener.backlog.front().copied() else {
            return Err(Fault::Again);
        };
        if self.now < self.listener.exhausted_until {
            return Err(Fault::Exhausted);
        }
        match self.fault(Syscall::Accept, None) {
            None => {}
            Some(Fault::Exhausted) => {
                self.listener.exhausted_until = self.now + self.faults.prng.millis(0, 900);
                return Err(Fault::Exhausted);
            }
            Some(Fault::Again) => {
                // As if the peer had connected just after the call.
                self.listener.edge = EdgeState::Pending;
                return Err(Fault::Again);
            }
            Some(fault) => {
                // As if the queued peer had sent a reset.
                self.listener.backlog.pop_front();
                self.refuse(id);
                return Err(fault);
            }
        }
        self.listener.backlog.pop_front();
        self.links[id].server_end = ServerEnd::Accepted;
        self.counts.opened += 1;
        self.note(|| format!("accept {id}"));
        Ok(id)
    }

    /// Makes accept fail for want of descriptors for this long.
    pub(super) const fn exhaust(&mut self, millis: u64) {
        self.listener.exhausted_until = self.now + millis;
    }

    fn refuse(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        link.server_end = ServerEnd::Closed;
        link.inbound_flow = Flow::Broken;
        link.outbound_flow = Flow::Broken;
        link.excuse = Some(Excuse::NeverAccepted);
        self.touched.insert(id);
    }

    pub(super) fn has_backlog(&self) -> bool {
        !self.listener.backlog.is_empty()
    }

    pub(super) fn stop_listening(&mut self) {
        self.listener.flow = Flow::Ended;
        self.listener.stopped_at = Some(self.now);
        for id in std::mem::take(&mut self.listener.backlog) {
            self.refuse(id);
        }
    }

    pub(super) fn watch(
        &mut self,
        id: LinkId,
        key: Key,
        before: Interest,
        now: Interest,
    ) -> Result<(), Fault> {
        self.counts.watches += 1;
        if !self.is_accepted(id, Syscall::Watch) {
            return Err(Fault::Other(9));
        }
        if self.links[id].watch.interest != before {
            self.violate(format!(
                "connection {id} is watched with the wrong previous interest"
            ));
        }
        if let Some(fault) = self.fault(Syscall::Watch, Some(id)) {
            return Err(fault);
        }
        let link = &mut self.links[id];
        link.watch.interest = now;
        link.watch.key = Some(key);
        // EPOLL_CTL_ADD and EPOLL_CTL_MOD report the current level.
        if link.readiness() != Readiness::NOTHING {
            self.edge(id);
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, id: LinkId, buffer: &mut [u8]) -> Result<usize, Fault> {
        self.counts.receives += 1;
        if !self.is_accepted(id, Syscall::Receive) {
            return Err(Fault::Other(9));
        }
        let link = &mut self.links[id];
        if link.watch.edge != EdgeState::Pending && link.inbound_flow == Flow::Open {
            link.needless_reads += 1;
            self.note(|| format!("needless read of {id}"));
        }
        if let Some(fault) = self.fault(Syscall::Receive, Some(id)) {
            if fault == Fault::Again {
                self.links[id].watch.edge = EdgeState::FalselyDrained;
                if self.links[id].readiness() != Readiness::NOTHING {
                    self.edge(id);
                }
            }
            return Err(fault);
        }
        let is_short = self.faults.prng.chance(self.faults.rates.short);
        let short_len = self.faults.prng.skewed(buffer.len().max(1));
        let link = &mut self.links[id];
        if link.inbound.is_empty() {
            link.watch.edge = EdgeState::Drained;
            let flow = link.inbound_flow;
            self.note(|| format!("receive {id}: nothing, {flow:?}"));
            return match flow {
                Flow::Open => Err(Fault::Again),
                Flow::Ended => Ok(0),
                Flow::Broken => Err(Fault::Gone),
            };
        }
        let mut len = buffer.len().min(link.inbound.len());
        if is_short {
            len = len.min(short_len);
        }
        for (slot, byte) in buffer.iter_mut().zip(link.inbound.drain(..len)) {
            *slot = byte;
        }
        if len < buffer.len() {
            link.watch.edge = EdgeState::Drained;
            if !link.inbound.is_empty() {
                // As if the rest had come just after the read.
                self.edge(id);
            }
        }
        self.counts.bytes_in += len as u64;
        self.touched.insert(id);
        self.note(|| format!("receive {id}: {len} bytes"));
        Ok(len)
    }

    pub(super) fn send(
        &mut self,
        id: LinkId,
        slices: &[std::io::IoSlice<'_>],
    ) -> Result<usize, Fault> {
        self.counts.sends += 1;
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        if !self.is_accepted(id, Syscall::Send) {
            return Err(Fault::Other(9));
        }
        if offered == 0 || slices.len() > 1024 {
            self.violate(format!(
                "a send of {offered} bytes in {} slices",
                slices.len()
            ));
        }
        if self.links[id].outbound_flow == Flow::Ended {
            self.violate(format!("a send on connection {id} after its output ended"));
        }
        if !self.links[id].inbound.is_empty()
            && slices
                .iter()
                .any(|slice| slice.starts_with(b"HTTP/1.1 408 "))
        {
            if self.links[id].watch.edge == EdgeState::FalselyDrained {
                self.links[id].excuse.get_or_insert(Excuse::FalselyDrained);
            } else {
                self.violate(format!("connection {id} is timed out with unread input"));
            }
        }
        if self.links[id].outbound_flow == Flow::Broken {
            return Err(Fault::Gone);
        }
        if let Some(fault) = self.fault(Syscall::Send, Some(id)) {
            if fault == Fault::Again {
                self.links[id].is_send_blocked = true;
                self.report_room(id);
            }
            return Err(fault);
        }
        let is_short = self.faults.prng.chance(self.faults.rates.short);
        let short_len = self.faults.prng.skewed(offered.max(1));
        let link = &mut self.links[id];
        let room = link.outbound_len_max.saturating_sub(link.outbound.len());
        let mut len = offered.min(room);
        if is_short {
            len = len.min(short_len);
        }
        let bytes = slices.iter().flat_map(|slice| slice.iter());
        link.outbound.extend(bytes.take(len));
        if len < offered {
            link.is_send_blocked = true;
            // The peer may have read in the meantime.
            self.report_room(id);
        }
        self.counts.bytes_out += len as u64;
        self.touched.insert(id);
        self.note(|| format!("send {id}: {len} of {offered} bytes"));
        if self.links[id].peer_end == PeerEnd::Closed {
            self.reset(id);
        }
        if len == 0 { Err(Fault::Again) } else { Ok(len) }
    }

    pub(super) fn end_output(&mut self, id: LinkId) {
        if !self.is_accepted(id, Syscall::EndOutput) {
            return;
        }
        self.record.settle(id);
        self.note(|| format!("end output of {id}"));
        if self.links[id].outbound_flow == Flow::Open {
            self.links[id].outbound_flow = Flow::Ended;
            self.touched.insert(id);
            if self.links[id].inbound_flow == Flow::Ended {
                self.edge(id);
            }
        }
    }

    pub(super) fn close(&mut self, id: LinkId) {
        if !self.is_accepted(id, Syscall::Close) {
            return;
        }
        self.record.settle(id);
        let idle = self.idle_policy();
        let unread = self.links[id].close(idle);
        self.counts.closed += 1;
        self.forget(id);
        self.note(|| format!("close {id}, {unread} bytes unread"));
        let link = &mut self.links[id];
        if unread > 0 {
            // RFC 9112 §9.6: the reset destroys what was sent.
            link.outbound.clear();
            link.outbound_flow = Flow::Broken;
        } else if link.outbound_flow == Flow::Open {
            link.outbound_flow = Flow::Ended;
        }
        self.touched.insert(id);
    }

    /// Takes the server's end from the loop; returns its unread input.
    pub(super) fn detach(&mut self, id: LinkId) -> Result<Vec<u8>, Fault> {
        if !self.is_accepted(id, Syscall::Detach) {
            return Err(Fault::Other(9));
        }
        self.counts.closed += 1;
        if let Some(fault) = self.fault(Syscall::Detach, Some(id)) {
            self.links[id].server_end = ServerEnd::Closed;
            self.forget(id);
            self.reset(id);
            return Err(fault);
        }
        self.links[id].server_end = ServerEnd::Detached;
        self.forget(id);
        self.note(|| format!("detach {id}"));
        Ok(self.links[id].inbound.drain(..).collect())
    }

    fn forget(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        link.watch.interest = Interest::Nothing;
        self.retired.extend(link.watch.key.take());
        self.ready.retain(|other| *other != id);
    }
}
