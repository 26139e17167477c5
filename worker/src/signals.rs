//! What runs in signal handlers of the application's process: two functions of a few system calls each (P13). They
//! need a hundred bytes of stack, take no lock, and run on whatever stack the thread has.
//!
//! - `TRACE`: the front wants to know where the application hangs. faulthandler writes the tracebacks, and this tells
//!   that they are written.
//! - `CONNECTION`: the connection has changed. If the front is gone, nobody waits any more: SIGTERM, so that `close()`
//!   runs, and SIGKILL by a timer of the kernel's.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};
use std::time::Duration;

use cgi2wsgi::handoff::Reply;
use cgi2wsgi::handoff::signals as numbers;
use pyo3::prelude::*;

use crate::descriptors::CONNECTION;

/// How long a worker whose front is gone may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// Kills this process, if it is set.
static KILLER: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static IS_TRACEABLE: AtomicBool = AtomicBool::new(false);

/// From here on the signal `TRACE` has faulthandler write the tracebacks of all threads, without Python's lock.
pub(crate) fn allow_traces(py: Python<'_>) -> PyResult<()> {
    if IS_TRACEABLE.swap(true, SeqCst) {
        return Ok(());
    }
    // First, so that faulthandler calls it afterwards.
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
    // It may have gone before.
    connection_changed(0);
}

/// The request is over.
pub(crate) fn unfollow_front() {
    let front = CONNECTION.load(SeqCst);
    // SAFETY: fcntl changes no more than the flags of a descriptor, whatever it is now.
    unsafe {
        let flags = libc::fcntl(front, libc::F_GETFL);
        if flags >= 0 {
            libc::fcntl(front, libc::F_SETFL, flags & !libc::O_ASYNC);
        }
    }
}

const F_SETSIG: c_int = 10;

/// A timer that sends a signal to this process, and lives as long as it.
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

/// Sets a timer that [`create_timer`] made, if it has; zero stops it. Async-signal-safe.
pub(crate) fn set_timer(timer: *mut c_void, after: Duration) {
    if timer.is_null() {
        return;
    }
    // SAFETY: a zeroed itimerspec is valid; the pointer is that of a timer's id, which is never freed.
    unsafe {
        let mut when = std::mem::zeroed::<libc::itimerspec>();
        when.it_value.tv_sec = libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX);
        when.it_value.tv_nsec = after.subsec_nanos().into();
        libc::timer_settime(*timer.cast::<libc::timer_t>(), 0, &raw const when, null_mut());
    }
}

/// Blocks exactly the signals of `mask`, signal 1 as the lowest bit.
pub(crate) fn set_mask(mask: u64) {
    // SAFETY: the set is initialized before it is used.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        for signal in (1..=64).filter(|signal| mask >> (signal - 1) & 1 == 1) {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, null_mut());
    }
}

fn handle(signal: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: a zeroed sigaction is a valid one, with an empty mask; the handlers are async-signal-safe. They do not ask
    // for the alternate stack, which is faulthandler's.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        action.sa_sigaction = handler as *const c_void as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(signal, &raw const action, null_mut());
    }
}

extern "C" fn after_traces(_signal: c_int) {
    let front = CONNECTION.load(SeqCst);
    // SAFETY: send is async-signal-safe; what it makes of errno is undone.
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
    // SAFETY: poll and kill are async-signal-safe; what they make of errno is undone.
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
