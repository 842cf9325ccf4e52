//! What a loop reads into.

use core::ops::{Deref, DerefMut};

use crate::limits::READ_LEN_MAX;
use crate::sync::{StaticMutex, StaticMutexGuard};

/// The buffer of the first loop, which no start has to allocate. Of its pages those that were read into are resident.
/// `.cargo/start.ld` places it by the name of this module.
static FIRST: StaticMutex<[u8; READ_LEN_MAX]> = StaticMutex::new([0; READ_LEN_MAX]);

/// [`READ_LEN_MAX`] bytes, with whatever was read into them before.
#[derive(Debug)]
pub(super) struct ReadBuffer(Memory);

#[derive(Debug)]
enum Memory {
    First(StaticMutexGuard<'static, [u8; READ_LEN_MAX]>),
    Own(Vec<u8>),
}

impl ReadBuffer {
    /// The program's own buffer, unless a loop has it: then one from the heap.
    #[cold]
    #[inline(never)]
    pub(super) fn new() -> Self {
        Self::of(&FIRST)
    }

    fn of(first: &'static StaticMutex<[u8; READ_LEN_MAX]>) -> Self {
        // The smallest build saves the code: its allocator maps pages of its own for a large block.
        let is_wanted = cfg!(not(smallest));
        // After a panic while it was read into, no loop gets it again.
        let first = is_wanted.then(|| first.try_lock().ok()).flatten();
        Self(first.map_or_else(|| Memory::Own(vec![0; READ_LEN_MAX]), Memory::First))
    }
}

impl Deref for ReadBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::First(buffer) => &**buffer,
            Memory::Own(buffer) => buffer,
        }
    }
}

impl DerefMut for ReadBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Memory::First(buffer) => &mut **buffer,
            Memory::Own(buffer) => buffer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Memory, READ_LEN_MAX, ReadBuffer, StaticMutex};

    #[test]
    fn no_two_have_the_same_memory_and_the_first_is_had_again() {
        static FIRST: StaticMutex<[u8; READ_LEN_MAX]> = StaticMutex::new([0; READ_LEN_MAX]);
        for _ in 0..2 {
            let first = ReadBuffer::of(&FIRST);
            assert!(matches!(first.0, Memory::First(_)), "it is free");
            let mut second = ReadBuffer::of(&FIRST);
            assert!(matches!(second.0, Memory::Own(_)), "the first is taken");
            assert_eq!((first.len(), second.len()), (READ_LEN_MAX, READ_LEN_MAX));
            second.fill(7);
            assert_ne!(first.as_ptr(), second.as_ptr());
        }
    }
}
