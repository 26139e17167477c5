//! Memory that is left between what the import has allocated.
//!
//! A child that allocates there writes to pages that hold the application's
//! objects too, and each becomes a copy of its own. Here such holes are filled
//! before the first fork, with blocks that nobody uses: what children allocate
//! then lies together, in pages that hold nothing else. A Django request writes
//! to a fifth fewer pages by that. It takes hardly any memory that was not the
//! process' already, and whatever is not filled is only slower.

use pyo3::ffi;

/// Blocks that Python hands out from pools of their own have multiples of this
/// size, up to the largest.
const CLASS: usize = 16;
const LARGEST: usize = 512;

/// So many bytes in a row, each block behind the one before, are no hole.
const FRESH: usize = 4096;

/// What an allocator may keep between two blocks in a row, in bytes.
const BETWEEN: usize = 32;

/// As much is filled at most, in bytes, of each kind: an application may have
/// freed most of a large heap.
const MOST: usize = 16 << 20;

/// Fills them. The interpreter's lock is held.
pub(super) fn fill() {
    let mut left = MOST;
    for size in (CLASS..=LARGEST).step_by(CLASS) {
        fill_pools(size, &mut left);
    }
    fill_heap();
}

/// Those in Python's pools of blocks of this size.
fn fill_pools(size: usize, left: &mut usize) {
    let (mut row, mut end) = (0, 0);
    while row < FRESH && *left >= size {
        // SAFETY: the lock is held; the block is never used, nor given back.
        let block = unsafe { ffi::PyObject_Malloc(size) }.addr();
        if block == 0 {
            return;
        }
        let is_next = block.checked_sub(end).is_some_and(|between| between <= BETWEEN);
        row = if is_next { row + size } else { 0 };
        end = block + size;
        *left -= size;
    }
}

/// Those that the C library has below the free end of its heap.
#[cfg(target_env = "gnu")]
fn fill_heap() {
    // SAFETY: neither changes anything. mallinfo2 would need a newer C library.
    let (end, info) = unsafe { (libc::sbrk(0).addr(), libc::mallinfo()) };
    let top = end.saturating_sub(usize::try_from(info.keepcost).unwrap_or_default());
    let (mut size, mut filled) = (64 << 10, 0);
    while size >= CLASS && filled < MOST {
        // SAFETY: the block is never used, and given back only if it is in no hole.
        unsafe {
            // The library has a word of its own before each block.
            let block = libc::malloc(size - size_of::<usize>());
            if !block.is_null() && block.addr() < top {
                filled += size;
                continue;
            }
            libc::free(block);
        }
        size = if size > 1024 { size / 2 } else { size - CLASS };
    }
}

#[cfg(not(target_env = "gnu"))]
fn fill_heap() {}
