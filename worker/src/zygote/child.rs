//! A child of the zygote: waits for a request and serves it as a worker started for it would. In all that an
//! application can see, it becomes the process that the server started for the request.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cgi2wsgi::handoff::build::BUILD;
use cgi2wsgi::handoff::channel::{
    is_readable, peer_user, receive_descriptors_while, receive_order_while,
};
use cgi2wsgi::handoff::{Call, Order, Reply, Service, ZygoteOrder};
use cgi2wsgi::timings::Moment;
use cgi2wsgi::zygotes::prefault::Prefault;
use cgi2wsgi::{report, system};
use pyo3::prelude::*;
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, setpgid};

use super::claims::Claims;
use super::inherited::Inherited;
use super::journal::Journal;
use super::signals::Signals;
use super::title;
use super::watch::Watch;
use crate::connection::Connection;
use crate::python::finish::Noted;
use crate::python::{environment, finish, termination};
use crate::{descriptors, serve};

/// How long a front may take to send its whole order. A running front takes a millisecond. A stopped one, or a process
/// that is no front, holds one of the few children that `--warm-max` allows.
const CALL_PATIENCE: Duration = Duration::from_secs(5);

/// How soon a running front sends its order. Until then the zygote is not told of the connection, because it will be
/// told of the request.
const CALL_SOON: Duration = Duration::from_millis(2);

/// [`CALL_PATIENCE`] while another front waits in line. The front that is turned away loses nothing: it stands in line
/// again.
const CALL_PATIENCE_IN_LINE: Duration = Duration::from_millis(250);

/// How often a child checks whether another front waits.
const LOOK_AT_LINE: Duration = Duration::from_millis(50);

/// What the zygote gives a child.
pub(super) struct Birth<'z> {
    pub(super) py: Python<'z>,
    pub(super) order: &'z ZygoteOrder,
    pub(super) listener: &'z OwnedFd,
    pub(super) application: &'z Py<PyAny>,
    pub(super) noted: &'z Noted,
    pub(super) inherited: &'z Inherited,
    /// Whether the child could renew what it must not share.
    pub(super) renewed: &'z io::Result<()>,
    pub(super) watch: &'z Watch,
    pub(super) claims: Option<&'z Claims>,
    /// The pipe by which the zygote says how this child has ended.
    pub(super) end: Option<&'z OwnedFd>,
    /// Why the application cannot be forked: this is the process that has imported it.
    pub(super) alone: Option<&'z str>,
}

/// What a child has of the zygote while it waits, and at its end.
pub(super) struct Waiting<'z> {
    pub(super) journal: &'z Journal,
    pub(super) signals: &'z Signals,
    pub(super) prefault: Option<&'z Prefault>,
    /// The zygote's process id.
    pub(super) zygote: i32,
}

/// Waits for a request, serves it, and ends; returns only if Python has to be torn down for that.
pub(super) fn live(birth: &Birth<'_>, waiting: &Waiting<'_>) {
    // A child that waits is of no use without its zygote.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // An application that signals its process group means what it has started itself.
    let _ = setpgid(None, None);
    let parent = getppid().map(Pid::as_raw_pid);
    // An orphan's parent is not always process 1: it may be a service manager.
    if parent != Some(waiting.zygote) {
        finish::leave_at_once(1);
    }
    waiting.signals.give_back();
    birth.claims.inspect(|claims| claims.close_zygotes());
    title::of_child(&birth.order.service.application, waiting.zygote);
    let status = loop {
        match accept_with(birth.listener, SocketFlags::CLOEXEC) {
            Ok(front) => {
                if let Some(front) = meet(birth, front) {
                    end(birth, front, waiting.prefault);
                    return;
                }
                break 0;
            }
            // A child without a request ends at a signal to end.
            Err(Errno::INTR) if birth.py.check_signals().is_err() => break 0,
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            // --warm-memory: only the child itself knows that it has no request.
            Err(Errno::AGAIN) if !waiting.journal.is_dismissed() => {}
            Err(Errno::AGAIN) => break 0,
            Err(_) => break 1,
        }
    };
    finish::leave_at_once(status)
}

/// Ends the process of a child that has served a request; returns if Python has to be torn down for that.
fn end(birth: &Birth<'_>, front: Arc<Connection>, prefault: Option<&Prefault>) {
    if birth.noted.finish(birth.py).is_some() {
        // If it were closed, the front would believe that this process is lost.
        std::mem::forget(front);
        return;
    }
    descriptors::close_everything_of_the_server();
    front.send(&Reply::Exits);
    // The kernel needs as long to free this process' memory as a short request takes: let the front run first.
    std::thread::yield_now();
    if let Some(prefault) = prefault {
        prefault.learn();
    }
    finish::leave_child(birth.py)
}

/// Serves the request that comes by one connection, which is returned. None: it was served by no process yet.
pub(super) fn meet(birth: &Birth<'_>, front: OwnedFd) -> Option<Arc<Connection>> {
    let accepted_at = Instant::now();
    let Some((front, order, mut received)) = receive(birth, front, accepted_at) else {
        birth.say(false);
        return None;
    };
    if birth.watch.is_stale() {
        birth.say(false);
        return birth.turn_away(front, &Reply::Stale);
    }
    let (call, service) = match accepted(&order, birth.order) {
        Ok(accepted) => accepted,
        Err(reason) => {
            birth.say(false);
            return birth.turn_away(front, &Reply::Cold(reason));
        }
    };
    report::set_label(&call.label);
    let variables_set = set_variables(birth, &call);
    // The descriptors follow when the front has seen that this process runs.
    let wait = || wait_call(&front, birth, accepted_at);
    if !receive_descriptors_while(front.as_fd(), &mut received, wait).unwrap_or(false) {
        birth.say(false);
        return None;
    }
    birth.say(true);
    // From here on the child finishes its request even if the zygote dies.
    let _ = set_parent_process_death_signal(None);
    // If held open, the socket would go on taking connections that are never answered after the zygote has gone.
    descriptors::let_go_of_listener(birth.listener.as_raw_fd());
    let became = variables_set.and_then(|()| become_requests(birth, &call, &service, &received));
    if let Err(error) = became {
        let reason = format!("a child cannot take the request over: {error}");
        return birth.turn_away(front, &Reply::Cold(reason));
    }
    if birth.py.check_signals().is_err() {
        return None;
    }
    if let Some(reason) = birth.alone {
        front.send(&Reply::Alone(reason.to_owned()));
    }
    // The request does not begin before this message: a front that did not get it may have the request run elsewhere.
    if !front.send_with(&Reply::Begun(std::process::id()), birth.end.map(AsFd::as_fd)) {
        return None;
    }
    // The front has it, and this process no longer refers to it.
    if let Some(end) = birth.end {
        system::close_borrowed(end);
    }
    let front = Arc::new(front);
    termination::tell(Some(Arc::clone(&front)));
    serve::serve(birth.py, &call, &service, received, &front, Some(birth.application));
    Some(front)
}

impl Birth<'_> {
    /// Has the front make another start. A process that is alone may hold what that start needs: there the front learns
    /// it by the end of this process.
    fn turn_away(&self, front: Connection, reply: &Reply) -> Option<Arc<Connection>> {
        if self.alone.is_some() {
            std::mem::forget(front);
        } else {
            front.send(reply);
        }
        None
    }

    /// Tells the zygote of a connection, or of a request.
    fn say(&self, is_request: bool) {
        if let Some(claims) = self.claims {
            claims.say(is_request);
        }
    }
}

/// The order that comes by a connection, and its descriptors if they come with it.
fn receive(
    birth: &Birth<'_>,
    front: OwnedFd,
    accepted_at: Instant,
) -> Option<(Connection, Vec<u8>, Vec<OwnedFd>)> {
    let me = rustix::process::geteuid().as_raw();
    if !peer_user(front.as_fd()).is_ok_and(|user| user == me) {
        return None;
    }
    let front = Connection::new(descriptors::out_of_the_way(front).ok()?);
    front.send(&Reply::Hello(BUILD.to_owned()));
    let call = receive_order_while(front.as_fd(), || wait_call(&front, birth, accepted_at));
    let (order, received) = call.ok()??;
    Some((front, order, received))
}

/// Waits until the front that was accepted then has sent something. False if that takes too long.
fn wait_call(front: &Connection, birth: &Birth<'_>, accepted_at: Instant) -> bool {
    if is_readable(front.as_fd(), Moment::now() + CALL_SOON) {
        return true;
    }
    // Has another child wait at the socket in this one's place, whatever has connected.
    birth.say(false);
    loop {
        let waited = accepted_at.elapsed();
        let is_in_line = || is_readable(birth.listener.as_fd(), Moment::now());
        if waited >= CALL_PATIENCE || (waited >= CALL_PATIENCE_IN_LINE && is_in_line()) {
            return false;
        }
        let step = match CALL_PATIENCE_IN_LINE.checked_sub(waited) {
            Some(left) if !left.is_zero() => left,
            _ => LOOK_AT_LINE,
        };
        if is_readable(front.as_fd(), Moment::now() + step) {
            return true;
        }
    }
}

/// The call, if it is one for this zygote.
fn accepted(order: &[u8], zygote: &ZygoteOrder) -> Result<(Box<Call>, Service), String> {
    let Order::Answer(call) = Order::decode(order)? else {
        return Err("what the front sent is no request".into());
    };
    if call.identity.as_ref() != Some(&zygote.identity) {
        return Err("the request is for another application than this zygote's".into());
    }
    let service = call.service().ok_or("what the front sent is damaged")?;
    Ok((call, service))
}

/// Sets the environment to that of the request, except what the import has changed.
fn set_variables(birth: &Birth<'_>, call: &Call) -> io::Result<()> {
    title::of_request();
    birth.noted.begin_child(birth.py)?;
    Ok(environment::become_requests(birth.py, &call.variables, |name| {
        birth.order.limits.is_of_a_request(name)
    })?)
}

/// The same with directory, umask, signal mask and standard error.
fn become_requests(
    birth: &Birth<'_>,
    call: &Call,
    service: &Service,
    received: &[OwnedFd],
) -> io::Result<()> {
    if let Err(error) = birth.renewed {
        let reason = format!("what the import left open cannot be opened once more: {error}");
        return Err(io::Error::other(reason));
    }
    let Some(standard_error) = received.get(2) else {
        return Err(io::Error::other("the front sent no descriptors"));
    };
    let directory = &service.application.directory;
    birth.inherited.become_requests(directory, call.process.umask, standard_error)?;
    system::set_signal_mask(call.process.signal_mask);
    Ok(())
}
