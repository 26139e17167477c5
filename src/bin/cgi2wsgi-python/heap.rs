//! Python's small objects, in memory that is quick to touch.
//!
//! Importing an application touches its memory once, page by page, and each
//! first touch is a fault that costs about as much as the import of a small
//! function. Here arenas are cut from 2 MiB regions that the kernel is asked to
//! back with huge pages, and an arena that Python gives back is kept for the
//! next time: imports give the same ones back and ask for them again hundreds of
//! times. What the C library's `malloc` hands out (objects over 512 bytes) is
//! none of this module's business: tuning it changed nothing that was measured.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Mutex;

use pyo3::ffi;

/// What a huge page is on the machines that have them; elsewhere just a size.
const REGION: usize = 2 << 20;

/// Arenas that are kept with their pages, in bytes. Beyond it the pages go back
/// to the system: a large response must not leave its peak behind.
const KEPT: usize = 8 << 20;

struct Arenas {
    /// What is left of the newest region.
    fresh: *mut u8,
    left: usize,
    /// Whether there has been a region yet.
    begun: bool,
    /// What Python has given back, with their sizes, and how much of it has
    /// its pages still.
    free: Vec<(*mut u8, usize)>,
    kept: usize,
}

// SAFETY: the pointers are to anonymous memory that this alone hands out.
unsafe impl Send for Arenas {}

static ARENAS: Mutex<Arenas> =
    Mutex::new(Arenas { fresh: null_mut(), left: 0, begun: false, free: Vec::new(), kept: 0 });

/// Before Python starts, for it never asks again.
pub(crate) fn prepare() {
    let mut allocator =
        ffi::PyObjectArenaAllocator { ctx: null_mut(), alloc: Some(allocate), free: Some(release) };
    // SAFETY: Python has allocated nothing yet, and copies the structure.
    unsafe { ffi::PyObject_SetArenaAllocator(&raw mut allocator) };
}

extern "C" fn allocate(_: *mut c_void, size: usize) -> *mut c_void {
    let Ok(mut arenas) = ARENAS.lock() else { return null_mut() };
    if let Some(index) = arenas.free.iter().rposition(|(_, free)| *free == size) {
        arenas.kept = arenas.kept.saturating_sub(size);
        return arenas.free.swap_remove(index).0.cast();
    }
    if arenas.left < size {
        let region = size.next_multiple_of(REGION);
        // What a small application needs is less than it takes to clear huge pages.
        let (region, huge) = if arenas.begun { (region, true) } else { (2 * region, false) };
        let Some(start) = map(region, huge) else { return null_mut() };
        arenas.begun = true;
        (arenas.fresh, arenas.left) = (start, region);
    }
    let arena = arenas.fresh;
    // SAFETY: `size` bytes of the region are left.
    arenas.fresh = unsafe { arena.add(size) };
    arenas.left -= size;
    arena.cast()
}

extern "C" fn release(_: *mut c_void, arena: *mut c_void, size: usize) {
    let Ok(mut arenas) = ARENAS.lock() else { return };
    if arenas.kept + size > KEPT {
        // SAFETY: the arena is this module's, and nobody uses it any more.
        unsafe { libc::madvise(arena, size, libc::MADV_DONTNEED) };
    }
    arenas.kept = (arenas.kept + size).min(KEPT);
    arenas.free.push((arena.cast(), size));
}

/// A region that begins where a huge page can.
fn map(size: usize, huge: bool) -> Option<*mut u8> {
    // SAFETY: an anonymous mapping at no address in particular; what is cut off
    // at its ends is nobody's yet.
    unsafe {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let mapped = libc::mmap(null_mut(), size + REGION, protection, flags, -1, 0);
        if mapped == libc::MAP_FAILED {
            return None;
        }
        let mapped = mapped.cast::<u8>();
        let before = mapped.align_offset(REGION);
        let start = mapped.add(before);
        if before > 0 {
            libc::munmap(mapped.cast(), before);
        }
        libc::munmap(start.add(size).cast(), REGION - before);
        // A kernel without them, or told to give none, is no error.
        #[cfg(target_os = "linux")]
        if huge {
            libc::madvise(start.cast(), size, libc::MADV_HUGEPAGE);
        }
        Some(start)
    }
}
