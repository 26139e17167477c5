//! What the kernel calls in the application's process: two signal handlers of a few system calls each (P13), and a
//! function after a fork. They need a hundred bytes of stack, take no lock, and run on whatever stack the thread has.
//! Also here: operations on signals and timers for which there is no safe function.
//!
//! - `TRACE`: the front wants to know where the application hangs. faulthandler writes the tracebacks; this handler
//!   then tells the front that they are written.
//! - `CONNECTION`: the connection has changed. If the front is gone, the response has no reader. The handler sends
//!   SIGTERM to this process, so that `close()` runs, and sets a timer of the kernel that sends SIGKILL.

use std::ffi::{c_int, c_void};
use std::io;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};
use std::time::Duration;

use cgi2wsgi::handoff::Reply;
use cgi2wsgi::handoff::signals as numbers;
use pyo3::prelude::*;

use crate::connection::CONNECTION;

/// How long a worker may take to end after its front has gone.
const GRACE: Duration = Duration::from_secs(5);

/// The timer that kills this process, if it is set.
static KILLER: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static IS_TRACEABLE: AtomicBool = AtomicBool::new(false);

/// From here on the signal `TRACE` has faulthandler write the tracebacks of all threads, without Python's lock.
pub(crate) fn allow_traces(py: Python<'_>) -> PyResult<()> {
    if IS_TRACEABLE.swap(true, SeqCst) {
        return Ok(());
    }
    // Installed first, so that faulthandler calls it afterwards.
    handle(numbers::TRACE, after_traces);
    let arguments = pyo3::types::PyDict::new(py);
    arguments.set_item("file", 2)?;
    arguments.set_item("all_threads", true)?;
    arguments.set_item("chain", true)?;
    py.import("faulthandler")?
        .getattr("register")?
        .call((numbers::TRACE,), Some(&arguments))
        .map(drop)
}

/// From here on this process ends when its front has gone.
pub(crate) fn follow_front() {
    let front = CONNECTION.load(SeqCst);
    KILLER.store(create_timer(libc::SIGKILL), SeqCst);
    handle(numbers::CONNECTION, connection_changed);
    // SAFETY: the descriptor is open.
    unsafe {
        libc::fcntl(front, libc::F_SETOWN, libc::getpid());
        libc::fcntl(front, F_SETSIG, numbers::CONNECTION);
        let flags = libc::fcntl(front, libc::F_GETFL);
        libc::fcntl(front, libc::F_SETFL, flags | libc::O_ASYNC);
    }
    // The front may have gone before.
    connection_changed(0);
}

/// The request is over: this process no longer ends with its front.
pub(crate) fn unfollow_front() {
    let front = CONNECTION.load(SeqCst);
    // SAFETY: fcntl changes only the flags of the descriptor, whatever file that is now.
    unsafe {
        let flags = libc::fcntl(front, libc::F_GETFL);
        if flags >= 0 {
            libc::fcntl(front, libc::F_SETFL, flags & !libc::O_ASYNC);
        }
    }
}

const F_SETSIG: c_int = 10;

/// A timer that sends a signal to this process. It lives as long as the process.
pub(crate) fn create_timer(signal: c_int) -> *mut c_void {
    // SAFETY: a zeroed sigevent is valid; the timer's id is written before it is used.
    unsafe {
        let mut event = std::mem::zeroed::<libc::sigevent>();
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = signal;
        let mut timer: libc::timer_t = null_mut();
        let is_made =
            libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) == 0;
        if is_made { Box::into_raw(Box::new(timer)).cast() } else { null_mut() }
    }
}

/// Sets a timer from [`create_timer`], unless that failed; zero stops it. Async-signal-safe.
pub(crate) fn set_timer(timer: *mut c_void, after: Duration) {
    set_interval(timer, after, Duration::ZERO);
}

/// [`set_timer`], then repeats at this interval of whole seconds.
pub(crate) fn set_interval(timer: *mut c_void, after: Duration, interval: Duration) {
    if timer.is_null() {
        return;
    }
    // SAFETY: a zeroed itimerspec is valid; the pointer is that of a timer's id, which is never freed.
    unsafe {
        let mut when = std::mem::zeroed::<libc::itimerspec>();
        when.it_value.tv_sec = libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX);
        when.it_value.tv_nsec = after.subsec_nanos().into();
        when.it_interval.tv_sec = libc::time_t::try_from(interval.as_secs()).unwrap_or_default();
        libc::timer_settime(*timer.cast::<libc::timer_t>(), 0, &raw const when, null_mut());
    }
}

/// What a signal did to this process.
pub(crate) struct SavedAction {
    signal: c_int,
    action: libc::sigaction,
}

/// What a signal does now.
pub(crate) fn save_action(signal: c_int) -> io::Result<SavedAction> {
    // SAFETY: a zeroed sigaction is a valid one to be written to.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        match libc::sigaction(signal, std::ptr::null(), &raw mut action) {
            0 => Ok(SavedAction { signal, action }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl SavedAction {
    /// The signal does that again.
    pub(crate) fn restore(&self) {
        // SAFETY: the action is one that the system gave.
        unsafe { libc::sigaction(self.signal, &raw const self.action, null_mut()) };
    }
}

/// From here on this signal, unless it is ignored, interrupts nothing and does nothing. Returns what it did before.
pub(crate) fn interrupt_nothing(signal: c_int) -> Option<SavedAction> {
    let saved = save_action(signal).ok()?;
    if saved.action.sa_sigaction == libc::SIG_IGN {
        return None;
    }
    handle(signal, do_nothing);
    Some(saved)
}

extern "C" fn do_nothing(_signal: c_int) {}

/// Has Python call a function in its main thread, with Python's lock and before the next instruction there. False if it
/// cannot.
pub(crate) fn call_soon(function: extern "C" fn(*mut c_void) -> c_int) -> bool {
    // SAFETY: the functions that are given here need no argument, and leave no exception behind.
    unsafe { pyo3::ffi::Py_AddPendingCall(Some(function), null_mut()) == 0 }
}

/// From here on every process that this one forks runs `in_child` first, whatever code forks.
pub(crate) fn at_fork(in_child: extern "C" fn()) {
    // SAFETY: the functions that are given here are async-signal-safe.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}

/// Makes a number mean the open file of another; closes it if there is no other. Async-signal-safe.
pub(crate) fn replace(number: c_int, by: c_int) {
    // SAFETY: dup2, fcntl and close are async-signal-safe, and change nothing but the numbers' meaning.
    unsafe {
        if by < 0 || libc::dup2(by, number) < 0 {
            libc::close(number);
        } else {
            libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

fn handle(signal: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: a zeroed sigaction is a valid one, with an empty mask; the handlers are async-signal-safe. They do not
    // use the alternate stack, which is faulthandler's.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        action.sa_sigaction = handler as *const c_void as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(signal, &raw const action, null_mut());
    }
}

extern "C" fn after_traces(_signal: c_int) {
    let front = CONNECTION.load(SeqCst);
    // SAFETY: send is async-signal-safe; errno is restored.
    unsafe {
        let errno = *libc::__errno_location();
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        libc::send(front, Reply::TRACED.as_ptr().cast(), Reply::TRACED.len(), flags);
        *libc::__errno_location() = errno;
    }
}

extern "C" fn connection_changed(_signal: c_int) {
    let mut wait =
        libc::pollfd { fd: CONNECTION.load(SeqCst), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: poll and kill are async-signal-safe; errno is restored.
    unsafe {
        let errno = *libc::__errno_location();
        let ready = libc::poll(&raw mut wait, 1, 0);
        let is_gone = wait.revents & (libc::POLLHUP | libc::POLLRDHUP | libc::POLLERR) != 0;
        if ready > 0 && is_gone {
            set_timer(KILLER.load(SeqCst), GRACE);
            libc::kill(libc::getpid(), libc::SIGTERM);
        }
        *libc::__errno_location() = errno;
    }
}
