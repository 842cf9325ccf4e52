//! Slots with generations: an event for a session that has ended finds nothing.

use crate::os::Key;

/// The content of a slot.
#[derive(Debug)]
enum Entry<T> {
    /// None; the next vacant slot.
    Vacant(u32),
    Occupied(T),
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    entry: Entry<T>,
}

const NONE: u32 = u32::MAX;
/// An empty table keeps its memory up to this many slots.
const SLOTS_KEPT: usize = 256;

/// Sessions by key.
#[derive(Debug)]
pub(super) struct Table<T> {
    slots: Vec<Slot<T>>,
    vacant: u32,
    len: usize,
    /// The generation of a slot that is used for the first time.
    first_generation: u32,
}

impl<T> Table<T> {
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

    pub(super) fn insert(&mut self, session: T) -> Key {
        self.len += 1;
        if let Some(slot) = self.slots.get_mut(self.vacant as usize)
            && let Entry::Vacant(next) = slot.entry
        {
            let key = Key {
                slot: self.vacant,
                generation: slot.generation,
            };
            self.vacant = next;
            slot.entry = Entry::Occupied(session);
            return key;
        }
        // `connections_max` is far below 2^32.
        let number = u32::try_from(self.slots.len()).unwrap_or(NONE);
        let generation = self.first_generation;
        self.slots.push(Slot {
            generation,
            entry: Entry::Occupied(session),
        });
        Key {
            slot: number,
            generation,
        }
    }

    pub(super) fn find(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        match &mut slot.entry {
            Entry::Occupied(session) if slot.generation == key.generation => Some(session),
            Entry::Occupied(_) | Entry::Vacant(_) => None,
        }
    }

    /// Empties the slot; from now on its key finds nothing.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        self.find(key)?;
        let slot = self.slots.get_mut(key.slot as usize)?;
        slot.generation = slot.generation.wrapping_add(1);
        let entry = std::mem::replace(&mut slot.entry, Entry::Vacant(self.vacant));
        self.vacant = key.slot;
        self.len -= 1;
        match entry {
            Entry::Occupied(session) => Some(session),
            Entry::Vacant(_) => None,
        }
    }

    /// Frees the memory of a burst once the table is empty. Keys from before still find nothing.
    pub(super) fn shrink(&mut self) -> bool {
        if !self.is_empty() || self.slots.len() <= SLOTS_KEPT {
            return false;
        }
        let last = self
            .slots
            .iter()
            .map(|slot| slot.generation)
            .max()
            .unwrap_or(0);
        *self = Self {
            first_generation: last.wrapping_add(1),
            ..Self::new()
        };
        true
    }

    /// The key of the session in a slot.
    pub(super) fn key_of(&self, slot: u32) -> Option<Key> {
        let found = self.slots.get(slot as usize)?;
        match found.entry {
            Entry::Occupied(_) => Some(Key {
                slot,
                generation: found.generation,
            }),
            Entry::Vacant(_) => None,
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
    use super::{Key, Table};

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut table = Table::new();
        let first = table.insert('a');
        let second = table.insert('b');
        assert_eq!(table.remove(first), Some('a'));
        assert_eq!(table.remove(first), None);
        let third = table.insert('c');
        assert_eq!(third.slot, first.slot, "a vacant slot is used again");
        assert_eq!(table.find(first), None);
        assert_eq!(table.find(third), Some(&mut 'c'));
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
        let keys: Vec<Key> = (0..1_000).map(|number| table.insert(number)).collect();
        assert!(!table.shrink());
        for key in &keys {
            table.remove(*key);
        }
        assert!(table.shrink());
        assert_eq!(table.slots.capacity(), 0);
        table.insert(0);
        assert!(keys.iter().all(|key| table.find(*key).is_none()));
    }
}
