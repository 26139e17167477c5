//! The zygote: imports the application and forks a child for each request, in a process that no request has touched.
//!
//! Children are forked ahead of need and take the requests themselves: each waits at the listening socket, and the
//! system gives a connection to one of them. The zygote only keeps some of them ready ([`pool`]). It exits after a long
//! time without requests, or when the application's code has changed. A waiting child dies with it; a child that has a
//! request can finish that alone.

mod alone;
mod ceiling;
mod changes;
mod child;
mod claims;
mod consulted;
mod databases;
mod edited;
mod import;
mod inherited;
mod journal;
mod kernel;
mod pool;
mod questions;
mod refusal;
mod rehearsal;
mod rows;
mod signals;
mod stat_calls;
mod title;
mod watch;

use std::cell::Cell;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use cgi2wsgi::handoff::ZygoteOrder;
use cgi2wsgi::report;
use cgi2wsgi::system;
use cgi2wsgi::zygotes::churn;
use cgi2wsgi::zygotes::directory::{self, Directory};
use cgi2wsgi::zygotes::lock::{self, Lock};
use cgi2wsgi::zygotes::status::Phase;
use cgi2wsgi::zygotes::threads;
use pyo3::prelude::*;

use self::alone::{Copy, Part};
use self::changes::Before;
use self::import::Imported;
use self::inherited::Inherited;
use self::journal::Journal;
use self::pool::{Ending, Pool};
use self::refusal::Reason;
use self::signals::Signals;
use self::watch::Watch;
use crate::Over;
use crate::descriptors;
use crate::handlers;
use crate::python::environment::{self, ThreadLimits};
use crate::python::{finish, termination};

/// How long the end of Python may take in a zygote.
const FINALIZING: Duration = Duration::from_secs(5);

/// The reason of a zygote that was told to end.
const STOPPED: &str = "stopped by SIGTERM";

/// Becomes the zygote of `order`, with the listening socket. Returns when it is no longer needed.
pub(crate) fn run(py: Python<'_>, order: &ZygoteOrder, received: Vec<OwnedFd>) -> Over {
    let failed = |reason: &str| {
        report::error(reason);
        Over::Nothing
    };
    let Some(listener) = received.into_iter().next() else {
        return failed("zygote: the front sent no listening socket");
    };
    let started = descriptors::out_of_the_way(listener).and_then(|listener| {
        environment::remove(py, directory::VARIABLE)?;
        Ok((listener, Journal::begin(order)?))
    });
    let (listener, journal) = match started {
        Ok(started) => started,
        Err(error) => return failed(&format!("zygote: {error}")),
    };
    let socket_identity = Cell::new(Some(order.socket_identity));
    let leave = || {
        if let (Ok(directory), Some(socket_identity)) =
            (Directory::at(order.directory.clone()), socket_identity.take())
        {
            lock::leave(&directory, &order.identity.name(), socket_identity);
        }
    };
    let over = live(py, order, &listener, journal, &leave);
    if matches!(over, Over::Child | Over::Import | Over::Answered) {
        // The listening socket is the zygote's.
        std::mem::forget(listener);
        return over;
    }
    leave();
    if matches!(over, Over::Zygote) {
        // No front waits for this zygote, so none would end it.
        let killer = handlers::create_timer(libc::SIGKILL);
        handlers::set_timer(killer, FINALIZING);
    }
    over
}

/// Imports, and serves until there is a reason to end. `leave` removes the socket.
fn live(
    py: Python<'_>,
    order: &ZygoteOrder,
    listener: &OwnedFd,
    mut journal: Journal,
    leave: &dyn Fn(),
) -> Over {
    let began = edited::now();
    title::of_zygote(&order.service.application);
    if let Some((text, was_said)) = journal.rest() {
        let reason = Reason { text, may_pass: true, was_said };
        journal.imported(py);
        return rest(order, listener, journal, &reason);
    }
    descriptors::guard_listener(Some(listener.as_raw_fd()));
    let before = Before::import();
    let limits = ThreadLimits::set(py);
    let mut harmless = None;
    let imported = import::run(py, order, || {
        harmless = Inherited::harmless(listener);
        harmless.is_some()
    });
    // Before the zygote opens anything of its own, and while standard error is the import's.
    let inherited = Inherited::of_import(before, listener, harmless);
    journal.imported(py);
    if termination::came() {
        journal.enter(Phase::Ended(STOPPED.into()));
        return Over::Nothing;
    }
    let watch = Watch::new(py, order, began);
    let signals = match Signals::take() {
        Ok(signals) => signals,
        Err(error) => {
            journal.enter(Phase::Ended(error.to_string()));
            return Over::Nothing;
        }
    };
    let zygote = Zygote { py, order, listener, leave, inherited, watch, signals };
    if rustix::net::sockopt::socket_acceptconn(listener) != Ok(true) {
        // Fronts that wait make a normal start when this process ends. The descriptors that it believes to own are
        // already closed.
        let why = "the application has closed all descriptors while it was imported";
        journal.enter(Phase::Ended(why.into()));
        finish::leave_at_once(1);
    }
    // The next import may succeed: a database may be there then.
    let may_pass = imported.is_err();
    let mut pool = match zygote.pool(imported, limits) {
        Ok(pool) => pool,
        Err(Unable { reason, imported }) => {
            return zygote.refuse(reason, may_pass, imported, journal);
        }
    };
    publish(order);
    match pool.work(&mut journal) {
        Ending::Over(why) => {
            journal.enter(Phase::Ended(why));
            pool.finish(leave, false);
            Over::Zygote
        }
        Ending::Stopped => {
            journal.enter(Phase::Ended(STOPPED.into()));
            pool.finish(leave, true);
            Over::Zygote
        }
        Ending::Useless(why) => zygote.refuse(why, true, None, journal),
        Ending::OfChild => {
            pool.leave_to_child();
            // The zygote's descriptors. Here their numbers may be those of other files.
            std::mem::forget((journal, zygote.watch, zygote.signals));
            Over::Child
        }
    }
}

/// A zygote that has imported its application.
struct Zygote<'z> {
    py: Python<'z>,
    order: &'z ZygoteOrder,
    listener: &'z OwnedFd,
    /// Removes the socket.
    leave: &'z dyn Fn(),
    inherited: Inherited,
    watch: Watch,
    signals: Signals,
}

/// A zygote that can fork no children.
struct Unable<'z> {
    reason: String,
    /// What was imported, if that succeeded.
    imported: Option<Box<Imported<'z>>>,
}

impl Unable<'_> {
    fn without(reason: String) -> Self {
        Self { reason, imported: None }
    }
}

impl<'z> Zygote<'z> {
    /// The pool that forks the children; if the application cannot be forked, the reason, and what was imported.
    fn pool(
        &'z self,
        imported: Result<Imported<'z>, String>,
        limits: PyResult<ThreadLimits>,
    ) -> Result<Pool<'z>, Unable<'z>> {
        let mut imported = imported.map_err(Unable::without)?;
        let limits = limits.and_then(|limits| limits.lift(self.py));
        let check = || {
            import::check_threads(self.py)?;
            limits.map_err(|error| error.to_string())?;
            self.inherited.check()?;
            self.watch.check()
        };
        if let Err(reason) = check() {
            return Err(Unable { reason, imported: Some(Box::new(imported)) });
        }
        let Self { py, order, listener, inherited, watch, signals, .. } = self;
        imported
            .note(*py)
            .map_err(Into::into)
            .and_then(|()| Pool::new(*py, order, listener, imported, inherited, watch, signals))
            .map_err(|error| Unable::without(error.to_string()))
    }

    /// Tells each front why it has to make a normal start, as long as the reason stands. The request that this process
    /// was started for is answered here, if the application was `imported`.
    fn refuse(
        &self,
        text: String,
        may_pass: bool,
        imported: Option<Box<Imported<'_>>>,
        mut journal: Journal,
    ) -> Over {
        let reason = Reason { text, may_pass, was_said: false };
        let Self { order, listener, inherited, .. } = self;
        let answer = imported
            .and_then(|imported| Some((imported, alone::front_that_waits(order, listener)?)));
        // A thread of the application could take a signal that is the zygote's.
        let has_threads = !threads::others().is_empty();
        if answer.is_none() && !has_threads && !inherited.is_anything_held() {
            self.turn_away(&reason, &mut journal, || ());
            return Over::Nothing;
        }
        let is_answered = answer.is_some();
        match alone::part(inherited, order) {
            Ok(Part::Original(original)) => {
                // It is the copy's.
                std::mem::forget(journal);
                match answer {
                    Some((imported, front)) => {
                        original.answer(self, front, *imported, &reason.text)
                    }
                    None if inherited.is_anything_held() => alone::end(),
                    None => finish::leave_at_once(0),
                }
            }
            Ok(Part::Copy(copy)) => {
                // Nothing of Python's is touched here.
                if let Some((imported, front)) = answer {
                    std::mem::forget(imported);
                    drop(front);
                }
                self.stay(copy, &Reason { was_said: is_answered, ..reason }, journal)
            }
            Err(_) => {
                inherited.let_go();
                // Its front sees the end of the connection, and makes a normal start.
                drop(answer);
                self.turn_away(&reason, &mut journal, || ());
                Over::Nothing
            }
        }
    }

    /// Refuses in the copy of the process that has imported the application.
    fn stay(&self, copy: Copy, reason: &Reason, mut journal: Journal) -> ! {
        if !reason.was_said {
            copy.wait_for_original();
        }
        journal.is_of_this_process();
        self.turn_away(reason, &mut journal, || copy.has_settled());
        (self.leave)();
        system::exit_now(0)
    }

    /// Refuses until there is a reason to end. Calls `is_ready` when fronts and people can know it.
    fn turn_away(&self, reason: &Reason, journal: &mut Journal, is_ready: impl FnOnce()) {
        let Self { order, listener, watch, signals, .. } = self;
        publish(order);
        journal.enter(Phase::Cold(reason.text.clone()));
        is_ready();
        let why = refusal::run(listener, watch, signals, &order.limits, reason, journal);
        journal.enter(Phase::Ended(why));
    }
}

/// Refuses without an import: another import would be of no more use than the last ones.
fn rest(order: &ZygoteOrder, listener: &OwnedFd, mut journal: Journal, reason: &Reason) -> Over {
    let why = match Signals::take() {
        Ok(signals) => {
            publish(order);
            journal::note(&format!("imports nothing for {} s", churn::REST.as_secs()));
            journal.enter(Phase::Cold(reason.text.clone()));
            let watch = Watch::of_nothing(order);
            refusal::run(listener, &watch, &signals, &order.limits, reason, &mut journal)
        }
        Err(error) => error.to_string(),
    };
    journal.enter(Phase::Ended(why));
    Over::Nothing
}

/// From here on requests that did not wait for this zygote find it.
fn publish(order: &ZygoteOrder) {
    if !order.is_on_trial {
        return;
    }
    if let Ok(directory) = Directory::at(order.directory.clone())
        && let Ok(lock) = Lock::take(&directory, &order.identity.name())
    {
        // If this fails, requests make a normal start, and the zygote ends because it gets none.
        let _ = lock.publish(order.socket_identity);
    }
}
