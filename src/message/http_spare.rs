//! What the conversion of one message leaves to the next one of its loop: memory for heads, for the fields of a map, and for a
//! body that is polled. Feature `http`.

use bytes::{Bytes, BytesMut};

use crate::limits::{COPIES_LEN, FIELDS_KEPT_MAX};
use crate::sync::leftover::{Clear, Leftover};
use crate::task::places::{Place, Places};

/// See the module.
#[derive(Default)]
struct Spare {
    /// What is left after the last copy. Once no copy is left, all of it is. `None` before the first copy, which gets no more than it
    /// needs: a new page would delay the first response.
    copies: Option<BytesMut>,
    /// Empty maps: one to use, and one that [stays](Staying).
    fields: [http::HeaderMap; 2],
    bodies: Places,
    _staying: Staying,
}

/// What is never used. musl's allocator gives memory back once nothing of its size is left, mostly to the kernel, so that each request
/// would ask for it again.
struct Staying {
    /// One value, as most requests have.
    _extensions: http::Extensions,
}

impl Default for Staying {
    fn default() -> Self {
        let mut extensions = http::Extensions::new();
        extensions.insert(());
        Self {
            _extensions: extensions,
        }
    }
}

thread_local! {
    static SPARE: Leftover<Spare> = const { Leftover::new() };
}

/// For the end of a loop.
pub(crate) static CLEAR: Clear = Clear::new();

/// `change` calls no foreign code.
#[inline]
fn with<T>(change: impl FnOnce(&mut Spare) -> T) -> T {
    let mut spare = SPARE.with(Leftover::take).unwrap_or_else(first);
    let value = change(&mut spare);
    drop(SPARE.with(|kept| kept.put(spare)));
    value
}

#[cold]
fn first() -> Box<Spare> {
    CLEAR.set(|| SPARE.with(Leftover::clear));
    Box::default()
}

/// A copy, which shares its memory with others.
pub(super) fn copy(bytes: &[u8]) -> Bytes {
    with(|spare| {
        let Some(copies) = &mut spare.copies else {
            spare.copies = Some(BytesMut::new());
            return Bytes::copy_from_slice(bytes);
        };
        if copies.capacity() < bytes.len() {
            copies.reserve(bytes.len().max(COPIES_LEN));
        }
        copies.extend_from_slice(bytes);
        copies.split().freeze()
    })
}

/// An empty map with room for this many fields.
pub(super) fn fields(len: usize) -> Result<http::HeaderMap, http::Error> {
    let kept = with(|spare| {
        let [first, second] = &mut spare.fields;
        let is_fit = first.capacity() >= len && second.capacity() > 0;
        is_fit.then(|| core::mem::take(first))
    });
    match kept {
        Some(fields) => Ok(fields),
        None => Ok(http::HeaderMap::try_with_capacity(len)?),
    }
}

/// Keeps the memory of a map that was drained.
pub(super) fn keep_fields(mut fields: http::HeaderMap) {
    // Names that collide may have changed its hash.
    fields.clear();
    if fields.capacity() > FIELDS_KEPT_MAX {
        return;
    }
    let unused = with(|spare| {
        let [first, second] = &mut spare.fields;
        let smaller = if first.capacity() < second.capacity() {
            first
        } else {
            second
        };
        if fields.capacity() > smaller.capacity() {
            core::mem::replace(smaller, fields)
        } else {
            fields
        }
    });
    drop(unused);
}

/// Memory for a value of this type.
pub(super) fn place<T: 'static>() -> Place<T> {
    let kept = with(|spare| spare.bodies.find().and_then(Option::take));
    kept.unwrap_or_else(|| Box::pin(None))
}

/// Keeps the memory of a value that is over.
pub(super) fn keep_place<T: 'static>(place: Place<T>) {
    with(|spare| match spare.bodies.find() {
        Some(kept) => *kept = Some(place),
        None => spare.bodies.add(place),
    });
}

#[cfg(test)]
mod tests {
    use super::{CLEAR, COPIES_LEN, FIELDS_KEPT_MAX, copy, fields, keep_fields, keep_place, place};
    use crate::sync::loop_thread::{Guard, Runner, enter};

    /// As on a loop's thread.
    struct OnLoop(#[expect(dead_code, reason = "dropped")] Guard);

    impl OnLoop {
        fn enter() -> Self {
            Self(enter(Runner {
                id: 7,
                ..Runner::NONE
            }))
        }
    }

    impl Drop for OnLoop {
        fn drop(&mut self) {
            CLEAR.run();
        }
    }

    #[test]
    fn copies_share_memory_that_is_used_again_once_none_is_left() {
        let _loop = OnLoop::enter();
        let whole = vec![b'a'; COPIES_LEN];
        drop(copy(b"the first one"));
        let copies = [copy(b"one"), copy(b""), copy(b"two")];
        assert_eq!(copies, [&b"one"[..], b"", b"two"]);
        let [one, _, two] = &copies;
        assert_eq!(one.as_ptr().addr() + one.len(), two.as_ptr().addr());
        let one_at = one.as_ptr();
        drop(copies);
        let all = copy(&whole);
        assert_eq!(all.as_ptr(), one_at, "the memory of the others");
        let beside = copy(&whole);
        assert_ne!(beside.as_ptr(), one_at, "they are in use");
        let large = vec![b'b'; 2 * COPIES_LEN];
        assert_eq!(
            (all, beside, copy(&large)),
            (whole.clone().into(), whole.into(), large.into())
        );
    }

    #[test]
    fn an_empty_map_is_used_again_and_another_one_stays() {
        let _loop = OnLoop::enter();
        let map = |capacity| http::HeaderMap::<http::HeaderValue>::with_capacity(capacity);
        let capacity = map(6).capacity();
        let taken = |len| {
            fields(len)
                .map(|map| map.capacity())
                .expect("it is not too large")
        };
        keep_fields(map(6));
        assert_eq!(taken(1), map(1).capacity(), "a new one, since one stays");
        keep_fields(map(6));
        assert_eq!(taken(1), capacity, "a kept one");
        keep_fields(map(6));
        assert!(taken(capacity + 1) > capacity);
        assert_eq!(taken(1), capacity, "it was left for one that fits");
        let mut used = map(6);
        used.insert("x-a", http::HeaderValue::from_static("b"));
        keep_fields(used);
        assert!(fields(1).is_ok_and(|map| map.is_empty()));
        keep_fields(map(FIELDS_KEPT_MAX + 1));
        assert_eq!(taken(1), map(1).capacity(), "a large one is not kept");
    }

    #[test]
    fn a_place_is_used_again_once_it_is_kept() {
        let _loop = OnLoop::enter();
        let first = place::<u64>();
        let at = std::ptr::from_ref(&*first);
        assert_ne!(std::ptr::from_ref(&*place::<u64>()), at, "it is in use");
        keep_place(first);
        let again = place::<u64>();
        assert_eq!(std::ptr::from_ref(&*again), at);
        assert_ne!(std::ptr::from_ref(&*place::<u64>()), at, "it was taken");
    }
}
