//! What the import has changed and left open in its process, and what that means for children: a process of its own
//! would have that for its request. Where a child can't have it, the application is started normally.
//! [`cgi2wsgi::zygotes::left_open`] decides; this is when.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use cgi2wsgi::system::{self, Fork, IntervalTimers};
use cgi2wsgi::zygotes::left_open::LeftOpen;
use cgi2wsgi::zygotes::threads;
use pyo3::prelude::*;

use super::FINALIZING;
use super::changes::{Before, Changes};
use super::journal::note;
use super::signals::Signals;
use crate::handlers;
use crate::python::fork;

pub(super) struct Inherited {
    changes: Changes,
    left_open: io::Result<LeftOpen>,
    /// No child inherits them.
    timers: IntervalTimers,
}

impl Inherited {
    /// When the import is over: before anything of the zygote's own is opened, and while standard error is the import's.
    pub(super) fn of_import(before: Before, listener: &OwnedFd) -> Self {
        Self {
            changes: before.compare(),
            timers: IntervalTimers::stop(),
            left_open: LeftOpen::look(&[listener.as_raw_fd()]),
        }
    }

    /// Whether children can have all that they need; if not, why.
    pub(super) fn check(&self) -> Result<(), String> {
        let left_open = self.left_open.as_ref().map_err(|error| {
            format!("what the import left open cannot be seen ({error}): is /proc mounted?")
        })?;
        let mut findings = left_open.findings();
        let Some(first) = findings.next() else { return Ok(()) };
        let more: Vec<String> = findings.collect();
        for finding in &more {
            note(finding);
        }
        Err(match more.len() {
            0 => first,
            count => format!("{first} (and {count} more: `cgi2wsgi warm log`)"),
        })
    }

    /// In a child that was forked just now.
    pub(super) fn renew(&self) -> io::Result<()> {
        self.left_open.as_ref().map_or(Ok(()), LeftOpen::renew)
    }

    /// In a child that has a request, with the directory, the umask and the standard error of that.
    pub(super) fn become_requests(
        &self,
        directory: &Path,
        umask: u32,
        standard_error: impl AsFd,
    ) -> io::Result<()> {
        self.changes.become_requests(directory, umask)?;
        self.timers.start();
        self.left_open.as_ref().map_or(Ok(()), |left| left.renew_standard_error(standard_error))
    }

    /// In a zygote that no request will be forked from: what the import holds is free for those that start normally.
    ///
    /// The import ends as a process does that has imported the application and does nothing else. That is done in a
    /// process of its own, for this one goes on; in which of the two this returns.
    pub(super) fn let_go(&self, py: Python<'_>, signals: &Signals) -> End {
        let Ok(left_open) = &self.left_open else { return End::Zygote };
        let is_anything_held = left_open.findings().next().is_some();
        if !threads::others().is_empty() {
            // They may be using it, and cannot be forked.
            return if is_anything_held { End::OfBoth } else { End::Zygote };
        }
        if is_anything_held {
            match fork::fork(py, || ()) {
                Ok(Fork::Child) => {
                    signals.give_back();
                    handlers::set_timer(handlers::create_timer(libc::SIGKILL), FINALIZING);
                    return End::OfImport;
                }
                // However it ends.
                Ok(Fork::Parent(pid)) => drop(system::wait_for(pid)),
                Err(_) => {}
            }
        }
        let _ = left_open.let_go();
        End::Zygote
    }
}

/// In which process [`Inherited::let_go`] returns.
#[derive(PartialEq)]
pub(super) enum End {
    /// The zygote, which refuses requests.
    Zygote,
    /// The one in which Python is to be torn down.
    OfImport,
    /// In the zygote, whose threads keep what it holds: it is free when the zygote has ended.
    OfBoth,
}
