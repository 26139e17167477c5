//! The request's descriptors, out of reach of other code (P2, P3, P11): under high numbers, closed on exec, and
//! replaced by `/dev/null` in every process that the application forks.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};

use cgi2wsgi::system;

use crate::connection::CONNECTION;
use crate::handlers;

/// The lowest number that they get, if the limit on open files allows it: applications close descriptors from 3 on that
/// they believe to be their own.
const LOWEST: RawFd = 700;

static STDIN: AtomicI32 = AtomicI32::new(-1);
static STDOUT: AtomicI32 = AtomicI32::new(-1);
/// A zygote's listening socket.
static LISTENER: AtomicI32 = AtomicI32::new(-1);
static NULL: AtomicI32 = AtomicI32::new(-1);
static IS_GUARDED: AtomicBool = AtomicBool::new(false);

/// The server's ends of one request.
#[derive(Debug)]
pub(crate) struct RequestDescriptors {
    /// Where the request body comes from.
    pub(crate) stdin: OwnedFd,
    /// Where the response goes.
    pub(crate) stdout: OwnedFd,
}

/// The same open file under a high number, closed on exec.
#[expect(clippy::needless_pass_by_value, reason = "the number that it had is closed")]
pub(crate) fn out_of_the_way(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    match rustix::io::fcntl_dupfd_cloexec(&descriptor, LOWEST) {
        Ok(moved) => Ok(moved),
        // The limit on open files is lower.
        Err(_) => Ok(rustix::io::fcntl_dupfd_cloexec(&descriptor, 3)?),
    }
}

impl RequestDescriptors {
    /// Takes the descriptors that came with an order: 0, 1 and 2 of the front. Number 2 becomes standard error and
    /// standard output of this process, so that `print()` can never touch the response.
    pub(crate) fn take(descriptors: Vec<OwnedFd>) -> io::Result<Self> {
        let Ok([stdin, stdout, stderr]) = <[OwnedFd; 3]>::try_from(descriptors) else {
            return Err(io::Error::other("the front sent no descriptors"));
        };
        rustix::stdio::dup2_stderr(&stderr)?;
        rustix::stdio::dup2_stdout(&stderr)?;
        let taken = Self { stdin: out_of_the_way(stdin)?, stdout: out_of_the_way(stdout)? };
        guard();
        STDIN.store(taken.stdin.as_raw_fd(), SeqCst);
        STDOUT.store(taken.stdout.as_raw_fd(), SeqCst);
        Ok(taken)
    }
}

/// The request body is over: its descriptor is about to be closed.
pub(crate) fn forget_body() {
    STDIN.store(-1, SeqCst);
}

/// The response is over too.
pub(crate) fn forget_response() {
    STDOUT.store(-1, SeqCst);
}

/// A process that the application forks during its import must not go on listening when the zygote is gone. With None,
/// forked processes keep the socket: the zygote's children need it.
pub(crate) fn guard_listener(listener: Option<RawFd>) {
    guard();
    LISTENER.store(listener.unwrap_or(-1), SeqCst);
}

/// Closes the listening socket in this process. `/dev/null` takes its number, which other code may still close.
pub(crate) fn let_go_of_listener(listener: RawFd) {
    handlers::replace(listener, NULL.load(SeqCst));
}

/// Closes standard input, output and error, and a response that was held open: a server may wait until the last process
/// has closed them.
pub(crate) fn close_everything_of_the_server() {
    let response = STDOUT.swap(-1, SeqCst);
    // This process ends, and writes nothing more.
    (0..3).chain((response >= 0).then_some(response)).for_each(system::close);
}

/// From here on forked processes hold none of them.
fn guard() {
    if IS_GUARDED.swap(true, SeqCst) {
        return;
    }
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null")
        && let Ok(null) = out_of_the_way(null.into())
    {
        NULL.store(null.into_raw_fd(), SeqCst);
    }
    handlers::at_fork(in_child);
}

/// P3: a forked child that lives on holds neither end of the request. If a child runs on into the worker's own code,
/// its writes go to `/dev/null`.
extern "C" fn in_child() {
    let null = NULL.load(SeqCst);
    for descriptor in [&STDIN, &STDOUT, &CONNECTION, &LISTENER] {
        let descriptor = descriptor.load(SeqCst);
        if descriptor >= 0 {
            handlers::replace(descriptor, null);
        }
    }
}
