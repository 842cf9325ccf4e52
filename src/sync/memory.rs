//! One bound on what peers can make the process hold, shared by its loops.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// What peers can make the process hold, in bytes, unless a limit says otherwise or the instance has less.
const DEFAULT_MAX: usize = 512 * 1024 * 1024;
/// Until this much is held, the size of the instance does not matter. One that has less is not one for this server.
const UNASKED_LEN_MAX: usize = 16 * 1024 * 1024;
/// A session that holds no more than this may use the last eighth of the memory: more than a read and a head.
pub(crate) const SMALL_LEN_MAX: usize = 128 * 1024;

/// How much is held, and how much may be.
#[derive(Debug)]
pub(crate) struct Memory {
    held: AtomicUsize,
    /// 0 until it is known.
    max: AtomicUsize,
    /// The memory of the whole instance, in bytes, if anything bounds it.
    of_instance: fn() -> Option<u64>,
}

/// Peers hold as much as they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Memory {
    /// At most `max` bytes; without it a share of what `of_instance` returns. That is asked only once much is held, since
    /// it takes time and no start should wait for it.
    pub(crate) fn new(max: Option<usize>, of_instance: fn() -> Option<u64>) -> Self {
        Self {
            held: AtomicUsize::new(0),
            max: AtomicUsize::new(max.map_or(0, |max| max.max(1))),
            of_instance,
        }
    }

    /// What peers may hold, if that was worth finding out for `held` bytes.
    fn max(&self, held: usize) -> usize {
        match self.max.load(Ordering::Relaxed) {
            0 if held <= UNASKED_LEN_MAX => usize::MAX,
            0 => self.find_max(),
            max => max,
        }
    }

    #[cold]
    fn find_max(&self) -> usize {
        let share = (self.of_instance)().map_or(DEFAULT_MAX as u64, |all| all / 4 * 3);
        let share = usize::try_from(share).unwrap_or(usize::MAX);
        let max = share.clamp(UNASKED_LEN_MAX, DEFAULT_MAX);
        self.max.store(max, Ordering::Relaxed);
        max
    }

    /// Holds `more` bytes for someone who then has `len`. Those who have much leave an eighth to those who have little, so
    /// that a few large bodies do not keep small requests out.
    fn take(&self, more: usize, len: usize) -> Result<(), Exhausted> {
        let held = self.take_anyway(more);
        let max = self.max(held);
        let max = if len <= SMALL_LEN_MAX {
            max
        } else {
            max - max / 8
        };
        if held <= max {
            return Ok(());
        }
        self.give_back(more);
        Err(Exhausted)
    }

    /// Holds `more` bytes that cannot be refused. Returns what is held then.
    pub(crate) fn take_anyway(&self, more: usize) -> usize {
        self.held
            .fetch_add(more, Ordering::Relaxed)
            .saturating_add(more)
    }

    pub(crate) fn give_back(&self, len: usize) {
        let held = self.held.fetch_sub(len, Ordering::Relaxed);
        debug_assert!(held >= len, "more was given back than was taken");
    }

    /// Whether `more` bytes may be held.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        let held = self.held().saturating_add(more);
        held <= self.max(held)
    }

    /// Bytes that are held.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// What one session holds. Given back on drop.
#[derive(Debug)]
pub(crate) struct Charge {
    memory: Arc<Memory>,
    len: usize,
}

impl Charge {
    /// Nothing yet.
    pub(crate) fn new(memory: &Arc<Memory>) -> Self {
        Self {
            memory: Arc::clone(memory),
            len: 0,
        }
    }

    /// Bytes that were set last.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The session holds `len` bytes from now on. If that is more than it may, nothing changes.
    pub(crate) fn set(&mut self, len: usize) -> Result<(), Exhausted> {
        match len.checked_sub(self.len) {
            Some(0) => {}
            Some(more) => self.memory.take(more, len)?,
            None => self.memory.give_back(self.len - len),
        }
        self.len = len;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.give_back(self.len);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Charge, DEFAULT_MAX, Exhausted, Memory, SMALL_LEN_MAX, UNASKED_LEN_MAX};

    const MIB: usize = 1024 * 1024;

    #[test]
    fn a_charge_counts_once_and_is_given_back() {
        let memory = Arc::new(Memory::new(Some(8 * MIB), || None));
        let mut first = Charge::new(&memory);
        assert_eq!(first.set(6 * MIB), Ok(()));
        assert_eq!(first.set(5 * MIB), Ok(()));
        let mut second = Charge::new(&memory);
        assert_eq!(second.set(4 * MIB), Err(Exhausted));
        assert_eq!((second.len(), memory.held()), (0, 5 * MIB));
        drop(first);
        assert_eq!(second.set(4 * MIB), Ok(()));
        drop(second);
        assert_eq!(memory.held(), 0);
    }

    #[test]
    fn large_charges_leave_room_for_small_ones() {
        let memory = Arc::new(Memory::new(Some(8 * MIB), || None));
        let mut large = Charge::new(&memory);
        assert_eq!(large.set(7 * MIB + 1), Err(Exhausted));
        assert_eq!(large.set(7 * MIB), Ok(()));
        let mut small = Charge::new(&memory);
        assert_eq!(small.set(SMALL_LEN_MAX), Ok(()));
    }

    #[test]
    fn the_instance_is_asked_once_much_is_held() {
        let memory = Arc::new(Memory::new(None, || Some(128 * MIB as u64)));
        let mut charge = Charge::new(&memory);
        assert_eq!(charge.set(UNASKED_LEN_MAX), Ok(()));
        assert_eq!(memory.max(0), usize::MAX, "not asked yet");
        assert_eq!(charge.set(84 * MIB), Ok(()), "seven eighths of 96 MiB");
        assert_eq!(charge.set(84 * MIB + 1), Err(Exhausted));
        assert_eq!(memory.max(0), 96 * MIB);
    }

    #[test]
    fn an_instance_without_a_bound_gets_the_default_and_a_tiny_one_what_is_never_asked_for() {
        let unbounded = Memory::new(None, || None);
        assert_eq!(unbounded.max(usize::MAX), DEFAULT_MAX);
        let tiny = Memory::new(None, || Some(1));
        assert_eq!(tiny.max(usize::MAX), UNASKED_LEN_MAX);
    }
}
