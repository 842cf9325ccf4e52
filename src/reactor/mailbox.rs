//! News from other threads: which sessions to look at again, and the wake-up that makes the loop look.

use std::sync::PoisonError;

use crate::os::Key;
use crate::sync::Mutex;

/// Keys of sessions that have news. A promise or channel posts once until the loop has looked, so there are never
/// more than a few a session.
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

    /// From any thread: there is news of this session.
    pub(super) fn post(&self, key: Key) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = keys.is_empty();
        keys.push(key);
        drop(keys);
        // Behind the first one a wake-up is on its way already.
        if is_first {
            (self.wake)();
        }
    }

    /// Takes all keys into `into`, whose memory the mailbox keeps in exchange.
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
    fn whoever_takes_when_woken_gets_each_key_once() {
        const POSTERS: u32 = 3;
        const POSTS: u32 = 4;
        let (wake, woken) = channel();
        let mailbox = Mailbox::new(move || wake.send(()).expect("somebody listens"));
        let (mut taken, mut keys) = (Vec::new(), Vec::new());
        std::thread::scope(|scope| {
            for slot in 0..POSTERS {
                let mailbox = &mailbox;
                let post = move |generation| mailbox.post(Key { slot, generation });
                scope.spawn(move || (0..POSTS).for_each(post));
            }
            while taken.len() < (POSTERS * POSTS) as usize {
                woken.recv().expect("a wake-up comes");
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
