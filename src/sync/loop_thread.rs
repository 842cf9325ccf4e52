//! Whether this thread runs a loop: calls that would wait for another thread must not block it.

use core::cell::Cell;

thread_local! {
    static IS_LOOP: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread runs a loop now.
pub(crate) fn is_loop_thread() -> bool {
    IS_LOOP.get()
}

/// This thread runs a loop until the guard is dropped.
pub(crate) fn enter() -> Guard {
    Guard(IS_LOOP.replace(true))
}

/// See [`enter`].
#[must_use]
pub(crate) struct Guard(bool);

impl Drop for Guard {
    fn drop(&mut self) {
        IS_LOOP.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::{enter, is_loop_thread};

    #[test]
    fn a_thread_is_a_loop_until_its_guard_is_dropped_and_no_other_thread_is() {
        assert!(!is_loop_thread());
        let guard = enter();
        assert!(is_loop_thread());
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!is_loop_thread()));
        });
        drop(guard);
        assert!(!is_loop_thread());
    }
}
