//! The waker of a future: a wake notifies the thread that polls the future, once until the next poll.

use core::mem;
use std::sync::{Arc, PoisonError};
use std::task::Wake;

use super::notify::Notify;
use super::{Mutex, MutexGuard};

/// What wakers share with their future.
#[derive(Default)]
pub(crate) struct Alarm {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stage: Stage,
    /// `None` until something waits for the future.
    notify: Option<Notify>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// Not woken since the last poll.
    #[default]
    Quiet,
    Woken,
    /// The future is over: wakes do nothing.
    Over,
}

impl Alarm {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No foreign code runs under this lock, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what a wake calls. A wake that has come already calls it at once.
    pub(crate) fn attach(&self, notify: Notify) {
        let mut state = self.lock();
        let is_woken = state.stage == Stage::Woken;
        let notify = state.notify.insert(notify).clone();
        drop(state);
        if is_woken {
            notify.notify();
        }
    }

    /// Whether to poll now: only a future that was woken. The next wake then notifies again.
    pub(crate) fn begin_poll(&self) -> bool {
        mem::take(&mut self.lock().stage) == Stage::Woken
    }

    /// The future is over: from now on wakes do nothing.
    pub(crate) fn end(&self) {
        let notify = {
            let mut state = self.lock();
            state.stage = Stage::Over;
            state.notify.take()
        };
        drop(notify);
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.stage != Stage::Quiet {
            return;
        }
        state.stage = Stage::Woken;
        let notify = state.notify.clone();
        drop(state);
        if let Some(notify) = notify {
            notify.notify();
        }
    }
}

/// The alarm of the last future that was ready at once, for the next one of its thread.
#[cfg(not(all(test, loom)))]
pub(crate) mod spare {
    use core::cell::Cell;
    use std::sync::Arc;

    use super::Alarm;

    thread_local! {
        static SPARE: Cell<Option<Arc<Alarm>>> = const { Cell::new(None) };
    }

    pub(crate) fn take() -> Arc<Alarm> {
        SPARE.take().unwrap_or_default()
    }

    /// Keeps it, unless the future has kept a waker.
    pub(crate) fn put(mut alarm: Arc<Alarm>) {
        if let Some(unique) = Arc::get_mut(&mut alarm) {
            *unique = Alarm::default();
            SPARE.set(Some(alarm));
        }
    }
}

/// Loom's locks belong to one order of events.
#[cfg(all(test, loom))]
pub(crate) mod spare {
    use std::sync::Arc;

    use super::Alarm;

    pub(crate) fn take() -> Arc<Alarm> {
        Arc::default()
    }

    pub(crate) fn put(_: Arc<Alarm>) {}
}
