//! A made-up kernel: connections as byte queues with bounded room, and readiness as epoll's edges tell of it.
//!
//! It keeps what the manual pages promise and nothing more: an edge is told once; a short read or write means that
//! nothing more was there, and that the rest comes with an edge of its own; a level is looked at when an edge is told.

mod link;
mod outside;

use std::collections::{BTreeSet, VecDeque};

use super::dice::Dice;
use super::faults::{Call, FaultRates, Injection};
use super::run::Tracing;
use crate::os::{Fault, Interest, Key, Occurrence, Readiness};
use crate::reactor::IdlePolicy;
pub(super) use link::{Custody, Excuse, Flow, LinkId};
use link::{Link, PeerEnd, Scarcity, Told};

/// What the clock shows when a world begins, in milliseconds.
const START: u64 = 1_000_000;

/// What happened, in numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) accepts: u64,
    pub(super) opened: u64,
    pub(super) closed: u64,
    pub(super) receives: u64,
    pub(super) sends: u64,
    pub(super) watches: u64,
    pub(super) edges: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

impl Counts {
    /// Grows whenever the server does anything to a connection.
    pub(super) const fn work(&self) -> u64 {
        self.accepts
            + self.opened
            + self.closed
            + self.receives
            + self.sends
            + self.watches
            + self.edges
    }
}

/// The socket that listens.
#[derive(Debug)]
struct Listener {
    backlog: VecDeque<LinkId>,
    flow: Flow,
    edge: Told,
    exhausted_until: u64,
    /// When the server gave it back.
    stopped_at: Option<u64>,
}

/// What goes wrong.
#[derive(Debug)]
pub(super) struct Chance {
    pub(super) rates: FaultRates,
    pub(super) injection: Injection,
    pub(super) dice: Dice,
}

/// What is known of a run afterwards.
#[derive(Debug)]
pub(super) struct Record {
    /// What the server must never do, and did.
    pub(super) violations: Vec<String>,
    pub(super) trace: Vec<String>,
    tracing: Tracing,
}

#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) now: u64,
    /// Milliseconds during which the machine was frozen.
    pub(super) frozen: u64,
    links: Vec<Link>,
    listener: Listener,
    /// Links whose edge has not been told, in order.
    ready: VecDeque<LinkId>,
    /// Links whose peers have something to see.
    pub(super) touched: BTreeSet<LinkId>,
    /// Keys of links that are no more.
    retired: Vec<Key>,
    pub(super) chance: Chance,
    pub(super) counts: Counts,
    pub(super) record: Record,
    /// What the server does with idle connections when it is full.
    pub(super) idle: IdlePolicy,
}

impl Kernel {
    pub(super) fn new(dice: Dice, rates: FaultRates, tracing: Tracing) -> Self {
        Self {
            now: START,
            frozen: 0,
            links: Vec::new(),
            listener: Listener {
                backlog: VecDeque::new(),
                flow: Flow::Open,
                edge: Told::Drained,
                exhausted_until: 0,
                stopped_at: None,
            },
            ready: VecDeque::new(),
            touched: BTreeSet::new(),
            retired: Vec::new(),
            chance: Chance {
                rates,
                injection: Injection::default(),
                dice,
            },
            counts: Counts::default(),
            record: Record {
                violations: Vec::new(),
                trace: Vec::new(),
                tracing,
            },
            idle: IdlePolicy::Keep,
        }
    }

    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if self.record.tracing == Tracing::On {
            let line = format!("{:>9} ms  {}", self.now - START, what());
            self.record.trace.push(line);
        }
    }

    pub(super) fn violate(&mut self, what: String) {
        self.note(|| format!("VIOLATION {what}"));
        self.record.violations.push(what);
    }

    /// The server's end of a link, which must be in the server's hands.
    fn held(&mut self, id: LinkId, call: Call) -> bool {
        let custody = self.links[id].custody;
        if custody != Custody::Server {
            self.violate(format!("{call:?} of connection {id}, which is {custody:?}"));
        }
        custody == Custody::Server
    }

    fn edge(&mut self, id: LinkId) {
        if self.links[id].watch.interest != Interest::Nothing && !self.ready.contains(&id) {
            self.ready.push_back(id);
        }
    }

    fn fault(&mut self, call: Call, id: Option<LinkId>) -> Option<Fault> {
        let fault = match self.chance.injection.on_call(call) {
            None => self.chance.rates.on_call(call, &mut self.chance.dice),
            injected => injected,
        }?;
        self.note(|| format!("fault {fault:?} in {call:?} of {id:?}"));
        let Some(id) = id else { return Some(fault) };
        let link = &mut self.links[id];
        match fault {
            Fault::Again => {}
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

/// What the server's loop calls.
impl Kernel {
    pub(super) fn has_news(&self) -> bool {
        !self.ready.is_empty() || self.listener.edge == Told::Nothing
    }

    /// Tells some of the edges that wait, in any order.
    pub(super) fn tell(&mut self, found: &mut Vec<Occurrence>) {
        if self.listener.edge == Told::Nothing {
            self.listener.edge = Told::Drained;
            found.push(Occurrence::Listener);
        }
        let count = self.ready.len().min(self.chance.rates.events_a_poll);
        for id in self.ready.drain(..count).collect::<Vec<_>>() {
            let link = &mut self.links[id];
            let readiness = link.readiness();
            // A level that has gone meanwhile is not told.
            if let Some(key) = link.watch.key
                && readiness != Readiness::NOTHING
            {
                link.watch.told = Told::Nothing;
                self.counts.edges += 1;
                self.note(|| format!("event for {id}: {readiness:?}"));
                found.push(Occurrence::Socket(key, readiness));
            }
        }
        self.chance.dice.shuffle(found);
    }

    /// Events that nobody should rely on: for keys of the past, and for sockets with no news.
    pub(super) fn mislead(&mut self, found: &mut Vec<Occurrence>) {
        let mut readiness = self.chance.dice.pick(&[
            Readiness::READABLE,
            Readiness::WRITABLE,
            Readiness::READABLE.with(Readiness::WRITABLE),
        ]);
        let mut keys: Vec<Key> = self
            .links
            .iter()
            .filter_map(|link| link.watch.key)
            .collect();
        if self.chance.dice.is_hit(300) || keys.is_empty() {
            keys.clone_from(&self.retired);
            // Whoever has the slot now must not be taken for the one who had it.
            readiness = readiness.with(Readiness::ENDED).with(Readiness::BROKEN);
        }
        // Where there is news already, a second event would hide a read that none asked for.
        let is_told = |key: &Key| {
            let told = found.iter();
            told.copied()
                .any(|one| matches!(one, Occurrence::Socket(other, _) if other == *key))
        };
        keys.retain(|key| !is_told(key));
        if !keys.is_empty() && self.chance.dice.is_hit(self.chance.rates.spurious) {
            let key = self.chance.dice.pick(&keys);
            for link in self
                .links
                .iter_mut()
                .filter(|link| link.watch.key == Some(key))
            {
                link.watch.told = Told::Nothing;
            }
            found.push(Occurrence::Socket(key, readiness));
        }
        if self.chance.dice.is_hit(self.chance.rates.spurious) {
            found.push(
                self.chance
                    .dice
                    .pick(&[Occurrence::Listener, Occurrence::Wake]),
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
        match self.fault(Call::Accept, None) {
            None => {}
            Some(Fault::Exhausted) => {
                self.listener.exhausted_until = self.now + self.chance.dice.millis(0, 900);
                return Err(Fault::Exhausted);
            }
            Some(Fault::Again) => {
                // Whoever waits came a moment later.
                self.listener.edge = Told::Nothing;
                return Err(Fault::Again);
            }
            Some(fault) => {
                // The peer that waited has been reset.
                self.listener.backlog.pop_front();
                self.refuse(id);
                return Err(fault);
            }
        }
        self.listener.backlog.pop_front();
        self.links[id].custody = Custody::Server;
        self.counts.opened += 1;
        self.note(|| format!("accept {id}"));
        Ok(id)
    }

    /// No descriptor is left for so many milliseconds.
    pub(super) const fn exhaust(&mut self, millis: u64) {
        self.listener.exhausted_until = self.now + millis;
    }

    fn refuse(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        link.custody = Custody::Closed;
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
        if !self.held(id, Call::Watch) {
            return Err(Fault::Other(9));
        }
        if self.links[id].watch.interest != before {
            self.violate(format!("connection {id} is watched as it was not before"));
        }
        if let Some(fault) = self.fault(Call::Watch, Some(id)) {
            return Err(fault);
        }
        let link = &mut self.links[id];
        link.watch.interest = now;
        link.watch.key = Some(key);
        // EPOLL_CTL_ADD and EPOLL_CTL_MOD look at the level once.
        if link.readiness() != Readiness::NOTHING {
            self.edge(id);
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, id: LinkId, buffer: &mut [u8]) -> Result<usize, Fault> {
        self.counts.receives += 1;
        if !self.held(id, Call::Receive) {
            return Err(Fault::Other(9));
        }
        let link = &mut self.links[id];
        if link.watch.told != Told::Nothing && link.inbound_flow == Flow::Open {
            link.needless_reads += 1;
            self.note(|| format!("needless read of {id}"));
        }
        if let Some(fault) = self.fault(Call::Receive, Some(id)) {
            if fault == Fault::Again {
                self.links[id].watch.told = Told::DrainedTooEarly;
                if self.links[id].readiness() != Readiness::NOTHING {
                    self.edge(id);
                }
            }
            return Err(fault);
        }
        let is_short = self.chance.dice.is_hit(self.chance.rates.short);
        let dealt = self.chance.dice.skewed(buffer.len().max(1));
        let link = &mut self.links[id];
        if link.inbound.is_empty() {
            link.watch.told = Told::Drained;
            return match link.inbound_flow {
                Flow::Open => Err(Fault::Again),
                Flow::Ended => Ok(0),
                Flow::Broken => Err(Fault::Gone),
            };
        }
        let mut len = buffer.len().min(link.inbound.len());
        if is_short {
            len = len.min(dealt);
        }
        for (place, byte) in buffer.iter_mut().zip(link.inbound.drain(..len)) {
            *place = byte;
        }
        if len < buffer.len() {
            link.watch.told = Told::Drained;
            if !link.inbound.is_empty() {
                // The rest came a moment later.
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
        if !self.held(id, Call::Send) {
            return Err(Fault::Other(9));
        }
        if offered == 0 || slices.len() > 1024 {
            self.violate(format!(
                "a send of {offered} bytes in {} slices",
                slices.len()
            ));
        }
        if self.links[id].outbound_flow == Flow::Ended {
            self.violate(format!("a send on connection {id} behind the end"));
        }
        if !self.links[id].inbound.is_empty()
            && slices
                .iter()
                .any(|slice| slice.starts_with(b"HTTP/1.1 408 "))
        {
            if self.links[id].watch.told == Told::DrainedTooEarly {
                self.links[id].excuse.get_or_insert(Excuse::ToldTooEarly);
            } else {
                self.violate(format!("connection {id} is timed out, and its bytes wait"));
            }
        }
        if self.links[id].outbound_flow == Flow::Broken {
            return Err(Fault::Gone);
        }
        if let Some(fault) = self.fault(Call::Send, Some(id)) {
            if fault == Fault::Again {
                self.links[id].scarcity = Scarcity::Met;
                self.tell_of_room(id);
            }
            return Err(fault);
        }
        let is_short = self.chance.dice.is_hit(self.chance.rates.short);
        let dealt = self.chance.dice.skewed(offered.max(1));
        let link = &mut self.links[id];
        let room = link.outbound_len_max.saturating_sub(link.outbound.len());
        let mut len = offered.min(room);
        if is_short {
            len = len.min(dealt);
        }
        let bytes = slices.iter().flat_map(|slice| slice.iter());
        link.outbound.extend(bytes.take(len));
        if len < offered {
            link.scarcity = Scarcity::Met;
            // Where the peer has read meanwhile, there is room a moment later.
            self.tell_of_room(id);
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
        if !self.held(id, Call::EndOutput) {
            return;
        }
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
        if !self.held(id, Call::Close) {
            return;
        }
        let link = &mut self.links[id];
        let unread = link.inbound.len();
        link.custody = Custody::Closed;
        self.counts.closed += 1;
        self.forget(id);
        self.note(|| format!("close {id}, {unread} bytes unread"));
        let link = &mut self.links[id];
        if unread > 0 {
            // RFC 9112 §9.6: the reset overtakes what was sent.
            link.outbound.clear();
            link.outbound_flow = Flow::Broken;
        } else if link.outbound_flow == Flow::Open {
            link.outbound_flow = Flow::Ended;
        }
        self.touched.insert(id);
    }

    /// Takes the server's end out of the loop's hands; gives what waits in it.
    pub(super) fn detach(&mut self, id: LinkId) -> Result<Vec<u8>, Fault> {
        if !self.held(id, Call::Detach) {
            return Err(Fault::Other(9));
        }
        self.counts.closed += 1;
        if let Some(fault) = self.fault(Call::Detach, Some(id)) {
            self.links[id].custody = Custody::Closed;
            self.forget(id);
            self.reset(id);
            return Err(fault);
        }
        self.links[id].custody = Custody::Detached;
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
