//! Slots with generations: an event that comes late finds nobody.

use crate::os::Key;

/// What lies in a slot.
#[derive(Debug)]
enum Tenant<T> {
    /// Nobody; the next vacant slot.
    Vacant(u32),
    Occupied(T),
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    tenant: Tenant<T>,
}

const NONE: u32 = u32::MAX;
/// An empty table of up to this many slots is kept as it is.
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

    pub(super) fn insert(&mut self, tenant: T) -> Key {
        self.len += 1;
        if let Some(slot) = self.slots.get_mut(self.vacant as usize)
            && let Tenant::Vacant(next) = slot.tenant
        {
            let key = Key {
                slot: self.vacant,
                generation: slot.generation,
            };
            self.vacant = next;
            slot.tenant = Tenant::Occupied(tenant);
            return key;
        }
        // `connections_max` is far below 2^32.
        let number = u32::try_from(self.slots.len()).unwrap_or(NONE);
        let generation = self.first_generation;
        self.slots.push(Slot {
            generation,
            tenant: Tenant::Occupied(tenant),
        });
        Key {
            slot: number,
            generation,
        }
    }

    pub(super) fn find(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        match &mut slot.tenant {
            Tenant::Occupied(tenant) if slot.generation == key.generation => Some(tenant),
            Tenant::Occupied(_) | Tenant::Vacant(_) => None,
        }
    }

    /// Empties the slot; from here on its key finds nobody.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        self.find(key)?;
        let slot = self.slots.get_mut(key.slot as usize)?;
        slot.generation = slot.generation.wrapping_add(1);
        let tenant = std::mem::replace(&mut slot.tenant, Tenant::Vacant(self.vacant));
        self.vacant = key.slot;
        self.len -= 1;
        match tenant {
            Tenant::Occupied(tenant) => Some(tenant),
            Tenant::Vacant(_) => None,
        }
    }

    /// Gives the memory of a burst back once nobody is left. Keys from before it still find nobody.
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

    /// The key of a slot's tenant.
    pub(super) fn key_of(&self, slot: u32) -> Option<Key> {
        let found = self.slots.get(slot as usize)?;
        match found.tenant {
            Tenant::Occupied(_) => Some(Key {
                slot,
                generation: found.generation,
            }),
            Tenant::Vacant(_) => None,
        }
    }

    /// The keys of all tenants.
    pub(super) fn keys(&self) -> Vec<Key> {
        (0..u32::try_from(self.slots.len()).unwrap_or(NONE))
            .filter_map(|slot| self.key_of(slot))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, Table};

    #[test]
    fn a_stale_key_finds_nobody() {
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
    fn a_burst_leaves_no_memory_and_no_key_that_finds_somebody() {
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
