//! What a request leaves to the next one of its loop: memory that is used again.

use core::cell::Cell;
use core::mem::ManuallyDrop;
use std::sync::OnceLock;

use super::loop_thread::is_loop_thread;

/// A value of a thread that runs a loop, until the loop ends and [clears](Self::clear) it. The thread does not drop it: a thread-local
/// destructor takes seven system calls when the first value is kept, and 2 KB of std and libc code.
pub(crate) struct Leftover<T>(Cell<Option<ManuallyDrop<Box<T>>>>);

impl<T> Leftover<T> {
    pub(crate) const fn new() -> Self {
        Self(Cell::new(None))
    }

    #[inline]
    pub(crate) fn take(&self) -> Option<Box<T>> {
        self.0.take().map(ManuallyDrop::into_inner)
    }

    /// Keeps it, and returns what is not kept: the one before, or on a thread without a loop the value itself.
    #[inline]
    pub(crate) fn put(&self, value: Box<T>) -> Option<Box<T>> {
        if is_loop_thread() {
            self.put_here(value)
        } else {
            Some(value)
        }
    }

    /// The same on a thread that is known to run a loop.
    #[inline]
    pub(crate) fn put_here(&self, value: Box<T>) -> Option<Box<T>> {
        let before = self.0.replace(Some(ManuallyDrop::new(value)));
        before.map(ManuallyDrop::into_inner)
    }

    /// The loop of this thread ends.
    pub(crate) fn clear(&self) {
        drop(self.take());
    }
}

/// What clears the leftover of the thread that calls it. A program that keeps none does not link it.
pub(crate) struct Clear(OnceLock<fn()>);

impl Clear {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Before the first value is kept.
    pub(crate) fn set(&self, clear: fn()) {
        self.0.get_or_init(|| clear);
    }

    /// The loop of this thread ends.
    #[inline]
    pub(crate) fn run(&self) {
        if let Some(clear) = self.0.get() {
            clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::Leftover;
    use crate::sync::loop_thread::{Runner, enter};

    #[test]
    fn a_loop_keeps_one_value_until_it_ends_and_another_thread_keeps_none() {
        let leftover = Leftover::new();
        let value = Rc::new(());
        let other = leftover.put(Box::new(Rc::clone(&value)));
        assert!(other.is_some() && leftover.take().is_none());
        drop(other);
        let _guard = enter(Runner {
            id: 7,
            ..Runner::NONE
        });
        assert!(leftover.put(Box::new(Rc::clone(&value))).is_none());
        assert!(leftover.put(Box::new(Rc::clone(&value))).is_some());
        assert_eq!(Rc::strong_count(&value), 2, "one is kept");
        leftover.clear();
        assert_eq!(Rc::strong_count(&value), 1);
        assert!(leftover.take().is_none());
    }
}
