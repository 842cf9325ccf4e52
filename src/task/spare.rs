//! What a future that was ready at once leaves to the next one of its thread: its alarm, and the memory that it was in.

use core::any::Any;
use core::mem;
use core::pin::Pin;
use core::task::Waker;
use std::sync::Arc;

use crate::sync::alarm::Alarm;

/// The memory of a future: empty before it is polled for the first time, and once it is over.
pub(crate) type Place<F> = Pin<Box<Option<F>>>;

/// Types of futures whose memory is kept: a handler of its own for each.
const PLACES_MAX: usize = 8;
/// Bytes of each of them. What a larger future does takes longer than to allocate it.
const PLACE_LEN_MAX: usize = 2048;

/// See the module.
pub(super) struct Spare {
    alarm: Arc<Alarm>,
    /// The one waker of it.
    waker: Waker,
    /// Each is the `Option<Place<F>>` of one type: `None` while a future of that type waits in it.
    places: Vec<Box<dyn Any>>,
}

impl Spare {
    /// The waker, and where the memory of a future of this type is kept: `own` if it is not kept yet.
    #[inline]
    pub(super) fn lend<'a, F: 'static>(
        &'a mut self,
        own: &'a mut Option<Place<F>>,
    ) -> (&'a Waker, &'a mut Option<Place<F>>) {
        let mut places = self.places.iter_mut();
        let kept = places.find_map(|place| place.downcast_mut());
        (&self.waker, kept.unwrap_or(own))
    }

    /// Keeps an empty place, of a type that is not kept yet.
    #[cold]
    pub(super) fn keep<F: 'static>(&mut self, place: Place<F>) {
        debug_assert!(place.is_none(), "a future that is not over was kept");
        if size_of::<F>() <= PLACE_LEN_MAX && self.places.len() < PLACES_MAX {
            self.places.push(Box::new(Some(place)));
        }
    }

    /// After a future that was ready. Always in place: a call of it is a tenth of what such a future costs more than a value.
    #[inline(always)]
    pub(super) fn put(mut self: Box<Self>) {
        // The future may have kept a waker of the alarm.
        if !self.alarm.reset(2) {
            self.renew_alarm();
        }
        put(self);
    }

    #[cold]
    #[inline(never)]
    fn renew_alarm(&mut self) {
        drop(self.replace_alarm());
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
        let places = Vec::new();
        Self {
            alarm,
            waker,
            places,
        }
    }
}

#[cfg(not(all(test, loom)))]
mod of_thread {
    use core::cell::Cell;

    use super::Spare;

    thread_local! {
        static SPARE: Cell<Option<Box<Spare>>> = const { Cell::new(None) };
    }

    #[inline]
    pub(in crate::task) fn take() -> Box<Spare> {
        SPARE.take().unwrap_or_else(first)
    }

    #[cold]
    fn first() -> Box<Spare> {
        Box::default()
    }

    #[inline]
    pub(in crate::task) fn put(spare: Box<Spare>) {
        if let Some(other) = SPARE.replace(Some(spare)) {
            drop_other(other);
        }
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
}

use of_thread::put;
pub(super) use of_thread::take;

#[cfg(test)]
mod tests {
    use super::{PLACE_LEN_MAX, PLACES_MAX, Place, Spare, take};

    #[test]
    fn memory_is_kept_for_each_type_within_its_bounds() {
        fn keeps<F: 'static>(spare: &mut Spare) -> bool {
            let mut own = Some(Box::pin(None::<F>));
            let (_, lent) = spare.lend(&mut own);
            let address = lent.as_deref().map(std::ptr::from_ref);
            if let Some(place) = own {
                spare.keep(place);
            }
            let (mut other, address) = (None::<Place<F>>, address.expect("a place"));
            let (_, lent) = spare.lend(&mut other);
            lent.as_deref()
                .is_some_and(|kept| std::ptr::eq(kept, address))
        }
        let spare = &mut Spare::default();
        assert!(!keeps::<[u8; PLACE_LEN_MAX + 1]>(spare), "it is too large");
        let kept = [
            keeps::<u8>(spare),
            keeps::<u16>(spare),
            keeps::<u32>(spare),
            keeps::<u64>(spare),
            keeps::<i8>(spare),
            keeps::<i16>(spare),
            keeps::<i32>(spare),
            keeps::<[u8; PLACE_LEN_MAX]>(spare),
        ];
        assert_eq!(kept, [true; PLACES_MAX]);
        assert!(!keeps::<i64>(spare), "there are too many types");
        assert!(keeps::<u8>(spare));
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
