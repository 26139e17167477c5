//! What the zygote tells: its status file, and the log of all zygotes.
//!
//! None of it is needed to answer a request: where it cannot be written, it is
//! not.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant, SystemTime};

use cgi2wsgi::handoff::ZygoteOrder;
use cgi2wsgi::system;
use cgi2wsgi::zygotes::directory::Directory;
use cgi2wsgi::zygotes::import_output::ImportOutput;
use cgi2wsgi::zygotes::log::Log;
use cgi2wsgi::zygotes::memory::SharedNumbers;
use cgi2wsgi::zygotes::status::{self, Phase, Status};
use pyo3::prelude::*;

/// How often the status is written at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// How much of what an import wrote is kept, in bytes.
const LARGEST_IMPORT: usize = 64 << 10;

/// Where [`note`] writes, and whose name it does it in.
static LOG: OnceLock<(Log, String)> = OnceLock::new();

/// A line in the log of all zygotes.
pub(super) fn note(text: &str) {
    let pid = std::process::id();
    if let Some((log, application)) = LOG.get() {
        // A full disk is no reason to end.
        let _ = log.write(pid, application, text);
    }
}

pub(super) struct Journal {
    status: Status,
    file: PathBuf,
    /// Of the file as it was last written, if it could be: another zygote's has
    /// another.
    inode: Option<u64>,
    written: Instant,
    is_due: bool,
    /// How many children that wait should leave.
    surplus: Option<SharedNumbers>,
    /// What standard error is when the import is over.
    stderr: Option<File>,
}

impl Journal {
    /// Begins both.
    pub(super) fn begin(order: &ZygoteOrder) -> io::Result<Self> {
        let directory = Directory::at(order.directory.clone()).map_err(io::Error::other)?;
        let name = order.identity.name();
        let application = &order.service.application;
        let _ = LOG.set((Log::new(&directory), application.shown()));
        let file = directory.status(&name);
        status::sweep(&directory);
        let last = Status::read(&file);
        let status = Status::begin(
            application,
            last.as_ref(),
            &order.why,
            SystemTime::now() + order.deadline.left(),
        );
        let why = status.last_restarts.last().map_or(order.why.as_str(), |last| last.why.as_str());
        note(&format!("starts: {why}"));
        Ok(Self {
            inode: status.write(&file).ok(),
            status,
            file,
            written: Instant::now(),
            is_due: false,
            surplus: SharedNumbers::new(1),
            stderr: None,
        })
    }

    /// The import is over: what it wrote is copied to the log, which is standard
    /// error from here on. Nothing stays in a buffer, or each child would write
    /// it again.
    pub(super) fn imported(&mut self, py: Python<'_>) {
        flush(py);
        self.take_over_output();
    }

    /// Copies what the import has written.
    fn take_over_output(&mut self) {
        let mut said = Vec::new();
        let copied = ImportOutput::of_stderr().and_then(|output| output.copy_to(&mut said));
        if copied.is_ok() && !said.is_empty() {
            said.truncate(LARGEST_IMPORT);
            note(&String::from_utf8_lossy(&said));
        }
        self.stderr = LOG.get().and_then(|(log, _)| log.open().ok());
        if let Some(log) = &self.stderr
            && become_stderr(log).is_ok()
        {
            return;
        }
        // Nobody reads what it was, and it is in memory.
        let _ = File::options().write(true).open("/dev/null").and_then(|null| become_stderr(&null));
    }

    /// From here on children answer, or everything is served cold.
    pub(super) fn enter(&mut self, phase: Phase) {
        match &phase {
            Phase::Importing(_) => {}
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
        if self.inode.is_some() && there.is_ok_and(|inode| Some(inode) != self.inode) {
            return;
        }
        self.inode = self.status.write(&self.file).ok().or(self.inode);
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
        if let Some(surplus) = &self.surplus {
            surplus[0].store(count as u64, SeqCst);
        }
    }

    /// Whether this child, which waits, is one of those.
    pub(super) fn is_dismissed(&self) -> bool {
        let one_less = |surplus: u64| surplus.checked_sub(1);
        let surplus = self.surplus.as_deref();
        surplus.is_some_and(|surplus| surplus[0].fetch_update(SeqCst, SeqCst, one_less).is_ok())
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
    system::flush_streams();
}
