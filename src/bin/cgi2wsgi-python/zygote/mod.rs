//! The zygote: imports the application and forks a child for each request, in
//! a process that no request has touched.
//!
//! Children are forked ahead of need and take the requests themselves: each
//! waits at the listening socket, and the system gives a connection to one of
//! them. The zygote only sees to it that there are some, and leaves when
//! nobody has asked for long or when the application's code has changed; then
//! it stays for those that have a request, to tell how they end. A child that
//! waits dies with it; one that has a request finishes that alone if need be.

mod abandoned;
mod by_hand;
mod ceiling;
mod changes;
mod child;
mod faults;
mod fresh;
mod holes;
mod journal;
mod opened;
mod rehearsal;
mod shared;
mod signals;
mod taken;

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use cgi2wsgi::handoff::Handoff;
use cgi2wsgi::report;
use cgi2wsgi::warm::lock;
use cgi2wsgi::warm::message::{Call, HELLO, Reply};
use cgi2wsgi::warm::place::Place;
use cgi2wsgi::warm::start::Start;
use cgi2wsgi::warm::status::Phase;
use pyo3::ffi;
use pyo3::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{SendFlags, Shutdown, SocketFlags, accept_with, send};

use self::ceiling::Ceiling;
use self::changes::{Before, Changes};
use self::faults::Faults;
use self::fresh::Watch;
use self::journal::Journal;
use self::signals::Signals;
use self::taken::Taken;
use crate::application::{self, LoadError};
use crate::wsgi::call::log_exception;
use crate::{collector, emergency, ending, interpreter, termination};

/// How long a zygote that cannot serve stays to say so.
const REFUSAL: Duration = Duration::from_secs(60);

/// Why one is gone that was told to end.
const STOPPED: &str = "stopped by SIGTERM";

/// How soon it tries again where it cannot fork.
const FORK_AGAIN: Duration = Duration::from_millis(100);

/// How many children may end, in a row and this soon, before they have a
/// request: an application's at-fork hook may raise or crash.
const STILLBORN: u32 = 10;
const SOON: Duration = Duration::from_millis(200);

struct Zygote<'py> {
    py: Python<'py>,
    start: &'py Start,
    listener: &'py OwnedFd,
    application: Py<PyAny>,
    changes: Changes,
    watch: &'py Watch,
    signals: &'py Signals,
    faults: Option<Faults>,
    journal: Journal,
    ceiling: Option<Ceiling>,
    taken: Taken,
    children: HashMap<i32, Child>,
    /// How many children in a row have ended soon and without a request.
    stillborn: u32,
    requests: u64,
    last: Instant,
}

struct Child {
    born: Instant,
    state: State,
}

enum State {
    Waiting,
    /// With the connection to its front, if there was room to hold that too.
    Busy(Option<OwnedFd>),
}

impl State {
    fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting)
    }
}

/// Why a zygote forks no more.
enum Ending {
    /// It is not needed, or not as it is.
    Over(String),
    /// Somebody wants it gone.
    Stopped,
    /// Its children cannot serve.
    Useless(String),
}

/// Becomes the zygote of `handoff`, with the listening socket as standard
/// input. Returns when it is no longer needed.
pub(crate) fn run(handoff: &Handoff, start: &Start) -> u8 {
    if let Some(mark) = abandoned::mark_of_arguments() {
        return abandoned::end(handoff, start, mark);
    }
    // Before the front goes on, which holds the lock: it is this one's for certain.
    let (place, name) = (Place::at(start.place.clone()), start.identity.name());
    let socket = place.as_ref().ok().and_then(|place| place.socket(&name).ok());
    let socket = socket.and_then(|path| std::fs::symlink_metadata(path).ok());
    let mark = socket.map(|socket| lock::mark(&socket));
    let listener = match detach() {
        Ok(listener) => listener,
        Err(error) => {
            report::error(&format!("zygote: {error}"));
            return 1;
        }
    };
    let journal = match Journal::begin(handoff, start) {
        Ok(journal) => journal,
        Err(error) => {
            report::error(&format!("zygote: {error}"));
            return 1;
        }
    };
    let own = Cell::new(mark);
    let leave = || {
        if let (Ok(place), Some(mark)) = (&place, own.take()) {
            lock::leave(place, &name, mark);
        }
    };
    abandoned::look_after(handoff, start, &listener, mark.unwrap_or_default());
    let status = live(handoff, start, &listener, journal, &leave);
    leave();
    status
}

fn live(
    handoff: &Handoff,
    start: &Start,
    listener: &OwnedFd,
    mut journal: Journal,
    leave: &dyn Fn(),
) -> u8 {
    let began = fresh::now();
    opened::record();
    emergency::install();
    emergency::keep_listener(Some(listener.as_raw_fd()));
    if let Err(reason) = interpreter::start(&handoff.application) {
        // A cold request will say the same where it is read.
        journal.enter(Phase::Ended(reason));
        return 1;
    }
    Python::attach(|py| {
        let before = Before::import();
        let imported = import(py, handoff, start.limits.request.as_deref());
        emergency::hold_off_timeout();
        abandoned::look_no_more();
        journal.imported(py);
        if termination::came() {
            journal.enter(Phase::Ended(STOPPED.into()));
            return 0;
        }
        let watch = Watch::new(py, handoff, began);
        let signals = match Signals::take() {
            Ok(signals) => signals,
            Err(error) => {
                journal.enter(Phase::Ended(error.to_string()));
                return 1;
            }
        };
        let refuse = |reason: &str, mut journal: Journal| {
            journal.enter(Phase::Cold(reason.to_owned()));
            let why = refuse(py, listener, &watch, &signals, start, reason);
            journal.enter(Phase::Ended(why));
            0
        };
        let application = match imported {
            Ok(application) => application,
            Err(reason) => return refuse(&reason, journal),
        };
        if rustix::net::sockopt::socket_acceptconn(listener) != Ok(true) {
            // Whoever waits goes cold when this process ends. What it believes to own is closed
            // already.
            let why = "the application has closed all descriptors while it was imported";
            journal.enter(Phase::Ended(why.into()));
            ending::leave(1);
        }
        if let Some(threads) = other_threads() {
            let reason = format!(
                "the application has started {threads} thread(s) while it was imported, and a \
                 process with threads cannot be forked safely: it is served cold"
            );
            return refuse(&reason, journal);
        }
        let changes = match before.compare(py) {
            Ok(changes) => changes,
            Err(error) => return refuse(&error.to_string(), journal),
        };
        let taken = match Taken::new() {
            Ok(taken) => taken,
            Err(error) => return refuse(&error.to_string(), journal),
        };
        let ceiling = start.limits.memory.map(|bytes| Ceiling::new(bytes, listener));
        let mut zygote = Zygote {
            py,
            start,
            listener,
            application,
            changes,
            watch: &watch,
            signals: &signals,
            faults: Faults::new(),
            journal,
            ceiling,
            taken,
            children: HashMap::new(),
            stillborn: 0,
            requests: 0,
            last: Instant::now(),
        };
        // Last of all: what was allocated and freed until now has left holes.
        holes::fill();
        match zygote.work() {
            Ending::Over(why) => {
                zygote.journal.enter(Phase::Ended(why));
                zygote.finish(leave);
                0
            }
            Ending::Stopped => {
                zygote.journal.enter(Phase::Ended(STOPPED.into()));
                0
            }
            Ending::Useless(why) => refuse(&why, zygote.journal),
        }
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
    close_others()?;
    let listener = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?.as_fd())?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(listener)
}

/// Whatever the front inherited from its server is nobody's here.
fn close_others() -> io::Result<()> {
    // SAFETY: the descriptors from 3 on are nobody's.
    if unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) } == 0 {
        return Ok(());
    }
    // Linux before 5.9.
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // SAFETY: as above; the directory that was read is closed already.
        unsafe { libc::close(descriptor) };
    }
    Ok(())
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

/// Tells whoever comes that it must go cold, and the first one why, until the
/// code changes or a minute is over. Returns why it ended.
fn refuse(
    py: Python<'_>,
    listener: &OwnedFd,
    watch: &Watch,
    signals: &Signals,
    start: &Start,
    reason: &str,
) -> String {
    let mut said = reason;
    let end = Instant::now() + REFUSAL.min(start.limits.idle);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let mut wait = watch.polled();
        wait.push(PollFd::new(signals.descriptor(), PollFlags::IN));
        wait.push(PollFd::new(listener, PollFlags::IN));
        let timeout = Timespec::try_from(left.min(Duration::from_secs(1))).ok();
        let polled = poll(&mut wait, timeout.as_ref());
        let asked = wait.last().is_some_and(|last| !last.revents().is_empty());
        drop(wait);
        if let Some(file) = watch.changed() {
            return format!("{} changed", file.display());
        }
        // A thread of the application's may have taken the signal.
        if signals.drain() || py.check_signals().is_err() {
            return STOPPED.into();
        }
        match polled {
            Ok(0) if left == Duration::ZERO => return "it is time to try again".into(),
            Ok(_) if asked => {
                if turn_away(listener, watch, said).is_some() {
                    said = "";
                }
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return error.to_string(),
        }
    }
}

/// Has one front go cold. Nothing: it did not ask.
fn turn_away(listener: &OwnedFd, watch: &Watch, reason: &str) -> Option<()> {
    let front = accept_with(listener, SocketFlags::CLOEXEC).ok()?;
    set_socket_timeout(&front, Timeout::Recv, Some(child::CALL_PATIENCE)).ok()?;
    send(&front, HELLO, SendFlags::NOSIGNAL).ok()?;
    Call::receive(front.as_fd()).ok()??;
    if watch.is_stale() {
        Reply::Stale.send(&front);
        return None;
    }
    Reply::Cold(reason.to_owned()).send(&front).then_some(())
}

impl Zygote<'_> {
    fn work(&mut self) -> Ending {
        self.journal.enter(Phase::Ready);
        loop {
            let forked = self.replenish();
            if let Err(error) = &forked
                && self.children.is_empty()
            {
                return Ending::Useless(format!("no child can be forked: {error}"));
            }
            self.journal.update(self.requests, self.waiting(), self.busy());
            let idle = self.start.limits.idle.saturating_sub(self.last.elapsed());
            let step = idle.max(Duration::from_millis(1));
            let step = self.journal.due().map_or(step, |due| due.min(step));
            let step = self.ceiling.as_ref().map_or(step, |_| ceiling::LOOK.min(step));
            let step = if forked.is_err() { step.min(FORK_AGAIN) } else { step };
            let timeout = Timespec::try_from(step).ok();
            let mut wait = self.watch.polled();
            wait.push(PollFd::new(self.signals.descriptor(), PollFlags::IN));
            wait.push(PollFd::new(self.taken.descriptor(), PollFlags::IN));
            let polled = poll(&mut wait, timeout.as_ref());
            let ready = wait.iter().rev().take(2).map(|fd| !fd.revents().is_empty());
            let ready: Vec<bool> = ready.collect();
            drop(wait);
            if let Err(error) = polled
                && error != Errno::INTR
            {
                return Ending::Over(error.to_string());
            }
            if let Some(file) = self.watch.changed() {
                self.watch.spread();
                return Ending::Over(format!("{} changed", file.display()));
            }
            if polled.is_ok() {
                if ready[0] {
                    self.note_taken();
                }
                if ready[1] && self.signals.drain() {
                    return Ending::Stopped;
                }
            }
            self.reap();
            if self.stillborn >= STILLBORN {
                return Ending::Useless("children end before they have a request".into());
            }
            if self.busy() > 0 {
                self.last = Instant::now();
            } else if self.last.elapsed() >= self.start.limits.idle {
                let idle = self.start.limits.idle.as_secs_f64();
                return Ending::Over(format!("no request for {idle} s"));
            }
        }
    }

    /// What has been forked is finished: the fronts of children that end without
    /// a word learn how.
    fn finish(&mut self, leave: &dyn Fn()) {
        self.note_taken();
        if self.busy() == 0 {
            return;
        }
        // Nobody comes any more; children that wait see it, and those in line
        // when nothing holds the socket.
        leave();
        emergency::keep_listener(None);
        let _ = rustix::net::shutdown(self.listener, Shutdown::Both);
        // SAFETY: both are open, and this closes the one that has its number.
        unsafe { libc::dup2(rustix::stdio::stdin().as_raw_fd(), self.listener.as_raw_fd()) };
        loop {
            self.reap();
            if self.children.is_empty() {
                return;
            }
            let mut wait = [PollFd::new(self.signals.descriptor(), PollFlags::IN)];
            if poll(&mut wait, None).is_err_and(|error| error != Errno::INTR)
                || self.signals.drain()
            {
                return;
            }
        }
    }

    fn waiting(&self) -> usize {
        self.children.values().filter(|child| child.state.is_waiting()).count()
    }

    fn busy(&self) -> usize {
        self.children.len() - self.waiting()
    }

    /// What children have lent.
    fn lent(&self) -> Vec<RawFd> {
        let fronts = self.children.values().filter_map(|child| match &child.state {
            State::Busy(front) => front.as_ref().map(AsRawFd::as_raw_fd),
            State::Waiting => None,
        });
        fronts.collect()
    }

    /// How many children should wait.
    fn wanted(&mut self) -> usize {
        let spare = self.start.limits.spare.max(1) as usize;
        let (waiting, busy) = (self.waiting(), self.busy());
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
    fn replenish(&mut self) -> io::Result<()> {
        let zygote = std::process::id().try_into().unwrap_or_default();
        loop {
            let wanted = self.wanted();
            let max = self.start.limits.max.max(1) as usize;
            if self.waiting() >= wanted || self.children.len() >= max {
                return Ok(());
            }
            let lent = self.lent();
            emergency::keep_listener(None);
            // SAFETY: this thread holds Python's lock and is the only one.
            let (child, error) = unsafe {
                ffi::PyOS_BeforeFork();
                let child = libc::fork();
                let error = io::Error::last_os_error();
                if child == 0 {
                    // Python's own work after a fork writes to many of these pages.
                    if let Some(faults) = &self.faults {
                        faults.touch();
                    }
                    ffi::PyOS_AfterFork_Child();
                } else {
                    ffi::PyOS_AfterFork_Parent();
                }
                (child, error)
            };
            match child {
                0 => child::live(&child::Birth {
                    py: self.py,
                    start: self.start,
                    listener: self.listener,
                    application: &self.application,
                    changes: &self.changes,
                    watch: self.watch,
                    faults: self.faults.as_ref(),
                    taken: &self.taken,
                    lent: &lent,
                    journal: &self.journal,
                    signals: self.signals,
                    zygote,
                }),
                -1 => return Err(error),
                pid => {
                    let child = Child { born: Instant::now(), state: State::Waiting };
                    self.children.insert(pid, child);
                }
            }
        }
    }

    fn note_taken(&mut self) {
        while let Some((pid, front)) = self.taken.next() {
            self.requests += 1;
            self.last = Instant::now();
            if let Some(child) = self.children.get_mut(&pid) {
                child.state = State::Busy(front);
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
            // It may have said a moment ago that it has a request.
            self.note_taken();
            match self.children.remove(&pid) {
                // One that was killed after a while, or dismissed, is no sign.
                Some(child) if child.state.is_waiting() && child.born.elapsed() < SOON => {
                    self.stillborn += 1;
                }
                Some(Child { state: State::Busy(front), .. }) => {
                    self.stillborn = 0;
                    if let Some(front) = front {
                        taken::tell(&front, status);
                    }
                }
                _ => self.stillborn = 0,
            }
            if let Some(ceiling) = &mut self.ceiling {
                ceiling.forget();
            }
        }
    }
}
