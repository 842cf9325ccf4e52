//! The waker of a future: a wake notifies the thread that polls the future, once until the next poll.

use core::mem;
use core::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, PoisonError};
use std::task::Wake;

use super::notify::Notify;
use super::{Mutex, MutexGuard};

/// What wakers share with their future.
#[derive(Default)]
pub(crate) struct Alarm {
    state: Mutex<State>,
    /// Not 0 if the stage may be another than quiet: what [`reset`](Self::reset) reads without the lock.
    touched: AtomicUsize,
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
    /// The alarm of a future that is to be polled for the first time.
    pub(crate) fn woken() -> Self {
        Self {
            state: Mutex::new(State {
                stage: Stage::Woken,
                notify: None,
            }),
            touched: AtomicUsize::new(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No foreign code runs under this lock, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what a wake calls. Returns whether a wake has come already: it calls nothing, and the caller has to see to a poll.
    #[must_use]
    pub(crate) fn attach(&self, notify: Notify) -> bool {
        let mut state = self.lock();
        state.notify = Some(notify);
        state.stage == Stage::Woken
    }

    /// What a wake calls, if that is set.
    pub(crate) fn notify(&self) -> Option<Notify> {
        self.lock().notify.clone()
    }

    /// What a wake has called that no poll has seen.
    pub(crate) fn unseen(&self) -> Option<Notify> {
        let state = self.lock();
        let is_woken = state.stage == Stage::Woken;
        state.notify.as_ref().filter(|_| is_woken).cloned()
    }

    /// Whether to poll now: only a future that was woken. The next wake then notifies again.
    pub(crate) fn begin_poll(&self) -> bool {
        mem::take(&mut self.lock().stage) == Stage::Woken
    }

    /// Whether no one has kept a waker of it beside `own` ones, so that it can serve another future: it is quiet then.
    #[inline]
    pub(crate) fn reset(self: &Arc<Self>, own: usize) -> bool {
        let others = Arc::strong_count(self) ^ own;
        // What a waker did before it was dropped comes before this.
        fence(Ordering::Acquire);
        // One question for both: nearly always no one has woken it either.
        others | self.touched.load(Ordering::Relaxed) == 0 || self.quiet(own)
    }

    #[cold]
    fn quiet(self: &Arc<Self>, own: usize) -> bool {
        let is_own = Arc::strong_count(self) == own;
        if is_own {
            fence(Ordering::Acquire);
            self.touched.store(0, Ordering::Relaxed);
            self.lock().stage = Stage::Quiet;
        }
        is_own
    }

    /// The future is over: from now on wakes do nothing.
    pub(crate) fn end(&self) {
        let notify = {
            let mut state = self.lock();
            state.stage = Stage::Over;
            self.touched.store(1, Ordering::Relaxed);
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
        self.touched.store(1, Ordering::Relaxed);
        let notify = state.notify.clone();
        drop(state);
        if let Some(notify) = notify {
            notify.notify();
        }
    }
}
