//! Locks, and the threads of the pool. In all that ships they are std's. In the unit tests under `--cfg loom` they are
//! loom's, which tries the orders in which threads can meet: what is checked there is this code, and no copy of it.

#[cfg(all(test, loom))]
pub(crate) use loom::{
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};
#[cfg(not(all(test, loom)))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};
