//! The front's side of a warm start: finds the zygote or starts one, hands the
//! request over, and waits for its end.
//!
//! The rule that all of this keeps: a request is run a second time, cold, if and
//! only if no child has begun it.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen,
    shutdown, socket_with,
};

use super::lock::{Lock, crowd, mark};
use super::message::{Call, HELLO, Reply, Stream, peer_user};
use super::output::ImportOutput;
use super::place::Place;
use crate::timings::Moment;

/// How many fronts may wait for a child, where the system allows it.
const BACKLOG: i32 = 4096;

/// How much longer than `--timeout` a new zygote may take to end by that.
const ENDING: Duration = Duration::from_secs(1);

/// How often another zygote is looked for before the request is run cold.
const ATTEMPTS: usize = 3;

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// A child answered it, and this is the exit status.
    Ended(u8),
    /// The child that answered it dies of this signal.
    Crashed(u8),
    /// No child has begun it, for this reason if there is one to tell.
    Cold(Option<String>),
    /// A child has begun it and is gone without a word.
    Lost {
        /// Whether the response has begun.
        answered: bool,
        /// How it ended, if there was a zygote to see it.
        end: Option<End>,
    },
    /// No zygote was ready in time.
    TimedOut,
}

/// How a process ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// With this exit status.
    Exited(u8),
    /// By this signal.
    Killed(u8),
}

/// Where a zygote of one identity is found, and how one is started.
pub struct Zygote<'z> {
    /// The private directory.
    pub place: &'z Place,
    /// [`super::identity::Identity::name`].
    pub name: &'z str,
    /// Starts one that listens on the socket it is given, for the reason it is
    /// told, and returns what it writes while it imports.
    pub start: &'z dyn Fn(OwnedFd, &str) -> io::Result<ImportOutput>,
}

/// Has `call` answered by a child of `zygote`, which gets descriptors 0, 1 and
/// 2 of this process. Waits for a child until the call's deadline at most.
pub fn run(call: &Call, zygote: &Zygote<'_>) -> Outcome {
    let path = match zygote.place.socket(zygote.name) {
        Ok(path) => path,
        Err(reason) => return Outcome::Cold(Some(reason)),
    };
    let mut why = String::from("the first request");
    for _ in 0..ATTEMPTS {
        let (connected, of, import) = match zygote.connect_or_start(&path, &why) {
            Ok(connected) => connected,
            Err(error) => {
                return Outcome::Cold(Some(format!("no zygote can be started: {error}")));
            }
        };
        match hand_over(call, &connected, import.as_ref()) {
            Said::Outcome(outcome) => return outcome,
            Said::Nothing if import.is_some() => {
                let reason = "the zygote ended before it was ready, for the reason that follows";
                return Outcome::Cold(Some(reason.into()));
            }
            Said::Nothing => "the last one was gone".clone_into(&mut why),
            Said::Stale if import.is_some() => {
                zygote.forget(&path, of);
                let reason = "a file of the application changed while it was imported";
                return Outcome::Cold(Some(reason.into()));
            }
            Said::Stale => {
                "a file of the application changed".clone_into(&mut why);
                zygote.forget(&path, of);
            }
        }
    }
    Outcome::Cold(Some("zygotes end before they answer: see `cgi2wsgi warm log`".into()))
}

enum Said {
    Outcome(Outcome),
    /// The connection ended before a child took the request.
    Nothing,
    Stale,
}

type Connected = (OwnedFd, u64, Option<ImportOutput>);

impl Zygote<'_> {
    /// A connection, the socket's mark, and if this process started it, what
    /// it writes.
    fn connect_or_start(&self, path: &Path, why: &str) -> io::Result<Connected> {
        if let Some((socket, of)) = connected(path)? {
            return Ok((socket, of, None));
        }
        // One of all that come at once starts it; the others wait here for the
        // moment that takes, and find it.
        let _lock = Lock::take(self.place, self.name)?;
        if let Some((socket, of)) = connected(path)? {
            return Ok((socket, of, None));
        }
        remove(path)?;
        if let Some(siblings) = crowd(self.place, self.name) {
            return Err(io::Error::other(format!(
                "{siblings} run for this application already, each for another environment: does \
                 the server set a variable for each request under a name of its own? One whose \
                 name begins with REQUEST_ makes no difference"
            )));
        }
        let listener =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // Nobody else could enter the directory; the socket says so itself too.
        let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
        let bound = SocketAddrUnix::new(path).and_then(|address| bind(&listener, &address));
        rustix::process::umask(umask);
        bound?;
        listen(&listener, BACKLOG)?;
        let import = match (self.start)(listener, why) {
            Ok(import) => import,
            Err(error) => {
                remove(path)?;
                return Err(error);
            }
        };
        let (socket, of) = connected(path)?.ok_or(io::ErrorKind::ConnectionRefused)?;
        Ok((socket, of, Some(import)))
    }

    /// Takes a stale zygote's socket away, unless somebody has done it.
    fn forget(&self, path: &Path, of: u64) {
        if let Ok(lock) = Lock::take(self.place, self.name) {
            lock.remove_socket(path, of);
        }
    }
}

/// A connection to whoever listens at `path`, and the mark of the file there; nothing if
/// nobody does.
fn connected(path: &Path) -> io::Result<Option<(OwnedFd, u64)>> {
    let Ok(file) = std::fs::symlink_metadata(path) else { return Ok(None) };
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    loop {
        match connect(&socket, &SocketAddrUnix::new(path)?) {
            Ok(()) => return Ok(Some((socket, mark(&file)))),
            Err(Errno::INTR) => {}
            Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn hand_over(call: &Call, socket: &OwnedFd, import: Option<&ImportOutput>) -> Said {
    let deadline = call.deadline;
    // The request that has the application imported gets what that has to say,
    // unless it is imported again.
    let show_import = || {
        if let Some(import) = import {
            // A standard error that is gone is no reason to fail.
            let _ = import.copy_to(&mut io::stderr());
        }
    };
    let me = rustix::process::geteuid().as_raw();
    match peer_user(socket.as_fd()) {
        Ok(user) if user == me => {}
        Ok(user) => {
            let reason = format!("user {user} listens at the zygote's socket");
            return Said::Outcome(Outcome::Cold(Some(reason)));
        }
        Err(_) => return Said::Nothing,
    }
    // A new zygote has begun to count a little later, and says where it hangs.
    let patience = if import.is_some() { ENDING } else { Duration::ZERO };
    if !wait_readable(socket, deadline.map(|deadline| deadline + patience)) {
        show_import();
        return Said::Outcome(Outcome::TimedOut);
    }
    let mut hello = [0; HELLO.len()];
    if Stream(socket.as_fd()).read_exact(&mut hello).is_err() {
        if deadline.is_some_and(|deadline| deadline.left() == Duration::ZERO) {
            show_import();
            return Said::Outcome(Outcome::TimedOut);
        }
        return Said::Nothing;
    }
    if hello != HELLO {
        let reason = "another version of cgi2wsgi listens at the zygote's socket";
        return Said::Outcome(Outcome::Cold(Some(reason.into())));
    }
    let descriptors = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    if call.send(socket.as_fd(), descriptors).is_err() {
        return Said::Nothing;
    }
    let is_late = !wait_readable(socket, deadline);
    if is_late {
        // From here on no child can say that it has begun, and so none does;
        // one may have said so just now.
        let _ = shutdown(socket, Shutdown::Read);
    }
    match Reply::receive(socket.as_fd()) {
        Some(Reply::Begun) if is_late => {
            // It said so in the last moment, and nothing more can be heard.
            let _ = release_request();
            wait_closed(socket);
            Said::Outcome(Outcome::Ended(0))
        }
        Some(Reply::Begun) => {
            show_import();
            Said::Outcome(follow(socket))
        }
        _ if is_late => Said::Outcome(Outcome::TimedOut),
        Some(Reply::Stale) => Said::Stale,
        // Without a reason it has been said before.
        Some(Reply::Cold(reason)) => {
            Said::Outcome(Outcome::Cold(Some(reason).filter(|reason| !reason.is_empty())))
        }
        _ => Said::Nothing,
    }
}

/// The child has the request: waits for its end.
fn follow(socket: &OwnedFd) -> Outcome {
    let mut answered = false;
    loop {
        match Reply::receive(socket.as_fd()) {
            Some(Reply::Head) => {
                answered = true;
                // The server must see the end of the response when the child
                // closes it, not when this process ends. If /dev/null cannot
                // be opened, it sees it then.
                let _ = release_request();
            }
            Some(Reply::Ended(status)) => return Outcome::Ended(status),
            Some(Reply::Crashed(signal)) => return Outcome::Crashed(signal),
            Some(Reply::Exited(status)) => {
                return Outcome::Lost { answered, end: Some(End::Exited(status)) };
            }
            Some(Reply::Killed(signal)) => {
                return Outcome::Lost { answered, end: Some(End::Killed(signal)) };
            }
            _ => return Outcome::Lost { answered, end: None },
        }
    }
}

/// Waits until the other end is closed.
fn wait_closed(socket: &OwnedFd) {
    let mut wait = [PollFd::new(socket, PollFlags::empty())];
    while matches!(poll(&mut wait, None), Ok(0) | Err(Errno::INTR)) {}
}

fn release_request() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

/// False: nothing came before the deadline.
fn wait_readable(socket: &OwnedFd, deadline: Option<Moment>) -> bool {
    let Some(deadline) = deadline else { return true };
    loop {
        let left = deadline.left();
        if left == Duration::ZERO {
            return false;
        }
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) | Err(Errno::INTR) => {}
            _ => return true,
        }
    }
}
