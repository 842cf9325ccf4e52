//! Wake-ups: which sessions to drive, and what makes the loop's poll return.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::PoisonError;

use crate::os::Key;
use crate::sync::Mutex;
use crate::sync::loop_thread;

/// Keys of the sessions to drive. A promise, channel or future posts once until the loop has polled it, so there are never
/// more than a few per session.
pub(super) struct Mailbox {
    keys: Mutex<Vec<Key>>,
    wake: Box<dyn Fn() + Send + Sync>,
    /// Whether the loop's own thread has posted the first key. Only that thread reads and writes it.
    is_posted_here: AtomicBool,
}

impl Mailbox {
    pub(super) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            keys: Mutex::new(Vec::new()),
            wake: Box::new(wake),
            is_posted_here: AtomicBool::new(false),
        }
    }

    /// Asks the loop to drive this session. Callable from any thread.
    pub(super) fn post(&self, key: Key) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = keys.is_empty();
        keys.push(key);
        drop(keys);
        // After the first key, a wake-up is already under way.
        if !is_first {
            return;
        }
        if loop_thread::is_thread_of(self.id()) {
            // It does not sleep before it has taken the key, so it needs no system call.
            self.is_posted_here.store(true, Ordering::Relaxed);
        } else {
            (self.wake)();
        }
    }

    /// Whether there are keys that no wake-up reports. Only for the loop's own thread.
    pub(super) fn is_posted_here(&self) -> bool {
        self.is_posted_here.load(Ordering::Relaxed)
    }

    /// What the thread of its loop enters.
    pub(super) fn id(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Moves all keys to `into`, and keeps its memory in exchange.
    pub(super) fn take(&self, into: &mut Vec<Key>) {
        into.clear();
        self.is_posted_here.store(false, Ordering::Relaxed);
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *keys, into);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::{Key, Mailbox, loop_thread};

    #[test]
    fn the_thread_of_the_loop_needs_no_wake_up_from_itself() {
        let (wake, woken) = channel();
        let mailbox = Mailbox::new(move || wake.send(()).expect("the receiver is alive"));
        let key = Key {
            slot: 0,
            generation: 0,
        };
        let mut keys = Vec::new();
        let guard = loop_thread::enter(loop_thread::Runner {
            id: mailbox.id(),
            ..loop_thread::Runner::NONE
        });
        mailbox.post(key);
        assert!(mailbox.is_posted_here());
        std::thread::scope(|scope| {
            scope.spawn(|| mailbox.post(key));
        });
        assert!(woken.try_recv().is_err(), "the loop will not sleep");
        mailbox.take(&mut keys);
        assert_eq!((keys.len(), mailbox.is_posted_here()), (2, false));
        std::thread::scope(|scope| {
            scope.spawn(|| mailbox.post(key));
        });
        assert!(woken.try_recv().is_ok(), "another thread woke it");
        mailbox.post(key);
        assert!(!mailbox.is_posted_here(), "it is awake for the first key");
        drop(guard);
        mailbox.take(&mut keys);
        mailbox.post(key);
        assert!(woken.try_recv().is_ok(), "this is no longer its thread");
    }

    #[test]
    fn each_key_is_taken_once_after_a_wake_up() {
        const POSTERS: u32 = 3;
        const POSTS: u32 = 4;
        let (wake, woken) = channel();
        let mailbox = Mailbox::new(move || wake.send(()).expect("the receiver is alive"));
        let (mut taken, mut keys) = (Vec::new(), Vec::new());
        std::thread::scope(|scope| {
            for slot in 0..POSTERS {
                let mailbox = &mailbox;
                let post = move |generation| mailbox.post(Key { slot, generation });
                scope.spawn(move || (0..POSTS).for_each(post));
            }
            while taken.len() < (POSTERS * POSTS) as usize {
                woken.recv().expect("the loop is woken");
                mailbox.take(&mut keys);
                taken.append(&mut keys);
            }
        });
        let of = |slot| taken.iter().filter(move |key| key.slot == slot);
        for slot in 0..POSTERS {
            let generations = of(slot).map(|key| key.generation);
            assert!(generations.eq(0..POSTS), "in order: {taken:?}");
        }
    }
}
