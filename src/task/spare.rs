//! What a future that was ready at once leaves to the next one of its thread: its alarm, and the memory that it was in.

use core::any::Any;
use core::pin::Pin;
use core::task::Waker;
use std::sync::Arc;

use crate::sync::alarm::Alarm;

/// The memory of a future: empty before it is polled for the first time, and once it is over.
pub(crate) type Place<F> = Pin<Box<Option<F>>>;

/// Types of futures whose memory is kept: a handler of its own for each.
const PLACES_MAX: usize = 8;
/// Bytes of each of them. What a larger future does takes longer than to allocate it.
const PLACE_LEN_MAX: usize = 512;

/// See the module.
#[derive(Default)]
pub(super) struct Spare {
    /// An alarm, and the one waker of it.
    alarm: Option<(Arc<Alarm>, Waker)>,
    /// Each is the `Option<Place<F>>` of one type.
    places: Vec<Box<dyn Any>>,
}

impl Spare {
    /// An empty place.
    pub(super) fn place<F: 'static>(&mut self) -> Place<F> {
        let kept = self.kept::<F>().and_then(Option::take);
        kept.unwrap_or_else(|| Box::pin(None))
    }

    /// Keeps an empty place.
    pub(super) fn keep<F: 'static>(&mut self, place: Place<F>) {
        debug_assert!(place.is_none(), "a future that is not over was kept");
        if let Some(kept) = self.kept() {
            *kept = Some(place);
        } else if size_of::<F>() <= PLACE_LEN_MAX && self.places.len() < PLACES_MAX {
            self.places.push(Box::new(Some(place)));
        }
    }

    fn kept<F: 'static>(&mut self) -> Option<&mut Option<Place<F>>> {
        let mut places = self.places.iter_mut();
        places.find_map(|place| place.downcast_mut())
    }

    pub(super) fn waker(&mut self) -> &Waker {
        let (_, waker) = self.alarm.get_or_insert_with(|| {
            let alarm = Arc::<Alarm>::default();
            let waker = Waker::from(Arc::clone(&alarm));
            (alarm, waker)
        });
        waker
    }

    /// The alarm of the waker, for a future that waits.
    pub(super) fn take_alarm(&mut self) -> Arc<Alarm> {
        self.alarm
            .take()
            .map_or_else(Arc::default, |(alarm, _)| alarm)
    }

    /// Gives up the alarm if the last future has kept a waker of it.
    fn reset(&mut self) {
        let is_own = |(alarm, _): &(Arc<Alarm>, Waker)| alarm.reset(2);
        if !self.alarm.as_ref().is_some_and(is_own) {
            self.alarm = None;
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

    pub(in crate::task) fn take() -> Box<Spare> {
        SPARE.take().unwrap_or_default()
    }

    pub(in crate::task) fn put(mut spare: Box<Spare>) {
        spare.reset();
        SPARE.set(Some(spare));
    }
}

/// Loom's locks belong to one order of events.
#[cfg(all(test, loom))]
mod of_thread {
    use super::Spare;

    pub(in crate::task) fn take() -> Box<Spare> {
        Box::default()
    }

    pub(in crate::task) fn put(mut spare: Box<Spare>) {
        spare.reset();
    }
}

pub(super) use of_thread::{put, take};

#[cfg(test)]
mod tests {
    use super::{PLACE_LEN_MAX, PLACES_MAX, Spare};

    #[test]
    fn memory_is_kept_for_each_type_within_its_bounds() {
        fn keeps<F: 'static>(spare: &mut Spare) -> bool {
            let place = spare.place::<F>();
            let address = std::ptr::from_ref(&*place);
            spare.keep(place);
            let kept = spare.kept::<F>();
            let kept = kept.and_then(|kept| kept.as_deref());
            kept.is_some_and(|kept| std::ptr::eq(kept, address))
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
}
