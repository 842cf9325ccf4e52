//! A slot that one thread fills and the loop empties: one value, or the news that there will be none.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, PoisonError};

use super::contain::contain;
use super::elsewhere::WorkElsewhere;
use super::notify::Notify;
use super::{Mutex, MutexGuard};

enum Slot<T> {
    /// Nothing yet, and the receiver does not wait.
    Empty,
    /// Nothing yet; the loop waits.
    Awaited(Notify),
    /// The value. Boxed, so that an empty slot is small.
    Filled(Box<T>),
    /// The sender was dropped: there will be no value.
    Broken,
    /// The receiver was dropped.
    Abandoned,
}

struct Shared<T> {
    slot: Mutex<Slot<T>>,
    /// The peer that waits for the value has ended its side.
    is_half_closed: AtomicBool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        // No foreign code runs under this lock, so a poisoned one is still whole.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending half. Dropped without [`send`](Self::send), it breaks the slot, and the receiver is notified.
pub(crate) struct Sender<T> {
    shared: Arc<Shared<T>>,
    work: Option<WorkElsewhere>,
    /// Made once a task waits for the receiver's end.
    watch: Option<Arc<Watch>>,
}

/// The task that waits until the receiver is gone. It is set while a [`Watched`] is in the slot.
#[derive(Default)]
struct Watch(Mutex<Option<Waker>>);

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        // No foreign code runs under this lock, so a poisoned one is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the place of the loop's wake-up in the slot. Its drop tells the task that the slot has changed: so a receiver whose
/// sender watches does nothing more than one whose sender does not.
struct Watched {
    notify: Option<Notify>,
    watch: Arc<Watch>,
}

impl Watched {
    fn notify(&self) {
        if let Some(notify) = &self.notify {
            notify.notify();
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let waker = self.watch.lock().take();
        // A waker is foreign code, and the loop goes on after its panic.
        contain(|| waker.map(Waker::wake));
    }
}

/// The loop's half.
pub(crate) struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

/// What a poll of the [`Receiver`] finds.
pub(crate) enum Polled<T> {
    Pending,
    Filled(T),
    Broken,
}

/// A slot and its two halves.
pub(crate) fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        slot: Mutex::new(Slot::Empty),
        is_half_closed: AtomicBool::new(false),
    });
    let sender = Sender {
        shared: Arc::clone(&shared),
        work: Some(WorkElsewhere::begin()),
        watch: None,
    };
    (sender, Receiver { shared })
}

impl<T> Sender<T> {
    /// Fills the slot. The value is dropped if the receiver is gone.
    pub(crate) fn send(mut self, value: T) {
        self.work = None;
        self.fill(Slot::Filled(Box::new(value)));
    }

    /// Whether the receiver is gone, so that nothing waits for the value.
    pub(crate) fn is_abandoned(&self) -> bool {
        matches!(*self.shared.lock(), Slot::Abandoned)
    }

    /// Ready once the receiver is gone. One task can wait: the one that polled last.
    pub(crate) fn poll_abandoned(&mut self, context: &Context<'_>) -> Poll<()> {
        let watch = self.watch.get_or_insert_default();
        let waker = context.waker().clone();
        let earlier = watch.lock().replace(waker);
        let mut slot = self.shared.lock();
        match &*slot {
            Slot::Abandoned => return Poll::Ready(()),
            // The drop of what is in the slot wakes the new task.
            _ if earlier.is_some() => {}
            Slot::Empty => *slot = Slot::Awaited(watched(watch, None)),
            Slot::Awaited(notify) => {
                let notify = Some(notify.clone());
                *slot = Slot::Awaited(watched(watch, notify));
            }
            Slot::Filled(_) | Slot::Broken => {}
        }
        drop(slot);
        // A waker is foreign code, so it must not be dropped under the lock.
        drop(earlier);
        Poll::Pending
    }

    /// Whether the peer has ended its side.
    pub(crate) fn is_half_closed(&self) -> bool {
        self.shared.is_half_closed.load(Ordering::Relaxed)
    }

    fn fill(&self, with: Slot<T>) {
        let mut slot = self.shared.lock();
        match &*slot {
            Slot::Empty => *slot = with,
            Slot::Awaited(notify) => {
                let notify = notify.clone();
                *slot = with;
                drop(slot);
                notify.notify();
            }
            Slot::Filled(_) | Slot::Broken | Slot::Abandoned => {}
        }
    }
}

fn watched(watch: &Arc<Watch>, notify: Option<Notify>) -> Notify {
    let watched = Watched {
        notify,
        watch: Arc::clone(watch),
    };
    Notify::new(move || watched.notify())
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.work = None;
        self.fill(Slot::Broken);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> Receiver<T> {
    /// The value if it is here; else `notify` is called once there is one, or once the sender is dropped. It takes the place of
    /// the one of an earlier poll.
    pub(crate) fn poll(&self, notify: impl FnOnce() -> Notify) -> Polled<T> {
        let mut slot = self.shared.lock();
        if !matches!(*slot, Slot::Empty | Slot::Awaited(_)) {
            return match std::mem::replace(&mut *slot, Slot::Empty) {
                Slot::Filled(value) => Polled::Filled(*value),
                Slot::Empty | Slot::Awaited(_) | Slot::Broken | Slot::Abandoned => Polled::Broken,
            };
        }
        let earlier = std::mem::replace(&mut *slot, Slot::Awaited(notify()));
        drop(slot);
        // A waker is foreign code, so it must not be dropped under the lock.
        drop(earlier);
        Polled::Pending
    }
}

impl<T> Receiver<T> {
    /// The same for a future: its task is woken in place of the one that polled before.
    pub(crate) fn poll_in_task(&self, context: &Context<'_>) -> Polled<T> {
        let waker = context.waker().clone();
        let notify = Notify::new(move || waker.wake_by_ref());
        self.poll(|| notify)
    }

    /// The peer has ended its side: the sender can see that.
    pub(crate) fn half_close(&self) {
        self.shared.is_half_closed.store(true, Ordering::Relaxed);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let old = std::mem::replace(&mut *self.shared.lock(), Slot::Abandoned);
        // A value may own anything, so it must not be dropped under the lock.
        drop(old);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Receiver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::{Notify, Polled, oneshot};

    #[test]
    fn the_receiver_is_notified_of_a_value_or_of_none() {
        for is_filled in [true, false] {
            let (sender, receiver) = oneshot();
            let (notified, news) = channel();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    if is_filled {
                        sender.send("value");
                    } else {
                        drop(sender);
                    }
                });
                let notify = || Notify::new(move || notified.send(()).expect("the test listens"));
                let mut polled = receiver.poll(notify);
                if matches!(polled, Polled::Pending) {
                    news.recv().expect("the receiver is notified");
                    polled = receiver.poll(|| Notify::new(|| {}));
                }
                assert_eq!(matches!(polled, Polled::Filled("value")), is_filled);
                assert_eq!(matches!(polled, Polled::Broken), !is_filled);
            });
        }
    }

    #[test]
    fn a_sender_sees_that_the_receiver_is_gone() {
        let (sender, receiver) = oneshot();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(receiver));
            scope.spawn(|| sender.send("late"));
        });
        let (sender, receiver) = oneshot::<()>();
        drop(receiver);
        assert!(sender.is_abandoned(), "so its work can stop");
    }
}
