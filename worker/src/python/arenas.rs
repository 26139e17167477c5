//! Memory for Python's small objects that costs fewer page faults.
//!
//! An import of an application touches its memory once, page by page, and each first touch is a page fault that costs
//! about as much as the import of a small function. This module cuts arenas from regions of 2 MiB and asks the kernel
//! to back these with huge pages. It keeps an arena that Python gives back for the next time: imports give the same
//! ones back and ask for them again hundreds of times.
//!
//! A child of a zygote that takes its first new region would get a whole huge page for a few objects: 2 MiB of its own,
//! where it writes to a quarter of that. So the first region that is taken after a fork has small pages, and the zygote
//! maps it ahead, so that the pages that children write to are noted and touched like all others.
//!
//! The two functions that set where arenas come from are public in every CPython, but not in the limited API: they are
//! looked up by name. If one is missing, Python keeps its own allocator. Python has started by then, and its earlier
//! arenas go back to where they came from.
//!
//! What the C library's `malloc` hands out (objects over 512 bytes, which is half of an import's memory) comes from its
//! heap, whose end moves page by page. In a process that answers one request and forks no child, and whose import is not
//! small, this module moves the end of the heap ahead, and asks for huge pages there too. If the heap does not move,
//! because another allocator or the operator's settings of this one are in use, nothing is changed.
//!
//! Builds without the global lock and debug builds do not load this module.

use std::ffi::{CStr, c_void};
use std::hint::black_box;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use pyo3::prelude::*;

/// The size of a huge page on machines that have them; elsewhere just a size.
const REGION: usize = 2 << 20;

/// How many bytes of free arenas keep their pages. Beyond that the pages go back to the system: a large response must
/// not leave its peak behind.
const KEPT: usize = 8 << 20;

/// By how much the end of the heap is moved.
const HEAP: usize = 4 << 20;

/// Whether this process imports, answers one request and ends. No child of a zygote is forked from it.
static ONE_REQUEST: AtomicBool = AtomicBool::new(false);

/// `PyObjectArenaAllocator`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Allocator {
    context: *mut c_void,
    allocate: Option<unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void>,
    release: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, usize)>,
}

// SAFETY: the context is Python's own, which it uses from every thread.
unsafe impl Send for Allocator {}
// SAFETY: as above; the structure is only read.
unsafe impl Sync for Allocator {}

/// Python's own allocator, for earlier arenas and for when there is no region.
static ORIGINAL: OnceLock<Allocator> = OnceLock::new();

struct Arenas {
    /// Which multiples of [`REGION`] are this module's, in order.
    regions: Vec<usize>,
    /// What is left of the newest region.
    unused: *mut u8,
    left: usize,
    /// A region of small pages that is taken before another is mapped.
    next: Option<*mut u8>,
    /// What Python has given back, with the sizes, and how many bytes of it still have their pages.
    free: Vec<(*mut u8, usize)>,
    kept: usize,
}

// SAFETY: the pointers are to anonymous memory that only this module hands out.
unsafe impl Send for Arenas {}

static ARENAS: Mutex<Arenas> = Mutex::new(Arenas {
    regions: Vec::new(),
    unused: null_mut(),
    left: 0,
    next: None,
    free: Vec::new(),
    kept: 0,
});

/// Makes Python take its further arenas from here. Returns whether it will.
pub(crate) fn install(_: Python<'_>) -> bool {
    let (Some(get), Some(set)) =
        (symbol(c"PyObject_GetArenaAllocator"), symbol(c"PyObject_SetArenaAllocator"))
    else {
        return false;
    };
    let mut original = Allocator { context: null_mut(), allocate: None, release: None };
    let mut own =
        Allocator { context: null_mut(), allocate: Some(allocate), release: Some(release) };
    // SAFETY: these names are CPython's, and have had these types since 3.4. Both functions copy
    // the structure. Python's lock is held, as it is wherever an arena is asked for.
    unsafe {
        type Access = unsafe extern "C" fn(*mut Allocator);
        let get = std::mem::transmute::<*mut c_void, Access>(get);
        let set = std::mem::transmute::<*mut c_void, Access>(set);
        get(&raw mut original);
        if original.allocate.is_none()
            || original.release.is_none()
            || ORIGINAL.set(original).is_err()
        {
            return false;
        }
        set(&raw mut own);
    }
    true
}

/// Before a zygote forks a child: maps the region that the child takes next.
pub(crate) fn expect_fork(_: Python<'_>) {
    if let Ok(mut arenas) = ARENAS.lock()
        && arenas.next.is_none()
        && !arenas.regions.is_empty()
    {
        arenas.next = map(REGION, false);
    }
}

/// Tells that this process answers one request, and that no child is forked that answers another.
pub(crate) fn expect_one_request() {
    ONE_REQUEST.store(true, Ordering::Relaxed);
}

fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name is a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

unsafe extern "C" fn allocate(_: *mut c_void, size: usize) -> *mut c_void {
    if let Some(arena) = ARENAS.lock().ok().and_then(|mut arenas| arenas.take(size)) {
        return arena.cast();
    }
    match ORIGINAL.get() {
        // SAFETY: it is called as Python would have called it.
        Some(Allocator { context, allocate: Some(allocate), .. }) => unsafe {
            allocate(*context, size)
        },
        _ => null_mut(),
    }
}

unsafe extern "C" fn release(_: *mut c_void, arena: *mut c_void, size: usize) {
    if let Ok(mut arenas) = ARENAS.lock()
        && arenas.has(arena)
    {
        arenas.give_back(arena.cast(), size);
        return;
    }
    if let Some(Allocator { context, release: Some(release), .. }) = ORIGINAL.get() {
        // SAFETY: the arena is in no region, so this function's counterpart made it.
        unsafe { release(*context, arena, size) };
    }
}

impl Arenas {
    fn take(&mut self, size: usize) -> Option<*mut u8> {
        if let Some(index) = self.free.iter().rposition(|(_, free)| *free == size) {
            self.kept = self.kept.saturating_sub(size);
            return Some(self.free.swap_remove(index).0);
        }
        if self.left < size {
            self.extend(size)?;
        }
        let arena = self.unused;
        // SAFETY: `size` bytes of the region are left.
        self.unused = unsafe { arena.add(size) };
        self.left -= size;
        Some(arena)
    }

    fn extend(&mut self, arena: usize) -> Option<()> {
        let size = arena.next_multiple_of(REGION);
        // For a small application, clearing huge pages would cost more than they save.
        let is_first = self.regions.is_empty();
        let one_request = ONE_REQUEST.load(Ordering::Relaxed);
        if one_request && !is_first {
            extend_heap();
        }
        let size = if is_first && !one_request { 2 * size } else { size };
        let next = if size == REGION { self.next.take() } else { None };
        self.unused = next.or_else(|| map(size, !is_first))?;
        self.left = if is_first && one_request { arena } else { size };
        let first = self.unused.addr() / REGION;
        let at = self.regions.partition_point(|region| *region < first);
        self.regions.splice(at..at, first..first + size / REGION);
        Some(())
    }

    /// Regions begin at multiples of their size, and no arena crosses the end of one mapping.
    fn has(&self, arena: *mut c_void) -> bool {
        self.regions.binary_search(&(arena.addr() / REGION)).is_ok()
    }

    fn give_back(&mut self, arena: *mut u8, size: usize) {
        if self.kept + size > KEPT {
            // SAFETY: the arena is this module's, and it is no longer used.
            unsafe { libc::madvise(arena.cast(), size, libc::MADV_DONTNEED) };
        }
        self.kept = (self.kept + size).min(KEPT);
        self.free.push((arena, size));
    }
}

/// A region that begins where a huge page can.
fn map(size: usize, huge: bool) -> Option<*mut u8> {
    // SAFETY: an anonymous mapping at no address in particular; what is cut off at its ends is
    // not in use yet.
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
        // Some systems give huge pages to everybody, others to nobody. A kernel without them is no error.
        #[cfg(target_os = "linux")]
        {
            let advice = if huge { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
            libc::madvise(start.cast(), size, advice);
        }
        Some(start)
    }
}

/// Moves the end of the C library's heap ahead, if it is near, with huge pages up to there.
fn extend_heap() {
    let Some(free) = free_end_of_heap() else { return };
    // SAFETY: both blocks are freed at once. The advice changes the contents of no page.
    unsafe {
        let end = libc::sbrk(0).addr();
        if end - free >= REGION {
            return;
        }
        // After this, the library takes blocks of this size from the heap, and does not give its end back at once.
        libc::free(black_box(libc::malloc(2 * HEAP)));
        libc::free(black_box(libc::malloc(HEAP)));
        let start = end.next_multiple_of(REGION);
        let length = (libc::sbrk(0).addr() & !(REGION - 1)).saturating_sub(start);
        #[cfg(target_os = "linux")]
        if length > 0 {
            libc::madvise(
                std::ptr::with_exposed_provenance_mut(start),
                length,
                libc::MADV_HUGEPAGE,
            );
        }
    }
}

/// Takes a block for small objects, and never uses it nor gives it back. Returns its address; None if there is no
/// memory.
pub(super) fn waste(_: Python<'_>, size: usize) -> Option<usize> {
    // SAFETY: Python's lock is held.
    Some(unsafe { pyo3::ffi::PyObject_Malloc(size) }.addr()).filter(|block| *block != 0)
}

/// Where the free memory at the end of the C library's heap begins.
#[cfg(target_env = "gnu")]
pub(super) fn free_end_of_heap() -> Option<usize> {
    // SAFETY: neither changes anything. mallinfo2 would need a newer C library.
    let (end, info) = unsafe { (libc::sbrk(0).addr(), libc::mallinfo()) };
    end.checked_sub(usize::try_from(info.keepcost).ok()?)
}

#[cfg(not(target_env = "gnu"))]
pub(super) fn free_end_of_heap() -> Option<usize> {
    None
}

/// Takes a block of the C library's below `end`, and never uses it nor gives it back. False if there is none.
pub(super) fn waste_below(end: usize, size: usize) -> bool {
    // SAFETY: the block is never used, and given back only if nothing else has it.
    unsafe {
        // The library has a word of its own before each block.
        let block = libc::malloc(size - size_of::<usize>());
        let is_below = !block.is_null() && block.addr() < end;
        if !is_below {
            libc::free(block);
        }
        is_below
    }
}
