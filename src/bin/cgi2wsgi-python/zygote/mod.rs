//! The zygote: imports the application and forks a child for each request, in
//! a process that no request has touched.
//!
//! Children are forked ahead of need and take the requests themselves: each
//! waits at the listening socket, and the system gives a connection to one of
//! them. The zygote only sees to it that there are some, and leaves when
//! nobody has asked for long or when the application's code has changed. A
//! child that waits dies with it; one that has a request finishes that alone.

mod ceiling;
mod child;
mod faults;
mod fresh;
mod journal;
mod rehearsal;
mod shared;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use cgi2wsgi::handoff::Handoff;
use cgi2wsgi::report;
use cgi2wsgi::warm::message::{Call, HELLO, Reply};
use cgi2wsgi::warm::start::Start;
use cgi2wsgi::warm::status::Phase;
use pyo3::ffi;
use pyo3::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use self::ceiling::Ceiling;
use self::faults::Faults;
use self::fresh::Watch;
use self::journal::{Journal, note};
use crate::application::{self, LoadError};
use crate::wsgi::call::log_exception;
use crate::{collector, emergency, interpreter, termination};

/// How long a zygote that cannot serve stays to say so.
const REFUSAL: Duration = Duration::from_secs(60);

struct Zygote<'py> {
    py: Python<'py>,
    start: &'py Start,
    listener: OwnedFd,
    application: Py<PyAny>,
    watch: Watch,
    faults: Option<Faults>,
    journal: Journal,
    ceiling: Option<Ceiling>,
    /// A child writes its number here when it takes a request.
    taken: (OwnedFd, OwnedFd),
    children: HashMap<i32, State>,
    requests: u64,
    last: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Busy,
}

/// Becomes the zygote of `handoff`, with the listening socket as standard
/// input. Returns when it is no longer needed.
pub(crate) fn run(handoff: &Handoff, start: &Start) -> u8 {
    let listener = match detach() {
        Ok(listener) => listener,
        Err(error) => {
            report::error(&format!("zygote: {error}"));
            return 1;
        }
    };
    let mut journal = match Journal::begin(handoff, start) {
        Ok(journal) => journal,
        Err(error) => {
            report::error(&format!("zygote: {error}"));
            return 1;
        }
    };
    let began = fresh::now();
    fresh::record_opened_files();
    emergency::install();
    if let Err(reason) = interpreter::start(&handoff.application) {
        // A cold request will say the same where it is read.
        journal.enter(Phase::Ended(reason));
        return 1;
    }
    Python::attach(|py| {
        let imported = import(py, handoff, start.limits.request.as_deref());
        emergency::hold_off_timeout();
        journal.imported(py);
        if termination::came() {
            journal.enter(Phase::Ended("stopped by SIGTERM".into()));
            return 0;
        }
        let watch = Watch::new(py, handoff, began);
        let refuse = |reason: &str, mut journal: Journal| {
            journal.enter(Phase::Cold(reason.to_owned()));
            let why = refuse(&listener, &watch, start, reason);
            journal.enter(Phase::Ended(why));
            0
        };
        let application = match imported {
            Ok(application) => application,
            Err(reason) => return refuse(&reason, journal),
        };
        if let Some(threads) = other_threads() {
            let reason = format!(
                "the application has started {threads} thread(s) while it was imported, and a \
                 process with threads cannot be forked safely: it is served cold"
            );
            return refuse(&reason, journal);
        }
        let taken = match pipe_with(PipeFlags::CLOEXEC) {
            Ok(taken) => taken,
            Err(error) => return refuse(&error.to_string(), journal),
        };
        let ceiling = start.limits.memory.map(|bytes| Ceiling::new(bytes, &listener));
        let mut zygote = Zygote {
            py,
            start,
            listener,
            application,
            watch,
            faults: Faults::new(),
            journal,
            ceiling,
            taken,
            children: HashMap::new(),
            requests: 0,
            last: Instant::now(),
        };
        let why = zygote.work();
        zygote.journal.enter(Phase::Ended(why));
        0
    })
}

/// Away from the front that started it, and from all that it had open.
fn detach() -> io::Result<OwnedFd> {
    // SAFETY: this is the only thread; the parent leaves at once.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        // SAFETY: _exit does not return.
        _ => unsafe { libc::_exit(0) },
    }
    rustix::process::setsid()?;
    // SAFETY: whatever the front inherited from its server is nobody's here.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    let listener = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?.as_fd())?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(listener)
}

fn import(py: Python<'_>, handoff: &Handoff, request: Option<&OsStr>) -> Result<Py<PyAny>, String> {
    let raised = |error: PyErr| log_exception(py, &error, false).summary;
    interpreter::prepare(py, handoff).map_err(raised)?;
    if let Some(timeout) = handoff.timeout {
        emergency::give_up_after(timeout)?;
        emergency::show_where_it_hangs(py).map_err(raised)?;
    }
    let waiting = collector::wait(py).map_err(raised)?;
    let application = application::load(py, &handoff.application).map_err(|error| match error {
        LoadError::Raised(error) => {
            format!("without a request the import fails: {}", raised(error))
        }
        LoadError::Setup(reason) => reason,
    })?;
    if let Some(path) = request {
        rehearsal::run(py, handoff, &application, path);
    }
    // What is garbage now would be copied into every child that touches it.
    py.import("gc").and_then(|gc| gc.call_method0("collect")).map_err(raised)?;
    waiting.end().map_err(raised)?;
    Ok(application.unbind())
}

fn other_threads() -> Option<usize> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?.count();
    (threads > 1).then(|| threads - 1)
}

/// Tells whoever comes why it must go cold, until the code changes or a minute
/// is over.
/// Returns why it ended.
fn refuse(listener: &OwnedFd, watch: &Watch, start: &Start, reason: &str) -> String {
    let signals = match ending_children() {
        Ok(signals) => signals,
        Err(error) => return error.to_string(),
    };
    let end = Instant::now() + REFUSAL.min(start.limits.idle);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let mut wait = watch.polled();
        wait.push(PollFd::new(&signals, PollFlags::IN));
        wait.push(PollFd::new(listener, PollFlags::IN));
        let timeout = Timespec::try_from(left.min(Duration::from_secs(1))).ok();
        let polled = poll(&mut wait, timeout.as_ref());
        let asked = wait.last().is_some_and(|last| !last.revents().is_empty());
        drop(wait);
        if let Some(file) = watch.changed() {
            return format!("{} changed", file.display());
        }
        if drained(&signals) {
            return "stopped by SIGTERM".into();
        }
        match polled {
            Ok(0) if left == Duration::ZERO => return "another may have more luck".into(),
            Ok(_) if asked => {
                if let Ok(front) =
                    rustix::net::accept_with(listener, rustix::net::SocketFlags::CLOEXEC)
                {
                    let greeted =
                        rustix::net::send(&front, HELLO, rustix::net::SendFlags::NOSIGNAL);
                    if greeted.is_ok() && Call::receive(front.as_fd()).is_ok_and(|c| c.is_some()) {
                        Reply::Cold(reason.to_owned()).send(&front);
                    }
                }
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return error.to_string(),
        }
    }
}

impl Zygote<'_> {
    /// Returns why it ended.
    fn work(&mut self) -> String {
        let signals = match ending_children() {
            Ok(signals) => signals,
            Err(error) => return error.to_string(),
        };
        self.journal.enter(Phase::Ready);
        loop {
            self.replenish();
            let (waiting, busy) = (self.count(State::Waiting), self.count(State::Busy));
            self.journal.update(self.requests, waiting, busy);
            let idle = self.start.limits.idle.saturating_sub(self.last.elapsed());
            let step = idle.max(Duration::from_millis(1)).min(self.watch.interval());
            let step = self.journal.due().map_or(step, |due| due.min(step));
            let step = self.ceiling.as_ref().map_or(step, |_| ceiling::LOOK.min(step));
            let timeout = Timespec::try_from(step).ok();
            let mut wait = self.watch.polled();
            wait.push(PollFd::new(&signals, PollFlags::IN));
            wait.push(PollFd::new(&self.taken.0, PollFlags::IN));
            let polled = poll(&mut wait, timeout.as_ref());
            let ready = wait.iter().rev().take(2).map(|fd| !fd.revents().is_empty());
            let ready: Vec<bool> = ready.collect();
            drop(wait);
            if let Err(error) = polled
                && error != Errno::INTR
            {
                return error.to_string();
            }
            if let Some(file) = self.watch.changed() {
                self.watch.spread();
                return format!("{} changed", file.display());
            }
            if polled.is_ok() {
                if ready[0] {
                    self.note_taken();
                }
                if ready[1] && drained(&signals) {
                    return "stopped by SIGTERM".into();
                }
            }
            self.reap();
            let busy = self.children.values().any(|state| *state == State::Busy);
            if busy {
                self.last = Instant::now();
            } else if self.last.elapsed() >= self.start.limits.idle {
                return format!("no request for {} s", self.start.limits.idle.as_secs_f64());
            }
        }
    }

    fn count(&self, state: State) -> usize {
        self.children.values().filter(|s| **s == state).count()
    }

    /// How many children should wait.
    fn wanted(&mut self) -> usize {
        let spare = self.start.limits.spare.max(1) as usize;
        let (waiting, busy) = (self.count(State::Waiting), self.count(State::Busy));
        let Some(ceiling) = &mut self.ceiling else { return spare };
        let children: Vec<i32> = self.children.keys().copied().collect();
        let exceeded = ceiling.exceeded(&children, busy);
        // One at a time is answered however large the application is.
        let wanted = match exceeded {
            Some(_) => usize::from(busy == 0),
            None => spare,
        };
        self.journal.dismiss(waiting.saturating_sub(wanted));
        self.journal.remark(exceeded.as_deref());
        wanted
    }

    /// Forks as many children as should wait.
    fn replenish(&mut self) {
        loop {
            let wanted = self.wanted();
            let max = self.start.limits.max.max(1) as usize;
            if self.count(State::Waiting) >= wanted || self.children.len() >= max {
                return;
            }
            // SAFETY: this thread holds Python's lock and is the only one.
            let child = unsafe {
                ffi::PyOS_BeforeFork();
                let child = libc::fork();
                if child == 0 {
                    ffi::PyOS_AfterFork_Child();
                } else {
                    ffi::PyOS_AfterFork_Parent();
                }
                child
            };
            match child {
                0 => child::live(&child::Birth {
                    py: self.py,
                    start: self.start,
                    listener: &self.listener,
                    application: &self.application,
                    watch: &self.watch,
                    faults: self.faults.as_ref(),
                    taken: &self.taken.1,
                    journal: &self.journal,
                }),
                -1 => {
                    note(&format!("cannot fork: {}", io::Error::last_os_error()));
                    return;
                }
                pid => self.children.insert(pid, State::Waiting),
            };
        }
    }

    fn note_taken(&mut self) {
        let mut number = [0; 4];
        if rustix::io::read(&self.taken.0, &mut number) == Ok(4) {
            self.requests += 1;
            self.last = Instant::now();
            if let Some(state) = self.children.get_mut(&i32::from_ne_bytes(number)) {
                *state = State::Busy;
            }
        }
    }

    fn reap(&mut self) {
        let mut status = 0;
        loop {
            // SAFETY: waits for this process' children only, and not long.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
            if pid <= 0 {
                return;
            }
            self.children.remove(&pid);
            if let Some(ceiling) = &mut self.ceiling {
                ceiling.forget();
            }
        }
    }
}

/// A descriptor that tells when a child has ended, or SIGTERM has come.
fn ending_children() -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: the set is initialized before it is used; the descriptor is new.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let descriptor = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

/// Reads all signals that have come; whether SIGTERM is among them.
fn drained(signals: &OwnedFd) -> bool {
    let mut terminated = false;
    let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
    while rustix::io::read(signals, &mut info) == Ok(info.len()) {
        let number = u32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
        terminated |= number == libc::SIGTERM.unsigned_abs();
    }
    terminated
}
