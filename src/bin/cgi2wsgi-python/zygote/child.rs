//! A child of the zygote: waits for a request, becomes the process that the
//! server started for it in all that an application can see, and serves it as
//! a cold one is served.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use cgi2wsgi::cgi::variables::Variables;
use cgi2wsgi::handoff::Handoff;
use cgi2wsgi::warm::message::{Call, HELLO, Reply, peer_user};
use cgi2wsgi::warm::start::Start;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketFlags, accept_with, send};

use super::faults::Faults;
use super::fresh::Watch;
use super::journal::Journal;
use crate::{emergency, ending, serve};

/// What the zygote gives a child.
pub(super) struct Birth<'z> {
    pub(super) py: Python<'z>,
    pub(super) start: &'z Start,
    pub(super) listener: &'z OwnedFd,
    pub(super) application: &'z Py<PyAny>,
    pub(super) watch: &'z Watch,
    pub(super) faults: Option<&'z Faults>,
    pub(super) taken: &'z OwnedFd,
    pub(super) journal: &'z Journal,
}

/// Waits for a request, serves it, and ends.
pub(super) fn live(birth: &Birth<'_>) -> ! {
    // A child that waits is of no use without its zygote.
    // SAFETY: prctl and getppid have no preconditions.
    let orphaned = unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::getppid() == 1
    };
    if orphaned || unblock_signals().is_err() {
        ending::leave(1);
    }
    if let Some(faults) = birth.faults {
        faults.touch();
    }
    let status = loop {
        let front = match accept_with(birth.listener, SocketFlags::CLOEXEC) {
            Ok(front) => front,
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

/// The zygote waits for signals in its own way; a child has them as every
/// process.
fn unblock_signals() -> io::Result<()> {
    // SAFETY: the set is initialized before it is used.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        if libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// One connection. Nothing: it was no request for this child, which is as it
/// was before.
fn meet(birth: &Birth<'_>, front: &OwnedFd) -> Option<u8> {
    let me = rustix::process::geteuid().as_raw();
    if !peer_user(front.as_fd()).is_ok_and(|user| user == me) {
        return None;
    }
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
    let handoff = match Handoff::decode(&call.handoff) {
        Ok(handoff) => handoff,
        Err(reason) => {
            Reply::Cold(reason).send(front);
            return None;
        }
    };
    // Another child takes this one's place at the socket.
    let _ = rustix::io::write(birth.taken, &std::process::id().to_ne_bytes());
    // From here on it lives for the request, whatever becomes of the zygote.
    // SAFETY: prctl has no preconditions.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
    if let Err(error) = take_over(birth, &call, &descriptors, &handoff) {
        Reply::Cold(format!("a child cannot take the request over: {error}")).send(front);
        return Some(1);
    }
    drop(descriptors);
    emergency::follow_front(front.as_raw_fd());
    Reply::Begun.send(front);
    let status = serve::serve(&handoff, &call.variables, Some((birth.application, front.as_fd())));
    emergency::unfollow_front();
    Reply::Ended(status).send(front);
    if let Some(faults) = birth.faults {
        faults.learn();
    }
    Some(status)
}

/// Descriptors, directory, umask and environment become those of the request.
fn take_over(
    birth: &Birth<'_>,
    call: &Call,
    descriptors: &[OwnedFd; 3],
    handoff: &Handoff,
) -> io::Result<()> {
    rustix::stdio::dup2_stdin(&descriptors[0])?;
    rustix::stdio::dup2_stdout(&descriptors[1])?;
    rustix::stdio::dup2_stderr(&descriptors[2])?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(call.umask));
    std::env::set_current_dir(&handoff.application.directory)?;
    emergency::renew_timers();
    replace_environment(birth.py, &call.variables)
        .map_err(|error| io::Error::other(error.to_string()))
}

/// `os.environ`, the object that modules may have imported, and the C
/// library's environment become the request's.
fn replace_environment(py: Python<'_>, variables: &Variables) -> PyResult<()> {
    let environ = py.import("os")?.getattr("environb")?;
    let wanted = PyDict::new(py);
    for (name, value) in variables.iter() {
        // E10: what an HTTP client would take for its proxy.
        if name != b"HTTP_PROXY" && !name.is_empty() {
            wanted.set_item(PyBytes::new(py, name), PyBytes::new(py, value))?;
        }
    }
    let names: Vec<Bound<'_, PyAny>> = environ.try_iter()?.collect::<PyResult<_>>()?;
    for name in names {
        if !wanted.contains(&name)? {
            environ.del_item(name)?;
        }
    }
    for (name, value) in wanted {
        environ.set_item(name, value)?;
    }
    Ok(())
}
