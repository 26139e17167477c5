//! Hands a request to a worker and stays with it to its end, whatever becomes of the worker.
//!
//! Until the worker says that the head goes out, the response is this process' to give: a worker that does not start,
//! crashes, is killed, hangs or closes its connection leaves a whole answer behind all the same. Time, signals and what
//! is left of the request body are kept here. One loop waits for all of it; there is no second thread and no handler.
//!
//! Left out: where the worker comes from ([`super::launch`], [`super::connect`]).

mod endings;
mod process;
mod signals;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown};
use rustix::stdio::{stderr, stdin, stdout};

pub(super) use self::endings::ended;
use self::process::Death;
pub(super) use self::process::Process;
use self::signals::{Signal, Signals};
use super::exit::FAILED;
use super::refuse::{self, Rest};
use crate::cgi::head::Form;
use crate::cgi::refusal::Refusal;
use crate::cgi::variables::Variables;
use crate::handoff::build::BUILD;
use crate::handoff::channel::{Incoming, Outgoing};
use crate::handoff::{Reply, signals as numbers};
use crate::report;
use crate::timings::Moment;
use crate::zygotes::import_output::ImportOutput;

/// How long a worker may take to write tracebacks, and to be gone once it was killed.
const GRACE: Duration = Duration::from_secs(1);

/// How long a worker that has closed its connection may take to be dead before it is killed.
const DYING: Duration = Duration::from_millis(200);

/// How soon a signal that nothing has come of is sent again, and how often at most.
const AGAIN: Duration = Duration::from_millis(100);
const TIMES: u32 = 20;

/// When to give up.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// The moment, counted from the front's start.
    pub at: Moment,
    /// `--timeout`.
    pub timeout: Duration,
}

/// A worker: its connection and its process.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) connection: OwnedFd,
    pub(super) process: Process,
}

/// A request that is to be supervised. Its descriptors are 0, 1 and 2 of this process.
pub(super) struct Supervised<'r> {
    /// The order for the worker.
    pub(super) order: &'r [u8],
    pub(super) variables: &'r Variables,
    pub(super) form: Form,
    /// How much of the request body the server may deliver.
    pub(super) owed: u64,
    pub(super) deadline: Option<Deadline>,
    /// What a zygote that was started for this request writes while it imports.
    pub(super) import: Option<&'r ImportOutput>,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// There was a response. The exit status.
    Ended(u8),
    /// The same, after a Ctrl-C: this process is to die of SIGINT.
    Interrupted,
    /// The application has not begun: no byte was written, and it can be run elsewhere.
    NotBegun(NotBegun),
}

/// Why a request has not begun.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// No process could be started.
    NotStarted(io::Error),
    /// The worker that this executable carries cannot be loaded.
    NoWorker(anyhow::Error),
    /// The worker is gone. How it ended, if that is known, and whether it had been loaded.
    Gone { how: Option<std::process::ExitStatus>, was_loaded: bool },
    /// The Python is of no use, for this reason.
    Unusable(String),
    /// The worker is of this other build.
    OtherBuild(String),
    /// The zygote's application has changed.
    Stale,
    /// The zygote cannot answer, for this reason.
    Cold(String),
    /// The time is over.
    TimedOut,
    /// The system gives no signals to read.
    NoSignals(io::Error),
}

/// How far the worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Step {
    /// Nothing was heard of it.
    Started,
    /// Python has loaded it.
    Loaded,
    /// The application may run.
    Begun,
    /// The head of the response is out of this process' hands.
    Answering,
    /// The response is over.
    Over,
}

/// Why this process ends the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Timeout,
    ConnectionLost,
}

/// A signal that is sent until the worker has heeded it.
struct Repeated {
    number: i32,
    next: Moment,
    left: u32,
}

/// The end that this process makes of the worker.
struct Ending {
    cause: Cause,
    /// Whether it was killed; before that it writes tracebacks.
    is_killed: bool,
    /// When the next step is taken.
    until: Moment,
}

struct Supervision<'r> {
    request: &'r Supervised<'r>,
    worker: Worker,
    outgoing: Outgoing,
    incoming: Incoming,
    step: Step,
    exit: u8,
    unusable: Option<String>,
    death: Option<Death>,
    ending: Option<Ending>,
    /// The worker has said that it ends, or is dead, and everything was said about that.
    is_finished: bool,
    is_interrupted: bool,
    repeats: bool,
    repeated: Option<Repeated>,
    rest: Option<Rest>,
}

/// Hands `request` to `worker`, and returns when both are over.
pub(super) fn supervise(request: &Supervised<'_>, worker: Worker) -> Outcome {
    let signals = match Signals::take() {
        Ok(signals) => signals,
        Err(error) => return Outcome::NotBegun(NotBegun::NoSignals(error)),
    };
    let mut supervision = Supervision::new(request, worker);
    loop {
        supervision.wait(&signals);
        while let Some(signal) = signals.next() {
            supervision.heed(signal);
        }
        supervision.look_at_process();
        if let Some(outcome) = supervision.hear().or_else(|| supervision.look_at_clock()) {
            return outcome;
        }
        if let Some(outcome) = supervision.conclude() {
            return outcome;
        }
    }
}

impl<'r> Supervision<'r> {
    fn new(request: &'r Supervised<'r>, worker: Worker) -> Self {
        Self {
            request,
            worker,
            outgoing: Outgoing::new(request.order),
            incoming: Incoming::default(),
            step: Step::Started,
            exit: FAILED,
            unusable: None,
            death: None,
            ending: None,
            is_finished: false,
            is_interrupted: false,
            repeats: true,
            repeated: None,
            rest: None,
        }
    }

    /// Sends what is still to be sent, and waits until there is something to do.
    fn wait(&mut self, signals: &Signals) {
        // A descriptor on its way to somebody who stands still would hold the response open: a zygote's child says
        // first that it is there. One's own child can be killed.
        let is_ready = self.worker.process.is_own() || self.step >= Step::Loaded;
        let is_sending = is_ready && !self.outgoing.is_sent() && !self.incoming.is_over;
        if is_sending {
            let descriptors = [stdin(), stdout(), stderr()];
            // Who is gone is found out by reading.
            let _ = self.outgoing.send(self.worker.connection.as_fd(), &descriptors);
        }
        let mut wait = vec![PollFd::new(signals, PollFlags::IN)];
        if !self.incoming.is_over {
            let mut events = PollFlags::IN;
            events.set(PollFlags::OUT, is_sending && !self.outgoing.is_sent());
            wait.push(PollFd::new(&self.worker.connection, events));
        }
        let end = self.worker.process.end().filter(|_| self.death.is_none());
        if let Some(end) = &end {
            wait.push(PollFd::new(end, PollFlags::IN));
        }
        let source = self.rest.as_ref().and_then(Rest::source);
        if let Some(source) = &source {
            wait.push(PollFd::new(source, PollFlags::IN));
        }
        let timeout = self.next_moment().and_then(|at| Timespec::try_from(at.left()).ok());
        let ready = poll(&mut wait, timeout.as_ref()).is_ok_and(|ready| ready > 0);
        let is_more = ready
            && source.is_some()
            && wait.last().is_some_and(|source| !source.revents().is_empty());
        if is_more && self.rest.as_mut().is_some_and(|rest| rest.drop_ready().is_err()) {
            self.rest = None;
        }
    }

    /// When something is to be done even if nothing comes.
    fn next_moment(&self) -> Option<Moment> {
        let deadline = match &self.ending {
            Some(ending) => Some(ending.until),
            None => self.deadline(),
        };
        let repeated = self.repeated.as_ref().map(|repeated| repeated.next);
        let rest = self.rest.as_ref().map(Rest::until);
        [deadline.filter(|_| !self.is_finished), repeated, rest].into_iter().flatten().min()
    }

    fn deadline(&self) -> Option<Moment> {
        // A new zygote counts from a little later, and writes where it hangs.
        let patience = if self.request.import.is_some() && self.step < Step::Begun {
            GRACE
        } else {
            Duration::ZERO
        };
        self.request.deadline.map(|deadline| deadline.at + patience)
    }

    fn heed(&mut self, signal: Signal) {
        match signal.number {
            // look_at_process finds out.
            libc::SIGCHLD => {}
            libc::SIGINT => {
                self.is_interrupted = true;
                // The terminal has sent it to an own child too.
                if !(signal.is_from_terminal && self.worker.process.is_own()) {
                    self.worker.process.signal(libc::SIGINT);
                }
            }
            // The worker has begun its own end, or the server has what it wanted.
            _ if self.step == Step::Over => self.rest = None,
            number => {
                let left = if self.repeats { TIMES } else { 1 };
                self.repeated = Some(Repeated { number, next: Moment::now(), left });
            }
        }
    }

    fn look_at_process(&mut self) {
        if self.death.is_none() {
            self.death = self.worker.process.look();
        }
    }

    /// Acts on what the worker has said. An outcome: it cannot answer.
    fn hear(&mut self) -> Option<Outcome> {
        self.incoming.fill(self.worker.connection.as_fd());
        while let Some(reply) = self.incoming.next() {
            match reply {
                Reply::Hello(build) if build == BUILD => self.step = self.step.max_of(Step::Loaded),
                Reply::Hello(build) => return Some(not_begun(NotBegun::OtherBuild(build))),
                Reply::Unusable(reason) => self.unusable = Some(reason),
                Reply::Stale if self.step < Step::Begun => return Some(not_begun(NotBegun::Stale)),
                Reply::Cold(reason) if self.step < Step::Begun => {
                    return Some(not_begun(NotBegun::Cold(reason)));
                }
                Reply::Begun(pid) => self.begin(pid),
                Reply::Terminating => self.repeated = None,
                Reply::HandlesSigterm => self.repeats = false,
                Reply::Traced => {
                    if let Some(ending) = self.ending.as_mut().filter(|ending| !ending.is_killed) {
                        ending.until = Moment::now();
                    }
                }
                Reply::Refused { status, details, timings, exit, owed }
                    if self.step < Step::Answering =>
                {
                    let refusal = Refusal { status, reason: String::new(), details, timings };
                    self.answer(&refusal, owed);
                    self.exit = exit;
                }
                Reply::Head if self.step < Step::Answering => {
                    self.step = Step::Answering;
                    refuse::release_output();
                }
                Reply::Done { is_whole, owed } if self.step == Step::Answering => {
                    self.step = Step::Over;
                    self.exit = if is_whole { 0 } else { FAILED };
                    self.repeated = None;
                    self.rest = Rest::of_worker(owed).ok().filter(|rest| rest.source().is_some());
                }
                Reply::Exits => self.is_finished = !self.worker.process.is_own(),
                // Said too late, or twice: an application that has found the connection.
                Reply::Stale
                | Reply::Cold(_)
                | Reply::Refused { .. }
                | Reply::Head
                | Reply::Done { .. } => {}
            }
        }
        None
    }

    fn begin(&mut self, pid: u32) {
        if self.step >= Step::Begun {
            return;
        }
        self.step = Step::Begun;
        if !self.worker.process.is_own() {
            let end = self.incoming.descriptors.pop();
            self.worker.process = Process::of_zygote(pid, end);
        }
        self.show_import();
        if self.is_interrupted && !self.worker.process.is_own() {
            self.worker.process.signal(libc::SIGINT);
        }
    }

    /// The request that has the application imported gets what that has to say.
    fn show_import(&self) {
        if let Some(import) = self.request.import {
            // A standard error that is gone is no reason to fail.
            let _ = import.copy_to(&mut io::stderr());
        }
    }

    /// Writes an answer of this process' own.
    fn answer(&mut self, refusal: &Refusal, owed: u64) {
        let Supervised { variables, form, .. } = self.request;
        self.rest =
            refuse::answer(refusal, variables, *form, owed).filter(|rest| rest.source().is_some());
        self.step = Step::Over;
        self.repeated = None;
    }

    /// Does what is due. An outcome: nobody had begun in time.
    fn look_at_clock(&mut self) -> Option<Outcome> {
        let is_due = |at: Moment| at.left() == Duration::ZERO;
        if let Some(repeated) = self.repeated.as_mut().filter(|repeated| is_due(repeated.next)) {
            self.worker.process.signal(repeated.number);
            repeated.left -= 1;
            repeated.next = Moment::now() + AGAIN;
            if repeated.left == 0 {
                self.repeated = None;
            }
        }
        if self.is_finished || self.death.is_some() {
            return None;
        }
        match &self.ending {
            None if self.deadline().is_some_and(is_due) => return self.time_out(),
            Some(ending) if !ending.is_killed && is_due(ending.until) => self.kill(ending.cause),
            // Most often it is dead, and the system will say so in a moment.
            None if self.incoming.is_over => {
                let until = Moment::now() + DYING;
                self.ending =
                    Some(Ending { cause: Cause::ConnectionLost, is_killed: false, until });
            }
            _ => {}
        }
        None
    }

    /// The time is over: tracebacks first, if the worker can write them.
    fn time_out(&mut self) -> Option<Outcome> {
        if self.step < Step::Begun && !self.worker.process.is_own() {
            // From here on no child can say that it has begun, and so none does; one may have said
            // so just now.
            let _ = shutdown(&self.worker.connection, Shutdown::Read);
            if let Some(outcome) = self.hear() {
                return Some(outcome);
            }
            if self.step < Step::Begun {
                self.show_import();
                return Some(not_begun(NotBegun::TimedOut));
            }
        }
        if self.step < Step::Begun {
            self.kill(Cause::Timeout);
        } else {
            self.worker.process.signal(numbers::TRACE);
            let until = Moment::now() + GRACE;
            self.ending = Some(Ending { cause: Cause::Timeout, is_killed: false, until });
        }
        None
    }

    /// Before this process answers, the worker is dead.
    fn kill(&mut self, cause: Cause) {
        self.worker.process.signal(libc::SIGKILL);
        let until = Moment::now() + GRACE;
        self.ending = Some(Ending { cause, is_killed: true, until });
    }

    /// Once the worker has ended: answers, or says what became of the response.
    fn conclude(&mut self) -> Option<Outcome> {
        if !self.is_finished {
            let is_given_up = self.ending.as_ref().is_some_and(|ending| {
                let can_wait =
                    self.worker.process.can_tell() && ending.until.left() > Duration::ZERO;
                ending.is_killed && !can_wait
            });
            if self.death.is_none() && !is_given_up {
                return None;
            }
            if self.step < Step::Begun {
                return Some(not_begun(self.why_not_begun()));
            }
            self.is_finished = true;
            self.finish();
        }
        if self.rest.as_ref().is_some_and(|rest| rest.source().is_some()) {
            return None;
        }
        Some(if self.is_interrupted { Outcome::Interrupted } else { Outcome::Ended(self.exit) })
    }

    fn why_not_begun(&mut self) -> NotBegun {
        if self.ending.as_ref().is_some_and(|ending| ending.cause == Cause::Timeout) {
            return NotBegun::TimedOut;
        }
        match self.unusable.take() {
            Some(reason) => NotBegun::Unusable(reason),
            None => NotBegun::Gone { how: self.how(), was_loaded: self.step >= Step::Loaded },
        }
    }

    /// How the process ended, if that is known and was not this one's doing.
    fn how(&self) -> Option<std::process::ExitStatus> {
        match self.death {
            Some(Death::Known(status)) if self.cause().is_none() => Some(status),
            _ => None,
        }
    }

    /// Why this process has ended the worker, if it has.
    fn cause(&self) -> Option<Cause> {
        let ending = self.ending.as_ref();
        let ending = ending.filter(|ending| ending.is_killed || ending.cause == Cause::Timeout);
        ending.map(|ending| ending.cause)
    }

    fn finish(&mut self) {
        let cause = self.cause();
        let timeout = self.request.deadline.map(|deadline| deadline.timeout);
        match self.step {
            Step::Over => {
                if let Some(text) = endings::after_response(cause, self.how(), timeout) {
                    report::error(&text);
                }
            }
            Step::Answering => {
                self.exit = FAILED;
                self.step = Step::Over;
                report::error(&endings::in_response(cause, self.how(), timeout));
            }
            _ => {
                let status = if cause == Some(Cause::Timeout) { 504 } else { 500 };
                let reason = endings::before_response(cause, self.how(), timeout);
                report::error(&format!("{reason} (answered {status})"));
                self.answer(&Refusal::new(status, reason), self.request.owed);
                self.exit = FAILED;
            }
        }
    }
}

impl Step {
    fn max_of(self, other: Self) -> Self {
        if self < other { other } else { self }
    }
}

fn not_begun(why: NotBegun) -> Outcome {
    Outcome::NotBegun(why)
}

impl Drop for Supervision<'_> {
    /// An own child is never left behind, alive or unburied.
    fn drop(&mut self) {
        if self.worker.process.is_own() && self.death.is_none() {
            self.worker.process.signal(libc::SIGKILL);
            let end = Moment::now() + GRACE;
            while self.death.is_none() && end.left() > Duration::ZERO {
                let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 1_000_000 }));
                self.look_at_process();
            }
        }
    }
}

impl AsFd for Worker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}
