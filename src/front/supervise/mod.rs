//! Hands a request to a worker and supervises both to the end, whatever happens to the worker.
//!
//! Until the worker announces the head of the response, this process can still answer: the client gets a whole answer
//! even if the worker does not start, crashes, is killed, hangs or closes its connection. Time, signals and the rest of
//! the request body are handled here too, in one loop, without a second thread or a signal handler.
//!
//! Not here: where the worker comes from ([`super::launch`], [`super::connect`]).

mod clock;
mod conclusion;
mod endings;
mod own_server;
mod process;
mod replies;
mod signals;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::stdout;

use self::clock::GRACE;
pub(super) use self::endings::ended;
use self::own_server::Glance;
use self::process::Death;
pub(super) use self::process::Process;
use self::signals::{Signal, Signals};
use super::account;
use super::account::lines::Streams;
use super::deadline::Deadline;
use super::exit::FAILED;
use super::refuse::Rest;
use crate::cgi::head::Form;
use crate::cgi::output::Output;
use crate::cgi::variables::Variables;
use crate::handoff::channel::{Incoming, Outgoing};
use crate::timings::Moment;
use crate::zygotes::import_output::ImportOutput;

/// How often a signal without effect is sent at most.
const TIMES: u32 = 20;

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
    /// What the worker gets as its standard input and error.
    pub(super) streams: &'r Streams,
    /// What a zygote that was started for this request writes while it imports.
    pub(super) import: Option<&'r ImportOutput>,
}

/// The outcome of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// There was a response. The exit status.
    Ended(u8),
    /// The same, after a Ctrl-C: this process is to die of SIGINT.
    Interrupted,
    /// The application has not begun: no byte was written, and another process can run it.
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
    /// This Python cannot be used, for this reason.
    Unusable(String),
    /// The worker is of this other build.
    OtherBuild(String),
    /// The zygote's application has changed.
    Stale,
    /// The zygote cannot answer, for this reason.
    Cold(String),
    /// The time is over.
    TimedOut,
    /// Signals cannot be read from a descriptor.
    NoSignals(io::Error),
}

/// How far the worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Step {
    /// It has reported nothing.
    Started,
    /// Python has loaded it.
    Loaded,
    /// The application may run.
    Begun,
    /// It has announced the head of the response: this process can no longer answer.
    Answering,
    /// The response is over.
    Over,
}

/// Why this process ends the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Timeout,
    ConnectionLost,
    /// It runs a server of its own.
    OwnServer,
}

/// A signal that is sent until the worker reacts to it.
struct Repeated {
    number: i32,
    next: Moment,
    left: u32,
}

/// How this process ends the worker.
struct Ending {
    cause: Cause,
    /// Whether the worker was killed. Before that it writes tracebacks.
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
    /// When to look whether the application runs its own server.
    glance: Option<Glance>,
    /// The worker's report that it does.
    own_server: Option<String>,
    death: Option<Death>,
    ending: Option<Ending>,
    /// The worker has announced its end or is dead, and everything about that was reported.
    is_finished: bool,
    is_interrupted: bool,
    repeats: bool,
    repeated: Option<Repeated>,
    rest: Option<Rest>,
    /// The descriptor of a response, whose end the server sees when the worker has ended (P8).
    held: Option<Output>,
    /// The last byte of the response, which a client that counts bytes takes for the end.
    last: Option<u8>,
}

/// Hands `request` to `worker`, and returns when both have ended.
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
            request.streams.drain();
            return outcome;
        }
        if let Some(outcome) = supervision.conclude() {
            request.streams.drain();
            // Pending signals are for a request that is over.
            account::outlive_server();
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
            glance: None,
            own_server: None,
            death: None,
            ending: None,
            is_finished: false,
            is_interrupted: false,
            repeats: true,
            repeated: None,
            rest: None,
            held: None,
            last: None,
        }
    }

    /// Sends what is still to be sent, and waits until there is something to do.
    fn wait(&mut self, signals: &Signals) {
        // A descriptor sent to a stopped process would keep the response open, so a zygote's child first reports that
        // it runs. An own child can be killed. What the order says can be sent at once.
        let is_ready = self.worker.process.is_own() || self.step >= Step::Loaded;
        if !self.incoming.is_over {
            let streams = self.request.streams;
            let descriptors = [streams.stdin(), stdout(), streams.stderr()];
            let descriptors = is_ready.then_some(descriptors.as_slice());
            // Reading shows whether the worker is gone.
            let _ = self.outgoing.send(self.worker.connection.as_fd(), descriptors);
        }
        let is_sent =
            if is_ready { self.outgoing.is_sent() } else { self.outgoing.is_order_sent() };
        let mut wait = vec![PollFd::new(signals, PollFlags::IN)];
        if !self.incoming.is_over {
            let mut events = PollFlags::IN;
            events.set(PollFlags::OUT, !is_sent);
            wait.push(PollFd::new(&self.worker.connection, events));
        }
        let end = self.worker.process.end().filter(|_| self.death.is_none());
        if let Some(end) = &end {
            wait.push(PollFd::new(end, PollFlags::IN));
        }
        let streams = self.request.streams;
        let lines = streams.awaited().map(|lines| {
            wait.push(lines);
            wait.len() - 1
        });
        let full = self.waits_for_room();
        if let Some(output) = full {
            wait.push(PollFd::from_borrowed_fd(output.as_fd(), PollFlags::OUT));
        }
        let source = self.rest.as_ref().and_then(Rest::source);
        if let Some(source) = &source {
            wait.push(PollFd::new(source, PollFlags::IN));
        }
        let timeout = self.next_moment().and_then(|at| Timespec::try_from(at.left()).ok());
        let ready = poll(&mut wait, timeout.as_ref()).is_ok_and(|ready| ready > 0);
        if ready && lines.is_some_and(|at| !wait[at].revents().is_empty()) {
            streams.pass_on();
        }
        let is_more = ready
            && source.is_some()
            && wait.last().is_some_and(|source| !source.revents().is_empty());
        if is_more && self.rest.as_mut().is_some_and(|rest| rest.drop_ready().is_err()) {
            self.rest = None;
        }
    }

    fn heed(&mut self, signal: Signal) {
        match signal.number {
            // look_at_process reads the status.
            libc::SIGCHLD => {}
            libc::SIGINT => {
                self.is_interrupted = true;
                // The terminal has sent it to an own child too.
                if !(signal.is_from_terminal && self.worker.process.is_own()) {
                    self.worker.process.signal(libc::SIGINT);
                }
            }
            // The worker is already ending, or the server has the whole response.
            _ if self.step == Step::Over => {
                self.rest = None;
                if self.is_finished {
                    self.held = None;
                }
            }
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
    /// Kills and reaps an own child that has not ended.
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
