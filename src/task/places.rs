//! Memory of pinned values, each kept for the next value of its type.

use core::any::Any;
use core::pin::Pin;

use crate::limits::{PLACE_LEN_MAX, PLACES_MAX};

/// The memory of a value: empty before it is there, and once it is over.
pub(crate) type Place<F> = Pin<Box<Option<F>>>;

/// Empty places, one of each type. Each is the `Option<Place<F>>` of that type: `None` while a value is in it.
#[derive(Default)]
pub(crate) struct Places {
    /// Most loops have one type: it is apart, so that it is found without a loop.
    first: Option<Box<dyn Any>>,
    others: Vec<Box<dyn Any>>,
}

impl Places {
    /// Where the memory of a value of this type is kept; `None` if it is not kept yet.
    #[inline]
    pub(crate) fn find<F: 'static>(&mut self) -> Option<&mut Option<Place<F>>> {
        if let Some(first) = &mut self.first
            && let Some(place) = first.downcast_mut()
        {
            return Some(place);
        }
        find_other(&mut self.others)
    }

    /// Keeps an empty place, of a type that is not kept yet.
    #[cold]
    pub(crate) fn add<F: 'static>(&mut self, place: Place<F>) {
        debug_assert!(place.is_none(), "a value that is not over was kept");
        if size_of::<F>() > PLACE_LEN_MAX || self.others.len() >= PLACES_MAX - 1 {
            return;
        }
        let place: Box<dyn Any> = Box::new(Some(place));
        match self.first {
            None => self.first = Some(place),
            Some(_) => self.others.push(place),
        }
    }
}

#[inline(never)] // It needs registers that the first place does not need.
fn find_other<F: 'static>(others: &mut [Box<dyn Any>]) -> Option<&mut Option<Place<F>>> {
    others.iter_mut().find_map(|place| place.downcast_mut())
}

#[cfg(test)]
mod tests {
    use super::{PLACE_LEN_MAX, PLACES_MAX, Place, Places};

    #[test]
    fn memory_is_kept_for_each_type_within_its_bounds() {
        fn keeps<F: 'static>(places: &mut Places) -> bool {
            let mut own = Some(Box::pin(None::<F>));
            let lent = places.find().unwrap_or(&mut own);
            let address = lent.as_deref().map(std::ptr::from_ref);
            if let Some(place) = own {
                places.add(place);
            }
            let (mut other, address) = (None::<Place<F>>, address.expect("a place"));
            let lent = places.find().unwrap_or(&mut other);
            lent.as_deref()
                .is_some_and(|kept| std::ptr::eq(kept, address))
        }
        let places = &mut Places::default();
        assert!(!keeps::<[u8; PLACE_LEN_MAX + 1]>(places), "it is too large");
        let kept = [
            keeps::<u8>(places),
            keeps::<u16>(places),
            keeps::<u32>(places),
            keeps::<u64>(places),
            keeps::<i8>(places),
            keeps::<i16>(places),
            keeps::<i32>(places),
            keeps::<[u8; PLACE_LEN_MAX]>(places),
        ];
        assert_eq!(kept, [true; PLACES_MAX]);
        assert!(!keeps::<i64>(places), "there are too many types");
        assert!(keeps::<u8>(places));
    }
}
