//! Between the loop and a session: why it is driven, and what becomes of it then.

use crate::os::{Fault, Readiness};

use super::work::HandOver;
use crate::reactor::deadlines::{Renewal, Waiting};

/// Why a session is driven.
#[derive(Clone, Copy, Debug)]
pub(in crate::reactor) enum Trigger {
    /// It was just accepted, was cut short, or has news from another thread.
    GoOn,
    /// The kernel has news.
    Ready(Readiness),
    /// It was read from together with others.
    Received(Received),
    /// What it waits for has not come in its time.
    Deadline(Waiting),
    /// The server stops.
    Drain,
}

impl Trigger {
    /// What the session has waited for too long.
    pub(in crate::reactor) const fn deadline(self) -> Option<Waiting> {
        match self {
            Self::Deadline(waiting) => Some(waiting),
            Self::GoOn | Self::Ready(_) | Self::Received(_) | Self::Drain => None,
        }
    }
}

/// What was read from a session together with others, and which of the pieces it lies in.
#[derive(Clone, Copy, Debug)]
pub(in crate::reactor) struct Received {
    pub(in crate::reactor) piece: usize,
    pub(in crate::reactor) outcome: Result<usize, Fault>,
}

/// What becomes of a session after it was driven.
pub(in crate::reactor) enum Fate {
    /// It waits for this.
    Wait(Waiting, Renewal),
    /// It has more to do, but others first.
    Again(Waiting, Renewal),
    /// It is over.
    Free,
    /// Its socket leaves HTTP.
    HandOver(Box<HandOver>),
}

/// How far writing got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reactor) enum Written {
    /// Nothing waits to be sent.
    All,
    /// The socket is full.
    Blocked,
    /// There is more to send, but others first.
    Enough,
    /// Nobody is there.
    Gone,
}
