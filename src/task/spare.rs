//! What a future that was ready at once leaves to the next one of its loop: its alarm, and the memory that it was in.

use core::mem;
use core::task::Waker;
use std::sync::Arc;

use crate::sync::alarm::Alarm;
use crate::sync::loop_thread::is_loop_thread;

use super::places::{Place, Places};

/// See the module.
pub(super) struct Spare {
    alarm: Arc<Alarm>,
    /// The one waker of it.
    waker: Waker,
    places: Places,
    /// On a thread that runs no loop: the alarm once more, so that it is never found unused.
    _elsewhere: Option<Arc<Alarm>>,
}

impl Spare {
    /// The waker, and where the memory of a future of this type is kept, if it is kept yet.
    #[inline]
    pub(super) fn lend<F: 'static>(&mut self) -> (&Waker, Option<&mut Option<Place<F>>>) {
        (&self.waker, self.places.find())
    }

    /// Keeps an empty place, of a type that is not kept yet.
    #[cold]
    pub(super) fn keep<F: 'static>(&mut self, place: Place<F>) {
        self.places.add(place);
    }

    /// After a future that was ready. Always in place: a call of it is a tenth of what such a future costs more than a value.
    #[inline(always)]
    pub(super) fn put(self: Box<Self>) {
        if self.alarm.reset(2) {
            put_here(self);
        } else {
            self.put_anew();
        }
    }

    /// The future may have kept a waker of the alarm, or the thread runs no loop.
    #[cold]
    #[inline(never)]
    fn put_anew(mut self: Box<Self>) {
        drop(self.replace_alarm());
        put(self);
    }

    /// The alarm of the waker, for a future that waits.
    #[cold]
    pub(super) fn put_all_but_alarm(mut self: Box<Self>) -> Arc<Alarm> {
        let alarm = self.replace_alarm();
        put(self);
        alarm
    }

    #[cold]
    fn replace_alarm(&mut self) -> Arc<Alarm> {
        let Self { alarm, waker, .. } = Self::default();
        self.waker = waker;
        mem::replace(&mut self.alarm, alarm)
    }
}

impl Default for Spare {
    fn default() -> Self {
        let alarm = Arc::<Alarm>::default();
        let waker = Waker::from(Arc::clone(&alarm));
        let places = Places::default();
        let elsewhere = (!is_loop_thread()).then(|| Arc::clone(&alarm));
        Self {
            alarm,
            waker,
            places,
            _elsewhere: elsewhere,
        }
    }
}

#[cfg(not(all(test, loom)))]
mod of_thread {
    use super::Spare;
    use crate::sync::leftover::{Clear, Leftover};

    /// For the end of a loop.
    pub(crate) static CLEAR: Clear = Clear::new();

    thread_local! {
        static SPARE: Leftover<Spare> = const { Leftover::new() };
    }

    #[inline]
    pub(in crate::task) fn take() -> Box<Spare> {
        SPARE.with(Leftover::take).unwrap_or_else(first)
    }

    #[cold]
    fn first() -> Box<Spare> {
        CLEAR.set(|| SPARE.with(Leftover::clear));
        Box::default()
    }

    /// On a thread that runs a loop.
    #[inline]
    pub(in crate::task) fn put_here(spare: Box<Spare>) {
        if let Some(other) = SPARE.with(|kept| kept.put_here(spare)) {
            drop_other(other);
        }
    }

    #[cold]
    pub(in crate::task) fn put(spare: Box<Spare>) {
        drop(SPARE.with(|kept| kept.put(spare)));
    }

    /// What a future has left that was made in the poll of another one.
    #[cold]
    fn drop_other(other: Box<Spare>) {
        drop(other);
    }
}

/// Loom's locks belong to one order of events.
#[cfg(all(test, loom))]
mod of_thread {
    use super::Spare;

    pub(in crate::task) fn take() -> Box<Spare> {
        Box::default()
    }

    pub(in crate::task) fn put(spare: Box<Spare>) {
        drop(spare);
    }

    pub(in crate::task) use put as put_here;
}

#[cfg(not(all(test, loom)))]
pub(crate) use of_thread::CLEAR;
pub(super) use of_thread::take;
use of_thread::{put, put_here};

#[cfg(test)]
mod tests {
    use super::{Spare, take};

    #[cfg(not(loom))]
    #[test]
    fn a_loop_keeps_it_until_its_end() {
        use crate::reactor::OnThread;
        use crate::sync::loop_thread::Runner;

        let on_thread = OnThread::enter(Runner {
            id: 7,
            ..Runner::NONE
        });
        let spare = take();
        let alarm = std::sync::Arc::downgrade(&spare.alarm);
        spare.put();
        assert!(alarm.upgrade().is_some(), "it is kept");
        drop(on_thread);
        assert!(alarm.upgrade().is_none(), "it is dropped");
    }

    #[test]
    fn a_wake_of_a_future_that_was_ready_does_not_reach_the_next_one() {
        let spare = Box::<Spare>::default();
        spare.waker.wake_by_ref();
        spare.put();
        assert!(!take().put_all_but_alarm().begin_poll());
        let spare = Box::<Spare>::default();
        let kept = spare.waker.clone();
        spare.put();
        kept.wake();
        assert!(!take().put_all_but_alarm().begin_poll());
    }
}
