//! The simulated operating system under loom: a kernel that other threads notify, and peers that only the loop sees.

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::TcpStream;
use std::sync::Arc;

use loom::sync::atomic::AtomicBool;
use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::super::{Reactor, Settings, Setup};
use crate::handler::Handler;
use crate::observe::{Observer, ServerEvent};
use crate::os::{Fault, Instant, Interest, Key, Occurrence, Os, Outlet, PeerAddress, Readiness};
use crate::sync::memory::Memory;

/// Words of stack for each thread: the loop needs more than loom's default.
const STACK_LEN: usize = 0x8000;

/// What epoll holds: the events that were not polled yet, at most one of each kind.
#[derive(Default)]
pub(super) struct Kernel {
    pub(super) events: Mutex<Vec<Occurrence>>,
    pub(super) edge: Condvar,
    pub(super) is_stop_wanted: AtomicBool,
}

impl Kernel {
    pub(super) fn report(&self, occurrence: Occurrence) {
        let mut events = self.events.lock().unwrap();
        if !events.contains(&occurrence) {
            events.push(occurrence);
        }
        drop(events);
        self.edge.notify_one();
    }

    /// As a write to the eventfd does.
    pub(super) fn wake(&self) {
        self.report(Occurrence::Wake);
    }
}

/// One peer: its bytes that were not read yet, and the bytes sent to it.
#[derive(Default)]
pub(super) struct Peer {
    input: VecDeque<&'static str>,
    output: Vec<u8>,
    /// Set once the kernel watches its socket.
    key: Option<Key>,
    pub(super) is_over: bool,
}

impl Peer {
    pub(super) fn text(&self) -> &str {
        core::str::from_utf8(&self.output).unwrap()
    }

    /// What epoll reports: unread bytes, or the end that it sends after ours.
    fn readiness(&self) -> Option<Readiness> {
        if self.is_over {
            return Some(Readiness::READABLE.with(Readiness::ENDED));
        }
        (!self.input.is_empty()).then_some(Readiness::READABLE)
    }
}

/// The peers. Only the loop's thread uses them before the end, so the lock is not loom's and adds no orders.
type Peers = Arc<std::sync::Mutex<Vec<Peer>>>;

/// Called as soon as the kernel watches the first socket.
type OnWatched = Box<dyn FnOnce(Arc<Kernel>, Key) + Send>;

pub(super) struct World {
    pub(super) kernel: Arc<Kernel>,
    peers: Peers,
    accepted: usize,
    on_watched: Option<OnWatched>,
}

impl World {
    pub(super) fn new(requests: &[&[&'static str]]) -> Self {
        let peer = |input: &&[&'static str]| Peer {
            input: input.iter().copied().collect(),
            ..Peer::default()
        };
        let peers: Vec<Peer> = requests.iter().map(peer).collect();
        let kernel = Arc::new(Kernel::default());
        kernel.events.lock().unwrap().push(Occurrence::Listener);
        Self {
            kernel,
            peers: Arc::new(std::sync::Mutex::new(peers)),
            accepted: 0,
            on_watched: None,
        }
    }

    pub(super) fn of(requests: &[&'static str]) -> Self {
        let each: Vec<&[&'static str]> = requests.iter().map(core::slice::from_ref).collect();
        Self::new(&each)
    }

    /// The first peer resets its connection at some point after the kernel watches its socket.
    pub(super) fn with_reset(mut self) -> Self {
        self.on_watched = Some(Box::new(|kernel, key| {
            thread::spawn(move || kernel.report(Occurrence::Socket(key, Readiness::BROKEN)));
        }));
        self
    }

    /// Serves until `is_done` returns true for the peers; then drops everything that the loop owns.
    pub(super) fn serve<H: Handler + 'static>(
        self,
        handler: impl FnOnce() -> H + Send + 'static,
        is_done: impl Fn(&[Peer]) -> bool + Send + 'static,
    ) -> Vec<Peer> {
        let (kernel, peers) = (Arc::clone(&self.kernel), Arc::clone(&self.peers));
        self.on_loop(handler, kernel, move |reactor| {
            let mut found = Vec::new();
            while !is_done(&peers.lock().unwrap()) {
                reactor.turn(&mut found).unwrap();
            }
        })
    }

    pub(super) fn on_loop<H: Handler + 'static>(
        self,
        handler: impl FnOnce() -> H + Send + 'static,
        kernel: Arc<Kernel>,
        run: impl FnOnce(&mut Reactor<Self, H>) + Send + 'static,
    ) -> Vec<Peer> {
        let peers = Arc::clone(&self.peers);
        let serve = move || {
            let wake = move || kernel.wake();
            let setup = Setup {
                settings: Settings::new(),
                memory: Arc::new(Memory::new(None, || None)),
                observer: Box::new(Silent),
            };
            let mut reactor = Reactor::new(self, handler(), setup, wake);
            let _guard = reactor.enter();
            run(&mut reactor);
        };
        let looping = thread::Builder::new().stack_size(STACK_LEN).spawn(serve);
        looping.unwrap().join().unwrap();
        std::mem::take(&mut *peers.lock().unwrap())
    }
}

impl World {
    fn report_readiness(&self, socket: usize) {
        let peer = &self.peers.lock().unwrap()[socket];
        if let (Some(key), Some(readiness)) = (peer.key, peer.readiness()) {
            self.kernel.report(Occurrence::Socket(key, readiness));
        }
    }
}

impl Os for World {
    type Socket = usize;

    fn poll(
        &mut self,
        timeout: Option<Duration>,
        found: &mut Vec<Occurrence>,
    ) -> Result<(), Fault> {
        let mut events = self.kernel.events.lock().unwrap();
        while events.is_empty() && timeout != Some(Duration::ZERO) {
            events = self.kernel.edge.wait(events).unwrap();
        }
        found.append(&mut events);
        Ok(())
    }

    fn accept(&mut self) -> Result<usize, Fault> {
        if self.accepted == self.peers.lock().unwrap().len() {
            return Err(Fault::Again);
        }
        self.accepted += 1;
        Ok(self.accepted - 1)
    }

    fn has_backlog(&mut self) -> bool {
        self.accepted < self.peers.lock().unwrap().len()
    }

    fn stop_listening(&mut self) {}

    fn watch(
        &mut self,
        socket: &mut usize,
        key: Key,
        _: Interest,
        _: Interest,
    ) -> Result<(), Fault> {
        self.peers.lock().unwrap()[*socket].key = Some(key);
        self.report_readiness(*socket);
        if let Some(on_watched) = self.on_watched.take() {
            on_watched(Arc::clone(&self.kernel), key);
        }
        Ok(())
    }

    fn receive(&mut self, socket: &usize, buffer: &mut [u8]) -> Result<usize, Fault> {
        let mut peers = self.peers.lock().unwrap();
        let peer = &mut peers[*socket];
        let Some(input) = peer.input.pop_front().map(str::as_bytes) else {
            return if peer.is_over {
                Ok(0)
            } else {
                Err(Fault::Again)
            };
        };
        let has_more = !peer.input.is_empty();
        drop(peers);
        if has_more {
            // As if the rest had come just after the read.
            self.report_readiness(*socket);
        }
        buffer[..input.len()].copy_from_slice(input);
        Ok(input.len())
    }

    fn send(&mut self, socket: &usize, slices: &[IoSlice<'_>]) -> Result<usize, Fault> {
        let output = &mut self.peers.lock().unwrap()[*socket].output;
        slices
            .iter()
            .for_each(|slice| output.extend_from_slice(slice));
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn outlet(&mut self, _: &usize) -> Outlet {
        Outlet::Simulated(Box::new(|_, _, _| Ok(0)))
    }

    fn on_full(&mut self, _: &usize) {}

    fn end_output(&mut self, socket: &usize) {
        self.peers.lock().unwrap()[*socket].is_over = true;
        self.report_readiness(*socket);
    }

    fn close(&mut self, socket: usize) {
        self.peers.lock().unwrap()[socket].is_over = true;
    }

    fn peer_address(_: &Self::Socket) -> PeerAddress<'static> {
        PeerAddress::Unknown
    }

    fn detach(&mut self, _: usize) -> Result<TcpStream, Fault> {
        Err(Fault::Other(0))
    }

    fn is_stop_wanted(&self) -> bool {
        self.kernel.is_stop_wanted.load(Ordering::Acquire)
    }

    fn now(&self) -> Instant {
        Instant(0)
    }

    fn unix_seconds(&self) -> u64 {
        0
    }
}

#[derive(Debug)]
struct Silent;

impl Observer for Silent {
    fn on(&mut self, _: ServerEvent) {}
}
