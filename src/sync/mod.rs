//! Locks, and what other threads share with the loop: a wake-up, a slot for one value, a pause.
//!
//! Locks and the pool's threads are std's in every build that ships. In the unit tests under `--cfg loom` they are loom's,
//! which tries the orders in which threads can meet: the code that is checked is this code, not a copy of it.

pub(crate) mod alarm;
pub(crate) mod contain;
pub(crate) mod elsewhere;
pub(crate) mod leftover;
pub(crate) mod loop_thread;
pub(crate) mod memory;
pub(crate) mod notify;
pub(crate) mod oneshot;
pub(crate) mod pause;
#[cfg(feature = "_sim")]
pub(crate) mod tally;

/// For a static: loom's cannot be one.
pub(crate) use std::sync::{Mutex as StaticMutex, MutexGuard as StaticMutexGuard};

#[cfg(all(test, loom))]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
/// Loom's threads, for which no time passes.
#[cfg(all(test, loom))]
pub(crate) mod thread {
    pub(crate) use loom::thread::{Builder, ThreadId, current, park};

    pub(crate) fn park_timeout(_: core::time::Duration) {
        park();
    }
}
#[cfg(not(all(test, loom)))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};
