//! A future that waits to be woken: polled by the thread that made it, once after each wake, for the request that it was made
//! in.

use core::mem::{self, ManuallyDrop};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use crate::current_request::CurrentRequest;
use crate::sync::alarm::Alarm;
use crate::sync::contain::{contain, drop_within};
use crate::sync::notify::Notify;
use crate::sync::oneshot::Polled;

use super::places::Place;
use super::spare;

/// Polls a future for the first time, in the caller's own call: a panic is the caller's. Returns what `poll` has made of it, of
/// which nothing is left then: it allocates nothing if the thread has had one of its type before. If it is not ready, returns what
/// `park` makes of it and the alarm that it was polled with. Both get `state`. (To return either would copy a response twice.)
#[inline]
pub(crate) fn start<F: 'static, S, T>(
    future: F,
    mut state: S,
    poll: impl FnOnce(&mut S, Pin<&mut F>, &mut Context<'_>) -> Poll<T>,
    park: impl FnOnce(S, Place<F>, Arc<Alarm>) -> T,
) -> T {
    let mut spare = spare::take();
    let (waker, mut kept) = spare.lend();
    let own = kept.as_mut().and_then(|kept| kept.take());
    let mut own = own.unwrap_or_else(|| Box::pin(None));
    // One borrow of it: the compiler then knows that what was set is there.
    let mut place = own.as_mut();
    place.set(Some(future));
    let mut context = Context::from_waker(waker);
    let mut unwound = Unwound(place.as_mut());
    if let Some(future) = unwound.0.as_mut().as_pin_mut()
        && let Poll::Ready(value) = poll(&mut state, future, &mut context)
    {
        mem::forget(unwound);
        place.set(None);
        // None of the following panics. Without an owner it is moved once only.
        let value = ManuallyDrop::new(value);
        match kept {
            // It has nothing to drop.
            Some(kept) => mem::forget(kept.replace(own)),
            None => spare.keep(own),
        }
        spare.put();
        return ManuallyDrop::into_inner(value);
    }
    mem::forget(unwound);
    park(state, own, spare.put_all_but_alarm())
}

/// Drops a future whose first poll has panicked.
struct Unwound<'a, F>(Pin<&'a mut Option<F>>);

impl<F> Drop for Unwound<'_, F> {
    fn drop(&mut self) {
        drop_unwound(self.0.as_mut());
    }
}

/// Not in the way of the futures that are ready.
#[cold]
#[inline(never)]
fn drop_unwound<F>(mut place: Pin<&mut Option<F>>) {
    drop_within(|| place.set(None));
}

/// A future that waits to be woken.
pub(crate) struct Parked<F: ?Sized> {
    /// `None` once it is over.
    future: Option<Pin<Box<F>>>,
    alarm: Arc<Alarm>,
    /// What the thread works on during each poll.
    current: Option<Box<CurrentRequest>>,
}

impl<F: ?Sized> Parked<F> {
    /// A future that is not ready, and the alarm that it was polled with.
    pub(crate) fn new(future: Pin<Box<F>>, alarm: Arc<Alarm>) -> Self {
        Self {
            future: Some(future),
            alarm,
            current: CurrentRequest::kept(),
        }
    }

    /// A future that is polled for the first time when it would be woken.
    pub(crate) fn woken(future: Pin<Box<F>>) -> Self {
        Self::new(future, Arc::new(Alarm::woken()))
    }

    /// Sets what to call when it is woken. Returns whether it was woken already, and is to be polled.
    #[must_use]
    pub(crate) fn attach(&self, notify: Notify) -> bool {
        self.alarm.attach(notify)
    }

    /// What a wake calls.
    pub(crate) fn notify(&self) -> Option<Notify> {
        self.alarm.notify()
    }

    /// Polls it if it was woken since the last poll, and if there are `polls_left`. Broken if that panics: then it must not be polled again.
    pub(crate) fn poll<T>(
        &mut self,
        polls_left: &mut usize,
        poll: impl FnOnce(Pin<&mut F>, &mut Context<'_>) -> Poll<T>,
    ) -> Polled<T> {
        if *polls_left == 0 || !self.alarm.begin_poll() {
            return Polled::Pending;
        }
        *polls_left = polls_left.saturating_sub(1);
        match contain(|| self.poll_once(poll)) {
            Some(Poll::Pending) => Polled::Pending,
            Some(Poll::Ready(value)) => Polled::Filled(value),
            None => Polled::Broken,
        }
    }

    fn poll_once<T>(
        &mut self,
        poll: impl FnOnce(Pin<&mut F>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let _scope = self.current.as_ref().map(|current| current.enter());
        let waker = Waker::from(Arc::clone(&self.alarm));
        let mut context = Context::from_waker(&waker);
        let polled = match &mut self.future {
            Some(future) => poll(future.as_mut(), &mut context),
            None => Poll::Pending,
        };
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }

    /// What the thread works on during each poll.
    pub(crate) fn current(&self) -> CurrentRequest {
        self.current
            .as_deref()
            .copied()
            .unwrap_or(CurrentRequest::NONE)
    }

    /// Drops the future. Its drop may panic.
    pub(crate) fn end(&mut self) {
        // First: what wakes the future while it is dropped does nothing.
        self.alarm.end();
        let current = self.current.as_deref().unwrap_or(&CurrentRequest::NONE);
        let _scope = current.enter();
        drop_within(|| self.future = None);
    }
}

impl<F: ?Sized> Drop for Parked<F> {
    fn drop(&mut self) {
        self.end();
    }
}
