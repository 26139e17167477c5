//! Memory that is touched before a request comes instead of during it.
//!
//! A forked child shares its zygote's pages until it writes to them, and each
//! first write is a fault and a copy. The pages that one request writes to are
//! nearly those that the next one will: a child that has served one notes
//! which pages became its own, and the children after it touch those as soon as
//! they are born.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

use libc::iovec;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::shared::Shared;

const PAGE: usize = 4096;

/// As many pages as are noted: 8 MiB. What an application writes to beyond
/// that, it writes to as it goes.
const MOST: usize = 2048;

/// As many ranges as one system call takes (`UIO_MAXIOV`).
const AT_ONCE: usize = 1024;

/// `/proc/self/pagemap`: the page is in memory.
const PRESENT: u64 = 1 << 63;
/// `/proc/self/pagemap`: nobody else has it.
const EXCLUSIVE: u64 = 1 << 56;

/// The states of [`Noted::state`].
const UNKNOWN: u32 = 0;
const LEARNING: u32 = 1;
const KNOWN: u32 = 2;

/// In memory that the zygote and its children share.
#[repr(C)]
struct Noted {
    state: AtomicU32,
    count: AtomicUsize,
    pages: [AtomicU64; MOST],
}

pub(super) struct Prefault(Shared<Noted>);

impl Prefault {
    pub(super) fn new() -> Option<Self> {
        // SAFETY: zeroes are valid atomics.
        unsafe { Shared::zeroed() }.map(Self)
    }

    /// For a child that has served the first request of all: notes its pages.
    pub(super) fn learn(&self) {
        let noted = &self.0;
        if noted.state.compare_exchange(UNKNOWN, LEARNING, SeqCst, SeqCst).is_err() {
            return;
        }
        // What was noted until it failed is good.
        let _ = noted.own_pages();
        noted.state.store(KNOWN, SeqCst);
    }

    /// For a child that was forked just now, and has one thread: makes the pages
    /// its own.
    pub(super) fn touch(&self) {
        let noted = &self.0;
        if noted.state.load(SeqCst) != KNOWN {
            return;
        }
        let mut runs: Vec<iovec> = Vec::with_capacity(MOST);
        let mut end = 0;
        for page in &noted.pages[..noted.count.load(SeqCst).min(MOST)] {
            let Ok(page) = usize::try_from(page.load(SeqCst)) else { continue };
            match runs.last_mut() {
                Some(run) if page == end => run.iov_len += PAGE,
                _ => {
                    let iov_base = std::ptr::with_exposed_provenance_mut(page);
                    runs.push(iovec { iov_base, iov_len: PAGE });
                }
            }
            end = page + PAGE;
        }
        touch_all(&runs);
    }
}

impl Noted {
    /// Notes the pages that this process shares with nobody, lowest first. It
    /// allocates little, which would be noted too.
    fn own_pages(&self) -> io::Result<()> {
        let map = File::open("/proc/self/pagemap")?;
        let mut entries = [0_u8; 4096];
        for (start, end) in private_ranges()? {
            let mut page = start;
            while page < end {
                let wanted = ((end - page) / PAGE * 8).min(entries.len());
                let read = map.read_at(&mut entries[..wanted], (page / PAGE * 8) as u64)?;
                if read < 8 {
                    break;
                }
                for entry in entries[..read].as_chunks().0 {
                    if u64::from_ne_bytes(*entry) & (PRESENT | EXCLUSIVE) == PRESENT | EXCLUSIVE {
                        let count = self.count.load(SeqCst);
                        let Some(place) = self.pages.get(count) else { return Ok(()) };
                        place.store(page as u64, SeqCst);
                        self.count.store(count + 1, SeqCst);
                    }
                    page += PAGE;
                }
            }
        }
        Ok(())
    }
}

/// Makes pages this process' own, as far as they are mapped in it: with one system call for many, where the kernel has
/// that (Linux 6.13), or with one for each run (5.14).
fn touch_all(mut runs: &[iovec]) {
    let Ok(me) = pidfd_open(getpid(), PidfdFlags::empty()) else { return touch_each(runs) };
    while !runs.is_empty() {
        match populate(&me, &runs[..runs.len().min(AT_ONCE)]) {
            Ok(mut bytes) => {
                while bytes > 0 && !runs.is_empty() {
                    bytes = bytes.saturating_sub(runs[0].iov_len);
                    runs = &runs[1..];
                }
            }
            Err(error) => match error.raw_os_error() {
                // What was mapped in that child need not be mapped in this one.
                Some(libc::ENOMEM | libc::EFAULT) => runs = &runs[1..],
                _ => return touch_each(runs),
            },
        }
    }
}

/// How many bytes of the first runs were populated.
fn populate(process: &OwnedFd, runs: &[iovec]) -> io::Result<usize> {
    let (number, advice) = (libc::SYS_process_madvise, libc::MADV_POPULATE_WRITE);
    // SAFETY: nothing in these pages changes, and the runs are valid.
    let done =
        unsafe { libc::syscall(number, process.as_raw_fd(), runs.as_ptr(), runs.len(), advice, 0) };
    match usize::try_from(done) {
        Ok(0) => Err(io::ErrorKind::Unsupported.into()),
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

fn touch_each(runs: &[iovec]) {
    for run in runs {
        // SAFETY: nothing in these pages changes.
        let done = unsafe { libc::madvise(run.iov_base, run.iov_len, libc::MADV_POPULATE_WRITE) };
        // Linux before 5.14: the pages are copied when they are written to, as without this.
        if done != 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
            return;
        }
    }
}

/// What this process can write to and no other sees, as addresses.
fn private_ranges() -> io::Result<Vec<(usize, usize)>> {
    let mut ranges = Vec::new();
    for line in BufReader::with_capacity(PAGE, fs::File::open("/proc/self/maps")?).lines() {
        ranges.extend(private_range(&line?));
    }
    Ok(ranges)
}

fn private_range(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, permissions) = (words.next()?, words.next()?);
    let (start, end) = range.split_once('-')?;
    let is_private = permissions.starts_with("rw") && permissions.ends_with('p');
    is_private.then_some(())?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two pages, the first of which is mapped: the way the kernel has, and the ways of older ones.
    #[test]
    fn what_is_mapped_is_touched_and_keeps_what_is_in_it() {
        for touch in [touch_all, touch_each] {
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
            let run = |first: usize, pages: usize| iovec {
                iov_base: start.wrapping_byte_add(first * PAGE),
                iov_len: pages * PAGE,
            };
            touch(&[run(0, 2), run(2, 1), run(3, 1)]);
            let mut present = [0_u8; 4];
            // SAFETY: both are pages of the mapping that are still there.
            unsafe {
                assert_eq!(libc::mincore(start, 2 * PAGE, present.as_mut_ptr()), 0);
                let last = start.byte_add(3 * PAGE);
                assert_eq!(libc::mincore(last, PAGE, present[3..].as_mut_ptr()), 0);
                assert_eq!(start.cast::<u8>().read(), 7);
                libc::munmap(start, 4 * PAGE);
            }
            assert_eq!(present, [1, 1, 0, 1]);
        }
    }

    #[test]
    fn a_range_is_private_and_can_be_written_to() {
        let line = "7f00-8000 rw-p 00000000 00:00 0 [heap]";
        assert_eq!(private_range(line), Some((0x7f00, 0x8000)));
        assert_eq!(private_range("7f00-8000 r--p 00000000 00:00 0"), None);
        assert_eq!(private_range("7f00-8000 rw-s 00000000 00:00 0"), None);
        assert_eq!(private_range("strange"), None);
    }
}
