//! The loop by itself, for benchmarks: one peer that asks the same again and again, and a kernel that costs nothing.

use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use std::io::IoSlice;
use std::net::TcpStream;
use std::rc::Rc;

use crate::handler::Handler;
use crate::observe::{Observer, ServerEvent};
use crate::os::{Fault, Instant, Interest, Key, Occurrence, Os, Readiness};
use crate::reactor::{Reactor, Settings};

/// The second of which all answers are.
const NOW: u64 = 784_111_777;

/// A loop with one connection. Each turn of it reads the same bytes, has them answered and sends the answers off.
pub struct Treadmill<H> {
    reactor: Reactor<Belt, H>,
    found: Vec<Occurrence>,
    sent_len: Rc<Cell<usize>>,
}

impl<H> fmt::Debug for Treadmill<H> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Treadmill").finish_non_exhaustive()
    }
}

impl<H: Handler> Treadmill<H> {
    /// One that asks for `requests`: whole ones, and fewer bytes than a read takes.
    #[must_use]
    pub fn new(handler: H, requests: &[u8]) -> Self {
        let sent_len = Rc::new(Cell::new(0));
        let belt = Belt {
            requests: requests.into(),
            waiting: Some(Connected),
            key: None,
            sent_len: Rc::clone(&sent_len),
        };
        let settings = Settings::new();
        let reactor = Reactor::new(belt, handler, settings, Box::new(Nobody), || {});
        let mut treadmill = Self {
            reactor,
            found: Vec::new(),
            sent_len,
        };
        // The connection is taken, and its first requests with it.
        treadmill.turn();
        treadmill
    }

    /// One turn; how many bytes of answers it sent.
    ///
    /// # Panics
    ///
    /// If the loop gives up, which it has no reason to.
    pub fn turn(&mut self) -> usize {
        let turned = self.reactor.turn(&mut self.found);
        assert!(turned.is_ok(), "a kernel that never fails");
        self.sent_len.take()
    }
}

/// Hears nothing.
#[derive(Debug)]
struct Nobody;

impl Observer for Nobody {
    fn on(&mut self, _: ServerEvent) {}
}

struct Connected;

/// A kernel that has the same bytes for whoever reads, and room for all that is sent.
struct Belt {
    requests: Box<[u8]>,
    waiting: Option<Connected>,
    key: Option<Key>,
    sent_len: Rc<Cell<usize>>,
}

impl Os for Belt {
    type Socket = Connected;

    fn poll(&mut self, _: Option<Duration>, found: &mut Vec<Occurrence>) -> Result<(), Fault> {
        found.push(match self.key {
            Some(key) => Occurrence::Socket(key, Readiness::READABLE),
            None => Occurrence::Listener,
        });
        Ok(())
    }

    fn accept(&mut self) -> Result<Self::Socket, Fault> {
        self.waiting.take().ok_or(Fault::Again)
    }

    fn has_backlog(&mut self) -> bool {
        self.waiting.is_some()
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

    fn end_output(&mut self, _: &Self::Socket) {}

    fn close(&mut self, _: Self::Socket) {}

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
