//! News from other threads: which sessions to look at again, and the wake-up that makes the loop look.

use std::sync::{Mutex, PoisonError};

use crate::os::Key;

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
