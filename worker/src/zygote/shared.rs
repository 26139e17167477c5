//! Memory that a zygote and all of its children see.

use std::ops::Deref;
use std::ptr::NonNull;

/// A value in it, for as long as any of them lives.
pub(super) struct Shared<T>(NonNull<T>);

impl<T> Shared<T> {
    /// A value of zeroes.
    ///
    /// # Safety
    ///
    /// Zeroes must be a valid `T`, and a `T` must be made of atomics.
    pub(super) unsafe fn zeroed() -> Option<Self> {
        // SAFETY: an anonymous mapping at no address in particular, of whole
        // pages and zeroed.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<T>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        (memory != libc::MAP_FAILED).then(|| NonNull::new(memory.cast())).flatten().map(Self)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: it is mapped, is never unmapped, and is a valid T.
        unsafe { self.0.as_ref() }
    }
}
