//! The allocator of a component: an arena in static memory, which is thrown away with the sandbox.
//!
//! Every call of an adapter gets a fresh sandbox, and growing a sandbox's memory costs the host two `mprotect`s, for
//! which every other core has to be interrupted. An ordinary allocator starts by growing. This one hands out the
//! initial memory from front to back, and grows only when that is full: for a normal call never.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr;

/// Enough for a large event, its settings and the request made of them, several times over.
const SIZE: usize = if cfg!(test) { 16 } else { 768 } * 1024;

#[cfg_attr(target_arch = "wasm32", global_allocator)]
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "only tests are native"))]
static ARENA: Arena = Arena::new();

/// In this order: `used` and the memory that is handed out first share a page, and a call pays for each that it writes to.
#[repr(C)]
struct Arena {
    /// What lies below this offset is handed out.
    used: Cell<usize>,
    memory: Memory,
}

#[repr(align(16))]
struct Memory(UnsafeCell<[u8; SIZE]>);

// SAFETY: a component built for wasm32-unknown-unknown without the atomics feature has one thread.
unsafe impl Sync for Arena {}

impl Arena {
    const fn new() -> Self {
        Self { used: Cell::new(0), memory: Memory(UnsafeCell::new([0; SIZE])) }
    }

    fn start(&self) -> *mut u8 {
        self.memory.0.get().cast()
    }

    /// Where the block begins in the arena, if it is in there.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        let offset = (block as usize).wrapping_sub(self.start() as usize);
        (offset < SIZE).then_some(offset)
    }

    /// Whether nothing was handed out after this block.
    fn is_last(&self, offset: usize, size: usize) -> bool {
        offset + size == self.used.get()
    }
}

// SAFETY: a block is either the system allocator's, which is told apart by its address and given back to it with the
// layout it was made with, or a part of the arena. `used` only ever stands at the end of the last live block or above
// it, so a part that is handed out overlaps no live one, and is never handed out beyond SIZE. `memory` is reached by
// raw pointers alone, so there is no reference that a write through a block could contradict.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.start() as usize;
        let at = (start + self.used.get()).next_multiple_of(layout.align()) - start;
        match at.checked_add(layout.size()) {
            Some(end) if end <= SIZE => {
                self.used.set(end);
                // SAFETY: at <= end <= SIZE.
                unsafe { self.start().add(at) }
            }
            // SAFETY: the caller's promise about the layout is handed on.
            _ => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.offset(block) {
            Some(offset) if self.is_last(offset, layout.size()) => self.used.set(offset),
            Some(_) => {}
            // SAFETY: not in the arena, so it came from the system's allocator with this layout.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(offset) = self.offset(block) else {
            // SAFETY: not in the arena, so it came from the system's allocator with this layout.
            return unsafe { System.realloc(block, layout, new_size) };
        };
        if self.is_last(offset, layout.size()) {
            // A string that is being written is the last block most of the time: it grows where it is.
            if let Some(end) = offset.checked_add(new_size).filter(|end| *end <= SIZE) {
                self.used.set(end);
                return block;
            }
        } else if new_size <= layout.size() {
            return block;
        }
        // SAFETY: the caller promises that new_size, rounded up to the alignment, doesn't overflow. The new block
        // doesn't overlap the old one, which is still live, and both hold the smaller of the two sizes.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn the_last_block_grows_where_it_is_and_is_given_back() {
        let arena = Box::new(Arena::new());
        // SAFETY: every block is used and freed with the layout that it has at the time.
        unsafe {
            let first = arena.alloc(layout(10, 1));
            let second = arena.alloc(layout(8, 8));
            assert_eq!(second.addr() % 8, 0);
            let grown = arena.realloc(second, layout(8, 8), 100);
            assert_eq!(grown, second);
            let moved = arena.realloc(first, layout(10, 1), 20);
            assert_ne!(moved, first);
            arena.dealloc(moved, layout(20, 1));
            assert_eq!(arena.alloc(layout(1, 1)), moved);
            // Not the last: nothing comes of freeing it.
            arena.dealloc(grown, layout(100, 8));
            assert!(arena.alloc(layout(1, 1)) > moved);
        }
    }

    #[test]
    fn a_full_arena_leaves_the_rest_to_the_system() {
        let arena = Box::new(Arena::new());
        // SAFETY: as above.
        unsafe {
            let inside = arena.alloc(layout(SIZE - 8, 1));
            let outside = arena.alloc(layout(9, 1));
            assert!(arena.offset(inside).is_some() && arena.offset(outside).is_none());
            outside.write_bytes(7, 9);
            let outside = arena.realloc(outside, layout(9, 1), 4000);
            assert_eq!(outside.add(8).read(), 7);
            arena.dealloc(outside, layout(4000, 1));
            let moved = arena.realloc(inside, layout(SIZE - 8, 1), SIZE + 1);
            assert!(arena.offset(moved).is_none());
            arena.dealloc(moved, layout(SIZE + 1, 1));
            assert_eq!(arena.used.get(), 0);
        }
    }

    #[test]
    fn blocks_never_overlap() {
        let arena = Box::new(Arena::new());
        let mut blocks: Vec<(*mut u8, usize, u8)> = Vec::new();
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..20_000_u32 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let (choice, size) = (state % 3, usize::try_from(state >> 40).unwrap() % 300 + 1);
            let tag = u8::try_from(round % 251).unwrap();
            // SAFETY: as above; a block's bytes are written up to its size.
            unsafe {
                match blocks.len() {
                    live if live > 50 || (choice == 0 && live > 0) => {
                        let (block, size, tag) = blocks.swap_remove(usize::try_from(state >> 8).unwrap() % live);
                        assert!((0..size).all(|at| block.add(at).read() == tag));
                        arena.dealloc(block, layout(size, 4));
                    }
                    live if choice == 1 && live > 0 => {
                        let (block, old, tag) = blocks.pop().unwrap();
                        let block = arena.realloc(block, layout(old, 4), size);
                        assert!((0..old.min(size)).all(|at| block.add(at).read() == tag));
                        block.write_bytes(tag, size);
                        blocks.push((block, size, tag));
                    }
                    _ => {
                        let block = arena.alloc(layout(size, 4));
                        block.write_bytes(tag, size);
                        blocks.push((block, size, tag));
                    }
                }
            }
        }
        for (block, size, _) in blocks {
            // SAFETY: as above.
            unsafe { arena.dealloc(block, layout(size, 4)) };
        }
    }
}
