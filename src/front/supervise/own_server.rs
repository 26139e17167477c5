//! The import of an application that starts its own server, such as `app.run()`, never ends. The sign is that its
//! process listens on a socket: this process looks now and then, and only if a request takes seconds. The worker, which
//! sees what runs, decides whether the import does nothing else.

use std::time::Duration;

use super::clock::GRACE;
use super::{Cause, Ending, Process, Step, Supervision};
use crate::handoff::signals as numbers;
use crate::listening::listens;
use crate::timings::Moment;

/// When this process looks first. Few imports take longer.
const FIRST: Duration = Duration::from_secs(2);

/// The next look at the worker's process.
pub(super) struct Glance {
    at: Moment,
    interval: Duration,
}

impl Glance {
    pub(super) fn first() -> Self {
        Self { at: Moment::now() + FIRST, interval: FIRST }
    }
}

impl Supervision<'_> {
    /// When this process looks next.
    pub(super) fn next_glance(&self) -> Option<Moment> {
        let glance = self.glance.as_ref()?;
        (self.step == Step::Begun && self.ending.is_none()).then_some(glance.at)
    }

    /// Looks whether the worker's process listens; if so, asks the worker about it.
    pub(super) fn glance(&mut self) {
        let Some(glance) = &mut self.glance else { return };
        glance.at = Moment::now() + glance.interval;
        glance.interval *= 2;
        if let Process::Own(pid) = self.worker.process
            && listens(pid)
        {
            // Python has a handler for this signal by now: it was set before any application could listen.
            self.worker.process.signal(numbers::QUESTION);
        }
    }

    /// The worker ends its import and answers. If the application's server prevents that, the worker is killed.
    pub(super) fn end_own_server(&mut self, reason: String) {
        if self.step != Step::Begun || self.ending.is_some() {
            return;
        }
        self.own_server = Some(reason);
        let until = Moment::now() + GRACE;
        self.ending = Some(Ending { cause: Cause::OwnServer, is_killed: false, until });
    }
}
