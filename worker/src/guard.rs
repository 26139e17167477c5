//! What must happen when Python cannot: a crash (P9), a hang (`--timeout`), a
//! fork that must not hold the response open (P3). Signal handlers, and all
//! the `unsafe` that they need.
//!
//! Handlers call nothing but what POSIX says a handler may, and touch nothing
//! but atomics.

use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering::SeqCst,
};
use std::time::Duration;

use cgi2wsgi::cgi::head::Form;
use cgi2wsgi::cgi::refusal::Refusal;
use cgi2wsgi::cgi::response::{PROGRESS, Progress};
use cgi2wsgi::command::serve::FAILED;
use cgi2wsgi::warm::message::Reply;
use pyo3::prelude::*;

static STDIN: AtomicI32 = AtomicI32::new(-1);
static STDOUT: AtomicI32 = AtomicI32::new(-1);
static NULL: AtomicI32 = AtomicI32::new(-1);
static AFTER_CRASH: AtomicPtr<Vec<u8>> = AtomicPtr::new(std::ptr::null_mut());
static AFTER_TIMEOUT: AtomicPtr<Vec<u8>> = AtomicPtr::new(std::ptr::null_mut());
static GIVEN_UP: AtomicBool = AtomicBool::new(false);
static LOOKS_LEFT: AtomicU32 = AtomicU32::new(20);
static TIMER: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
#[cfg(target_os = "linux")]
static REPEATER: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
#[cfg(target_os = "linux")]
static PYTHONS_HANDLER: AtomicUsize = AtomicUsize::new(0);
/// The socket of the front that waits for this process, if it is a zygote's child.
static FRONT: AtomicI32 = AtomicI32::new(-1);
static TIMEOUT_EXPECTED: AtomicBool = AtomicBool::new(false);
/// The zygote's listening socket, while the application is imported.
static LISTENER: AtomicI32 = AtomicI32::new(-1);
static INSTALLED: AtomicBool = AtomicBool::new(false);
#[cfg(target_os = "linux")]
static LAST: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// How long after a head was half written to look again, and after a SIGTERM
/// that nothing has come of to repeat it.
const AGAIN: Duration = Duration::from_millis(100);

const CRASHES: [c_int; 5] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];

/// The signal of `--timeout`: one that applications leave alone.
fn timeout_signal() -> c_int {
    #[cfg(target_os = "linux")]
    return libc::SIGRTMAX() - 3;
    #[cfg(not(target_os = "linux"))]
    return libc::SIGXCPU;
}

/// P4: Rust ignores SIGPIPE; Python is to find what a fresh process has.
/// Where Python does not start it is ignored again, for the answer that is
/// written then.
pub(crate) fn with_sigpipe_as_python_finds_it<T, E>(
    start: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    // SAFETY: both are valid dispositions.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let started = start();
    if started.is_err() {
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    }
    started
}

/// Looks after the descriptors of the request from here on.
pub(crate) fn watch(stdin: RawFd, stdout: RawFd, form: Form, is_head: bool) {
    STDIN.store(stdin, SeqCst);
    STDOUT.store(stdout, SeqCst);
    prepare_answer(&AFTER_CRASH, 500, form, is_head);
    prepare_answer(&AFTER_TIMEOUT, 504, form, is_head);
    install();
}

/// Before Python has handlers of its own, which call these.
pub(crate) fn install() {
    if INSTALLED.swap(true, SeqCst) {
        return;
    }
    let mut action = action(after_crash);
    action.sa_flags |= libc::SA_RESETHAND;
    for signal in CRASHES {
        // SAFETY: the handler is async-signal-safe.
        unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    }
    // SAFETY: the string is a C string; the handler is async-signal-safe.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        NULL.store(null, SeqCst);
        libc::pthread_atfork(None, None, Some(in_child));
    }
}

fn prepare_answer(place: &AtomicPtr<Vec<u8>>, status: u16, form: Form, is_head: bool) {
    let (head, body) = Refusal::new(status, "").answer();
    let mut bytes = head.encode(form);
    if !is_head {
        bytes.extend_from_slice(&body);
    }
    // Never freed: a handler may need it until the end.
    place.store(Box::into_raw(Box::new(bytes)), SeqCst);
}

pub(crate) fn action(handler: extern "C" fn(c_int)) -> libc::sigaction {
    // SAFETY: a zeroed sigaction is a valid one, with an empty mask.
    let mut action = unsafe { std::mem::zeroed::<libc::sigaction>() };
    action.sa_sigaction = handler as *const c_void as usize;
    action.sa_flags = libc::SA_ONSTACK | libc::SA_NODEFER;
    action
}

/// P3: a forked child that lives on holds neither end of the request, and one
/// that runs on into the bridge's own code writes to nobody.
extern "C" fn in_child() {
    let null = NULL.load(SeqCst);
    for descriptor in [&STDIN, &STDOUT, &FRONT, &LISTENER] {
        let descriptor = descriptor.load(SeqCst);
        if null >= 0 && descriptor >= 0 {
            // SAFETY: dup2 is async-signal-safe and both are open, or were.
            unsafe { libc::dup2(null, descriptor) };
        }
    }
}

/// A process that the application forks while it is imported must not go on
/// listening when the zygote is gone. Nothing: it forks children who must.
pub(crate) fn keep_listener(listener: Option<RawFd>) {
    LISTENER.store(listener.unwrap_or(-1), SeqCst);
}

/// Closes the listening socket in this process, whoever may still close its
/// number.
pub(crate) fn let_go_of_listener(listener: RawFd) {
    let null = NULL.load(SeqCst);
    // SAFETY: system calls on descriptors that this process owns; nobody uses
    // this number in it any more.
    unsafe {
        if null < 0 || libc::dup2(null, listener) < 0 {
            libc::close(listener);
        }
        libc::fcntl(listener, libc::F_SETFD, libc::FD_CLOEXEC);
    }
}

/// Forgets the descriptors, which are about to be closed.
pub(crate) fn unwatch() {
    STDIN.store(-1, SeqCst);
    STDOUT.store(-1, SeqCst);
}

/// P9: faulthandler has written where it was; the visitor gets an answer, and
/// the process dies of the signal after all.
extern "C" fn after_crash(signal: c_int) {
    if PROGRESS.load(SeqCst) == Progress::Nothing as u8 {
        send(&AFTER_CRASH);
    }
    // SAFETY: both are async-signal-safe; SA_RESETHAND has put the default back.
    unsafe {
        let line = b"cgi2wsgi: error: the interpreter crashed, in the code shown above\n";
        libc::write(2, line.as_ptr().cast(), line.len());
        tell_front(&[Reply::CRASHED, signal.try_into().unwrap_or_default()]);
        libc::raise(signal);
    }
}

/// Gives up after `timeout`: Python's tracebacks to the log, 504 to the
/// visitor if nothing was sent, and the end.
pub(crate) fn give_up_after(timeout: Duration) -> Result<(), String> {
    // In a zygote's child faulthandler's handler is there already, and calls ours.
    if !TIMEOUT_EXPECTED.swap(true, SeqCst) {
        let action = action(after_timeout);
        // SAFETY: the handler is async-signal-safe.
        unsafe { libc::sigaction(timeout_signal(), &raw const action, std::ptr::null_mut()) };
    }
    arm(timeout).map_err(|error| format!("--timeout: no timer: {error}"))
}

#[cfg(target_os = "linux")]
fn arm(timeout: Duration) -> std::io::Result<()> {
    if create_timer(&TIMER, timeout_signal()) && set_timer(&TIMER, timeout) {
        return Ok(());
    }
    Err(std::io::Error::last_os_error())
}

/// An import that counted is over.
pub(crate) fn hold_off_timeout() {
    if TIMEOUT_EXPECTED.load(SeqCst) {
        set_timer(&TIMER, Duration::ZERO);
    }
}

/// A timer that sends `signal` to this process, and lives as long as it.
#[cfg(target_os = "linux")]
pub(crate) fn create_timer(place: &AtomicPtr<c_void>, signal: c_int) -> bool {
    // SAFETY: a zeroed sigevent is valid; the timer's id is written before it
    // is used.
    unsafe {
        let mut event = std::mem::zeroed::<libc::sigevent>();
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = signal;
        let mut timer: libc::timer_t = std::ptr::null_mut();
        let created =
            libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) == 0;
        place.store(timer, SeqCst);
        created
    }
}

/// Async-signal-safe.
#[cfg(target_os = "linux")]
pub(crate) fn set_timer(timer: &AtomicPtr<c_void>, after: Duration) -> bool {
    // SAFETY: a zeroed itimerspec is valid, and the timer was created.
    unsafe {
        let mut when = std::mem::zeroed::<libc::itimerspec>();
        when.it_value.tv_sec = libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX);
        when.it_value.tv_nsec = after.subsec_nanos().into();
        libc::timer_settime(timer.load(SeqCst), 0, &raw const when, std::ptr::null_mut()) == 0
    }
}

/// It sends nothing more, but for what it has sent already.
#[cfg(target_os = "linux")]
pub(crate) fn delete_timer(timer: &AtomicPtr<c_void>) {
    // SAFETY: the timer was created, if there is one.
    unsafe { libc::timer_delete(timer.load(SeqCst)) };
}

/// R13: a SIGTERM that comes between the look for signals and a system call
/// that blocks interrupts nothing, and nobody would send another. It is
/// repeated until Python has acted, which is when it interrupts nothing.
#[cfg(target_os = "linux")]
pub(crate) fn insist_on_sigterm() {
    // SAFETY: a zeroed sigaction is a valid one to be written to; the handler
    // is async-signal-safe, as Python's own is.
    unsafe {
        let mut pythons = std::mem::zeroed::<libc::sigaction>();
        if libc::sigaction(libc::SIGTERM, std::ptr::null(), &raw mut pythons) != 0
            || pythons.sa_sigaction == libc::SIG_DFL
            || pythons.sa_sigaction == libc::SIG_IGN
            || !create_timer(&REPEATER, libc::SIGTERM)
        {
            return;
        }
        PYTHONS_HANDLER.store(pythons.sa_sigaction, SeqCst);
        pythons.sa_sigaction = on_sigterm as *const c_void as usize;
        libc::sigaction(libc::SIGTERM, &raw const pythons, std::ptr::null_mut());
    }
}

/// A second SIGTERM comes from Apache by itself, and elsewhere from whoever
/// sent the first.
#[cfg(not(target_os = "linux"))]
pub(crate) fn insist_on_sigterm() {}

#[cfg(target_os = "linux")]
extern "C" fn on_sigterm(signal: c_int) {
    // SAFETY: the address is that of Python's handler, of this very type.
    let pythons: extern "C" fn(c_int) =
        unsafe { std::mem::transmute(PYTHONS_HANDLER.load(SeqCst)) };
    pythons(signal);
    set_timer(&REPEATER, AGAIN);
}

#[cfg(not(target_os = "linux"))]
fn arm(timeout: Duration) -> std::io::Result<()> {
    std::thread::Builder::new().spawn(move || {
        std::thread::sleep(timeout);
        loop {
            // SAFETY: signals this process itself.
            unsafe { libc::kill(libc::getpid(), timeout_signal()) };
            std::thread::sleep(AGAIN);
        }
    })?;
    Ok(())
}

/// The thread signals again by itself.
#[cfg(not(target_os = "linux"))]
fn set_timer(_timer: &AtomicPtr<c_void>, _after: Duration) -> bool {
    true
}

/// From the signal on: faulthandler's own handler writes the tracebacks of all
/// threads, without Python's lock, and then calls ours.
pub(crate) fn show_where_it_hangs(py: Python<'_>) -> PyResult<()> {
    let arguments = pyo3::types::PyDict::new(py);
    arguments.set_item("file", 2)?;
    arguments.set_item("all_threads", true)?;
    arguments.set_item("chain", true)?;
    py.import("faulthandler")?
        .getattr("register")?
        .call((timeout_signal(),), Some(&arguments))
        .map(drop)
}

extern "C" fn after_timeout(_signal: c_int) {
    let progress = PROGRESS.load(SeqCst);
    // The head is on its way: look again soon, for two seconds at the most.
    if progress == Progress::Head as u8
        && LOOKS_LEFT.fetch_sub(1, SeqCst) > 1
        && set_timer(&TIMER, AGAIN)
    {
        return;
    }
    if GIVEN_UP.swap(true, SeqCst) {
        return;
    }
    let line: &[u8] = if STDOUT.load(SeqCst) < 0 {
        b"cgi2wsgi: error: the import took longer than --timeout allows\n"
    } else if progress == Progress::Nothing as u8 {
        b"cgi2wsgi: error: the application took longer than --timeout allows (answered 504)\n"
    } else {
        b"cgi2wsgi: error: the response took longer than --timeout allows: it ends in the middle\n"
    };
    // SAFETY: write and _exit are async-signal-safe.
    unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
    if progress == Progress::Nothing as u8 {
        send(&AFTER_TIMEOUT);
        drain();
    }
    tell_front(&[Reply::ENDED, FAILED]);
    // SAFETY: as above.
    unsafe { libc::_exit(FAILED.into()) };
}

/// Writes a whole answer, and closes standard output.
fn send(answer: &AtomicPtr<Vec<u8>>) {
    let (answer, stdout) = (answer.load(SeqCst), STDOUT.load(SeqCst));
    if answer.is_null() || stdout < 0 {
        return;
    }
    tell_front(&[Reply::HEAD]);
    // SAFETY: the pointer comes from Box::into_raw and is never freed; write
    // and close are async-signal-safe. It is shorter than PIPE_BUF.
    unsafe {
        let answer = &*answer;
        libc::write(stdout, answer.as_ptr().cast(), answer.len());
    }
}

/// B6: what the client still sends is taken off the server's hands, or the
/// answer would not arrive. Five seconds without a byte are the end.
fn drain() {
    let stdin = STDIN.load(SeqCst);
    let mut piece = [0_u8; 4096];
    let mut wait = libc::pollfd { fd: stdin, events: libc::POLLIN, revents: 0 };
    // SAFETY: poll and read are async-signal-safe; the buffer is on this stack.
    unsafe {
        let stdout = STDOUT.load(SeqCst);
        libc::shutdown(stdout, libc::SHUT_WR);
        libc::close(stdout);
        while stdin >= 0
            && libc::poll(&raw mut wait, 1, 5000) > 0
            && libc::read(stdin, piece.as_mut_ptr().cast(), piece.len()) > 0
        {}
    }
}

/// For signal handlers: a front that is gone needs no word.
fn tell_front(bytes: &[u8]) {
    let front = FRONT.load(SeqCst);
    if front >= 0 {
        // SAFETY: send is async-signal-safe.
        unsafe { libc::send(front, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    }
}

/// The signal by which the system tells that the front is gone.
#[cfg(target_os = "linux")]
fn gone_signal() -> c_int {
    libc::SIGRTMAX() - 4
}

/// How long after its front is gone a child may take to end.
#[cfg(target_os = "linux")]
const GRACE: Duration = Duration::from_secs(5);

/// A server that ends the front means this process: from here on it gets
/// SIGTERM when the front is gone, and is ended if it does not heed that.
#[cfg(target_os = "linux")]
pub(crate) fn follow_front(front: RawFd) {
    FRONT.store(front, SeqCst);
    create_timer(&LAST, libc::SIGRTMAX() - 5);
    let gone = action(front_is_gone);
    let last = action(after_grace);
    // SAFETY: the handlers are async-signal-safe; the descriptor is open.
    unsafe {
        libc::sigaction(gone_signal(), &raw const gone, std::ptr::null_mut());
        libc::sigaction(libc::SIGRTMAX() - 5, &raw const last, std::ptr::null_mut());
        libc::fcntl(front, libc::F_SETOWN, libc::getpid());
        libc::fcntl(front, F_SETSIG, gone_signal());
        let flags = libc::fcntl(front, libc::F_GETFL);
        libc::fcntl(front, libc::F_SETFL, flags | libc::O_ASYNC);
        // It may be gone already.
        libc::raise(gone_signal());
    }
}

#[cfg(target_os = "linux")]
const F_SETSIG: c_int = 10;

/// The request is over.
#[cfg(target_os = "linux")]
pub(crate) fn unfollow_front() {
    let front = FRONT.swap(-1, SeqCst);
    // SAFETY: the descriptor is open.
    unsafe {
        let flags = libc::fcntl(front, libc::F_GETFL);
        libc::fcntl(front, libc::F_SETFL, flags & !libc::O_ASYNC);
    }
}

#[cfg(target_os = "linux")]
extern "C" fn front_is_gone(_signal: c_int) {
    let front = FRONT.load(SeqCst);
    let mut wait = libc::pollfd { fd: front, events: libc::POLLRDHUP, revents: 0 };
    // It is told of whatever happens to the socket.
    // SAFETY: poll is async-signal-safe, and what it makes of errno is undone.
    let ready = unsafe {
        let errno = *libc::__errno_location();
        let ready = libc::poll(&raw mut wait, 1, 0);
        *libc::__errno_location() = errno;
        ready
    };
    let is_gone = wait.revents & (libc::POLLHUP | libc::POLLRDHUP | libc::POLLERR) != 0;
    if front < 0 || ready < 1 || !is_gone {
        return;
    }
    set_timer(&LAST, GRACE);
    // SAFETY: signals this process itself.
    unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
}

#[cfg(target_os = "linux")]
extern "C" fn after_grace(_signal: c_int) {
    // SAFETY: _exit is async-signal-safe.
    unsafe { libc::_exit(FAILED.into()) };
}

/// Timers are not inherited by a forked child.
#[cfg(target_os = "linux")]
pub(crate) fn renew_timers() {
    if PYTHONS_HANDLER.load(SeqCst) != 0 {
        create_timer(&REPEATER, libc::SIGTERM);
    }
}
