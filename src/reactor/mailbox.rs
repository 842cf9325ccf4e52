//! Wake-ups from other threads: which sessions to drive, and what makes the loop's poll return.

use std::sync::PoisonError;

use crate::os::Key;
use crate::sync::Mutex;

/// Keys of the sessions to drive. A promise or channel posts once until the loop has polled it, so there are never
/// more than a few per session.
pub(super) struct Mailbox {
    keys: Mutex<Vec<Key>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Mailbox {
    pub(super) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            keys: Mutex::new(Vec::new()),
            wake: Box::new(wake),
        }
    }

    /// Asks the loop to drive this session. Callable from any thread.
    pub(super) fn post(&self, key: Key) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = keys.is_empty();
        keys.push(key);
        drop(keys);
        // After the first key, a wake-up is already under way.
        if is_first {
            (self.wake)();
        }
    }

    /// Moves all keys to `into`, and keeps its memory in exchange.
    pub(super) fn take(&self, into: &mut Vec<Key>) {
        into.clear();
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *keys, into);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::{Key, Mailbox};

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
