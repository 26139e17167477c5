//! A child of the zygote: waits for a request, becomes the process that the
//! server started for it in all that an application can see, and serves it as
//! a cold one is served.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use cgi2wsgi::handoff::Handoff;
use cgi2wsgi::warm::message::{Call, HELLO, Reply, peer_user};
use cgi2wsgi::warm::start::Start;
use pyo3::prelude::*;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{SendFlags, SocketFlags, accept_with, send};

use super::changes::Changes;
use super::faults::Faults;
use super::fresh::Watch;
use super::journal::Journal;
use super::signals::Signals;
use super::taken::Taken;
use crate::{emergency, ending, serve};

/// How long a front may take to say what it wants.
pub(super) const CALL_PATIENCE: Duration = Duration::from_secs(5);

/// The least that is left of `--timeout`.
const MOMENT: Duration = Duration::from_millis(1);

/// What the zygote gives a child.
pub(super) struct Birth<'z> {
    pub(super) py: Python<'z>,
    pub(super) start: &'z Start,
    pub(super) listener: &'z OwnedFd,
    pub(super) application: &'z Py<PyAny>,
    pub(super) changes: &'z Changes,
    pub(super) watch: &'z Watch,
    pub(super) faults: Option<&'z Faults>,
    pub(super) taken: &'z Taken,
    /// The connections that other children have lent to the zygote.
    pub(super) lent: &'z [RawFd],
    pub(super) journal: &'z Journal,
    pub(super) signals: &'z Signals,
    /// Its number.
    pub(super) zygote: i32,
}

/// Waits for a request, serves it, and ends.
pub(super) fn live(birth: &Birth<'_>) -> ! {
    // A child that waits is of no use without its zygote.
    // SAFETY: prctl, setpgid and getppid have no preconditions.
    let parent = unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // An application that signals its group means what it has started.
        libc::setpgid(0, 0);
        libc::getppid()
    };
    // An orphan's parent is not always 1: a service manager's may be another.
    if parent != birth.zygote || birth.signals.give_back().is_err() {
        ending::leave(1);
    }
    birth.taken.keep_childrens();
    for front in birth.lent {
        // SAFETY: it is another child's, and nothing here refers to it.
        unsafe { libc::close(*front) };
    }
    let status = loop {
        let front = match accept_with(birth.listener, SocketFlags::CLOEXEC) {
            Ok(front) => front,
            // A child that is told to end before it has a request does.
            Err(Errno::INTR) if birth.py.check_signals().is_err() => break 0,
            Err(Errno::INTR | Errno::CONNABORTED) => continue,
            // --warm-memory: only a child itself knows that it has no request.
            Err(Errno::AGAIN) if !birth.journal.is_dismissed() => continue,
            Err(Errno::AGAIN) => break 0,
            Err(_) => break 1,
        };
        if let Some(status) = meet(birth, &front) {
            break status;
        }
    };
    ending::leave(status)
}

/// One connection. Nothing: it was no request for this child, which is as it
/// was before.
fn meet(birth: &Birth<'_>, front: &OwnedFd) -> Option<u8> {
    let me = rustix::process::geteuid().as_raw();
    if !peer_user(front.as_fd()).is_ok_and(|user| user == me) {
        return None;
    }
    // A front that stands still holds up no child.
    set_socket_timeout(front, Timeout::Recv, Some(CALL_PATIENCE)).ok()?;
    send(front, HELLO, SendFlags::NOSIGNAL).ok()?;
    let (call, descriptors) = Call::receive(front.as_fd()).ok()??;
    if birth.watch.is_stale() {
        Reply::Stale.send(front);
        return Some(0);
    }
    if call.identity != birth.start.identity {
        Reply::Cold("two applications have zygotes of one name".into()).send(front);
        return None;
    }
    let mut handoff = match Handoff::decode(&call.handoff) {
        Ok(handoff) => handoff,
        Err(reason) => {
            Reply::Cold(reason).send(front);
            return None;
        }
    };
    // What it has waited for counts. No time at all would be no limit.
    handoff.timeout = call.deadline.map(|deadline| deadline.left().max(MOMENT));
    // Another child takes this one's place at the socket.
    birth.taken.say(front.as_fd());
    // From here on it lives for the request, whatever becomes of the zygote.
    // SAFETY: prctl has no preconditions.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
    // Held on, it would go on taking connections, for nobody, when the zygote
    // is gone.
    emergency::let_go_of_listener(birth.listener.as_raw_fd());
    if let Err(error) = take_over(birth, &call, &descriptors, &handoff) {
        Reply::Cold(format!("a child cannot take the request over: {error}")).send(front);
        return Some(1);
    }
    drop(descriptors);
    if birth.py.check_signals().is_err() {
        return Some(0);
    }
    emergency::follow_front(front.as_raw_fd());
    // Not begun before it is said: a front that has not heard of it may have
    // the request run elsewhere.
    if !Reply::Begun.send(front) {
        return Some(0);
    }
    let status = serve::serve(&handoff, &call.variables, Some((birth.application, front.as_fd())));
    emergency::unfollow_front();
    Reply::Ended(status).send(front);
    if let Some(faults) = birth.faults {
        faults.learn();
    }
    Some(status)
}

/// Descriptors, directory, umask and environment become those of the request,
/// but for what the import has changed.
fn take_over(
    birth: &Birth<'_>,
    call: &Call,
    descriptors: &[OwnedFd; 3],
    handoff: &Handoff,
) -> io::Result<()> {
    rustix::stdio::dup2_stdin(&descriptors[0])?;
    rustix::stdio::dup2_stdout(&descriptors[1])?;
    rustix::stdio::dup2_stderr(&descriptors[2])?;
    birth.changes.take_over_process(&handoff.application.directory, call.umask)?;
    emergency::renew_timers();
    birth
        .changes
        .take_over_environment(birth.py, &call.variables)
        .map_err(|error| io::Error::other(error.to_string()))
}
