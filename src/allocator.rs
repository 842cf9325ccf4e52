//! A global allocator for a program that serves from one thread. An island of unsafe code, since that is what an allocator is.
//!
//! musl's allocator is built to find mistakes: it maps pages for each size of blocks and looks for a free one in a bit set. That is
//! nearly half of the instructions from the start of an axum router to its first response, and a fifth of each request after it. Here the
//! blocks of all sizes lie side by side in the program's zeroed data, so that a start touches few pages and asks the kernel for
//! none, and a free block is the first of a list.
//!
//! The first thread that allocates has the blocks for itself: the main one, which runs the loop. A block that another thread frees goes
//! to a list that the first one takes over as a whole. What other threads allocate, what is large, and what comes once the memory is used
//! up is the system allocator's.
#![expect(
    unsafe_code,
    reason = "an allocator hands out memory that no type describes"
)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::alloc::System;

use crate::limits::{ARENA_BLOCK_MAX, ARENA_LEN};

/// The sizes of small blocks are multiples of it, and the addresses of all.
const STEP: usize = 16;
const SMALL_MAX: usize = 1024;
const SMALL_CLASSES: usize = SMALL_MAX / STEP;
/// The same of the others.
const LONG_STEP: usize = 256;
const CLASSES: usize = SMALL_CLASSES + (ARENA_BLOCK_MAX - SMALL_MAX) / LONG_STEP;

/// An allocator for a program that serves from one thread, as the platform's instances do with their one processor. Its start and
/// each request that allocates take fewer instructions than with musl's, and its start fewer pages.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: coldstart::Allocator = coldstart::Allocator::new();
///
/// # fn main() {
/// let words = "a program allocates as ever".split(' ').map(String::from).collect::<Vec<_>>();
/// assert_eq!(words.concat(), "aprogramallocatesasever");
/// # }
/// ```
///
/// It is for static programs for musl. Blocks of up to 4 KiB of the main thread come from 64 KiB of the program's data, which are
/// resident once they have been used, and stay so. All others come from the [`System`] allocator: those of other threads, larger ones,
/// and those beyond these 64 KiB. Any thread may free any block. Threads other than the main one gain nothing.
///
/// It checks nothing. A double free or a write to freed memory, which take unsafe code, goes unnoticed; musl's allocator would end
/// the process.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Allocator;

impl Allocator {
    /// The allocator. All values share the same memory.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

/// A block that is free.
struct Free {
    next: *mut Self,
    /// Only in the list of other threads.
    class: usize,
}

/// Memory that belongs to blocks: no byte is looked at but by who has the block.
#[repr(align(16))]
struct Arena(UnsafeCell<[MaybeUninit<u8>; ARENA_LEN]>);

// SAFETY: it hands out addresses alone.
unsafe impl Sync for Arena {}

impl Arena {
    #[inline]
    const fn start(&self) -> *mut u8 {
        self.0.get().cast()
    }

    #[inline]
    fn contains(&self, block: *mut u8) -> bool {
        block.addr().wrapping_sub(self.start().addr()) < ARENA_LEN
    }
}

// It has a section of its own, so that `.cargo/start.ld` can place it after what all starts touch.
#[cfg_attr(target_os = "linux", unsafe(link_section = ".bss.arena"))]
static ARENA: Arena = Arena(UnsafeCell::new([MaybeUninit::zeroed(); ARENA_LEN]));

/// What only the owner looks at.
struct Blocks {
    /// How much of the memory was handed out.
    used: Cell<usize>,
    free: [Cell<*mut Free>; CLASSES],
}

// SAFETY: only the thread that has `IS_OWNER` uses it.
unsafe impl Sync for Blocks {}

static BLOCKS: Blocks = Blocks {
    used: Cell::new(0),
    free: [const { Cell::new(ptr::null_mut()) }; CLASSES],
};

/// Blocks that other threads have freed.
static RETURNED: AtomicPtr<Free> = AtomicPtr::new(ptr::null_mut());

static HAS_OWNER: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IS_OWNER: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread has the blocks. The first that asks gets them.
#[inline]
fn is_owner() -> bool {
    IS_OWNER.get() || become_owner()
}

#[cold]
fn become_owner() -> bool {
    let is_first = !HAS_OWNER.load(Ordering::Relaxed) && !HAS_OWNER.swap(true, Ordering::Relaxed);
    if is_first {
        IS_OWNER.set(true);
    }
    is_first
}

/// The class of the blocks for a layout; `None` if it is not for the blocks.
#[inline]
const fn class_of(layout: Layout) -> Option<usize> {
    if layout.align() > STEP || layout.size() > ARENA_BLOCK_MAX {
        return None;
    }
    // A layout is never empty here.
    let before_last = layout.size().wrapping_sub(1);
    if before_last < SMALL_MAX {
        Some(before_last / STEP)
    } else {
        Some(SMALL_CLASSES + (before_last - SMALL_MAX) / LONG_STEP)
    }
}

/// The length of each block of a class.
const fn len_of(class: usize) -> usize {
    let small = class + 1;
    if small <= SMALL_CLASSES {
        small * STEP
    } else {
        SMALL_MAX + (small - SMALL_CLASSES) * LONG_STEP
    }
}

impl Blocks {
    /// A block of the class, if there is one. Only for the owner.
    #[inline]
    fn take(&self, class: usize) -> Option<*mut u8> {
        let list = self.free.get(class)?;
        let first = list.get();
        if first.is_null() {
            return self.take_new(class);
        }
        // SAFETY: what is in a list is a free block, which no other code has.
        list.set(unsafe { (*first).next });
        Some(first.cast())
    }

    /// A block that was returned, or one that was never used.
    #[cold]
    fn take_new(&self, class: usize) -> Option<*mut u8> {
        if !RETURNED.load(Ordering::Relaxed).is_null() {
            self.take_returned();
            let list = self.free.get(class)?;
            if !list.get().is_null() {
                return self.take(class);
            }
        }
        let at = self.used.get();
        let end = at + len_of(class);
        if end > ARENA_LEN {
            return None;
        }
        self.used.set(end);
        // SAFETY: it is within the memory.
        Some(unsafe { ARENA.start().add(at) })
    }

    fn take_returned(&self) {
        let mut block = RETURNED.swap(ptr::null_mut(), Ordering::Acquire);
        while !block.is_null() {
            // SAFETY: the other thread wrote both before it put the block there, and has it no longer.
            let (next, class) = unsafe { ((*block).next, (*block).class) };
            self.give(class, block.cast());
            block = next;
        }
    }

    /// Takes back a block of the class. Only for the owner.
    #[inline]
    fn give(&self, class: usize, block: *mut u8) {
        let block: *mut Free = block.cast();
        if let Some(list) = self.free.get(class) {
            // SAFETY: a block has room for a pointer and is aligned for it, and its user has it no longer.
            unsafe { (&raw mut (*block).next).write(list.get()) };
            list.set(block);
        }
    }
}

/// Gives a block back to the owner from another thread.
#[cold]
fn give_back(class: usize, block: *mut u8) {
    let block: *mut Free = block.cast();
    let mut next = RETURNED.load(Ordering::Relaxed);
    loop {
        // SAFETY: a block has room for both and is aligned for them, and its user has it no longer.
        unsafe { block.write(Free { next, class }) };
        let order = (Ordering::Release, Ordering::Relaxed);
        match RETURNED.compare_exchange_weak(next, block, order.0, order.1) {
            Ok(_) => return,
            Err(now) => next = now,
        }
    }
}

// SAFETY: a block is handed out once until it comes back, has the layout's size and alignment, and does not move.
unsafe impl GlobalAlloc for Allocator {
    // Not in each place that allocates: that is a seventh of a program.
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(class) = class_of(layout)
            && is_owner()
            && let Some(block) = BLOCKS.take(class)
        {
            return block;
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !ARENA.contains(block) {
            // SAFETY: it is the system allocator's then, and the caller has it with this layout.
            unsafe { System.dealloc(block, layout) };
            return;
        }
        if let Some(class) = class_of(layout) {
            if is_owner() {
                BLOCKS.give(class, block);
            } else {
                give_back(class, block);
            }
        }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class_of(layout).is_none() {
            // Fresh pages are zero, and the system allocator does not touch them.
            // SAFETY: as the caller promises.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: as the caller promises.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: it has the size of the layout.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !ARENA.contains(block) {
            // SAFETY: as in `dealloc`.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: the caller promises a size that is valid for the alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if class_of(wanted) == class_of(layout) {
            return block;
        }
        // SAFETY: as the caller promises.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: both are valid for as many bytes, and one is not within the other.
            unsafe {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::undocumented_unsafe_blocks,
        reason = "each block has the layout that it was asked for with"
    )]

    use core::alloc::{GlobalAlloc as _, Layout};
    use core::slice;

    use super::{ARENA, ARENA_BLOCK_MAX, Allocator, CLASSES, STEP, class_of, len_of};
    use crate::sim::scaled;

    const ALLOCATOR: Allocator = Allocator::new();

    /// A block that is filled with one byte.
    struct Block {
        start: *mut u8,
        layout: Layout,
        byte: u8,
    }

    // SAFETY: no other code has it.
    unsafe impl Send for Block {}

    impl Block {
        fn new(len: usize, byte: u8) -> Self {
            let layout = layout(len);
            let start = unsafe { ALLOCATOR.alloc(layout) };
            assert_eq!(start.addr() % STEP, 0);
            unsafe { start.write_bytes(byte, len) };
            Self {
                start,
                layout,
                byte,
            }
        }

        fn bytes(&self) -> &[u8] {
            unsafe { slice::from_raw_parts(self.start, self.layout.size()) }
        }

        fn is_whole(&self) -> bool {
            self.begins_whole(self.layout.size())
        }

        fn begins_whole(&self, len: usize) -> bool {
            self.bytes().starts_with(&vec![self.byte; len])
        }

        fn grow(&mut self, len: usize) {
            let kept = len.min(self.layout.size());
            self.start = unsafe { ALLOCATOR.realloc(self.start, self.layout, len) };
            self.layout = layout(len);
            assert!(self.begins_whole(kept), "it moves whole");
            unsafe { self.start.write_bytes(self.byte, len) };
        }

        fn free(self) {
            assert!(self.is_whole(), "no other block overlaps");
            unsafe { ALLOCATOR.dealloc(self.start, self.layout) };
        }

        fn is_small(&self) -> bool {
            ARENA.contains(self.start)
        }
    }

    fn layout(len: usize) -> Layout {
        Layout::from_size_align(len, 8).expect("a length")
    }

    fn zeroed(len: usize) -> Block {
        let layout = layout(len);
        let start = unsafe { ALLOCATOR.alloc_zeroed(layout) };
        let block = Block {
            start,
            layout,
            byte: 0,
        };
        assert!(block.is_whole(), "it is zero");
        block
    }

    #[test]
    fn each_length_has_a_class_that_fits() {
        for len in 1..=ARENA_BLOCK_MAX {
            let class = class_of(layout(len)).expect("a class");
            assert!(class < CLASSES && len_of(class) >= len, "{len}");
            assert_eq!(len_of(class) % STEP, 0, "{len}");
            assert!(
                class == 0 || len_of(class - 1) < len,
                "{len}: the smallest that fits"
            );
        }
        assert_eq!(class_of(layout(ARENA_BLOCK_MAX + 1)), None);
        let aligned = Layout::from_size_align(8, 2 * STEP).expect("a layout");
        assert_eq!(class_of(aligned), None);
    }

    /// In one test: the first thread that allocates is the owner until the process ends.
    #[test]
    fn the_first_thread_has_the_blocks_and_others_give_them_back() {
        other_threads_free_but_have_none();
        zeroed_memory_is_zero();
        // From here on all of the memory is in lists.
        what_does_not_fit_is_the_systems();
        blocks_are_used_again_and_moved_and_never_shared();
    }

    fn blocks_are_used_again_and_moved_and_never_shared() {
        let first = Block::new(40, 1);
        assert!(first.is_small());
        let start = first.start;
        first.free();
        let again = Block::new(33, 2);
        assert_eq!(again.start, start, "of the same class");
        again.free();
        let mut state = 7_u64;
        let mut below = |bound: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(state >> 33).expect("31 bits") % bound
        };
        let mut blocks: Vec<Block> = Vec::new();
        for round in 0..scaled("changes of blocks", 20_000, 100) {
            let len = 1 + below(1500);
            let byte = u8::try_from(round % 251).expect("a byte");
            match below(3) {
                0 if blocks.len() < 48 => blocks.push(Block::new(len, byte)),
                1 if !blocks.is_empty() => {
                    let at = below(blocks.len());
                    blocks[at].grow(len);
                }
                _ if !blocks.is_empty() => {
                    let at = below(blocks.len());
                    blocks.swap_remove(at).free();
                }
                _ => {}
            }
        }
        blocks.into_iter().for_each(Block::free);
    }

    fn zeroed_memory_is_zero() {
        Block::new(100, 0xff).free();
        for len in [100, ARENA_BLOCK_MAX + 1] {
            zeroed(len).free();
        }
    }

    fn other_threads_free_but_have_none() {
        let blocks: Vec<Block> = (1..=8).map(|byte| Block::new(208, byte)).collect();
        let mut starts: Vec<_> = blocks.iter().map(|block| block.start.addr()).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let own = Block::new(208, 9);
                assert!(!own.is_small());
                own.free();
                let mut blocks = blocks.into_iter();
                let mut moved = blocks.next().expect("a block");
                moved.grow(500);
                assert!(!moved.is_small());
                moved.free();
                blocks.for_each(Block::free);
            });
        });
        let again: Vec<Block> = (1..=8).map(|byte| Block::new(208, byte)).collect();
        let mut now: Vec<_> = again.iter().map(|block| block.start.addr()).collect();
        starts.sort_unstable();
        now.sort_unstable();
        assert_eq!(now, starts);
        again.into_iter().for_each(Block::free);
    }

    fn what_does_not_fit_is_the_systems() {
        let mut blocks = Vec::new();
        while blocks.last().is_none_or(Block::is_small) {
            blocks.push(Block::new(ARENA_BLOCK_MAX, 5));
        }
        assert!(blocks.len() > 1, "there was room");
        let mut last = blocks.pop().expect("a block");
        last.grow(ARENA_BLOCK_MAX + 1);
        last.free();
        blocks.into_iter().for_each(Block::free);
        assert!(
            Block::new(ARENA_BLOCK_MAX, 6).is_small(),
            "there is room again"
        );
        let aligned = Layout::from_size_align(64, 64).expect("a layout");
        let start = unsafe { ALLOCATOR.alloc(aligned) };
        assert!(start.addr() % 64 == 0 && !ARENA.contains(start));
        unsafe { ALLOCATOR.dealloc(start, aligned) };
    }
}
