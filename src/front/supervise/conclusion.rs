//! What a supervising front does when the worker has ended: it answers, or reports what became of the response.

use std::time::Duration;

use super::process::Death;
use super::{Cause, NotBegun, Outcome, Step, Supervision, endings, not_begun};
use crate::cgi::refusal::Refusal;
use crate::front::exit::FAILED;
use crate::report;

impl Supervision<'_> {
    /// Once the worker has ended: answers, or reports what became of the response.
    pub(super) fn conclude(&mut self) -> Option<Outcome> {
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
            // The worker's own lines come before the report of its end.
            self.request.streams.drain();
            self.finish();
        }
        if !self.end_response() {
            return None;
        }
        if self.is_body_left() {
            return None;
        }
        Some(if self.is_interrupted { Outcome::Interrupted } else { Outcome::Ended(self.exit) })
    }

    pub(super) fn why_not_begun(&mut self) -> NotBegun {
        if self.ending.as_ref().is_some_and(|ending| ending.cause == Cause::Timeout) {
            return NotBegun::TimedOut;
        }
        let is_late = self.request.deadline.is_some_and(|it| it.at.left() == Duration::ZERO);
        match self.unusable.take() {
            Some(reason) => NotBegun::Unusable(reason),
            // A new zygote whose import takes too long ends by itself.
            None if is_late && !self.worker.process.is_own() => {
                self.show_import();
                NotBegun::TimedOut
            }
            None => NotBegun::Gone { how: self.how(), was_loaded: self.step >= Step::Loaded },
        }
    }

    /// How the worker ended, if that is known and this process did not end it.
    pub(super) fn how(&self) -> Option<std::process::ExitStatus> {
        match self.death {
            Some(Death::Known(status)) if self.cause().is_none() => Some(status),
            _ => None,
        }
    }

    /// Why this process has ended the worker, if it has.
    pub(super) fn cause(&self) -> Option<Cause> {
        let ending = self.ending.as_ref();
        let ending = ending.filter(|ending| ending.is_killed || ending.cause == Cause::Timeout);
        ending.map(|ending| ending.cause)
    }

    pub(super) fn finish(&mut self) {
        let cause = self.cause();
        let timeout = self.request.deadline.map(|deadline| deadline.timeout);
        match self.step {
            Step::Over => {
                if let Some(text) = endings::after_response(cause, self.how(), timeout) {
                    report::error(&text);
                }
            }
            Step::Answering => {
                self.hold_response(None);
                self.exit = FAILED;
                self.step = Step::Over;
                report::error(&endings::in_response(cause, self.how(), timeout));
            }
            _ => {
                let status = if cause == Some(Cause::Timeout) { 504 } else { 500 };
                let reason = self.own_server.take();
                let reason =
                    reason.unwrap_or_else(|| endings::before_response(cause, self.how(), timeout));
                report::error(&format!("{reason} (answered {status})"));
                self.answer(&Refusal::new(status, reason), self.request.owed, true);
                self.exit = FAILED;
            }
        }
    }
}
