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

/// Drops a value of the user's in a drop of ours. A panic of it is the caller's, unless one unwinds already: a second one would end
/// the process.
pub(crate) fn drop_within(drop_value: impl FnOnce()) {
    if std::thread::panicking() {
        let _ = contain(drop_value);
    } else {
        drop_value();
    }
}

/// Payloads of panics that are dropped one after another, each raised by the drop of the one before.
const PAYLOADS_MAX: usize = 8;

/// A panic's payload is a value of the user's, too, and its drop may panic.
#[cold]
fn discard(mut payload: Box<dyn Any + Send>) {
    for _ in 0..PAYLOADS_MAX {
        match catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    std::mem::forget(payload);
}

/// Foreign code that panics, for the tests of what contains it.
#[cfg(test)]
pub(crate) mod foreign {
    use core::task::Waker;
    use std::sync::Arc;
    use std::task::Wake;

    /// Panics when it is dropped.
    pub(crate) struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any("dropped");
        }
    }

    struct Alarming;

    impl Wake for Alarming {
        fn wake(self: Arc<Self>) {
            std::panic::panic_any("woken");
        }
    }

    /// A waker that panics when it is called.
    pub(crate) fn alarming_waker() -> Waker {
        Waker::from(Arc::new(Alarming))
    }
}

#[cfg(test)]
mod tests {
    use super::foreign::Bomb;
    use super::{contain, drop_within};

    /// Has a value that panics when it is dropped.
    struct Holder(Option<Bomb>);

    impl Drop for Holder {
        fn drop(&mut self) {
            drop_within(|| self.0 = None);
        }
    }

    #[test]
    fn of_two_panics_in_drops_one_is_the_callers() {
        let holder = || Holder(Some(Bomb));
        assert_eq!(contain(|| drop((holder(), holder()))), None);
        let while_another_unwinds = || {
            let _held = (holder(), holder());
            std::panic::panic_any("first")
        };
        assert_eq!(contain::<()>(while_another_unwinds), None);
    }

    #[test]
    fn a_panic_ends_where_it_is_contained_and_so_does_one_of_its_payload() {
        assert_eq!(contain(|| 1), Some(1));
        assert_eq!(contain(|| drop(Bomb)), None);
        assert_eq!(contain(|| std::panic::panic_any(Bomb)), None);
    }
}
