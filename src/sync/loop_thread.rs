//! Which loop this thread runs: calls that would wait for another thread must not block it, and it needs no wake-up from
//! itself.

use core::cell::Cell;

/// No loop has this id.
pub(crate) const NO_LOOP: usize = 0;

#[cfg(not(all(test, loom)))]
thread_local! {
    static LOOP: Cell<usize> = const { Cell::new(NO_LOOP) };
}
#[cfg(all(test, loom))]
loom::thread_local! {
    static LOOP: Cell<usize> = Cell::new(NO_LOOP);
}

/// Whether this thread runs a loop now.
pub(crate) fn is_loop_thread() -> bool {
    !is_thread_of(NO_LOOP)
}

/// Whether this thread runs the loop with this id.
pub(crate) fn is_thread_of(id: usize) -> bool {
    LOOP.with(Cell::get) == id
}

/// This thread runs the loop with this id until the guard is dropped.
pub(crate) fn enter(id: usize) -> Guard {
    Guard(LOOP.with(|current| current.replace(id)))
}

/// See [`enter`].
#[must_use]
pub(crate) struct Guard(usize);

impl Drop for Guard {
    fn drop(&mut self) {
        LOOP.with(|current| current.set(self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::{enter, is_loop_thread, is_thread_of};

    #[test]
    fn a_thread_is_a_loop_until_its_guard_is_dropped_and_no_other_thread_is() {
        assert!(!is_loop_thread());
        let guard = enter(7);
        assert!(is_loop_thread() && is_thread_of(7) && !is_thread_of(8));
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!is_loop_thread() && !is_thread_of(7)));
        });
        drop(guard);
        assert!(!is_loop_thread());
    }
}
