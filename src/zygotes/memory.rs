//! Memory that a zygote shares with all its children, and how a process gets its own copies of pages.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use libc::iovec;

/// Where all [`SharedNumbers`] of this process begin.
static STARTS: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Whether this is the address of [`SharedNumbers`].
pub fn is_shared_numbers(start: usize) -> bool {
    STARTS.lock().is_ok_and(|starts| starts.contains(&start))
}

/// Numbers in memory that a process shares with all its children, as long as any of them lives. They are zero at first.
pub struct SharedNumbers {
    start: NonNull<AtomicU64>,
    count: usize,
}

impl SharedNumbers {
    /// `count` numbers; nothing if the system gives no memory.
    pub fn new(count: usize) -> Option<Self> {
        // SAFETY: an anonymous mapping at no address in particular, of whole pages and zeroed. It is never unmapped.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                count * size_of::<AtomicU64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let start = NonNull::new(memory.cast()).filter(|_| memory != libc::MAP_FAILED)?;
        STARTS.lock().ok()?.push(memory.expose_provenance());
        Some(Self { start, count })
    }
}

impl Deref for SharedNumbers {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: as many are mapped, zeroes are valid atomics, and nothing reads them as another type.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

/// A run of pages, by addresses in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Where it begins.
    pub start: usize,
    /// How long it is.
    pub length: usize,
}

impl Run {
    fn as_iovec(self) -> iovec {
        iovec { iov_base: std::ptr::with_exposed_provenance_mut(self.start), iov_len: self.length }
    }
}

/// What pages are touched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To map them.
    Read,
    /// To map copies of this process' own. Their content stays.
    Write,
}

impl Access {
    const fn advice(self) -> i32 {
        match self {
            Self::Read => libc::MADV_POPULATE_READ,
            Self::Write => libc::MADV_POPULATE_WRITE,
        }
    }
}

/// Touches pages of this process, with one system call for many runs (Linux 6.13). Returns how many bytes were touched,
/// from the first run on.
pub fn populate_all(process: &OwnedFd, runs: &[Run], access: Access) -> io::Result<usize> {
    let runs: Vec<iovec> = runs.iter().map(|run| run.as_iovec()).collect();
    let (number, advice) = (libc::SYS_process_madvise, access.advice());
    // SAFETY: nothing in these pages changes; what is not mapped is an error.
    let done =
        unsafe { libc::syscall(number, process.as_raw_fd(), runs.as_ptr(), runs.len(), advice, 0) };
    match usize::try_from(done) {
        Ok(0) => Err(io::ErrorKind::Unsupported.into()),
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// The same for one run (Linux 5.14).
pub fn populate(run: Run, access: Access) -> io::Result<()> {
    let run = run.as_iovec();
    // SAFETY: as above.
    match unsafe { libc::madvise(run.iov_base, run.iov_len, access.advice()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What may be done with the pages of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protection {
    /// Read.
    pub reads: bool,
    /// Written to.
    pub writes: bool,
    /// Run.
    pub executes: bool,
}

/// Writes what is mapped there into a file. What is not mapped, or beyond the end of its file, is not written.
pub fn write_mapped(file: &OwnedFd, run: Run, offset: u64) -> io::Result<()> {
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let run = run.as_iovec();
    // SAFETY: the kernel alone reads the pages; those that it cannot read are an error, or end the writing.
    match unsafe { libc::pwrite(file.as_raw_fd(), run.iov_base, run.iov_len, offset) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Replaces a mapping by a shared one of another file. To be used if that file has the same content as the mapping.
pub fn map_over(run: Run, protection: Protection, file: &OwnedFd, offset: u64) -> io::Result<()> {
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let Protection { reads, writes, executes } = protection;
    let flag = |is_set: bool, flag: i32| if is_set { flag } else { 0 };
    let protection = flag(reads, libc::PROT_READ)
        | flag(writes, libc::PROT_WRITE)
        | flag(executes, libc::PROT_EXEC);
    let flags = libc::MAP_SHARED | libc::MAP_FIXED;
    let run = run.as_iovec();
    // SAFETY: the run is mapped, and a pointer into it finds the same content as before.
    let mapped = unsafe {
        libc::mmap(run.iov_base, run.iov_len, protection, flags, file.as_raw_fd(), offset)
    };
    if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::SeqCst;

    use rustix::process::{PidfdFlags, getpid, pidfd_open};

    use super::*;
    use crate::system::{Fork, fork, wait_for};

    #[test]
    fn what_a_child_writes_there_is_seen() {
        let numbers = SharedNumbers::new(3).expect("memory");
        assert!(numbers.iter().all(|number| number.load(SeqCst) == 0));
        match fork().expect("a child") {
            Fork::Child => {
                numbers[2].store(7, SeqCst);
                crate::system::exit_now(0);
            }
            Fork::Parent(child) => assert!(wait_for(child).expect("it ends").success()),
        }
        assert_eq!(numbers[2].load(SeqCst), 7);
    }

    /// With four pages, of which the third is not mapped.
    #[test]
    fn what_is_mapped_is_populated_and_keeps_what_is_in_it() {
        const PAGE: usize = 4096;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of four pages, of which the third is taken away.
        let start = unsafe {
            let start = libc::mmap(std::ptr::null_mut(), 4 * PAGE, protection, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            start.cast::<u8>().write(7);
            assert_eq!(libc::munmap(start.byte_add(2 * PAGE), PAGE), 0);
            start
        };
        let at = start.expose_provenance();
        let run =
            |first: usize, pages: usize| Run { start: at + first * PAGE, length: pages * PAGE };
        let me = pidfd_open(getpid(), PidfdFlags::empty()).expect("a hold of oneself");
        let is_absent = |error: io::Error| error.raw_os_error() == Some(libc::ENOMEM);
        // Older kernels know neither call; the caller handles that.
        let is_known = |error: &io::Error| {
            !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EPERM))
        };
        if populate(run(0, 2), Access::Write).err().is_none_or(|error| is_known(&error)) {
            assert!(populate(run(2, 1), Access::Write).is_err_and(is_absent));
            assert!(populate(run(3, 1), Access::Write).is_ok());
        }
        if populate_all(&me, &[run(0, 2)], Access::Write).err().is_none_or(|error| is_known(&error))
        {
            assert_eq!(
                populate_all(&me, &[run(0, 2), run(3, 1)], Access::Write).expect("populated"),
                3 * PAGE
            );
        }
        // SAFETY: the first page is mapped.
        assert_eq!(unsafe { start.cast::<u8>().read() }, 7);
    }
}
