//! What is seen of processes and connections, where the system shows it.

use std::net::IpAddr;

use rustix::event::PollFlags;

/// What a thread has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// It runs, or would if a processor were free.
    Runs,
    /// It runs, or waits for a disk.
    RunsOrWaits,
}

/// What processes use at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) memory_kb: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
}

/// A listening TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) inode: u64,
    pub(crate) user: u32,
}

/// What a caller does that has sent something, or ended its sending side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// It waits for its response, and may leave without an event: it has to be looked at again. Until then it can be
    /// polled for these events, if any.
    Waits(Option<PollFlags>),
    /// It has closed its connection.
    Left,
}
