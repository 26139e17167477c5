//! What the zygote reports: its status file, and the log of all zygotes.
//!
//! No request needs them: if they cannot be written, they are left out.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant, SystemTime};

use cgi2wsgi::handoff::ZygoteOrder;
use cgi2wsgi::system;
use cgi2wsgi::zygotes::churn::Churn;
use cgi2wsgi::zygotes::directory::{Directory, file_identity, status_name};
use cgi2wsgi::zygotes::import_output::ImportOutput;
use cgi2wsgi::zygotes::log::Log;
use cgi2wsgi::zygotes::memory::SharedNumbers;
use cgi2wsgi::zygotes::status::{self, Phase, Status};
use pyo3::prelude::*;

/// The shortest time between two writes of the status.
const INTERVAL: Duration = Duration::from_secs(1);

/// How much of what an import wrote is kept, in bytes.
const LARGEST_IMPORT: usize = 64 << 10;

/// The private directory whose log [`note`] writes, and the application in whose name it writes. The log is opened each
/// time: an application may close any descriptor.
static LOG: OnceLock<(PathBuf, String)> = OnceLock::new();

/// Writes a line to the log of all zygotes.
pub(super) fn note(text: &str) {
    let pid = std::process::id();
    if let Some((directory, application)) = LOG.get()
        && let Ok(directory) = Directory::at(directory.clone())
    {
        // A full disk is no reason to end.
        let _ = Log::new(&directory).write(pid, application, text);
    }
}

/// The directory of the log, if it is still there.
fn directory() -> Option<Directory> {
    LOG.get().and_then(|(path, _)| Directory::at(path.clone()).ok())
}

pub(super) struct Journal {
    status: Status,
    /// The zygote's name.
    name: String,
    /// What identifies the file as it was last written, if it could be: another zygote's file is another.
    file: Option<u64>,
    written: Instant,
    is_due: bool,
    /// Why this zygote is not to import, and whether fronts have been told.
    rest: Option<(String, bool)>,
    /// How many waiting children should leave.
    surplus: Option<SharedNumbers>,
    /// What standard error is after the import.
    stderr: Option<File>,
}

impl Journal {
    /// Begins the status file and the log.
    pub(super) fn begin(order: &ZygoteOrder) -> io::Result<Self> {
        let directory = Directory::at(order.directory.clone()).map_err(io::Error::other)?;
        let name = order.identity.name();
        let application = &order.service.application;
        let _ = LOG.set((order.directory.clone(), application.shown()));
        status::sweep(&directory);
        let last = Status::read(&directory, &name);
        let status = Status::begin(
            application,
            last.as_ref(),
            &order.why,
            SystemTime::now() + order.deadline.left(),
        );
        let rest = last.as_ref().and_then(|last| Some((last.rest()?, last.refused.is_some())));
        let why = status.last_restarts.last().map_or(order.why.as_str(), |last| last.why.as_str());
        match last.map(|last| last.phase) {
            Some(Phase::Ended(why)) => note(&format!("starts: the one before ended: {why}")),
            _ => note(&format!("starts: {why}")),
        }
        Ok(Self {
            file: status.write(&directory, &name).ok(),
            status,
            name,
            written: Instant::now(),
            is_due: false,
            rest,
            surplus: SharedNumbers::new(1),
            stderr: None,
        })
    }

    /// The import is over: copies what it wrote to the log, and makes the log standard error. Flushes the buffers,
    /// because each child would write their contents again.
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
        self.stderr = directory().and_then(|directory| Log::new(&directory).open().ok());
        if let Some(log) = &self.stderr
            && become_stderr(log).is_ok()
        {
            return;
        }
        // Nothing reads the old standard error again, and it is in memory.
        let _ = File::options().write(true).open("/dev/null").and_then(|null| become_stderr(&null));
    }

    /// This process has taken the place of the one that has imported the application.
    pub(super) fn is_of_this_process(&mut self) {
        self.status.is_of_this_process();
    }

    /// Why this zygote is to import nothing, and whether the last one has told fronts.
    pub(super) fn rest(&self) -> Option<(String, bool)> {
        self.rest.clone()
    }

    /// The zygote ends because a file has changed. Returns the reason.
    pub(super) fn file_changed(&mut self, file: &Path, is_code: bool) -> String {
        let file = file.display().to_string();
        let status = &mut self.status;
        status.churn = Churn::after(status.churn.as_ref(), &file, is_code, status.requests);
        Churn::why_ended(&file)
    }

    /// Begins a phase: from here on children answer, or every request makes a normal (cold) start.
    pub(super) fn enter(&mut self, phase: Phase) {
        match &phase {
            Phase::Importing(_) => {}
            Phase::Ready => note("is ready"),
            Phase::Cold(why) => note(&format!("every request makes a normal (cold) start: {why}")),
            Phase::Ended(why) => {
                note(&format!("ends after {} request(s): {why}", self.status.requests));
                self.status.waiting = 0;
            }
        }
        match &phase {
            Phase::Ready => self.status.refused = None,
            Phase::Cold(why) => self.status.refused = Some(why.clone()),
            Phase::Importing(_) | Phase::Ended(_) => {}
        }
        self.status.phase = phase;
        self.write();
    }

    /// Why the zygote is not in its normal state; None if it is.
    pub(super) fn remark(&mut self, remark: Option<&str>) {
        if self.status.remark.as_deref() != remark {
            self.status.remark = remark.map(str::to_owned);
            self.is_due = true;
        }
    }

    /// Sets the current numbers. Writes them, unless it has just done so.
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

    /// How long until [`Self::update`] has something to write.
    pub(super) fn due(&self) -> Option<Duration> {
        self.is_due.then(|| INTERVAL.saturating_sub(self.written.elapsed()))
    }

    fn write(&mut self) {
        (self.written, self.is_due) = (Instant::now(), false);
        let Some(directory) = directory() else { return };
        let there = directory.stat(&status_name(&self.name)).map(|file| file_identity(&file));
        // Another zygote of this name has begun while this one ends.
        if self.file.is_some() && there.is_ok_and(|there| Some(there) != self.file) {
            return;
        }
        self.file = self.status.write(&directory, &self.name).ok().or(self.file);
        self.renew_stderr(Log::new(&directory));
    }

    /// Sends what libraries write to standard error to the log that is now there.
    fn renew_stderr(&mut self, log: Log<'_>) {
        if self.stderr.as_ref().is_some_and(|held| !log.is_current(held))
            && let Ok(file) = log.open()
            && become_stderr(&file).is_ok()
        {
            self.stderr = Some(file);
        }
    }

    /// Asks this many waiting children to leave.
    pub(super) fn dismiss(&self, count: usize) {
        if let Some(surplus) = &self.surplus {
            surplus[0].store(count as u64, SeqCst);
        }
    }

    /// Whether this waiting child is one of those.
    pub(super) fn is_dismissed(&self) -> bool {
        let one_less = |surplus: u64| surplus.checked_sub(1);
        let surplus = self.surplus.as_deref();
        surplus.is_some_and(|surplus| surplus[0].fetch_update(SeqCst, SeqCst, one_less).is_ok())
    }
}

/// Makes a file standard error, and standard output as well.
fn become_stderr(file: &File) -> io::Result<()> {
    rustix::stdio::dup2_stderr(file)?;
    rustix::stdio::dup2_stdout(file)?;
    Ok(())
}

/// Flushes what the import has printed, so that no child writes it again.
fn flush(py: Python<'_>) {
    let Ok(sys) = py.import("sys") else { return };
    for name in ["stdout", "stderr"] {
        // The stream may be closed, or something else.
        let _ = sys.getattr(name).and_then(|stream| stream.call_method0("flush"));
    }
    system::flush_streams();
}
