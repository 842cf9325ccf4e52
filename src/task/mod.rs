//! Futures of a thread: how they are polled, woken and dropped.

pub(crate) mod parked;
mod spare;
