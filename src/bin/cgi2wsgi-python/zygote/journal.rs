//! What the zygote tells: its status file, the log of all zygotes, and what
//! the import wrote to standard error, which is for the request that caused it.
//!
//! None of it is needed to answer a request: where it cannot be written, it is
//! not.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use cgi2wsgi::handoff::Handoff;
use cgi2wsgi::report;
use cgi2wsgi::warm::log::Log;
use cgi2wsgi::warm::place::Place;
use cgi2wsgi::warm::start::Start;
use cgi2wsgi::warm::status::{self, Phase, Status};
use pyo3::prelude::*;

use super::shared::Shared;

/// How often the status is written at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// How much of what an import wrote is passed on, in bytes.
const LARGEST_IMPORT: u64 = 64 << 10;

/// Where [`note`] writes, and whose name it does it in.
static LOG: OnceLock<(Log, String)> = OnceLock::new();

/// A line in the log of all zygotes.
pub(super) fn note(text: &str) {
    let pid = std::process::id();
    let written = LOG.get().map(|(log, application)| log.write(pid, application, text));
    if !matches!(written, Some(Ok(()))) {
        report::zygote(pid, text);
    }
}

/// What the zygote and its children see at once.
struct Common {
    /// Whether a request has got what the import wrote.
    passed_on: AtomicU32,
    /// How many children that wait should leave.
    surplus: AtomicU32,
}

pub(super) struct Journal {
    status: Status,
    file: PathBuf,
    /// Of the file as it was last written: another zygote's has another.
    inode: u64,
    written: Instant,
    is_due: bool,
    common: Option<Shared<Common>>,
    import: PathBuf,
    /// What standard error is while the application is imported.
    captured: Option<File>,
    /// What the import wrote.
    said: Vec<u8>,
    /// What standard error is otherwise.
    stderr: Option<File>,
}

impl Journal {
    /// Begins both, and takes standard error for what the import writes.
    pub(super) fn begin(handoff: &Handoff, start: &Start) -> io::Result<Self> {
        let place = Place::at(start.place.clone()).map_err(io::Error::other)?;
        let name = start.identity.name();
        let _ = LOG.set((Log::new(&place), status::shown(&handoff.application)));
        let file = place.status(&name);
        let last = Status::read(&file);
        let status = Status::begin(&handoff.application, last.as_ref(), &start.why);
        let why = status.last_restarts.last().map_or(start.why.as_str(), |last| last.why.as_str());
        note(&format!("starts: {why}"));
        let mut journal = Self {
            inode: status.write(&file).unwrap_or_default(),
            status,
            file,
            written: Instant::now(),
            is_due: false,
            // SAFETY: zeroes are valid atomics.
            common: unsafe { Shared::zeroed() },
            import: place.import(&name),
            captured: None,
            said: Vec::new(),
            stderr: None,
        };
        journal.capture();
        Ok(journal)
    }

    /// Until [`Self::imported`] standard error is a file of this zygote's own:
    /// one with a name, so that it is found if the import takes the zygote along.
    fn capture(&mut self) {
        if let Ok(left) = std::fs::read(&self.import)
            && !left.is_empty()
        {
            note("the one before was gone while it imported, after it had written:");
            note(&String::from_utf8_lossy(&left));
        }
        let opened = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_TRUNC)
            .open(&self.import);
        if let Ok(file) = opened
            && become_stderr(&file).is_ok()
        {
            self.captured = Some(file);
        }
    }

    /// The import is over: what it wrote goes to the log, and to the first
    /// request.
    pub(super) fn imported(&mut self, py: Python<'_>) {
        flush(py);
        let log = LOG.get().and_then(|(log, _)| log.open().ok());
        if let Some(log) = log
            && become_stderr(&log).is_ok()
        {
            self.stderr = Some(log);
        }
        if let Some(mut file) = self.captured.take() {
            let read = file
                .rewind()
                .and_then(|()| (&mut file).take(LARGEST_IMPORT).read_to_end(&mut self.said));
            if read.is_ok_and(|length| length > 0) {
                note(&String::from_utf8_lossy(&self.said));
            }
            let _ = std::fs::remove_file(&self.import);
        }
    }

    /// What the import wrote, for the request whose standard error this
    /// process has by now, unless another has got it.
    pub(super) fn pass_on(&self) {
        let common = self.common.as_deref().filter(|_| !self.said.is_empty());
        if common.is_some_and(|common| common.passed_on.swap(1, SeqCst) == 0) {
            let _ = io::stderr().write_all(&self.said);
        }
    }

    /// From here on children answer, or everything is served cold.
    pub(super) fn enter(&mut self, phase: Phase) {
        match &phase {
            Phase::Importing => {}
            Phase::Ready => note("is ready"),
            Phase::Cold(why) => note(&format!("serves nobody: {why}")),
            Phase::Ended(why) => {
                note(&format!("ends after {} request(s): {why}", self.status.requests));
                self.status.waiting = 0;
            }
        }
        self.status.phase = phase;
        self.write();
    }

    /// Why it is as it is, if that is not as it should be.
    pub(super) fn remark(&mut self, remark: Option<&str>) {
        if self.status.remark.as_deref() != remark {
            self.status.remark = remark.map(str::to_owned);
            self.is_due = true;
        }
    }

    /// The numbers of this moment. Writes them, unless it has just done so.
    pub(super) fn update(&mut self, requests: u64, waiting: usize, busy: usize) {
        let status = &mut self.status;
        if (status.requests, status.waiting, status.busy) != (requests, waiting, busy) {
            (status.requests, status.waiting, status.busy) = (requests, waiting, busy);
            self.is_due = true;
        }
        if self.is_due && self.written.elapsed() >= INTERVAL {
            self.write();
        }
    }

    /// When [`Self::update`] has something to write.
    pub(super) fn due(&self) -> Option<Duration> {
        self.is_due.then(|| INTERVAL.saturating_sub(self.written.elapsed()))
    }

    fn write(&mut self) {
        (self.written, self.is_due) = (Instant::now(), false);
        let there = std::fs::symlink_metadata(&self.file).map(|file| file.ino());
        // Another zygote of this name has begun while this one ends.
        if there.is_ok_and(|inode| inode != self.inode) {
            return;
        }
        self.inode = self.status.write(&self.file).unwrap_or(self.inode);
        self.renew_stderr();
    }

    /// What libraries write to standard error goes to the log that there is.
    fn renew_stderr(&mut self) {
        let Some((log, _)) = LOG.get() else { return };
        if self.stderr.as_ref().is_some_and(|held| !log.is_current(held))
            && let Ok(file) = log.open()
            && become_stderr(&file).is_ok()
        {
            self.stderr = Some(file);
        }
    }

    /// Asks for so many children that wait to leave.
    pub(super) fn dismiss(&self, count: usize) {
        if let Some(common) = &self.common {
            common.surplus.store(u32::try_from(count).unwrap_or(u32::MAX), SeqCst);
        }
    }

    /// Whether this child, which waits, is one of those.
    pub(super) fn is_dismissed(&self) -> bool {
        let one_less = |surplus: u32| surplus.checked_sub(1);
        let common = self.common.as_deref();
        common.is_some_and(|common| common.surplus.fetch_update(SeqCst, SeqCst, one_less).is_ok())
    }
}

/// What an import prints goes where its standard error goes.
fn become_stderr(file: &File) -> io::Result<()> {
    rustix::stdio::dup2_stderr(file)?;
    rustix::stdio::dup2_stdout(file)?;
    Ok(())
}

/// What the import has printed is not written once more by each child.
fn flush(py: Python<'_>) {
    let Ok(sys) = py.import("sys") else { return };
    for name in ["stdout", "stderr"] {
        // It may be closed, or something else.
        let _ = sys.getattr(name).and_then(|stream| stream.call_method0("flush"));
    }
}
