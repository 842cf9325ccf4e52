//! A made-up kernel: connections as byte queues with bounded room, and readiness as epoll's edges tell of it.
//!
//! It keeps what the manual pages promise and nothing more: an edge is told once; a short read or write means that
//! nothing more was there, and that the rest comes with an edge of its own; a level is looked at when an edge is told.

use std::collections::{BTreeSet, VecDeque};

use super::dice::Dice;
use super::faults::{Call, FaultRates, Injection};
use crate::os::{Fault, Interest, Key, Occurrence, Readiness};

/// A connection, for as long as the world stands.
pub(super) type LinkId = usize;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Open,
    /// Ended in order: behind the bytes that wait there are no more.
    Ended,
    /// Reset.
    Broken,
}

/// In whose hands the server's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Custody {
    Backlog,
    Server,
    Closed,
    /// Handed over: no longer the loop's.
    Detached,
}

/// Whether the server knows that nothing waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Drained,
}

/// Whether a write has found the socket full since room was last told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scarcity {
    None,
    Met,
}

/// Whether the peer's process still has its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerEnd {
    Held,
    Closed,
}

/// Bytes of the peer's that the kernel keeps until the server reads.
const INBOUND_LEN_MAX: usize = 256 * 1024;

/// One connection, seen from between its ends.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) custody: Custody,
    inbound: VecDeque<u8>,
    inbound_flow: Flow,
    outbound: VecDeque<u8>,
    outbound_flow: Flow,
    /// Bytes that wait for the peer at the most: the send buffer and the peer's window together.
    outbound_len_max: usize,
    interest: Interest,
    key: Option<Key>,
    told: Told,
    scarcity: Scarcity,
    peer_end: PeerEnd,
    /// Why the peer can't expect its answers: a fault was injected here.
    excuse: Option<&'static str>,
    /// Reads although the server had been told that nothing waits.
    needless_reads: u32,
}

impl Link {
    fn readiness(&self) -> Readiness {
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
        if self.interest == Interest::InputAndRoom && (is_broken || self.has_wide_room()) {
            readiness = readiness.with(Readiness::WRITABLE);
        }
        readiness
    }

    /// The kernel tells of room once a third of it is free.
    fn has_wide_room(&self) -> bool {
        self.outbound.len().saturating_mul(3) <= self.outbound_len_max.saturating_mul(2)
            && self.outbound.len() < self.outbound_len_max
    }
}

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

#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) now: u64,
    links: Vec<Link>,
    backlog: VecDeque<LinkId>,
    listener: Flow,
    has_listener_edge: Told,
    /// Links whose edge has not been told, in order.
    ready: VecDeque<LinkId>,
    /// Links whose peers have something to see.
    pub(super) touched: BTreeSet<LinkId>,
    exhausted_until: u64,
    /// When the server stopped to listen.
    pub(super) stopped_at: Option<u64>,
    /// Milliseconds during which the machine was frozen.
    pub(super) frozen: u64,
    retired: Vec<Key>,
    pub(super) rates: FaultRates,
    pub(super) injection: Injection,
    pub(super) dice: Dice,
    pub(super) counts: Counts,
    /// What the server must never do, and did.
    pub(super) violations: Vec<String>,
    pub(super) trace: Vec<String>,
    pub(super) tracing: super::run::Tracing,
}

impl Kernel {
    pub(super) fn new(dice: Dice, rates: FaultRates, tracing: super::run::Tracing) -> Self {
        Self {
            now: 1_000_000,
            links: Vec::new(),
            backlog: VecDeque::new(),
            listener: Flow::Open,
            has_listener_edge: Told::Drained,
            ready: VecDeque::new(),
            touched: BTreeSet::new(),
            exhausted_until: 0,
            stopped_at: None,
            frozen: 0,
            retired: Vec::new(),
            rates,
            injection: Injection::default(),
            dice,
            counts: Counts::default(),
            violations: Vec::new(),
            trace: Vec::new(),
            tracing,
        }
    }

    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if self.tracing == super::run::Tracing::On {
            let line = format!("{:>9} ms  {}", self.now - 1_000_000, what());
            self.trace.push(line);
        }
    }

    pub(super) fn violate(&mut self, what: String) {
        self.note(|| format!("VIOLATION {what}"));
        self.violations.push(what);
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
        if self.links[id].interest != Interest::Nothing && !self.ready.contains(&id) {
            self.ready.push_back(id);
        }
    }

    fn fault(&mut self, call: Call, id: Option<LinkId>) -> Option<Fault> {
        let fault = match self.injection.on_call(call) {
            None => self.rates.on_call(call, &mut self.dice),
            injected => injected,
        }?;
        self.note(|| format!("fault {fault:?} in {call:?} of {id:?}"));
        let link = &mut self.links[id?];
        match fault {
            Fault::Again => {}
            Fault::Gone => {
                link.excuse = Some("reset by a fault");
                link.inbound_flow = Flow::Broken;
                link.outbound_flow = Flow::Broken;
                self.touched.extend(id);
            }
            Fault::Exhausted | Fault::Other(_) => link.excuse = Some("cut by a fault"),
        }
        Some(fault)
    }
}

/// What the server's loop calls.
impl Kernel {
    pub(super) fn has_news(&self) -> bool {
        !self.ready.is_empty() || self.has_listener_edge == Told::Nothing
    }

    /// Tells some of the edges that wait, in any order.
    pub(super) fn tell(&mut self, found: &mut Vec<Occurrence>) {
        if self.has_listener_edge == Told::Nothing {
            self.has_listener_edge = Told::Drained;
            found.push(Occurrence::Listener);
        }
        let count = self.ready.len().min(self.rates.events_a_poll);
        for id in self.ready.drain(..count).collect::<Vec<_>>() {
            let link = &mut self.links[id];
            let readiness = link.readiness();
            // A level that has gone meanwhile is not told.
            if let Some(key) = link.key
                && readiness != Readiness::NOTHING
            {
                link.told = Told::Nothing;
                self.counts.edges += 1;
                self.note(|| format!("event for {id}: {readiness:?}"));
                found.push(Occurrence::Socket(key, readiness));
            }
        }
        self.dice.shuffle(found);
    }

    /// Events that nobody should rely on: for keys of the past, and for sockets with no news.
    pub(super) fn mislead(&mut self, found: &mut Vec<Occurrence>) {
        let readiness = self.dice.pick(&[
            Readiness::READABLE,
            Readiness::WRITABLE,
            Readiness::READABLE.with(Readiness::WRITABLE),
        ]);
        let mut keys: Vec<Key> = self.links.iter().filter_map(|link| link.key).collect();
        if self.dice.is_hit(300) || keys.is_empty() {
            keys.clone_from(&self.retired);
        }
        if !keys.is_empty() && self.dice.is_hit(self.rates.spurious) {
            let key = self.dice.pick(&keys);
            for link in self.links.iter_mut().filter(|link| link.key == Some(key)) {
                link.told = Told::Nothing;
            }
            found.push(Occurrence::Socket(key, readiness));
        }
        if self.dice.is_hit(self.rates.spurious) {
            found.push(self.dice.pick(&[Occurrence::Listener, Occurrence::Wake]));
        }
    }

    pub(super) fn accept(&mut self) -> Result<LinkId, Fault> {
        self.counts.accepts += 1;
        let Some(id) = self.backlog.front().copied() else {
            return Err(Fault::Again);
        };
        if self.now < self.exhausted_until {
            return Err(Fault::Exhausted);
        }
        match self.fault(Call::Accept, None) {
            None => {}
            Some(Fault::Exhausted) => {
                self.exhausted_until = self.now + self.dice.millis(0, 900);
                return Err(Fault::Exhausted);
            }
            Some(fault) => {
                // The peer that waited has been reset.
                self.backlog.pop_front();
                self.refuse(id);
                return Err(fault);
            }
        }
        self.backlog.pop_front();
        self.links[id].custody = Custody::Server;
        self.counts.opened += 1;
        self.note(|| format!("accept {id}"));
        Ok(id)
    }

    /// No descriptor is left for so many milliseconds.
    pub(super) const fn exhaust(&mut self, millis: u64) {
        self.exhausted_until = self.now + millis;
    }

    fn refuse(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        link.custody = Custody::Closed;
        link.inbound_flow = Flow::Broken;
        link.outbound_flow = Flow::Broken;
        link.excuse = Some("never accepted");
        self.touched.insert(id);
    }

    pub(super) fn stop_listening(&mut self) {
        self.listener = Flow::Ended;
        self.stopped_at = Some(self.now);
        for id in std::mem::take(&mut self.backlog) {
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
        if self.links[id].interest != before {
            self.violate(format!("connection {id} is watched as it was not before"));
        }
        if let Some(fault) = self.fault(Call::Watch, Some(id)) {
            return Err(fault);
        }
        let link = &mut self.links[id];
        link.interest = now;
        link.key = Some(key);
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
        if self.links[id].told == Told::Drained {
            self.links[id].needless_reads += 1;
        }
        if let Some(fault) = self.fault(Call::Receive, Some(id)) {
            if fault == Fault::Again {
                // What waits came a moment later.
                self.links[id].told = Told::Drained;
                if self.links[id].readiness() != Readiness::NOTHING {
                    self.edge(id);
                }
            }
            return Err(fault);
        }
        let is_short = self.dice.is_hit(self.rates.short);
        let dealt = self.dice.skewed(buffer.len().max(1));
        let link = &mut self.links[id];
        if link.inbound.is_empty() {
            link.told = Told::Drained;
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
            link.told = Told::Drained;
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
            self.violate(format!("connection {id} is timed out, and its bytes wait"));
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
        let is_short = self.dice.is_hit(self.rates.short);
        let dealt = self.dice.skewed(offered.max(1));
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
        link.interest = Interest::Nothing;
        self.retired.extend(link.key.take());
        self.ready.retain(|other| *other != id);
    }
}

/// What peers do.
impl Kernel {
    /// `None`: nobody listens.
    pub(super) fn connect(&mut self, outbound_len_max: usize) -> Option<LinkId> {
        if self.listener != Flow::Open {
            return None;
        }
        let id = self.links.len();
        self.links.push(Link {
            custody: Custody::Backlog,
            inbound: VecDeque::new(),
            inbound_flow: Flow::Open,
            outbound: VecDeque::new(),
            outbound_flow: Flow::Open,
            outbound_len_max,
            interest: Interest::Nothing,
            key: None,
            told: Told::Nothing,
            scarcity: Scarcity::None,
            peer_end: PeerEnd::Held,
            excuse: None,
            needless_reads: 0,
        });
        self.backlog.push_back(id);
        self.has_listener_edge = Told::Nothing;
        self.note(|| format!("peer connects as {id}"));
        Some(id)
    }

    /// How many of the bytes the kernel takes.
    pub(super) fn peer_send(&mut self, id: LinkId, bytes: &[u8]) -> usize {
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

    pub(super) fn peer_end(&mut self, id: LinkId) {
        self.note(|| format!("peer {id} ends its side"));
        if self.links[id].inbound_flow == Flow::Open {
            self.links[id].inbound_flow = Flow::Ended;
            self.edge(id);
        }
    }

    /// The peer closes: an end, and a reset for whatever still comes or was not read.
    pub(super) fn peer_close(&mut self, id: LinkId) {
        self.links[id].peer_end = PeerEnd::Closed;
        if self.links[id].outbound.is_empty() {
            self.peer_end(id);
        } else {
            self.reset(id);
        }
    }

    pub(super) fn reset(&mut self, id: LinkId) {
        self.note(|| format!("connection {id} is reset"));
        let link = &mut self.links[id];
        link.inbound_flow = Flow::Broken;
        link.outbound_flow = Flow::Broken;
        link.outbound.clear();
        self.touched.insert(id);
        self.edge(id);
    }

    /// At most `len_max` bytes, and how the direction stands once none are left.
    pub(super) fn peer_read(&mut self, id: LinkId, len_max: usize) -> (Vec<u8>, Flow) {
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

    fn tell_of_room(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        if link.scarcity == Scarcity::Met && link.has_wide_room() {
            link.scarcity = Scarcity::None;
            if link.interest == Interest::InputAndRoom {
                self.edge(id);
            }
        }
    }

    pub(super) fn outbound_len(&self, id: LinkId) -> usize {
        self.links[id].outbound.len()
    }

    pub(super) fn custody(&self, id: LinkId) -> Custody {
        self.links[id].custody
    }

    pub(super) fn excuse(&self, id: LinkId) -> Option<&'static str> {
        self.links[id].excuse
    }

    pub(super) fn needless_reads(&self, id: LinkId) -> u32 {
        self.links[id].needless_reads
    }

    pub(super) fn links_len(&self) -> usize {
        self.links.len()
    }
}
