//! The real operating system: epoll through mio, which no other file names, and connections through socket2.
#![expect(
    clippy::disallowed_types,
    reason = "this file is the fence around mio, and part of that around socket2"
)]

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{self, IoSlice};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use mio::unix::SourceFd;
use mio::{Events, Poll, Token};
use socket2::SockRef;

use super::exchange;
use super::fault::fault;
use super::listener::{Early, Listener};
use super::signal::{self, Wake};
use super::{Fault, Instant, Interest, Key, Occurrence, Os, Outlet, PeerAddress, Readiness};
use super::{clock, descriptors};
use crate::limits::{DESCRIPTORS_RESERVED, EVENTS_A_POLL_FIRST, EVENTS_A_POLL_MAX};

const LISTENER: Token = Token(usize::MAX);
const WAKE: Token = Token(usize::MAX - 1);
/// A connection with a lower descriptor does not make the loop ask how many the process may have.
const DESCRIPTORS_UNCHECKED: i32 = 8;

/// What is sent with these flags waits for more, or for the end, if it does not fill a segment.
#[cfg(target_os = "linux")]
const SEND_LAST: i32 = libc::MSG_NOSIGNAL | libc::MSG_MORE;
#[cfg(not(target_os = "linux"))]
const SEND_LAST: i32 = libc::MSG_NOSIGNAL;

/// mio arms no event of a descriptor that it does not read itself.
fn rearm_wake(registry: &mio::Registry, wake: &Wake) -> Result<(), Fault> {
    wake.drain();
    let mut source = SourceFd(&wake.descriptor());
    let armed = registry.reregister(&mut source, WAKE, mio::Interest::READABLE);
    armed.map_err(|error| fault(&error))
}

/// The kernel.
#[derive(Debug)]
pub(crate) struct RealOs {
    poll: Poll,
    events: Events,
    listener: Option<mio::net::TcpListener>,
    early: Early,
    wake: Wake,
    stop: StopFlag,
    /// Connections leave this descriptor and all above it to handlers. At first [`DESCRIPTORS_UNCHECKED`].
    reserve_from: i32,
    /// The descriptor of the connection that was accepted last.
    last_accepted: i32,
}

/// What may stop the server: its owner, by a flag, and the process's signals if they are caught.
#[derive(Clone, Debug)]
pub(crate) struct StopFlag {
    pub(crate) flag: Arc<AtomicBool>,
    pub(crate) signals: Signals,
}

/// Whether process 1 waits for processes that it has not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orphans {
    Left,
    Reaped,
}

/// Whether SIGTERM and SIGINT stop the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signals {
    Heard,
    Left,
}

impl RealOs {
    /// # Errors
    ///
    /// The kernel has no descriptor, or no memory, for an epoll instance.
    pub(crate) fn new(listener: Listener, wake: Wake, stop: StopFlag) -> io::Result<Self> {
        let poll = Poll::new()?;
        let (listener, early) = listener.into_parts();
        let mut listener = mio::net::TcpListener::from_std(listener);
        poll.registry()
            .register(&mut listener, LISTENER, mio::Interest::READABLE)?;
        let mut wake_source = SourceFd(&wake.descriptor());
        poll.registry()
            .register(&mut wake_source, WAKE, mio::Interest::READABLE)?;
        let events = Events::with_capacity(EVENTS_A_POLL_FIRST);
        Ok(Self {
            poll,
            events,
            listener: Some(listener),
            early,
            wake,
            stop,
            reserve_from: DESCRIPTORS_UNCHECKED,
            last_accepted: 0,
        })
    }

    fn accept_next(&mut self) -> Result<mio::net::TcpStream, Fault> {
        let Some(listener) = &self.listener else {
            return Err(Fault::Again);
        };
        if self.last_accepted.wrapping_add(1) >= self.reserve_from
            && !has_unreserved(listener, &mut self.reserve_from)
        {
            return Err(shortage(listener));
        }
        let mut accepted = listener.accept();
        if let Err(error) = &accepted
            && fault(error) == Fault::Exhausted
        {
            // At the first shortage the soft limit may be below the hard one.
            let before = std::mem::replace(&mut self.reserve_from, reserve_from());
            if self.reserve_from <= before {
                return Err(shortage(listener));
            }
            accepted = listener.accept();
        }
        let accepted = accepted.map_err(|error| fault(&error));
        if matches!(accepted, Err(Fault::Again)) {
            self.early = Early::Gone;
        }
        let (socket, _) = accepted?;
        self.early.complete(&SockRef::from(&socket));
        self.last_accepted = socket.as_raw_fd();
        Ok(socket)
    }

    /// That no connection waits may have been seen without a call of mio's.
    fn rearm_listener(&mut self) -> Result<(), Fault> {
        let Some(listener) = &mut self.listener else {
            return Ok(());
        };
        let armed = self
            .poll
            .registry()
            .reregister(listener, LISTENER, mio::Interest::READABLE);
        armed.map_err(|error| fault(&error))
    }
}

/// epoll and kqueue report what comes after a short read or write. mio's back end for kernels that have neither arms an event
/// when a call would block, and at no other time. A build with `--cfg mio_unsupported_force_poll_poll` has it, and tests it.
const LEAVES_AFTER_SHORT: bool = cfg!(not(mio_unsupported_force_poll_poll));

impl Os for RealOs {
    type Socket = mio::net::TcpStream;
    const LEAVES_AFTER_SHORT: bool = LEAVES_AFTER_SHORT;

    fn poll(
        &mut self,
        timeout: Option<Duration>,
        found: &mut Vec<Occurrence>,
    ) -> Result<(), Fault> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(fault(&error)),
        }
        let known = found.len();
        for event in &self.events {
            found.push(match event.token() {
                LISTENER => Occurrence::Listener,
                WAKE => {
                    if !LEAVES_AFTER_SHORT {
                        rearm_wake(self.poll.registry(), &self.wake)?;
                    } else if cfg!(not(target_os = "linux")) {
                        self.wake.drain();
                    }
                    signal::reap_orphans();
                    Occurrence::Wake
                }
                Token(token) => Occurrence::Socket(key_of(token), readiness_of(event)),
            });
        }
        // The list was full: the next poll gets a longer one.
        let count = found.len() - known;
        if count == self.events.capacity() && count < EVENTS_A_POLL_MAX {
            self.events = Events::with_capacity(EVENTS_A_POLL_MAX);
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<Self::Socket, Fault> {
        let accepted = self.accept_next();
        if !LEAVES_AFTER_SHORT && matches!(accepted, Err(Fault::Again)) {
            self.rearm_listener()?;
        }
        accepted
    }

    fn has_backlog(&mut self) -> bool {
        let listener = self.listener.as_ref();
        let is_waited_for =
            listener.is_some_and(|listener| descriptors::is_readable(listener.as_raw_fd()));
        if !LEAVES_AFTER_SHORT && !is_waited_for {
            // Without it the next connection waits for one that is closed.
            let _ = self.rearm_listener();
        }
        is_waited_for
    }

    fn stop_listening(&mut self) {
        self.listener = None;
    }

    fn watch(
        &mut self,
        socket: &mut Self::Socket,
        key: Key,
        before: Interest,
        now: Interest,
    ) -> Result<(), Fault> {
        let registry = self.poll.registry();
        let token = token_of(key);
        let wanted = match now {
            Interest::Nothing => {
                return registry.deregister(socket).map_err(|error| fault(&error));
            }
            Interest::Input => mio::Interest::READABLE,
            Interest::InputAndRoom => mio::Interest::READABLE | mio::Interest::WRITABLE,
        };
        let done = match before {
            Interest::Nothing => registry.register(socket, token, wanted),
            Interest::Input | Interest::InputAndRoom => registry.reregister(socket, token, wanted),
        };
        done.map_err(|error| fault(&error))
    }

    // In place: a return after the system call is slow, see `exchange`.
    #[inline]
    fn receive(&mut self, socket: &Self::Socket, buffer: &mut [u8]) -> Result<usize, Fault> {
        uninterrupted(|| exchange::receive(socket, buffer))
    }

    #[inline]
    fn send(&mut self, socket: &Self::Socket, slices: &[IoSlice<'_>]) -> Result<usize, Fault> {
        // Both calls carry MSG_NOSIGNAL; a plain `writev` would not.
        uninterrupted(|| match slices {
            [slice] => exchange::send(socket, slice),
            _ => send_with_flags(socket, slices, libc::MSG_NOSIGNAL),
        })
    }

    #[inline(never)]
    fn send_last(&mut self, socket: &Self::Socket, slices: &[IoSlice<'_>]) -> Result<usize, Fault> {
        uninterrupted(|| send_with_flags(socket, slices, SEND_LAST))
    }

    fn outlet(&mut self, socket: &Self::Socket) -> Outlet {
        Outlet::Descriptor(socket.as_raw_fd())
    }

    fn on_full(&mut self, socket: &Self::Socket) {
        if !LEAVES_AFTER_SHORT {
            // It arms the event where it sees a full socket.
            let full = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            drop(socket.try_io(full));
        }
    }

    fn end_output(&mut self, socket: &Self::Socket) {
        // If the peer has left in the meantime, the next read shows it.
        drop(socket.shutdown(Shutdown::Write));
    }

    fn close(&mut self, socket: Self::Socket) {
        // The kernel takes a closed descriptor off the epoll list by itself.
        drop(socket);
    }

    fn peer_address(socket: &Self::Socket) -> PeerAddress<'static> {
        PeerAddress::Socket(socket.as_raw_fd())
    }

    fn detach(&mut self, mut socket: Self::Socket) -> Result<TcpStream, Fault> {
        // A socket that was never watched is not on the list: that is not an error.
        drop(self.poll.registry().deregister(&mut socket));
        let stream = TcpStream::from(socket);
        stream
            .set_nonblocking(false)
            .map_err(|error| fault(&error))?;
        Ok(stream)
    }

    fn is_stop_wanted(&self) -> bool {
        let is_signalled = self.stop.signals == Signals::Heard && signal::is_stop_wanted();
        is_signalled || self.stop.flag.load(Ordering::Acquire)
    }

    #[inline(never)] // In place in each of its callers it takes 5 KB of a program.
    fn now(&self) -> Instant {
        Instant(u64::try_from(clock::monotonic().as_millis()).unwrap_or(u64::MAX))
    }

    fn unix_seconds(&self) -> u64 {
        clock::since_1970().as_secs()
    }
}

/// Makes a call until no signal interrupts it.
#[inline]
fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> Result<usize, Fault> {
    loop {
        match call() {
            Ok(len) => return Ok(len),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fault(&error)),
        }
    }
}

/// mio has to see a full socket: some of its back ends arm the event there.
fn send_with_flags(
    socket: &mio::net::TcpStream,
    slices: &[IoSlice<'_>],
    flags: i32,
) -> io::Result<usize> {
    socket.try_io(|| SockRef::from(socket).send_vectored_with_flags(slices, flags))
}

/// The kernel reports a shortage before it looks whether a connection waits at all.
fn shortage(listener: &mio::net::TcpListener) -> Fault {
    if descriptors::is_readable(listener.as_raw_fd()) {
        Fault::Exhausted
    } else {
        Fault::Again
    }
}

/// Whether the lowest free descriptor, which the next connection would get, is not one of the reserve. Raises the soft
/// limit first. Asked only while the last connection got a high one.
fn has_unreserved(listener: &mio::net::TcpListener, reserve: &mut i32) -> bool {
    *reserve = reserve_from();
    let probe = SockRef::from(listener).try_clone();
    probe.is_ok_and(|probe| probe.as_raw_fd() < *reserve)
}

fn reserve_from() -> i32 {
    let limit = descriptors::raise_limit().and_then(|limit| i32::try_from(limit).ok());
    let limit = limit.unwrap_or(i32::MAX);
    // A process with very few descriptors needs them for its connections.
    limit.saturating_sub(DESCRIPTORS_RESERVED.min(limit / 4))
}

const fn token_of(key: Key) -> Token {
    Token(((key.generation as usize) << 32) | key.slot as usize)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves of a token are 32 bits each"
)]
const fn key_of(token: usize) -> Key {
    Key {
        slot: token as u32,
        generation: (token >> 32) as u32,
    }
}

fn readiness_of(event: &mio::event::Event) -> Readiness {
    let mut readiness = Readiness::NOTHING;
    if event.is_readable() {
        readiness = readiness.with(Readiness::READABLE);
    }
    if event.is_writable() {
        readiness = readiness.with(Readiness::WRITABLE);
    }
    if event.is_read_closed() {
        readiness = readiness.with(Readiness::ENDED);
    }
    if event.is_error() || (event.is_read_closed() && event.is_write_closed()) {
        readiness = readiness.with(Readiness::BROKEN);
    }
    // It does not say again that there are bytes before the end.
    if !LEAVES_AFTER_SHORT && !event.is_error() && event.is_read_closed() {
        readiness = readiness.with(Readiness::READABLE);
    }
    readiness
}
