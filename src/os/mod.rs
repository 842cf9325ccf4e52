//! The operating system as the loop sees it: one narrow trait, so that a simulation can replace the real one.

pub(crate) mod address;
pub(crate) mod clock;
mod descriptors;
#[cfg_attr(
    not(all(
        target_os = "linux",
        target_pointer_width = "64",
        any(target_arch = "x86_64", target_arch = "aarch64"),
        // mio's back end for kernels without epoll has to make them.
        not(mio_unsupported_force_poll_poll),
        // It has no room for them.
        not(smallest)
    )),
    path = "exchange_elsewhere.rs"
)]
mod exchange;
mod fault;
mod file;
mod listener;
mod memory;
pub(crate) mod number;
mod real;
mod send_file;
pub(crate) mod signal;
pub(crate) mod stream;
mod variable;

use core::time::Duration;
use std::io::IoSlice;
use std::net::{SocketAddr, TcpStream};

pub(crate) use fault::fault;
pub(crate) use listener::{KeepaliveTimes, Listener, PortSharing, SocketOptions};
pub(crate) use memory::{LEAVES_HOLES, give_back_memory, memory_limit, number};
pub(crate) use real::{Orphans, RealOs, Signals, StopFlag};
pub(crate) use send_file::{Outlet, can_send_files};
pub(crate) use signal::Wake;
pub(crate) use variable::read_variable;

/// Milliseconds on the monotonic clock, whose origin is arbitrary. Packed: each connection has some, and no padding for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(Rust, packed)]
pub(crate) struct Instant(pub(crate) u64);

impl Instant {
    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// The time from `earlier` until this; zero if `earlier` is later.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The session that an event is for: a slot of the table, and the slot's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// What the kernel reports about a socket, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness(u8);

impl Readiness {
    pub(crate) const NOTHING: Self = Self(0);
    /// There may be bytes to read.
    pub(crate) const READABLE: Self = Self(1);
    /// There may be room to write.
    pub(crate) const WRITABLE: Self = Self(2);
    /// The peer has closed its side; bytes may be left before the end.
    pub(crate) const ENDED: Self = Self(4);
    /// Both sides are closed.
    pub(crate) const BROKEN: Self = Self(8);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One thing that a poll returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occurrence {
    /// Connections may be waiting.
    Listener,
    /// Another thread, or a signal, woke the loop.
    Wake,
    /// A socket is ready.
    Socket(Key, Readiness),
}

/// The events that a session asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Not registered with the kernel yet.
    Nothing,
    /// Bytes, and the end of them.
    Input,
    /// The same, and room to write.
    InputAndRoom,
}

/// Why a call to the kernel failed, by what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not now; an event will follow.
    Again,
    /// The peer is gone.
    Gone,
    /// No descriptor, or no memory, for one more.
    Exhausted,
    /// Anything else, by its number.
    Other(i32),
}

/// The address of a peer, or where to ask for it: a connection that is idle keeps none, and a request that is not asked takes
/// no system call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PeerAddress<'a> {
    Unknown,
    /// Of a socket that is open for as long as this lives.
    Socket(i32),
    Known(&'a SocketAddr),
}

impl PeerAddress<'_> {
    /// `None` if it is not known, or if the peer has reset the connection.
    pub(crate) fn ask(self) -> Option<SocketAddr> {
        match self {
            Self::Unknown => None,
            Self::Socket(descriptor) => descriptors::peer_address(descriptor),
            Self::Known(address) => Some(*address),
        }
    }
}

/// Everything that the loop needs from the operating system.
pub(crate) trait Os {
    type Socket;

    /// Whether a short read or write may be the last one before the next event. If not, only a call that would block may be.
    const LEAVES_AFTER_SHORT: bool = true;

    /// Waits for occurrences, at most for `timeout`, and without a `timeout` until there is one. Returns at once without
    /// any when a signal arrives.
    fn poll(&mut self, timeout: Option<Duration>, found: &mut Vec<Occurrence>)
    -> Result<(), Fault>;
    fn accept(&mut self) -> Result<Self::Socket, Fault>;
    /// Whether a connection waits to be accepted.
    fn has_backlog(&mut self) -> bool;
    /// Gives the listening socket back; the kernel refuses from here on.
    fn stop_listening(&mut self);
    fn watch(
        &mut self,
        socket: &mut Self::Socket,
        key: Key,
        before: Interest,
        now: Interest,
    ) -> Result<(), Fault>;
    /// 0 is the end of input.
    fn receive(&mut self, socket: &Self::Socket, buffer: &mut [u8]) -> Result<usize, Fault>;
    /// Never raises SIGPIPE.
    fn send(&mut self, socket: &Self::Socket, slices: &[IoSlice<'_>]) -> Result<usize, Fault>;
    /// As [`send`](Self::send), of the last bytes: if all are sent, [`end_output`](Self::end_output) is to follow at once, and the kernel
    /// may wait for it, to send the end with them.
    fn send_last(&mut self, socket: &Self::Socket, slices: &[IoSlice<'_>]) -> Result<usize, Fault> {
        self.send(socket, slices)
    }
    /// Where the kernel sends files to. It is not used after the socket is closed.
    fn outlet(&mut self, socket: &Self::Socket) -> Outlet;
    /// The outlet of the socket has no room: an event is to follow.
    fn on_full(&mut self, socket: &Self::Socket);
    /// Half-close: the peer reads the end after the bytes that were sent.
    fn end_output(&mut self, socket: &Self::Socket);
    fn close(&mut self, socket: Self::Socket);
    /// What knows the peer's address. It is not used after the socket is closed.
    fn peer_address(socket: &Self::Socket) -> PeerAddress<'static>;
    /// Releases the socket from the loop, in blocking mode.
    fn detach(&mut self, socket: Self::Socket) -> Result<TcpStream, Fault>;
    /// Whether the process, or its owner, wants the server to stop.
    fn is_stop_wanted(&self) -> bool;
    fn now(&self) -> Instant;
    /// Seconds since 1970 on the wall clock; it may jump.
    fn unix_seconds(&self) -> u64;
}
