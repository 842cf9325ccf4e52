//! The thread of a loop, and what requests leave on it.

#[cfg(feature = "http")]
use crate::message::http_spare;
use crate::sync::loop_thread::{self, Guard, Runner};
#[cfg(not(all(test, loom)))]
use crate::task::spare;

/// A thread runs a loop until this is dropped.
#[must_use]
pub(crate) struct OnThread(#[expect(dead_code, reason = "it is dropped")] Guard);

impl OnThread {
    pub(crate) fn enter(runner: Runner) -> Self {
        Self(loop_thread::enter(runner))
    }
}

impl Drop for OnThread {
    fn drop(&mut self) {
        #[cfg(not(all(test, loom)))]
        spare::CLEAR.run();
        #[cfg(feature = "http")]
        http_spare::CLEAR.run();
    }
}
