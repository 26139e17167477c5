//! Memory that is touched before a request comes instead of during it.
//!
//! A forked child shares its zygote's pages until it writes to them, and each
//! first write is a fault and a copy. The pages that one request writes to are
//! nearly those that the next one will: a child that has served one notes
//! which pages became its own, and the children after it touch those while they
//! wait.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

use super::shared::Shared;

const PAGE: u64 = 4096;
const STEP: usize = 4096;

/// As many pages as are noted: 8 MiB. What an application writes to beyond
/// that, it writes to as it goes.
const MOST: usize = 2048;

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

pub(super) struct Faults(Shared<Noted>);

impl Faults {
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
        let pages = own_pages().unwrap_or_default();
        for (place, page) in noted.pages.iter().zip(&pages) {
            place.store(*page, SeqCst);
        }
        noted.count.store(pages.len().min(MOST), SeqCst);
        noted.state.store(KNOWN, SeqCst);
    }

    /// For a child that waits: makes the pages its own.
    pub(super) fn touch(&self) {
        let noted = &self.0;
        if noted.state.load(SeqCst) != KNOWN {
            return;
        }
        // What was mapped in that child need not be mapped in this one.
        let Some(ranges) = private_ranges() else { return };
        let pages = &noted.pages[..noted.count.load(SeqCst).min(MOST)];
        let pages = pages.iter().map(|page| page.load(SeqCst));
        let mapped =
            pages.filter(|page| ranges.iter().any(|(start, end)| (*start..*end).contains(page)));
        let mut run = None;
        for page in mapped {
            run = match run {
                Some((start, end)) if end == page => Some((start, page + PAGE)),
                before => {
                    touch_run(before);
                    Some((page, page + PAGE))
                }
            };
        }
        touch_run(run);
    }
}

/// Makes pages that follow one another this process' own, if they are
/// readable and writable: with one system call where the kernel has it.
fn touch_run(run: Option<(u64, u64)>) {
    let Some((start, end)) = run else { return };
    let Ok(length) = usize::try_from(end - start) else { return };
    let Ok(address) = usize::try_from(start) else { return };
    let first = std::ptr::with_exposed_provenance_mut::<u8>(address);
    // SAFETY: nothing in these pages changes.
    if unsafe { libc::madvise(first.cast(), length, libc::MADV_POPULATE_WRITE) } == 0 {
        return;
    }
    for page in (0..length).step_by(STEP) {
        // SAFETY: the pages are mapped, readable and writable, and this is the
        // only thread: it writes what it has read.
        unsafe {
            let byte = first.add(page);
            byte.write_volatile(byte.read_volatile());
        }
    }
}

/// The pages that this process shares with nobody, lowest first.
fn own_pages() -> Option<Vec<u64>> {
    let map = fs::File::open("/proc/self/pagemap").ok()?;
    let mut pages = Vec::new();
    let mut entries = vec![0_u8; 64 << 10];
    for (start, end) in private_ranges()? {
        let mut page = start;
        while page < end && pages.len() < MOST {
            let wanted = usize::try_from((end - page) / PAGE * 8).ok()?.min(entries.len());
            let read = map.read_at(&mut entries[..wanted], page / PAGE * 8).ok()? / 8 * 8;
            if read == 0 {
                break;
            }
            for entry in entries[..read].chunks_exact(8) {
                let entry = u64::from_ne_bytes(entry.try_into().ok()?);
                if entry & (PRESENT | EXCLUSIVE) == PRESENT | EXCLUSIVE {
                    pages.push(page);
                }
                page += PAGE;
            }
        }
    }
    Some(pages)
}

/// What this process can write to and no other sees, as addresses.
fn private_ranges() -> Option<Vec<(u64, u64)>> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let ranges = maps.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (range, permissions) = (words.next()?, words.next()?);
        let (start, end) = range.split_once('-')?;
        let is_private = permissions.starts_with("rw") && permissions.ends_with('p');
        is_private.then_some(())?;
        Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
    });
    Some(ranges.collect())
}
