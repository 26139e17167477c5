//! Fills the memory that is free between what the import has allocated, so that no child uses it.
//!
//! A child that allocates there writes to pages that also hold the application's objects, and each such page is copied.
//! So these holes are filled before the first fork, with blocks that are never used. What children allocate then lies
//! together, in pages that hold nothing else. This takes hardly any memory that the process did not already have, and a
//! hole that is not filled only costs time. Left out: a process in which `tracemalloc` counts blocks.

use pyo3::prelude::*;

use super::{arenas, finish};

/// The sizes of the blocks in Python's pools are multiples of this, up to the largest.
const CLASS: usize = 16;
const LARGEST: usize = 512;

/// This many bytes in a row, each block directly after the one before, are fresh memory and no hole.
const FRESH: usize = 4096;

/// What an allocator may keep between two adjacent blocks, in bytes.
const BETWEEN: usize = 32;

/// The most that is filled of each kind, in bytes: an application may have freed most of a large heap.
const MOST: usize = 16 << 20;

/// Fills the holes, unless `tracemalloc` would show that.
pub(crate) fn fill(py: Python<'_>) {
    if is_traced(py).unwrap_or(true) {
        return;
    }
    let mut left = MOST;
    for size in (CLASS..=LARGEST).step_by(CLASS) {
        fill_pools(py, size, &mut left);
    }
    fill_heap();
}

fn is_traced(py: Python<'_>) -> PyResult<bool> {
    finish::imported(py, "_tracemalloc")?
        .map_or(Ok(false), |tracer| tracer.call_method0("is_tracing")?.is_truthy())
}

/// Fills those in Python's pools of blocks of this size.
fn fill_pools(py: Python<'_>, size: usize, left: &mut usize) {
    let (mut row, mut end) = (0, 0);
    while row < FRESH && *left >= size {
        let Some(block) = arenas::waste(py, size) else { return };
        let is_next = block.checked_sub(end).is_some_and(|between| between <= BETWEEN);
        row = if is_next { row + size } else { 0 };
        end = block + size;
        *left -= size;
    }
}

/// Fills those that the C library has below the free end of its heap.
fn fill_heap() {
    let Some(end) = arenas::free_end_of_heap() else { return };
    let (mut size, mut filled) = (64 << 10, 0);
    while size >= CLASS && filled < MOST {
        if arenas::waste_below(end, size) {
            filled += size;
        } else {
            size = if size > 1024 { size / 2 } else { size - CLASS };
        }
    }
}
