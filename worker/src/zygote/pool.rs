//! A zygote's children: how many there should be, how they are forked, and how they end.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use cgi2wsgi::handoff::ZygoteOrder;
use cgi2wsgi::handoff::channel::is_readable;
use cgi2wsgi::system::{self, Fork};
use cgi2wsgi::timings::Moment;
use cgi2wsgi::zygotes::prefault::Prefault;
use cgi2wsgi::zygotes::spare;
use cgi2wsgi::zygotes::status::Phase;
use pyo3::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::Shutdown;
use rustix::pipe::{PipeFlags, pipe_with};

use super::ceiling::{self, Ceiling};
use super::child::{self, Birth, Waiting};
use super::claims::Claims;
use super::import::Imported;
use super::inherited::Inherited;
use super::journal::Journal;
use super::signals::Signals;
use super::watch::Watch;
use crate::python::{self, environment, finish, fork, padding};
use crate::{descriptors, wsgi};

/// How soon the zygote tries again if it cannot fork.
const FORK_AGAIN: Duration = Duration::from_millis(100);

/// How long waiting children may take to leave when the zygote ends.
const LEAVING: Duration = Duration::from_secs(1);

/// How many children in a row may end this soon and without a request: an application's at-fork hook may raise or
/// crash.
const STILLBORN: u32 = 10;
const SOON: Duration = Duration::from_millis(200);

/// The children, and what they are forked with.
pub(super) struct Pool<'z> {
    py: Python<'z>,
    order: &'z ZygoteOrder,
    listener: &'z OwnedFd,
    imported: Imported<'z>,
    inherited: &'z Inherited,
    watch: &'z Watch,
    signals: &'z Signals,
    prefault: Option<Prefault>,
    ceiling: Option<Ceiling>,
    claims: Claims,
    children: HashMap<i32, Child>,
    /// How long to wait before the next fork, if one is due.
    delay: Option<Duration>,
    /// How many children in a row have ended soon and without a request.
    stillborn: u32,
    requests: u64,
    last_request: Instant,
}

struct Child {
    born: Instant,
    /// Since when it has a connection; None while it waits for one.
    taken: Option<Instant>,
    /// The zygote writes here how it ended, and its front reads that.
    end: File,
}

/// Why a zygote forks no more.
pub(super) enum Ending {
    /// It is not needed, or no longer up to date.
    Over(String),
    /// It was asked to end.
    Stopped,
    /// Its children cannot serve.
    Useless(String),
    /// This is a child, and its Python has to be torn down.
    OfChild,
}

/// In which process a fork has ended.
#[derive(PartialEq)]
enum Forked {
    Zygote,
    Child,
}

/// What a zygote waits for.
struct Events {
    is_claimed: bool,
    is_signalled: bool,
}

impl<'z> Pool<'z> {
    pub(super) fn new(
        py: Python<'z>,
        order: &'z ZygoteOrder,
        listener: &'z OwnedFd,
        imported: Imported<'z>,
        inherited: &'z Inherited,
        watch: &'z Watch,
        signals: &'z Signals,
    ) -> io::Result<Self> {
        Ok(Self {
            py,
            order,
            listener,
            imported,
            inherited,
            watch,
            signals,
            prefault: Prefault::new(),
            ceiling: order.limits.memory.map(|bytes| Ceiling::new(bytes, listener)),
            claims: Claims::new()?,
            children: HashMap::new(),
            delay: None,
            stillborn: 0,
            requests: 0,
            last_request: Instant::now(),
        })
    }

    /// Keeps children ready, until there is a reason to end.
    pub(super) fn work(&mut self, journal: &mut Journal) -> Ending {
        match self.begin(journal) {
            Ok(None) => {}
            Ok(Some(ending)) => return ending,
            Err(error) => return Ending::Useless(format!("no child can be forked: {error}")),
        }
        loop {
            let forked = match self.replenish(journal) {
                Ok(Forked::Child) => return Ending::OfChild,
                forked => forked,
            };
            if let Err(error) = &forked
                && self.children.is_empty()
            {
                return Ending::Useless(format!("no child can be forked: {error}"));
            }
            journal.update(self.requests, self.waiting(), self.busy());
            let events = match self.wait(self.step(journal, forked.is_err())) {
                Ok(events) => events,
                Err(error) => return Ending::Over(error.to_string()),
            };
            if let Some(file) = self.watch.changed() {
                self.watch.spread();
                self.note_claims();
                journal.update(self.requests, self.waiting(), self.busy());
                return Ending::Over(journal.file_changed(&file, self.watch.is_code(&file)));
            }
            if events.is_claimed {
                self.note_claims();
            }
            if events.is_signalled && self.signals.drain() {
                return Ending::Stopped;
            }
            self.reap();
            if self.stillborn >= STILLBORN {
                return Ending::Useless("children end before they get a request".into());
            }
            if self.busy() > 0 {
                self.last_request = Instant::now();
            } else if self.last_request.elapsed() >= self.order.limits.idle {
                let idle = self.order.limits.idle.as_secs_f64();
                return Ending::Over(format!("no request for {idle} s"));
            }
        }
    }

    /// Makes the heap ready for forks. The request that this zygote was started for does not wait for that: its child
    /// is forked before. Returns why no more children are to be forked, if there is a reason.
    fn begin(&mut self, journal: &mut Journal) -> io::Result<Option<Ending>> {
        wsgi::prepare(self.py, self.order.service.debug);
        environment::recognize(self.py);
        let is_awaited = is_readable(self.listener.as_fd(), Moment::now());
        let is_first = is_awaited && !self.imported.is_settled();
        // When the first response is there, status and log say that the zygote is ready.
        journal.enter(Phase::Ready);
        if is_first && self.fork(journal)? == Forked::Child {
            return Ok(Some(Ending::OfChild));
        }
        if is_first && self.is_stopped_during_first()? {
            return Ok(Some(Ending::Stopped));
        }
        self.imported.settle(self.py, !self.children.is_empty())?;
        padding::fill(self.py);
        Ok(None)
    }

    /// Leaves the processor to the first child for a moment, unless a front waits for another. Returns whether the
    /// zygote was asked to end.
    fn is_stopped_during_first(&mut self) -> io::Result<bool> {
        let until = Instant::now() + spare::ALONE;
        loop {
            self.note_claims();
            self.reap();
            let left = until.saturating_duration_since(Instant::now());
            if self.children.is_empty() || left.is_zero() {
                return Ok(false);
            }
            let mut wait = vec![
                PollFd::new(self.signals.descriptor(), PollFlags::IN),
                PollFd::new(self.claims.descriptor(), PollFlags::IN),
            ];
            // Until the child has taken its request, that is what waits here.
            if self.waiting() == 0 {
                wait.push(PollFd::new(self.listener, PollFlags::IN));
            }
            match poll(&mut wait, Timespec::try_from(left).ok().as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if !wait[0].revents().is_empty() && self.signals.drain() {
                return Ok(true);
            }
            if wait.get(2).is_some_and(|listener| !listener.revents().is_empty()) {
                return Ok(false);
            }
        }
    }

    /// How long the zygote has nothing to do if no event comes.
    fn step(&self, journal: &Journal, has_failed_to_fork: bool) -> Duration {
        let idle = self.order.limits.idle.saturating_sub(self.last_request.elapsed());
        let mut step = idle.max(Duration::from_millis(1));
        let due = [
            journal.due(),
            self.ceiling.as_ref().map(|_| ceiling::LOOK),
            has_failed_to_fork.then_some(FORK_AGAIN),
            self.delay,
        ];
        for due in due.into_iter().flatten() {
            step = step.min(due);
        }
        step
    }

    fn wait(&self, step: Duration) -> io::Result<Events> {
        let timeout = Timespec::try_from(step).ok();
        let mut wait = vec![
            PollFd::new(self.claims.descriptor(), PollFlags::IN),
            PollFd::new(self.signals.descriptor(), PollFlags::IN),
        ];
        wait.extend(self.watch.polled());
        match poll(&mut wait, timeout.as_ref()) {
            Ok(_) => Ok(Events {
                is_claimed: !wait[0].revents().is_empty(),
                is_signalled: !wait[1].revents().is_empty(),
            }),
            Err(Errno::INTR) => Ok(Events { is_claimed: false, is_signalled: false }),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the waiting children, so that none is left to a process 1 that may not reap it (W9). Unless the zygote is
    /// stopped, it stays until running requests are finished: fronts learn from it how their children end.
    pub(super) fn finish(&mut self, leave: &dyn Fn(), mut is_stopped: bool) {
        // No front connects any more. Waiting children see that, and so do fronts in line when nothing holds the
        // socket.
        leave();
        let _ = rustix::net::shutdown(self.listener, Shutdown::Both);
        descriptors::guard_listener(None);
        descriptors::let_go_of_listener(self.listener.as_raw_fd());
        let until = Instant::now() + LEAVING;
        loop {
            self.note_claims();
            self.reap();
            let left = until.saturating_duration_since(Instant::now());
            let step = if self.waiting() > 0 && !left.is_zero() {
                Timespec::try_from(left).ok()
            } else if self.busy() > 0 && !is_stopped {
                None
            } else {
                return;
            };
            let mut wait = [PollFd::new(self.signals.descriptor(), PollFlags::IN)];
            if poll(&mut wait, step.as_ref()).is_err_and(|error| error != Errno::INTR) {
                return;
            }
            is_stopped |= self.signals.drain();
        }
    }

    /// In a child whose Python is torn down: releases what is its own, and leaves what is the zygote's untouched.
    pub(super) fn leave_to_child(self) {
        let Self { imported, prefault, ceiling, claims, children, .. } = self;
        std::mem::forget((prefault, ceiling, claims, children));
        imported.leave_to_child();
    }

    fn waiting(&self) -> usize {
        self.children.values().filter(|child| child.taken.is_none()).count()
    }

    fn busy(&self) -> usize {
        self.children.len() - self.waiting()
    }

    /// How many children should wait.
    fn wanted(&mut self, journal: &mut Journal) -> usize {
        let spare = self.order.limits.spare.max(1) as usize;
        let (waiting, busy) = (self.waiting(), self.busy());
        let Some(ceiling) = &mut self.ceiling else { return spare };
        let children: Vec<i32> = self.children.keys().copied().collect();
        let exceeded = ceiling.exceeded(&children, busy);
        // One request at a time is answered, however large the application is.
        let wanted = match exceeded {
            Some(_) => usize::from(busy == 0),
            None => spare,
        };
        journal.dismiss(waiting.saturating_sub(wanted));
        journal.remark(exceeded.as_deref());
        wanted
    }

    /// Forks as many children as should wait, unless it is better to do that a moment later.
    fn replenish(&mut self, journal: &mut Journal) -> io::Result<Forked> {
        loop {
            let wanted = self.wanted(journal);
            let max = self.order.limits.max.max(1) as usize;
            self.delay = None;
            if self.waiting() >= wanted || self.children.len() >= max {
                return Ok(Forked::Zygote);
            }
            let taken = self.children.values().filter_map(|child| child.taken);
            self.delay = spare::delay(self.waiting(), taken.map(|since| since.elapsed()));
            if self.delay.is_some() {
                return Ok(Forked::Zygote);
            }
            if self.fork(journal)? == Forked::Child {
                return Ok(Forked::Child);
            }
        }
    }

    fn fork(&mut self, journal: &Journal) -> io::Result<Forked> {
        let zygote = std::process::id().try_into().unwrap_or_default();
        let (end_of_front, end) = pipe_with(PipeFlags::CLOEXEC)?;
        // The ends of the other children, which this child would hold open for no purpose.
        let ends: Vec<RawFd> = self.children.values().map(|child| child.end.as_raw_fd()).collect();
        descriptors::guard_listener(None);
        // So that nothing is written twice.
        self.imported.noted.flush(self.py);
        system::flush_streams();
        python::expect_fork(self.py);
        let mut renewed = Ok(());
        let before_python = || {
            // Python's own work after a fork writes to many of these pages.
            if let Some(prefault) = &self.prefault {
                prefault.touch();
            }
            renewed = self.inherited.renew();
        };
        let pid = match fork::fork(self.py, before_python)? {
            Fork::Parent(pid) => pid,
            Fork::Child => {
                // They belong to other children, and nothing here refers to them.
                ends.into_iter().for_each(system::close);
                drop(end);
                if self.imported.begin_child().is_err() {
                    finish::leave_at_once(1);
                }
                let birth = Birth {
                    py: self.py,
                    order: self.order,
                    listener: self.listener,
                    application: &self.imported.application,
                    noted: &self.imported.noted,
                    inherited: self.inherited,
                    renewed: &renewed,
                    watch: self.watch,
                    claims: Some(&self.claims),
                    end: Some(&end_of_front),
                    alone: None,
                };
                // Later children find another heap.
                let prefault = self.prefault.as_ref().filter(|_| self.imported.is_settled());
                let signals = self.signals;
                child::live(&birth, &Waiting { journal, signals, prefault, zygote });
                // It was closed when the front got it.
                std::mem::forget(end_of_front);
                return Ok(Forked::Child);
            }
        };
        let child = Child { born: Instant::now(), taken: None, end: end.into() };
        self.children.insert(pid.as_raw_pid(), child);
        Ok(Forked::Zygote)
    }

    fn note_claims(&mut self) {
        while let Some(claim) = self.claims.next() {
            self.requests += u64::from(claim.is_request);
            self.last_request = Instant::now();
            if let Some(child) = self.children.get_mut(&claim.pid) {
                child.taken.get_or_insert_with(Instant::now);
            }
        }
    }

    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = system::try_wait(None) {
            // The child may just have reported a connection.
            self.note_claims();
            let Some(mut child) = self.children.remove(&pid.as_raw_pid()) else { continue };
            // A child that was killed after a while, or dismissed, is no sign.
            let is_stillborn = child.taken.is_none() && child.born.elapsed() < SOON;
            self.stillborn = if is_stillborn { self.stillborn + 1 } else { 0 };
            // The pipe has room for this. If there was no request, nothing reads it.
            let _ = child.end.write_all(&status.into_raw().to_ne_bytes());
            if let Some(ceiling) = &mut self.ceiling {
                ceiling.forget();
            }
        }
    }
}
