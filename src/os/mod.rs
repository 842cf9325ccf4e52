//! The world as the loop sees it: one narrow trait, so that a made-up world can take the real one's place.

pub(crate) mod address;
pub(crate) mod clock;
mod real;
pub(crate) mod signal;
mod variable;

use core::time::Duration;
use std::io::IoSlice;
use std::net::TcpStream;

pub(crate) use real::{
    KeepaliveTimes, Listener, PortSharing, RealOs, Signals, SocketOptions, StopFlag, fault,
};
pub(crate) use signal::Wake;
pub(crate) use variable::read_variable;

/// Milliseconds on a clock that never goes back; where it begins means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(pub(crate) u64);

impl Instant {
    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// The time from `earlier` until this; nothing if it is past.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Whom an event is for: a slot of the table, and which of its tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// What the kernel says of a socket, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness(u8);

impl Readiness {
    pub(crate) const NOTHING: Self = Self(0);
    /// Bytes may wait.
    pub(crate) const READABLE: Self = Self(1);
    /// There may be room.
    pub(crate) const WRITABLE: Self = Self(2);
    /// The peer has ended its side; bytes may lie before the end.
    pub(crate) const ENDED: Self = Self(4);
    /// Neither side goes on.
    pub(crate) const BROKEN: Self = Self(8);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One thing that a poll brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occurrence {
    /// Connections may wait.
    Listener,
    /// Another thread, or a signal, wants to be heard.
    Wake,
    /// News of a socket.
    Socket(Key, Readiness),
}

/// What a session wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Not known to the kernel's list yet.
    Nothing,
    /// Bytes, and the end of them.
    Input,
    /// The same, and room to write.
    InputAndRoom,
}

/// Why the kernel did not do what it was asked, by what there is to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not now; an event will come.
    Again,
    /// The other end is no more.
    Gone,
    /// No descriptor, or no memory, for one more.
    Exhausted,
    /// Anything else, by its number.
    Other(i32),
}

/// All that the loop asks of the world.
pub(crate) trait Os {
    type Socket;

    /// Waits for occurrences, for as long as `timeout` says: no longer than that, and without one until one comes.
    /// Returns at once with none when a signal came.
    fn poll(&mut self, timeout: Option<Duration>, found: &mut Vec<Occurrence>)
    -> Result<(), Fault>;
    fn accept(&mut self) -> Result<Self::Socket, Fault>;
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
    /// Half-close: the peer reads the end behind what was sent.
    fn end_output(&mut self, socket: &Self::Socket);
    fn close(&mut self, socket: Self::Socket);
    /// Takes the socket out of the loop's hands, in blocking mode.
    fn detach(&mut self, socket: Self::Socket) -> Result<TcpStream, Fault>;
    /// Whether the process, or its owner, wants the server to stop.
    fn is_stop_wanted(&self) -> bool;
    fn now(&self) -> Instant;
    /// Seconds since 1970 on the wall clock; it may leap.
    fn unix_seconds(&self) -> u64;
}
