//! An import that takes longer than `--warm-idle` while no front waits for it:
//! it may never end, and would keep its process for ever. With `--timeout`
//! that ends it sooner.
//!
//! Python cannot be asked to end what it does in C, and a thread of this one's
//! own would be in the way of what the application forks. So a timer's signal
//! interrupts whatever runs; its handler looks who waits, with system calls
//! alone, and where nobody does it has this process run this executable anew,
//! which tells why ([`end`]) and leaves nothing behind.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use cgi2wsgi::handoff::{self, Handoff};
use cgi2wsgi::timings::Moment;
use cgi2wsgi::warm::lock;
use cgi2wsgi::warm::place::Place;
use cgi2wsgi::warm::start::{self, Start};
use cgi2wsgi::warm::status::Phase;

use super::journal::Journal;
use crate::emergency;

/// The argument that means [`end`]; the mark of the socket is behind it.
const ARGUMENT: &CStr = c"--abandoned";

/// How much finer than `--warm-idle` it is looked who waits.
const PARTS: u32 = 10;
const SHORTEST: Duration = Duration::from_millis(10);

/// What the handler needs, which lives until the process ends.
struct Lookout {
    listener: RawFd,
    /// Of the socket, to the kernel.
    number: u32,
    idle: Duration,
    /// When somebody was last seen to wait, or the beginning.
    seen: AtomicU64,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
}

static LOOKOUT: AtomicPtr<Lookout> = AtomicPtr::new(std::ptr::null_mut());
static TIMER: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// One that applications leave alone.
fn signal() -> c_int {
    libc::SIGRTMAX() - 6
}

/// Looks after the import that begins now. `mark` is that of the socket's
/// file. Without a timer, which only a limit of the system can be the reason
/// for, nothing does.
pub(super) fn look_after(handoff: &Handoff, start: &Start, listener: &OwnedFd, mark: u64) {
    if handoff.timeout.is_some() {
        return;
    }
    let Ok(socket) = rustix::fs::fstat(listener) else { return };
    let name = CString::new("cgi2wsgi-python").unwrap_or_default();
    let mark = CString::new(mark.to_string()).unwrap_or_default();
    let mut variables: Vec<_> = std::env::vars_os().collect();
    variables.push((handoff::VARIABLE.into(), handoff.encode()));
    variables.push((start::VARIABLE.into(), start.encode()));
    let variables = variables.into_iter().filter_map(|(name, value)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
    });
    let lookout = Lookout {
        listener: listener.as_raw_fd(),
        number: socket.st_ino.try_into().unwrap_or_default(),
        idle: start.limits.idle,
        seen: AtomicU64::new(Moment::now().to_nanos()),
        arguments: pointers([name, ARGUMENT.to_owned(), mark].into_iter()),
        environment: pointers(variables),
    };
    LOOKOUT.store(Box::into_raw(Box::new(lookout)), SeqCst);
    let mut action = emergency::action(on_signal);
    action.sa_flags |= libc::SA_RESTART;
    // SAFETY: the handler is async-signal-safe.
    unsafe { libc::sigaction(signal(), &raw const action, std::ptr::null_mut()) };
    if !emergency::create_timer(&TIMER, signal()) {
        LOOKOUT.store(std::ptr::null_mut(), SeqCst);
        return;
    }
    emergency::set_timer(&TIMER, pause(start.limits.idle));
}

/// The import is over.
pub(super) fn look_no_more() {
    if LOOKOUT.swap(std::ptr::null_mut(), SeqCst).is_null() {
        return;
    }
    emergency::delete_timer(&TIMER);
    // SAFETY: both are valid dispositions. The first discards what is pending.
    unsafe {
        libc::signal(signal(), libc::SIG_IGN);
        libc::signal(signal(), libc::SIG_DFL);
    }
}

/// As `exec` wants them; never freed.
fn pointers(strings: impl Iterator<Item = CString>) -> Vec<*const c_char> {
    let pointers = strings.map(|string| string.into_raw().cast_const());
    pointers.chain([std::ptr::null()]).collect()
}

fn pause(idle: Duration) -> Duration {
    (idle / PARTS).max(SHORTEST)
}

extern "C" fn on_signal(_: c_int) {
    // SAFETY: errno is this thread's, and what this makes of it is undone; a
    // lookout that is there is never freed.
    unsafe {
        let errno = *libc::__errno_location();
        if let Some(lookout) = LOOKOUT.load(SeqCst).as_ref() {
            look(lookout);
        }
        *libc::__errno_location() = errno;
    }
}

/// Async-signal-safe.
fn look(lookout: &Lookout) {
    let now = Moment::now().to_nanos();
    if is_awaited(lookout) {
        lookout.seen.store(now, SeqCst);
    }
    let alone = Duration::from_nanos(now.saturating_sub(lookout.seen.load(SeqCst)));
    if alone < lookout.idle {
        emergency::set_timer(&TIMER, pause(lookout.idle));
        return;
    }
    // SAFETY: both end with null and are made of C strings, as the path is;
    // fcntl, execve, write and _exit are async-signal-safe.
    unsafe {
        // While the socket is open, no other file gets the inode of its own.
        libc::fcntl(lookout.listener, libc::F_SETFD, 0);
        libc::execve(
            c"/proc/self/exe".as_ptr(),
            lookout.arguments.as_ptr(),
            lookout.environment.as_ptr(),
        );
        let line = b"cgi2wsgi: error: nobody waits for the import any more\n";
        libc::write(2, line.as_ptr().cast(), line.len());
        libc::_exit(1);
    }
}

/// Whether somebody is in line at the socket who is still there. Where the
/// kernel does not tell who, one that was killed there counts too.
fn is_awaited(lookout: &Lookout) -> bool {
    fronts_in_line(lookout.number).unwrap_or_else(|| {
        let mut wait = libc::pollfd { fd: lookout.listener, events: libc::POLLIN, revents: 0 };
        // SAFETY: poll is async-signal-safe.
        unsafe { libc::poll(&raw mut wait, 1, 0) > 0 && wait.revents & libc::POLLIN != 0 }
    })
}

/// The kernel's `unix_diag_req`, behind its header.
#[repr(C)]
struct Question {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    process: u32,
    family: u8,
    protocol: u8,
    padding: u16,
    states: u32,
    number: u32,
    show: u32,
    cookie: [u32; 2],
}

/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;
/// `UDIAG_SHOW_ICONS`, and `UNIX_DIAG_ICONS`: the other ends of connections that
/// nobody has accepted yet, 0 for those that are closed.
const SHOW_INCOMING: u32 = 8;
const INCOMING: u16 = 3;
/// A header and a `unix_diag_msg`.
const ATTRIBUTES: usize = 32;

/// Nothing: the kernel does not tell. Async-signal-safe.
fn fronts_in_line(number: u32) -> Option<bool> {
    let question = Question {
        length: u32::try_from(size_of::<Question>()).unwrap_or_default(),
        kind: BY_FAMILY,
        flags: 1,
        sequence: 1,
        process: 0,
        family: 1,
        protocol: 0,
        padding: 0,
        states: u32::MAX,
        number,
        show: SHOW_INCOMING,
        cookie: [u32::MAX; 2],
    };
    let mut answer = [0_u8; 8192];
    // SAFETY: all of these are system calls on a new descriptor and on memory
    // of this stack, with its length.
    let length = unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        let socket = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG);
        if socket < 0 {
            return None;
        }
        libc::send(socket, (&raw const question).cast(), size_of::<Question>(), 0);
        let room = answer.len();
        let length = libc::recv(socket, answer.as_mut_ptr().cast(), room, libc::MSG_DONTWAIT);
        libc::close(socket);
        usize::try_from(length).ok()?
    };
    is_anyone_there(answer.get(..length)?)
}

fn is_anyone_there(answer: &[u8]) -> Option<bool> {
    let number = |at: usize| Some(u16::from_ne_bytes(*answer.get(at..)?.first_chunk()?));
    if number(4)? != BY_FAMILY {
        return None;
    }
    let mut at = ATTRIBUTES;
    loop {
        let (length, kind) = (usize::from(number(at)?), number(at + 2)?);
        if kind == INCOMING {
            return Some(answer.get(at + 4..at + length)?.iter().any(|byte| *byte != 0));
        }
        at += length.max(4).next_multiple_of(4);
    }
}

/// The mark in the arguments, if this process is to end the zygote it was.
pub(super) fn mark_of_arguments() -> Option<u64> {
    let mut arguments = std::env::args_os().skip(1);
    let is_it = arguments.next()?.as_bytes() == ARGUMENT.to_bytes();
    is_it.then(|| arguments.next()?.to_str()?.parse().ok()).flatten()
}

/// Tells why, and leaves nothing.
pub(super) fn end(handoff: &Handoff, start: &Start, mark: u64) -> u8 {
    let why = format!(
        "the import takes longer than --warm-idle, {} s, and nobody waits for it",
        start.limits.idle.as_secs_f64()
    );
    if let Some(mut journal) = Journal::resume(handoff, start) {
        journal.take_over_output();
        journal.enter(Phase::Ended(why));
    }
    if let Ok(place) = Place::at(start.place.clone()) {
        lock::leave(&place, &start.identity.name(), mark);
    }
    1
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn of_those_in_line_only_the_living_count() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).expect("it listens");
        let number = rustix::fs::fstat(listener.as_fd()).expect("a socket").st_ino;
        let number = number.try_into().expect("the numbers of sockets are small");
        let connect = || UnixStream::connect(&path).expect("connected");
        let is_anyone_there = || fronts_in_line(number);
        assert_eq!(is_anyone_there(), Some(false));
        let gone = connect();
        assert_eq!(is_anyone_there(), Some(true));
        drop(gone);
        assert_eq!(is_anyone_there(), Some(false));
        let stays = connect();
        assert_eq!(is_anyone_there(), Some(true));
        drop(listener.accept().expect("the first"));
        assert_eq!(is_anyone_there(), Some(true), "the second is still in line");
        drop(stays);
        assert_eq!(is_anyone_there(), Some(false));
        drop(listener);
        assert_eq!(is_anyone_there(), None, "there is no such socket");
    }

    #[test]
    fn an_answer_that_is_cut_short_tells_nothing() {
        let mut answer = vec![0; ATTRIBUTES];
        answer[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        assert_eq!(is_anyone_there(&answer), None);
        for (kind, number) in [(9, 7_u32), (INCOMING, 7)] {
            answer.extend_from_slice(&8_u16.to_ne_bytes());
            answer.extend_from_slice(&kind.to_ne_bytes());
            answer.extend_from_slice(&number.to_ne_bytes());
        }
        assert_eq!(is_anyone_there(&answer), Some(true));
        for end in 0..answer.len() {
            assert_eq!(is_anyone_there(&answer[..end]), None, "{end}");
        }
        answer[4] = 2;
        assert_eq!(is_anyone_there(&answer), None, "an error");
    }
}
