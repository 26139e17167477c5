//! A zygote that cannot serve: it has every front make a normal start, and tells the first one why.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use cgi2wsgi::handoff::channel::send_reply;
use cgi2wsgi::handoff::{Limits, Reply, build::BUILD};
use pyo3::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::STOPPED;
use super::signals::Signals;
use super::watch::Watch;

/// How long it stays.
const REFUSAL: Duration = Duration::from_secs(60);

/// Refuses until the code changes or a minute is over. Returns why it ended.
pub(super) fn run(
    py: Python<'_>,
    listener: &OwnedFd,
    watch: &Watch,
    signals: &Signals,
    limits: &Limits,
    reason: &str,
) -> String {
    let mut said = reason;
    let end = Instant::now() + REFUSAL.min(limits.idle);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let mut wait = watch.polled();
        wait.push(PollFd::new(signals.descriptor(), PollFlags::IN));
        wait.push(PollFd::new(listener, PollFlags::IN));
        let timeout = Timespec::try_from(left.min(Duration::from_secs(1))).ok();
        let polled = poll(&mut wait, timeout.as_ref());
        let is_asked = wait.last().is_some_and(|last| !last.revents().is_empty());
        drop(wait);
        if let Some(file) = watch.changed() {
            return format!("{} changed", file.display());
        }
        // A thread of the application's may have taken the signal.
        if signals.drain() || py.check_signals().is_err() {
            return STOPPED.into();
        }
        match polled {
            Ok(0) if left == Duration::ZERO => return "it is time to try again".into(),
            Ok(_) if is_asked => {
                if turn_away(listener, watch, said) {
                    said = "";
                }
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return error.to_string(),
        }
    }
}

/// Has one front make a normal start, whatever it wants: to wait until it has said that would hold up those behind it.
/// Whether it was told.
fn turn_away(listener: &OwnedFd, watch: &Watch, reason: &str) -> bool {
    let Ok(front) = accept_with(listener, SocketFlags::CLOEXEC) else { return false };
    send_reply(&front, &Reply::Hello(BUILD.to_owned()), None);
    if watch.is_stale() {
        send_reply(&front, &Reply::Stale, None);
        return false;
    }
    send_reply(&front, &Reply::Cold(reason.to_owned()), None)
}
