//! What a supervising front does at a certain time: the deadline of `--timeout`, repeated signals, and ending a worker.

use std::time::Duration;

use rustix::net::{Shutdown, shutdown};

use super::{Cause, Ending, NotBegun, Outcome, Step, Supervision, not_begun};
use crate::front::account;
use crate::front::exit::FAILED;
use crate::front::refuse::Rest;
use crate::handoff::signals as numbers;
use crate::report;
use crate::timings::Moment;

/// How long a worker may take to write tracebacks, and to end after SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// How long a worker that has closed its connection may take to end before it is killed.
const DYING: Duration = Duration::from_millis(200);

/// After which time a signal without effect is sent again.
const AGAIN: Duration = Duration::from_millis(100);

impl Supervision<'_> {
    /// When there is something to do even if no descriptor becomes ready.
    pub(super) fn next_moment(&self) -> Option<Moment> {
        let deadline = match &self.ending {
            Some(ending) => Some(ending.until),
            None => self.deadline(),
        };
        let repeated = self.repeated.as_ref().map(|repeated| repeated.next);
        let rest = self.rest.as_ref().filter(|rest| rest.source().is_some()).map(Rest::until);
        let glance = self.next_glance();
        let counts = !self.is_finished || self.waits_for_room().is_some();
        [deadline.filter(|_| counts), repeated, rest, glance].into_iter().flatten().min()
    }

    pub(super) fn deadline(&self) -> Option<Moment> {
        // A new zygote starts its clock a little later, and writes where it hangs.
        let patience = if self.request.import.is_some() && self.step < Step::Begun {
            GRACE
        } else {
            Duration::ZERO
        };
        self.request.deadline.map(|deadline| deadline.at + patience)
    }

    /// Does what is due. Returns an outcome if the application has not begun in time.
    pub(super) fn look_at_clock(&mut self) -> Option<Outcome> {
        let is_due = |at: Moment| at.left() == Duration::ZERO;
        if let Some(repeated) = self.repeated.as_mut().filter(|repeated| is_due(repeated.next)) {
            self.worker.process.signal(repeated.number);
            repeated.left -= 1;
            repeated.next = Moment::now() + AGAIN;
            if repeated.left == 0 {
                self.repeated = None;
            }
        }
        if self.waits_for_room().is_some() && self.deadline().is_some_and(is_due) {
            // The visitor reads no more, and the time is over.
            self.held = None;
            self.exit = FAILED;
            account::done(false);
            report::error("the server did not read the end of the response within --timeout");
        }
        if self.is_finished || self.death.is_some() {
            return None;
        }
        if self.next_glance().is_some_and(is_due) {
            self.glance();
        }
        match &self.ending {
            None if self.deadline().is_some_and(is_due) => return self.time_out(),
            Some(ending) if !ending.is_killed && is_due(ending.until) => self.kill(ending.cause),
            // Most often the worker is dead, and the system is about to report it.
            None if self.incoming.is_over && !self.worker.process.can_tell() => {
                self.kill(Cause::ConnectionLost);
            }
            None if self.incoming.is_over => {
                let until = Moment::now() + DYING;
                self.ending =
                    Some(Ending { cause: Cause::ConnectionLost, is_killed: false, until });
            }
            _ => {}
        }
        None
    }

    /// The time is over. The worker writes tracebacks first, if it can.
    pub(super) fn time_out(&mut self) -> Option<Outcome> {
        if self.step < Step::Begun && !self.worker.process.is_own() {
            // From here on no child can report that it has begun, and so none begins. One may have reported it just
            // before.
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

    /// The worker must be dead before this process answers.
    pub(super) fn kill(&mut self, cause: Cause) {
        self.worker.process.signal(libc::SIGKILL);
        let until = Moment::now() + GRACE;
        self.ending = Some(Ending { cause, is_killed: true, until });
    }
}
