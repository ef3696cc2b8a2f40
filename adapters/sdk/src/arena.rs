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
const SIZE: usize = 768 * 1024;

#[global_allocator]
static ARENA: Arena = Arena { memory: Memory(UnsafeCell::new([0; SIZE])), used: Cell::new(0) };

struct Arena {
    memory: Memory,
    /// What lies below this offset is handed out.
    used: Cell<usize>,
}

#[repr(align(16))]
struct Memory(UnsafeCell<[u8; SIZE]>);

// SAFETY: a component built for wasm32-unknown-unknown without the atomics feature has one thread.
unsafe impl Sync for Arena {}

impl Arena {
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
