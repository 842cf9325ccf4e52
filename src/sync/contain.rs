//! Runs the user's code so that its panics end there: calls, and drops of the user's values.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the user's code; `None` if it panics. The panic hook has reported it. Whatever the code may have left half changed is
/// its own: callers pass nothing of ours that they go on to use.
pub(crate) fn contain<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(payload) => {
            discard(payload);
            None
        }
    }
}

/// A panic's payload is a user's value as well, so dropping it may panic.
#[cold]
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(second);
    }
}

#[cfg(test)]
mod tests {
    use super::contain;

    /// Panics when it is dropped.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any("dropped");
        }
    }

    #[test]
    fn a_panic_ends_where_it_is_contained_and_so_does_one_of_its_payload() {
        assert_eq!(contain(|| 1), Some(1));
        assert_eq!(contain(|| drop(Bomb)), None);
        assert_eq!(contain(|| std::panic::panic_any(Bomb)), None);
    }
}
