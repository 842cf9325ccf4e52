//! Which loop this thread runs: calls that would wait for another thread must not block it, and it needs no wake-up from
//! itself.

use core::cell::Cell;

/// No loop has this id, and none has those of threads that wait for one response at a time.
pub(crate) const NO_LOOP: usize = 0;
const OF_WAITER: usize = 1;
const OF_TEST: usize = 2;

/// What runs on a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Runner {
    pub(crate) id: usize,
    /// Tasks that it may have.
    pub(crate) tasks_max: u32,
    /// Timers that it may have.
    pub(crate) timers_max: u32,
}

impl Runner {
    /// Nothing: other code has the thread.
    pub(crate) const NONE: Self = Self {
        id: NO_LOOP,
        tasks_max: 0,
        timers_max: 0,
    };

    /// A thread that waits for one response at a time and runs no tasks, such as one of a pool.
    pub(crate) const fn of_waiter(timers_max: u32) -> Self {
        Self {
            id: OF_WAITER,
            tasks_max: 0,
            timers_max,
        }
    }

    /// A test, which waits for one response and runs the tasks meanwhile.
    pub(crate) const fn of_test(tasks_max: u32, timers_max: u32) -> Self {
        Self {
            id: OF_TEST,
            tasks_max,
            timers_max,
        }
    }

    pub(crate) const fn is_loop(self) -> bool {
        self.id > OF_TEST
    }

    /// Whether it runs tasks.
    pub(crate) const fn has_tasks(self) -> bool {
        self.id > OF_WAITER
    }
}

#[cfg(not(all(test, loom)))]
thread_local! {
    static RUNNER: Cell<Runner> = const { Cell::new(Runner::NONE) };
}
#[cfg(all(test, loom))]
loom::thread_local! {
    static RUNNER: Cell<Runner> = Cell::new(Runner::NONE);
}

/// What runs on this thread.
pub(crate) fn runner() -> Runner {
    RUNNER.with(Cell::get)
}

/// Whether this thread runs a loop now.
pub(crate) fn is_loop_thread() -> bool {
    runner().is_loop()
}

/// Whether this thread runs the loop with this id.
pub(crate) fn is_thread_of(id: usize) -> bool {
    runner().id == id
}

/// This runs on this thread until the guard is dropped.
pub(crate) fn enter(runner: Runner) -> Guard {
    Guard(RUNNER.with(|current| current.replace(runner)))
}

/// See [`enter`].
#[must_use]
pub(crate) struct Guard(Runner);

impl Drop for Guard {
    fn drop(&mut self) {
        RUNNER.with(|current| current.set(self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::{Runner, enter, is_loop_thread, is_thread_of};

    #[test]
    fn a_thread_is_a_loop_until_its_guard_is_dropped_and_no_other_thread_is() {
        assert!(!is_loop_thread());
        let guard = enter(Runner {
            id: 7,
            ..Runner::NONE
        });
        assert!(is_loop_thread() && is_thread_of(7) && !is_thread_of(8));
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!is_loop_thread() && !is_thread_of(7)));
        });
        drop(guard);
        assert!(!is_loop_thread());
        let _guard = enter(Runner::of_waiter(1));
        assert!(!is_loop_thread(), "it may wait");
    }
}
