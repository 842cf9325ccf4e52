//! Answers from elsewhere: a slot that another thread fills, and the notice that wakes the loop.

use core::fmt;
use std::sync::{Arc, PoisonError};

use crate::response::Response;
use crate::sync::{Mutex, MutexGuard};

/// How a thing that is not the loop tells the loop that it has news. Cheap to call, from any thread.
#[derive(Clone)]
pub(crate) struct Notify(Arc<dyn Fn() + Send + Sync>);

impl Notify {
    pub(crate) fn new(notify: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(notify))
    }

    pub(crate) fn notify(&self) {
        (self.0)();
    }
}

#[derive(Default)]
enum Slot {
    /// Nothing yet, and nobody to tell.
    #[default]
    Empty,
    /// Nothing yet; the loop waits.
    Awaited(Notify),
    /// The answer.
    Kept(Box<Response>),
    /// The reply was dropped: there will be none.
    Broken,
    /// Nobody waits any more.
    PeerGone,
}

type Shared = Arc<Mutex<Slot>>;

fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    // No code of others runs under this lock; a poisoned one is whole.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right, and the duty, to give the answer that was promised with
/// [`Response::promised`](crate::Response::promised). Goes to any thread or runtime.
///
/// Dropped without an answer, it answers 500.
pub struct Reply {
    slot: Shared,
}

/// The loop's end of a [`Reply`].
pub(crate) struct Promise {
    slot: Shared,
}

/// What has become of a promise.
pub(crate) enum Promised {
    Pending,
    Kept(Response),
    Broken,
}

pub(crate) fn promise() -> (Promise, Reply) {
    let slot = Shared::default();
    (
        Promise {
            slot: Arc::clone(&slot),
        },
        Reply { slot },
    )
}

impl Reply {
    /// Gives the answer. If the peer has gone meanwhile, it is dropped.
    pub fn complete(self, response: Response) {
        response.hand_over();
        self.fill(Slot::Kept(Box::new(response)));
    }

    /// Whether the peer has gone, so that work for it can stop.
    #[must_use]
    pub fn is_peer_gone(&self) -> bool {
        matches!(*lock(&self.slot), Slot::PeerGone)
    }

    fn fill(&self, with: Slot) {
        let mut slot = lock(&self.slot);
        match &*slot {
            Slot::Empty => *slot = with,
            Slot::Awaited(notify) => {
                let notify = notify.clone();
                *slot = with;
                drop(slot);
                notify.notify();
            }
            Slot::Kept(_) | Slot::Broken | Slot::PeerGone => {}
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.fill(Slot::Broken);
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reply").finish_non_exhaustive()
    }
}

impl Promise {
    /// The answer if it is here; else `notify` is called once it is.
    pub(crate) fn poll(&self, notify: impl FnOnce() -> Notify) -> Promised {
        let mut slot = lock(&self.slot);
        match std::mem::take(&mut *slot) {
            Slot::Empty => {
                *slot = Slot::Awaited(notify());
                Promised::Pending
            }
            Slot::Awaited(notify) => {
                *slot = Slot::Awaited(notify);
                Promised::Pending
            }
            Slot::Kept(response) => Promised::Kept(*response),
            Slot::Broken | Slot::PeerGone => Promised::Broken,
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let old = std::mem::replace(&mut *lock(&self.slot), Slot::PeerGone);
        // An answer that nobody takes may own anything: it must not be dropped under the lock.
        drop(old);
    }
}

impl fmt::Debug for Promise {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Promise").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::{Notify, Promised, promise};
    use crate::response::Response;

    #[test]
    fn whoever_waits_is_told_of_the_answer_or_that_there_is_none() {
        for is_kept in [true, false] {
            let (promise, reply) = promise();
            let (tell, told) = channel();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    if is_kept {
                        reply.complete(Response::text("kept"));
                    } else {
                        drop(reply);
                    }
                });
                let notify = || Notify::new(move || tell.send(()).expect("somebody listens"));
                let mut outcome = promise.poll(notify);
                if matches!(outcome, Promised::Pending) {
                    told.recv().expect("news comes");
                    outcome = promise.poll(|| Notify::new(|| {}));
                }
                assert_eq!(matches!(outcome, Promised::Kept(_)), is_kept);
                assert_eq!(matches!(outcome, Promised::Broken), !is_kept);
            });
        }
    }

    #[test]
    fn whoever_replies_may_find_nobody() {
        let (promise, reply) = promise();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(promise));
            scope.spawn(|| reply.complete(Response::text("late")));
        });
        let (promise, reply) = super::promise();
        drop(promise);
        assert!(reply.is_peer_gone(), "so work can stop");
    }
}
