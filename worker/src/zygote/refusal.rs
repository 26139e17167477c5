//! A zygote that cannot serve: it has every front make a normal start, and tells the first one why.
//!
//! It stays as long as there are requests and nothing relevant changes. If that change may go unseen, as with a
//! database that was not there, it stays for a minute. Requests do not wait for the next zygote: see the front's
//! `connect`.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use cgi2wsgi::handoff::channel::send_reply;
use cgi2wsgi::handoff::{Limits, Reply, build::BUILD};
use cgi2wsgi::zygotes::churn;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::STOPPED;
use super::journal::Journal;
use super::signals::Signals;
use super::watch::Watch;

/// How long it stays for a reason that may pass.
const PASSING: Duration = churn::REST;

/// Why it cannot serve.
pub(super) struct Reason {
    pub(super) text: String,
    /// Whether it may pass without a change of the application.
    pub(super) may_pass: bool,
    /// Whether the last zygote has told fronts.
    pub(super) was_said: bool,
}

/// Refuses until the code changes, the reason may have passed, or there are no requests. Returns why it ended.
pub(super) fn run(
    listener: &OwnedFd,
    watch: &Watch,
    signals: &Signals,
    limits: &Limits,
    reason: &Reason,
    journal: &mut Journal,
) -> String {
    let mut said = if reason.was_said { "" } else { reason.text.as_str() };
    let begun = Instant::now();
    let mut asked = begun;
    loop {
        let idle_at = asked + limits.idle;
        let end = if reason.may_pass { idle_at.min(begun + PASSING) } else { idle_at };
        let left = end.saturating_duration_since(Instant::now());
        let mut wait = watch.polled();
        wait.push(PollFd::new(signals.descriptor(), PollFlags::IN));
        wait.push(PollFd::new(listener, PollFlags::IN));
        let timeout = Timespec::try_from(left.min(Duration::from_secs(1))).ok();
        let polled = poll(&mut wait, timeout.as_ref());
        let is_asked = wait.last().is_some_and(|last| !last.revents().is_empty());
        drop(wait);
        if let Some(file) = watch.changed() {
            return journal.file_changed(&file, watch.is_code(&file));
        }
        if signals.drain() {
            return STOPPED.into();
        }
        match polled {
            Ok(0) if left == Duration::ZERO && end < idle_at => {
                return "it is time to try again".into();
            }
            Ok(0) if left == Duration::ZERO => {
                return format!("no request for {} s", limits.idle.as_secs_f64());
            }
            Ok(_) if is_asked => {
                asked = Instant::now();
                if turn_away(listener, || watch.is_stale(), said) {
                    said = "";
                }
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return error.to_string(),
        }
    }
}

/// Has one front make a normal start, whatever it wants: waiting for its order would hold up the fronts behind it.
/// Returns whether it was told.
fn turn_away(listener: &OwnedFd, is_stale: impl Fn() -> bool, reason: &str) -> bool {
    let Ok(front) = accept_with(listener, SocketFlags::CLOEXEC) else { return false };
    send_reply(&front, &Reply::Hello(BUILD.to_owned()), None);
    if is_stale() {
        send_reply(&front, &Reply::Stale, None);
        return false;
    }
    send_reply(&front, &Reply::Cold(reason.to_owned()), None)
}
