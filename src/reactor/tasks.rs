//! The loop and the tasks and timers of its thread: when they run, and what waits for them.

use crate::handler::Handler;
use crate::os::{Instant, Key, Os};
use crate::task::{self, ServerStage, Turn};

use super::Reactor;
use super::session::context::Phase;

/// The key of a wake-up for tasks: no session has it.
const NO_SESSION: Key = Key {
    slot: u32::MAX,
    generation: 0,
};

impl<O: Os, H: Handler> Reactor<O, H> {
    /// Runs the tasks of this thread, and fires its timers, if there ever were any. Returns when the next timer fires.
    pub(super) fn run_tasks(&mut self) -> Option<Instant> {
        let (os, shared) = (&self.os, &self.shared);
        task::hook()?.turn(Turn {
            now: &|| os.now(),
            notify: &|| shared.notify(NO_SESSION),
            stage: if self.phase == Phase::Serving {
                ServerStage::Serving
            } else {
                ServerStage::Draining
            },
            reporter: Some(&mut self.observer),
        })
    }

    /// Whether there is neither a connection nor a task.
    pub(super) fn is_idle(&self) -> bool {
        self.table.is_empty() && task::hook().is_none_or(|tasks| tasks.is_idle())
    }
}

impl<O: Os, H> Reactor<O, H> {
    /// Drops the tasks of this thread: nothing runs them any more.
    pub(super) fn leave_tasks(&mut self) {
        if let Some(tasks) = task::hook() {
            tasks.leave(self.shared.mailbox.id(), Some(&mut self.observer));
        }
    }
}

impl<O: Os, H> Drop for Reactor<O, H> {
    fn drop(&mut self) {
        self.leave_tasks();
    }
}
