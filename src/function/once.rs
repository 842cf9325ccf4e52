//! A hook that must succeed once, as a future: one call runs it, and calls that arrive meanwhile wait for its end.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::PoisonError;

use crate::sync::contain::contain;
use crate::sync::{Mutex, MutexGuard};

/// The hook, and whether it has succeeded.
pub(super) struct Once<F> {
    hook: F,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stage: Stage,
    /// Each waiting call has an id, so that it can leave.
    waiting: Vec<(u64, Waker)>,
    next_id: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Running,
    Done,
}

impl<F> Once<F> {
    pub(super) fn new(hook: F) -> Self {
        Self {
            hook,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No foreign code runs under this lock, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn to run the hook; `None` if it has succeeded.
    pub(super) const fn turn(&self) -> Waiting<'_, F> {
        Waiting {
            once: self,
            id: None,
        }
    }
}

/// See [`Once::turn`].
pub(super) struct Waiting<'a, F> {
    once: &'a Once<F>,
    /// Of a call that has waited.
    id: Option<u64>,
}

impl<'a, F> Future for Waiting<'a, F> {
    type Output = Option<Turn<'a, F>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let once = self.once;
        let mut state = once.lock();
        match state.stage {
            Stage::Done => return Poll::Ready(None),
            Stage::Idle => {
                state.stage = Stage::Running;
                return Poll::Ready(Some(Turn {
                    once,
                    then: Stage::Idle,
                }));
            }
            Stage::Running => {}
        }
        let id = *self.id.get_or_insert(state.next_id);
        state.next_id = state.next_id.max(id.wrapping_add(1));
        match state.waiting.iter_mut().find(|(known, _)| *known == id) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => state.waiting.push((id, context.waker().clone())),
        }
        Poll::Pending
    }
}

impl<F> Drop for Waiting<'_, F> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let mut state = self.once.lock();
            let place = state.waiting.iter().position(|(known, _)| *known == id);
            let left = place.map(|place| state.waiting.swap_remove(place));
            drop(state);
            drop(left);
        }
    }
}

/// The right to run the hook. Dropped without success, it goes to the next call that waits.
pub(super) struct Turn<'a, F> {
    once: &'a Once<F>,
    then: Stage,
}

impl<F> Turn<'_, F> {
    pub(super) const fn hook(&self) -> &F {
        &self.once.hook
    }

    pub(super) fn succeed(mut self) {
        self.then = Stage::Done;
    }
}

impl<F> Drop for Turn<'_, F> {
    fn drop(&mut self) {
        let mut state = self.once.lock();
        state.stage = self.then;
        let waiting = core::mem::take(&mut state.waiting);
        drop(state);
        for (_, waker) in waiting {
            // It is foreign code, and the turn may end by a panic.
            let _ = contain(|| waker.wake());
        }
    }
}

#[cfg(test)]
mod tests {
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::Once;
    use crate::sync::contain::foreign::alarming_waker;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_turn_without_success_goes_to_the_next_call_and_one_with_success_is_the_last() {
        let once = Once::new(());
        let wakes = Arc::<Counted>::default();
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        let mut first = pin!(once.turn());
        let Poll::Ready(Some(turn)) = first.as_mut().poll(&mut context) else {
            panic!("the first call runs")
        };
        {
            let (mut second, mut third) = (pin!(once.turn()), pin!(once.turn()));
            let mut leaver = Box::pin(once.turn());
            for _ in 0..2 {
                assert!(second.as_mut().poll(&mut context).is_pending());
                assert!(third.as_mut().poll(&mut context).is_pending());
                assert!(leaver.as_mut().poll(&mut context).is_pending());
            }
            assert_eq!(once.lock().waiting.len(), 3, "each waits once");
            drop(leaver);
            assert_eq!(once.lock().waiting.len(), 2);
            drop(turn);
            assert_eq!(wakes.0.swap(0, Ordering::Relaxed), 2);
            let Poll::Ready(Some(turn)) = third.as_mut().poll(&mut context) else {
                panic!("one of those that waited runs")
            };
            assert!(second.as_mut().poll(&mut context).is_pending());
            turn.succeed();
            assert_eq!(wakes.0.swap(0, Ordering::Relaxed), 1);
            assert!(matches!(
                second.as_mut().poll(&mut context),
                Poll::Ready(None)
            ));
        }
        assert!(once.lock().waiting.is_empty());
        let mut late = pin!(once.turn());
        assert!(matches!(
            late.as_mut().poll(&mut context),
            Poll::Ready(None)
        ));
    }

    #[test]
    fn a_waker_that_panics_keeps_no_other_call_waiting() {
        let once = Once::new(());
        let alarming = alarming_waker();
        let wakes = Arc::<Counted>::default();
        let waker = Waker::from(Arc::clone(&wakes));
        let mut first = pin!(once.turn());
        let Poll::Ready(Some(turn)) = first.as_mut().poll(&mut Context::from_waker(&alarming))
        else {
            panic!("the first call runs")
        };
        let (mut second, mut third) = (pin!(once.turn()), pin!(once.turn()));
        let polled = second.as_mut().poll(&mut Context::from_waker(&alarming));
        assert!(polled.is_pending());
        let polled = third.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        drop(turn);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    }
}
