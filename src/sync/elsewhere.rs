//! Counts what other threads may be doing for requests: replies, senders of bodies, pauses and upgraded sockets that they hold.

use core::sync::atomic::{AtomicUsize, Ordering};

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Work for a request that another thread may be doing, until it is dropped. It must be dropped before the loop is notified.
#[derive(Debug)]
pub(crate) struct WorkElsewhere(());

impl WorkElsewhere {
    pub(crate) fn begin() -> Self {
        COUNT.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    /// Whether there is any.
    pub(crate) fn is_any() -> bool {
        COUNT.load(Ordering::Relaxed) > 0
    }
}

impl Drop for WorkElsewhere {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}
