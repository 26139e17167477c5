//! Memory that is touched before a request comes instead of during it.
//!
//! A forked child shares its zygote's pages until it writes to them, and each
//! first write is a fault and a copy. The pages that one request writes to are
//! nearly those that the next one will: a child that has served one notes
//! which pages became its own, and the children after it touch those as soon as
//! they are born.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering::SeqCst;

use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::memory::{Run, SharedNumbers, populate, populate_all};

const PAGE: usize = 4096;

/// As many pages as are noted: 8 MiB. What an application writes to beyond
/// that, it writes to as it goes.
const MOST: usize = 2048;

/// As many ranges as one system call takes (`UIO_MAXIOV`).
const AT_ONCE: usize = 1024;

/// `/proc/self/pagemap`: the page is in memory.
const PRESENT: u64 = 1 << 63;
/// `/proc/self/pagemap`: no other process has it.
const EXCLUSIVE: u64 = 1 << 56;

/// The states.
const UNKNOWN: u64 = 0;
const LEARNING: u64 = 1;
const KNOWN: u64 = 2;

/// Where in the shared numbers is what: the state, the count of pages, the pages.
const STATE: usize = 0;
const COUNT: usize = 1;
const PAGES: usize = 2;

/// The pages that requests write to, as one child has noted them.
pub struct Prefault(SharedNumbers);

impl Prefault {
    /// Nothing is noted; nothing if the system gives no memory.
    pub fn new() -> Option<Self> {
        SharedNumbers::new(PAGES + MOST).map(Self)
    }

    /// For a child that has served the first request of all: notes its pages.
    pub fn learn(&self) {
        if self.0[STATE].compare_exchange(UNKNOWN, LEARNING, SeqCst, SeqCst).is_err() {
            return;
        }
        // What was noted until it failed is good.
        let _ = self.note_own_pages();
        self.0[STATE].store(KNOWN, SeqCst);
    }

    /// For a child that was forked just now, and has one thread: makes the pages its own.
    pub fn touch(&self) {
        if self.0[STATE].load(SeqCst) != KNOWN {
            return;
        }
        let mut runs: Vec<Run> = Vec::with_capacity(MOST);
        let count = usize::try_from(self.0[COUNT].load(SeqCst)).unwrap_or(MOST).min(MOST);
        for page in &self.0[PAGES..PAGES + count] {
            let Ok(page) = usize::try_from(page.load(SeqCst)) else { continue };
            match runs.last_mut() {
                Some(run) if page == run.start + run.length => run.length += PAGE,
                _ => runs.push(Run { start: page, length: PAGE }),
            }
        }
        touch_all(&runs);
    }

    /// Notes the pages that this process shares with no other, lowest first. It allocates little, which would be noted too.
    fn note_own_pages(&self) -> io::Result<()> {
        let map = File::open("/proc/self/pagemap")?;
        let mut entries = [0_u8; 4096];
        let mut free = self.0[PAGES..].iter();
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
                        let Some(place) = free.next() else { return Ok(()) };
                        place.store(page as u64, SeqCst);
                        self.0[COUNT].fetch_add(1, SeqCst);
                    }
                    page += PAGE;
                }
            }
        }
        Ok(())
    }
}

/// Makes pages this process' own, as far as they are mapped in it. Where the kernel has no call for that they are
/// copied when they are written to, as without this.
fn touch_all(mut runs: &[Run]) {
    let Ok(me) = pidfd_open(getpid(), PidfdFlags::empty()) else { return touch_each(runs) };
    while !runs.is_empty() {
        match populate_all(&me, &runs[..runs.len().min(AT_ONCE)]) {
            Ok(mut bytes) => {
                while bytes > 0 && !runs.is_empty() {
                    bytes = bytes.saturating_sub(runs[0].length);
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

fn touch_each(runs: &[Run]) {
    for run in runs {
        if populate(*run).is_err_and(|error| error.raw_os_error() == Some(libc::EINVAL)) {
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

    #[test]
    fn pages_that_were_written_to_are_noted_and_can_be_touched() {
        let prefault = Prefault::new().expect("memory");
        prefault.touch();
        let written = vec![1_u8; 8 * PAGE];
        prefault.learn();
        // Where the system tells of no pages, none are noted.
        let count = prefault.0[COUNT].load(SeqCst);
        assert!(count <= MOST as u64);
        prefault.touch();
        assert!(written.iter().all(|byte| *byte == 1));
        prefault.learn();
        assert_eq!(prefault.0[COUNT].load(SeqCst), count, "it learns once");
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
