//! An application that starts a server of its own while it is imported, such as `app.run()`, is never imported. The sign
//! is that its process listens on a socket: this process looks, now and then, and only where a request takes seconds.
//! Whether that is all that the import does is for the worker to say, which sees what runs.

use std::time::Duration;

use super::clock::GRACE;
use super::{Cause, Ending, Process, Step, Supervision};
use crate::handoff::signals as numbers;
use crate::listening::listens;
use crate::timings::Moment;

/// When it is looked first. Few imports take longer.
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
    /// When it is looked next.
    pub(super) fn next_glance(&self) -> Option<Moment> {
        let glance = self.glance.as_ref()?;
        (self.step == Step::Begun && self.ending.is_none()).then_some(glance.at)
    }

    /// Looks, and asks the worker about it where that listens.
    pub(super) fn glance(&mut self) {
        let Some(glance) = &mut self.glance else { return };
        glance.at = Moment::now() + glance.interval;
        glance.interval *= 2;
        if let Process::Own(pid) = self.worker.process
            && listens(pid)
        {
            // Python has a handler for it by now: before that there was no application that could listen.
            self.worker.process.signal(numbers::QUESTION);
        }
    }

    /// The worker ends its import, and answers; if the server does not let it, it is killed.
    pub(super) fn end_own_server(&mut self, reason: String) {
        if self.step != Step::Begun || self.ending.is_some() {
            return;
        }
        self.own_server = Some(reason);
        let until = Moment::now() + GRACE;
        self.ending = Some(Ending { cause: Cause::OwnServer, is_killed: false, until });
    }
}
