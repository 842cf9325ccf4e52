//! What a loop does for the tasks and timers of its thread, once a turn. A program that has neither links only this: the first
//! timer or task sets the hook.

use core::time::Duration;
use std::sync::OnceLock;

use super::notice::ServerStage;
use crate::observe::Reporter;
use crate::os::{Instant, clock};
use crate::sync::notify::Notify;

/// The tasks and timers of a thread.
pub(crate) trait Hook: Sync {
    /// Fires timers and polls tasks. Returns when the next timer fires; in the past if there is more to do.
    fn turn(&self, turn: Turn<'_>) -> Option<Instant>;

    /// Whether this thread has no task.
    fn is_idle(&self) -> bool;

    /// Drops the tasks of a loop that has ended, and says how many to the reporter.
    fn leave(&self, id: usize, reporter: Option<&mut Reporter>);
}

/// What a turn needs of its thread.
pub(crate) struct Turn<'a> {
    pub(crate) now: &'a dyn Fn() -> Instant,
    /// What ends the thread's wait, from any thread.
    pub(crate) notify: &'a dyn Fn() -> Notify,
    pub(crate) stage: ServerStage,
    /// Gets the panics of tasks, if there is one.
    pub(crate) reporter: Option<&'a mut Reporter>,
}

static HOOK: OnceLock<&'static dyn Hook> = OnceLock::new();

/// The hook, once there was a timer or a task.
pub(crate) fn hook() -> Option<&'static dyn Hook> {
    HOOK.get().copied()
}

pub(super) fn set(hook: &'static dyn Hook) {
    HOOK.get_or_init(|| hook);
}

/// Fires the timers of a thread that is no loop, and polls its tasks. Returns how long it may wait until the next time.
pub(crate) fn turn_of_waiter(notify: &dyn Fn() -> Notify) -> Option<Duration> {
    let now = || Instant(u64::try_from(clock::monotonic().as_millis()).unwrap_or(u64::MAX));
    let turn = Turn {
        now: &now,
        notify,
        stage: ServerStage::Serving,
        reporter: None,
    };
    hook()?.turn(turn).map(|next| next.since(now()))
}
