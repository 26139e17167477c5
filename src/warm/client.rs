//! The front's side of a warm start: finds the zygote or starts one, hands the
//! request over, and waits for its end.
//!
//! The rule that all of this keeps: a request is run a second time, cold, if and
//! only if no child has begun it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, flock};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use super::message::{Call, HELLO, Reply, Stream, peer_user};
use super::output::ImportOutput;
use super::place::Place;

/// How many fronts may wait for a child, where the system allows it.
const BACKLOG: i32 = 4096;

/// How many zygotes one application may have. Each has another environment, and
/// a variable that differs from request to request would have a new one started
/// for each.
const MOST: usize = 32;

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
    /// A child has begun it and is gone, with or without having sent a head.
    Lost {
        /// Whether the response has begun.
        answered: bool,
    },
    /// No zygote was ready in time.
    TimedOut,
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
/// 2 of this process. Waits for a child until `deadline` at most.
pub fn run(call: &Call, zygote: &Zygote<'_>, deadline: Option<Instant>) -> Outcome {
    let path = match zygote.place.socket(zygote.name) {
        Ok(path) => path,
        Err(reason) => return Outcome::Cold(Some(reason)),
    };
    let mut why = String::from("the first request");
    for _ in 0..ATTEMPTS {
        let (connected, inode, import) = match zygote.connect_or_start(&path, &why) {
            Ok(connected) => connected,
            Err(error) => {
                return Outcome::Cold(Some(format!("no zygote can be started: {error}")));
            }
        };
        match hand_over(call, &connected, deadline, import.as_ref()) {
            Said::Outcome(outcome) => return outcome,
            Said::Nothing if import.is_some() => {
                let reason = "the zygote ended before it was ready, for the reason that follows";
                return Outcome::Cold(Some(reason.into()));
            }
            Said::Nothing => "the last one was gone".clone_into(&mut why),
            Said::Stale => {
                "a file of the application changed".clone_into(&mut why);
                zygote.forget(&path, inode);
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
    /// A connection, the socket's inode, and if this process started it, what
    /// it writes.
    fn connect_or_start(&self, path: &Path, why: &str) -> io::Result<Connected> {
        if let Some((socket, inode)) = connected(path)? {
            return Ok((socket, inode, None));
        }
        // One of all that come at once starts it; the others wait here for the
        // moment that takes, and find it.
        let _lock = self.locked()?;
        if let Some((socket, inode)) = connected(path)? {
            return Ok((socket, inode, None));
        }
        remove(path)?;
        let siblings = self.place.siblings(self.name);
        if siblings >= MOST {
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
        let (socket, inode) = connected(path)?.ok_or(io::ErrorKind::ConnectionRefused)?;
        Ok((socket, inode, Some(import)))
    }

    /// Takes a stale zygote's socket away, unless somebody has done it.
    fn forget(&self, path: &Path, inode: u64) {
        if let Ok(_lock) = self.locked()
            && std::fs::symlink_metadata(path).is_ok_and(|file| file.ino() == inode)
        {
            // Whoever comes next makes another, and complains if it cannot.
            let _ = remove(path);
        }
    }

    fn locked(&self) -> io::Result<File> {
        let path: PathBuf = self.place.lock(self.name);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(file),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A connection to whoever listens at `path`, and the inode there; nothing if
/// nobody does.
fn connected(path: &Path) -> io::Result<Option<(OwnedFd, u64)>> {
    let Ok(file) = std::fs::symlink_metadata(path) else { return Ok(None) };
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    loop {
        match connect(&socket, &SocketAddrUnix::new(path)?) {
            Ok(()) => return Ok(Some((socket, file.ino()))),
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

fn hand_over(
    call: &Call,
    socket: &OwnedFd,
    deadline: Option<Instant>,
    import: Option<&ImportOutput>,
) -> Said {
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
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
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
    match Reply::receive(socket.as_fd()) {
        Some(Reply::Begun) => {
            show_import();
            Said::Outcome(follow(socket))
        }
        Some(Reply::Stale) => Said::Stale,
        Some(Reply::Cold(reason)) => Said::Outcome(Outcome::Cold(Some(reason))),
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
            _ => return Outcome::Lost { answered },
        }
    }
}

fn release_request() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

/// False: nothing came before the deadline.
fn wait_readable(socket: &OwnedFd, deadline: Option<Instant>) -> bool {
    let Some(deadline) = deadline else { return true };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
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
