//! Why the loop drives a session, and what it has to do with the session afterwards.

use crate::os::{Fault, Readiness};

use crate::reactor::deadlines::{Renewal, Waiting};

/// Why a session is driven.
#[derive(Clone, Copy, Debug)]
pub(in crate::reactor) enum Trigger<'a> {
    /// It was just accepted, has used up its budget for a turn, or was woken by another thread.
    Resume,
    /// The kernel reports its socket as ready.
    Ready(Readiness),
    /// The loop has already read from its socket, in one go with others.
    Received(Received<'a>),
    /// Its deadline has passed.
    Deadline(Waiting),
    /// The server stops.
    Drain,
}

/// The outcome of a read that the loop did for several sessions in one go.
#[derive(Clone, Copy, Debug)]
pub(in crate::reactor) struct Received<'a> {
    /// What was read into. The loop owns it, so that a panic of one session takes no bytes from the next.
    pub(in crate::reactor) buffer: &'a [u8],
    pub(in crate::reactor) outcome: Result<usize, Fault>,
}

/// What the loop does with a session after it was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reactor) enum Action {
    /// Set its deadline, and drive it on the next event.
    Wait(Waiting, Renewal),
    /// Drive it again in the next turn: its budget is used up, and other sessions come first.
    Reschedule(Waiting, Renewal),
    /// Close its socket and free its slot.
    Close,
    /// Give its socket away: it was upgraded.
    HandOver,
}

/// How far a write got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reactor) enum Written {
    /// Everything was sent.
    All,
    /// The socket's buffer is full.
    Blocked,
    /// There is more to send, but the budget is used up.
    BudgetSpent,
    /// The connection is broken.
    PeerGone,
}
