//! The loop alone, for benchmarks: one peer that repeats its requests, over a kernel that does no work.

use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use std::io::IoSlice;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;

use crate::handler::Handler;
use crate::observe::{Observer, ServerEvent};
use crate::os::{Fault, Instant, Interest, Key, Occurrence, Os, Outlet, PeerAddress, Readiness};
use crate::reactor::{Reactor, Settings, Setup};
use crate::sync::memory::Memory;

/// The wall clock, which stands still.
const NOW: u64 = 784_111_777;

/// A loop with one connection. Each turn reads the same requests and sends the responses.
pub struct LoopDriver<H> {
    reactor: Reactor<FreeKernel, H>,
    found: Vec<Occurrence>,
    sent_len: Rc<Cell<usize>>,
}

impl<H> fmt::Debug for LoopDriver<H> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LoopDriver").finish_non_exhaustive()
    }
}

impl<H: Handler> LoopDriver<H> {
    /// A driver for `requests`, which are complete and fit into one read.
    #[must_use]
    pub fn new(handler: H, requests: &[u8]) -> Self {
        let sent_len = Rc::new(Cell::new(0));
        let kernel = FreeKernel {
            requests: requests.into(),
            backlog: Some(Socket),
            key: None,
            sent_len: Rc::clone(&sent_len),
        };
        let setup = Setup {
            settings: Settings::new(),
            memory: Arc::new(Memory::new(None, || None)),
            observer: Box::new(Ignore),
        };
        let reactor = Reactor::new(kernel, handler, setup, || {});
        let mut driver = Self {
            reactor,
            found: Vec::new(),
            sent_len,
        };
        // Accepts the connection and handles its first requests.
        driver.turn();
        driver
    }

    /// Runs one turn; returns how many bytes of responses it sent.
    ///
    /// # Panics
    ///
    /// If the loop fails, which it has no reason to.
    pub fn turn(&mut self) -> usize {
        let turned = self.reactor.turn(&mut self.found);
        assert!(turned.is_ok(), "this kernel never fails");
        self.sent_len.take()
    }
}

/// Ignores all events.
#[derive(Debug)]
struct Ignore;

impl Observer for Ignore {
    fn on(&mut self, _: ServerEvent) {}
}

struct Socket;

/// A kernel whose socket always has the same bytes to read and room for every write.
struct FreeKernel {
    requests: Box<[u8]>,
    backlog: Option<Socket>,
    key: Option<Key>,
    sent_len: Rc<Cell<usize>>,
}

impl Os for FreeKernel {
    type Socket = Socket;

    fn poll(&mut self, _: Option<Duration>, found: &mut Vec<Occurrence>) -> Result<(), Fault> {
        found.push(match self.key {
            Some(key) => Occurrence::Socket(key, Readiness::READABLE),
            None => Occurrence::Listener,
        });
        Ok(())
    }

    fn accept(&mut self) -> Result<Self::Socket, Fault> {
        self.backlog.take().ok_or(Fault::Again)
    }

    fn has_backlog(&mut self) -> bool {
        self.backlog.is_some()
    }

    fn stop_listening(&mut self) {}

    fn watch(
        &mut self,
        _: &mut Self::Socket,
        key: Key,
        _: Interest,
        _: Interest,
    ) -> Result<(), Fault> {
        self.key = Some(key);
        Ok(())
    }

    fn receive(&mut self, _: &Self::Socket, buffer: &mut [u8]) -> Result<usize, Fault> {
        let len = self.requests.len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.requests[..len]);
        Ok(len)
    }

    fn send(&mut self, _: &Self::Socket, slices: &[IoSlice<'_>]) -> Result<usize, Fault> {
        let len = slices.iter().map(|slice| slice.len()).sum();
        self.sent_len.set(self.sent_len.get() + len);
        Ok(len)
    }

    fn outlet(&mut self, _: &Self::Socket) -> Outlet {
        Outlet::Simulated(Box::new(|_, _, _| Ok(0)))
    }

    fn on_full(&mut self, _: &Self::Socket) {}

    fn end_output(&mut self, _: &Self::Socket) {}

    fn close(&mut self, _: Self::Socket) {}

    fn peer_address(_: &Self::Socket) -> PeerAddress<'static> {
        PeerAddress::Unknown
    }

    fn detach(&mut self, _: Self::Socket) -> Result<TcpStream, Fault> {
        Err(Fault::Gone)
    }

    fn is_stop_wanted(&self) -> bool {
        false
    }

    fn now(&self) -> Instant {
        Instant(0)
    }

    fn unix_seconds(&self) -> u64 {
        NOW
    }
}
