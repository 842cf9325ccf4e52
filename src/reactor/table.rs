//! Slots with generations: an event for a session that has ended finds nothing.

use crate::limits::{FIRST_BLOCK_LEN, SLOTS_KEPT};
use crate::os::Key;

/// What a table keeps. It holds its slot's generation: a slot of its own has padding, for each connection.
pub(super) trait Kept {
    fn generation(&self) -> u32;
    fn set_generation(&mut self, generation: u32);
}

/// A place for a session.
#[derive(Debug)]
pub(super) enum Slot<T> {
    /// Of this generation next; and the next vacant slot.
    Vacant {
        generation: u32,
        next: u32,
    },
    Occupied(T),
}

const NONE: u32 = u32::MAX;

impl<T: Kept> Slot<T> {
    fn generation(&self) -> u32 {
        match self {
            Self::Vacant { generation, .. } => *generation,
            Self::Occupied(session) => session.generation(),
        }
    }
}

/// Sessions by key.
#[derive(Debug)]
pub(super) struct Table<T> {
    slots: Vec<Slot<T>>,
    vacant: u32,
    len: usize,
    /// The generation of a slot that is used for the first time.
    first_generation: u32,
}

impl<T: Kept> Table<T> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            vacant: NONE,
            len: 0,
            first_generation: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Has memory for the first sessions. The smallest build has no room for it.
    pub(super) fn prepare(&mut self) {
        if cfg!(not(smallest)) {
            self.reserve(FIRST_BLOCK_LEN / size_of::<Slot<T>>());
        }
    }

    /// Has address space for this many sessions at once, if there is so much: a table that grows in steps leaves holes.
    pub(super) fn reserve(&mut self, len_max: usize) {
        let more = len_max.saturating_sub(self.slots.len());
        let _ = self.slots.try_reserve_exact(more);
    }

    pub(super) fn insert(&mut self, mut session: T) -> Key {
        self.len += 1;
        if let Some(place) = self.slots.get_mut(self.vacant as usize)
            && let Slot::Vacant { generation, next } = *place
        {
            let slot = std::mem::replace(&mut self.vacant, next);
            session.set_generation(generation);
            *place = Slot::Occupied(session);
            return Key { slot, generation };
        }
        // `connections_max` is far below 2^32.
        let slot = u32::try_from(self.slots.len()).unwrap_or(NONE);
        let generation = self.first_generation;
        session.set_generation(generation);
        self.slots.push(Slot::Occupied(session));
        Key { slot, generation }
    }

    pub(super) fn find(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.slot as usize)? {
            Slot::Occupied(session) if session.generation() == key.generation => Some(session),
            Slot::Occupied(_) | Slot::Vacant { .. } => None,
        }
    }

    /// Empties the slot; from now on its key finds nothing.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        self.find(key)?;
        let vacant = Slot::Vacant {
            generation: key.generation.wrapping_add(1),
            next: self.vacant,
        };
        let slot = std::mem::replace(self.slots.get_mut(key.slot as usize)?, vacant);
        self.vacant = key.slot;
        self.len -= 1;
        match slot {
            Slot::Occupied(session) => Some(session),
            Slot::Vacant { .. } => None,
        }
    }

    /// Frees the memory of a burst once the table is empty. Keys from before still find nothing.
    pub(super) fn shrink(&mut self) -> bool {
        if !self.is_empty() || self.slots.len() <= SLOTS_KEPT as usize {
            return false;
        }
        let last = self.slots.iter().map(Slot::generation).max().unwrap_or(0);
        *self = Self {
            first_generation: last.wrapping_add(1),
            ..Self::new()
        };
        true
    }

    /// The key of the session in a slot.
    pub(super) fn key_of(&self, slot: u32) -> Option<Key> {
        match self.slots.get(slot as usize)? {
            Slot::Occupied(session) => Some(Key {
                slot,
                generation: session.generation(),
            }),
            Slot::Vacant { .. } => None,
        }
    }

    /// The keys of all sessions.
    pub(super) fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::with_capacity(self.len);
        for slot in 0..u32::try_from(self.slots.len()).unwrap_or(NONE) {
            keys.extend(self.key_of(slot));
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::{Kept, Key, Table};

    /// What was inserted, and the generation of its slot.
    #[derive(Debug, PartialEq)]
    struct Item(u32, u32);

    impl Kept for Item {
        fn generation(&self) -> u32 {
            self.1
        }

        fn set_generation(&mut self, generation: u32) {
            self.1 = generation;
        }
    }

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut table = Table::new();
        let first = table.insert(Item(1, 0));
        let second = table.insert(Item(2, 0));
        assert_eq!(table.remove(first), Some(Item(1, 0)));
        assert_eq!(table.remove(first), None);
        let third = table.insert(Item(3, 0));
        assert_eq!(third.slot, first.slot, "a vacant slot is used again");
        assert_eq!(table.find(first), None);
        assert_eq!(table.find(third), Some(&mut Item(3, 1)));
        assert_eq!(table.keys(), [third, second]);
        assert_eq!(
            table.find(Key {
                slot: 9,
                generation: 0
            }),
            None
        );
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn after_a_burst_its_memory_is_freed_and_its_keys_find_nothing() {
        let mut table = Table::new();
        let keys: Vec<Key> = (0..1_000)
            .map(|number| table.insert(Item(number, 0)))
            .collect();
        assert!(!table.shrink());
        for key in &keys {
            table.remove(*key);
        }
        assert!(table.shrink());
        assert_eq!(table.slots.capacity(), 0);
        table.reserve(1_000);
        assert!(table.slots.capacity() >= 1_000);
        // More than there can be: it grows as it has to.
        table.reserve(usize::MAX);
        table.insert(Item(0, 0));
        assert!(keys.iter().all(|key| table.find(*key).is_none()));
    }
}
