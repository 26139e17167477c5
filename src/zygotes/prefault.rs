//! Memory that is touched before a request comes instead of during it.
//!
//! A forked child shares its zygote's pages until it writes to them, and each first write is a fault and a copy. Two
//! requests write to nearly the same pages. So a child that has served a request notes which pages became its own, and
//! later children touch these right after the fork. Some later children note which other pages became their own: the
//! zygote runs code between two forks, after which a child writes to up to 20 other pages.
//!
//! A fork does not copy the page tables of files that are only read: a child has a fault for each 64 KiB of Python's
//! code that it runs. These blocks are noted too.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::memory::{Access, Run, SharedNumbers, populate, populate_all};

const PAGE: usize = 4096;

/// The most pages that are noted: 8 MiB. Further pages have their faults during the request.
const MOST: usize = 2048;

/// The most blocks of files that are noted: 32 MiB.
const MOST_BLOCKS: usize = 512;

/// How much of a file the kernel maps at one fault, if it can.
const BLOCK: usize = 16 * PAGE;

/// The most ranges that one system call takes (`UIO_MAXIOV`).
const AT_ONCE: usize = 1024;

/// `/proc/self/pagemap`: the page is in memory.
const PRESENT: u64 = 1 << 63;
/// `/proc/self/pagemap`: no other process has it.
const EXCLUSIVE: u64 = 1 << 56;

/// How many requests have ended when pages are noted. What is noted stays, and what is new is added.
const NOTED_AFTER: [u64; 4] = [1, 4, 16, 64];

/// The layout of the shared numbers: how many requests have ended, whether a child is noting its pages, and the lists of
/// pages and of blocks.
const ENDED: usize = 0;
const IS_NOTING: usize = 1;
const WRITTEN: List = List { counts: 2, start: 4, most: MOST, unit: PAGE };
const READ: List = List { counts: 4 + MOST, start: 6 + MOST, most: MOST_BLOCKS, unit: BLOCK };
const NUMBERS: usize = 6 + MOST + MOST_BLOCKS;

/// A list of pages among the shared numbers. Those that the first child has noted are in order.
#[derive(Clone, Copy)]
struct List {
    /// Where the count of all of them is, and behind it that of those in order.
    counts: usize,
    /// Where the list begins, and its greatest length.
    start: usize,
    most: usize,
    /// One page is noted for so many bytes.
    unit: usize,
}

/// The pages that requests write to, as a few children have noted them.
pub struct Prefault(SharedNumbers);

impl Prefault {
    /// No pages are noted yet. `None`: the system gives no memory.
    pub fn new() -> Option<Self> {
        SharedNumbers::new(NUMBERS).map(Self)
    }

    /// For a child that has served a request: notes its pages, if it is one of those that do.
    pub fn learn(&self) {
        let ended = self.0[ENDED].fetch_add(1, SeqCst) + 1;
        if NOTED_AFTER.contains(&ended) && self.0[IS_NOTING].swap(1, SeqCst) == 0 {
            // After an error, what was noted before it is still valid.
            let _ = self.note_own_pages();
            self.0[IS_NOTING].store(0, SeqCst);
        }
    }

    /// For a child that was forked just now, and has one thread: makes the pages its own.
    pub fn touch(&self) {
        touch_all(&self.runs(READ), Access::Read);
        touch_all(&self.runs(WRITTEN), Access::Write);
    }

    /// The pages of a list.
    fn runs(&self, list: List) -> Vec<Run> {
        let noted = self.noted(list);
        let mut runs: Vec<Run> = Vec::with_capacity(noted.len());
        for page in noted {
            let Ok(page) = usize::try_from(page.load(SeqCst)) else { continue };
            match runs.last_mut() {
                Some(run) if page == run.start + run.length => run.length += PAGE,
                _ => runs.push(Run { start: page, length: PAGE }),
            }
        }
        runs
    }

    fn noted(&self, list: List) -> &[AtomicU64] {
        let count = self.0[list.counts].load(SeqCst);
        let all = &self.0[list.start..][..list.most];
        &all[..usize::try_from(count).unwrap_or(list.most).min(list.most)]
    }

    /// Notes the pages that this process shares with no other, lowest first, and which blocks of files it has used. It
    /// allocates little, because its memory would be noted too.
    fn note_own_pages(&self) -> io::Result<()> {
        let map = File::open("/proc/self/pagemap")?;
        let mut entries = [0_u8; 4096];
        let before = [WRITTEN, READ].map(|list| self.noted(list));
        for (Range { start, end }, kind) in ranges()? {
            let mut page = start;
            while page < end {
                let wanted = ((end - page) / PAGE * 8).min(entries.len());
                let read = map.read_at(&mut entries[..wanted], (page / PAGE * 8) as u64)?;
                if read < 8 {
                    break;
                }
                for entry in entries[..read].as_chunks().0 {
                    let entry = u64::from_ne_bytes(*entry);
                    match kind {
                        Kind::Written if entry & (PRESENT | EXCLUSIVE) == PRESENT | EXCLUSIVE => {
                            self.note(WRITTEN, page, before[0]);
                        }
                        Kind::Read if entry & PRESENT != 0 => self.note(READ, page, before[1]),
                        _ => {}
                    }
                    page += PAGE;
                }
            }
        }
        for list in [WRITTEN, READ] {
            let count = self.noted(list).len() as u64;
            let _ = self.0[list.counts + 1].compare_exchange(0, count, SeqCst, SeqCst);
        }
        Ok(())
    }

    /// Notes one more page, if there is room for it, and no page of its unit is noted. `before` are those that were
    /// noted before this process began to.
    fn note(&self, list: List, page: usize, before: &[AtomicU64]) {
        let unit = (page / list.unit) as u64;
        let unit_of = |noted: &AtomicU64| noted.load(SeqCst) / list.unit as u64;
        let in_order = usize::try_from(self.0[list.counts + 1].load(SeqCst)).unwrap_or(usize::MAX);
        let (in_order, added) = before.split_at(in_order.min(before.len()));
        let noted = self.noted(list);
        if noted.last().is_some_and(|last| unit_of(last) == unit)
            || in_order.binary_search_by_key(&unit, unit_of).is_ok()
            || added.iter().any(|noted| unit_of(noted) == unit)
        {
            return;
        }
        if noted.len() < list.most {
            self.0[list.start + noted.len()].store(page as u64, SeqCst);
            self.0[list.counts].fetch_add(1, SeqCst);
        }
    }
}

/// Touches the pages that are mapped in this process. If the kernel has no call for that, nothing is done, and each
/// page has its fault when it is needed.
fn touch_all(mut runs: &[Run], access: Access) {
    let Ok(me) = pidfd_open(getpid(), PidfdFlags::empty()) else { return touch_each(runs, access) };
    while !runs.is_empty() {
        match populate_all(&me, &runs[..runs.len().min(AT_ONCE)], access) {
            Ok(mut bytes) => {
                while bytes > 0 && !runs.is_empty() {
                    bytes = bytes.saturating_sub(runs[0].length);
                    runs = &runs[1..];
                }
            }
            Err(error) => match error.raw_os_error() {
                // What was mapped in the child that noted it need not be mapped in this one.
                Some(libc::ENOMEM | libc::EFAULT) => runs = &runs[1..],
                _ => return touch_each(runs, access),
            },
        }
    }
}

fn touch_each(runs: &[Run], access: Access) {
    for run in runs {
        if populate(*run, access).is_err_and(|error| error.raw_os_error() == Some(libc::EINVAL)) {
            return;
        }
    }
}

/// What is noted of a part of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// This process can write to it, and no other sees it.
    Written,
    /// It belongs to a file, and is only read or executed.
    Read,
}

/// The parts of memory of which something is noted, as addresses.
fn ranges() -> io::Result<Vec<(Range<usize>, Kind)>> {
    let mut ranges = Vec::new();
    for line in BufReader::with_capacity(PAGE, fs::File::open("/proc/self/maps")?).lines() {
        ranges.extend(range(&line?));
    }
    Ok(ranges)
}

fn range(line: &str) -> Option<(Range<usize>, Kind)> {
    let mut words = line.split_ascii_whitespace();
    let (range, permissions) = (words.next()?, words.next()?);
    let (start, end) = range.split_once('-')?;
    let kind = match permissions {
        _ if permissions.starts_with("rw") && permissions.ends_with('p') => Kind::Written,
        // The kernel's own code, which has no path, is mapped in every process.
        "r-xp" | "r--p" if line.contains('/') => Kind::Read,
        _ => return None,
    };
    Some((usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?, kind))
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
        let count = prefault.noted(WRITTEN).len();
        prefault.touch();
        assert!(written.iter().all(|byte| *byte == 1));
        prefault.learn();
        assert_eq!(prefault.noted(WRITTEN).len(), count, "the second child notes none");
    }

    #[test]
    fn a_later_child_adds_what_is_new() {
        let prefault = Prefault::new().expect("memory");
        prefault.learn();
        let before = prefault.noted(WRITTEN).len();
        let new = vec![1_u8; 64 * PAGE];
        for _ in 1..4 {
            prefault.learn();
        }
        let mut pages: Vec<u64> =
            prefault.noted(WRITTEN).iter().map(|page| page.load(SeqCst)).collect();
        pages.sort_unstable();
        assert!(pages.windows(2).all(|pair| pair[0] < pair[1]), "no page is noted twice");
        let new = new.as_ptr().addr() as u64..(new.as_ptr().addr() + 64 * PAGE) as u64;
        let found = pages.iter().filter(|page| new.contains(page)).count();
        // Where the system tells of no pages, none are noted.
        assert!(before == 0 || found >= 63 || pages.len() == MOST, "{found} of {}", pages.len());
    }

    #[test]
    fn code_that_has_run_is_noted() {
        let prefault = Prefault::new().expect("memory");
        prefault.learn();
        let blocks = prefault.runs(READ);
        let here = code_that_has_run_is_noted as fn() as usize / BLOCK;
        // Where the system tells of no pages, none are noted.
        assert!(blocks.is_empty() || blocks.iter().any(|run| run.start / BLOCK == here));
    }

    #[test]
    fn what_is_noted_of_a_range_depends_on_what_can_be_done_with_it() {
        let line = "7f00-8000 rw-p 00000000 00:00 0 [heap]";
        assert_eq!(range(line), Some((0x7f00..0x8000, Kind::Written)));
        let line = "7f00-8000 r-xp 00000000 08:01 7 /usr/bin/python3.11";
        assert_eq!(range(line), Some((0x7f00..0x8000, Kind::Read)));
        assert_eq!(range("7f00-8000 r-xp 00000000 00:00 0 [vdso]"), None);
        assert_eq!(range("7f00-8000 r--p 00000000 00:00 0"), None);
        assert_eq!(range("7f00-8000 rw-s 00000000 00:00 0"), None);
        assert_eq!(range("strange"), None);
    }
}
