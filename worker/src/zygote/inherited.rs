//! What the import has changed and left open in its process, and what that means for children: a process started for
//! one request would have it too. If a child cannot have it, the application is started normally.
//! [`cgi2wsgi::zygotes::left_open`] decides that; this module says when.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use cgi2wsgi::system::IntervalTimers;
use cgi2wsgi::zygotes::left_open::LeftOpen;
use cgi2wsgi::zygotes::threads;

use super::changes::{Before, Changes};
use super::journal::note;

pub(super) struct Inherited {
    changes: Changes,
    left_open: io::Result<LeftOpen>,
    /// No child inherits them.
    timers: IntervalTimers,
}

impl Inherited {
    /// When the import is over: before the zygote opens anything of its own, and while standard error is the import's.
    /// `harmless`: the result of [`Self::harmless`].
    pub(super) fn of_import(
        before: Before,
        listener: &OwnedFd,
        harmless: Option<LeftOpen>,
    ) -> Self {
        Self {
            changes: before.compare(),
            timers: IntervalTimers::stop(),
            left_open: harmless.map_or_else(|| LeftOpen::look(&[listener.as_raw_fd()]), Ok),
        }
    }

    /// What the import left open, if a child could be forked at once, and if it makes no difference whether objects
    /// that are garbage still exist.
    pub(super) fn harmless(listener: &OwnedFd) -> Option<LeftOpen> {
        let left_open = LeftOpen::look(&[listener.as_raw_fd()]).ok()?;
        (left_open.is_harmless() && threads::others().is_empty()).then_some(left_open)
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

    /// In a child that was just forked.
    pub(super) fn renew(&self) -> io::Result<()> {
        self.left_open.as_ref().map_or(Ok(()), LeftOpen::renew)
    }

    /// In a child that has a request: with the directory, the umask and the standard error of the request.
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

    /// Whether this process holds what processes that start normally need.
    pub(super) fn is_anything_held(&self) -> bool {
        self.left_open.as_ref().is_ok_and(|left| left.findings().next().is_some())
    }

    /// In a process that will not run the application any more: releases what the import holds.
    pub(super) fn let_go(&self) {
        if let Ok(left_open) = &self.left_open {
            let _ = left_open.let_go();
        }
    }
}
