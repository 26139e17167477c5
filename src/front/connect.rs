//! `--warm`: a child of a zygote answers. Finds the zygote or starts one, and hands the request over.
//!
//! Invariant: a request is run a second time, by a normal start, if and only if no child has begun it.

mod crowd;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use super::account::lines::Streams;
use super::launch;
use super::plan::Plan;
use super::supervise::{NotBegun, Outcome, Process, Supervised, Worker, supervise};
use crate::cgi::variables::Variables;
use crate::handoff::channel::peer_user;
use crate::handoff::{Identity, Limits, ZygoteOrder};
use crate::report;
use crate::timings::Moment;
use crate::zygotes::directory::{Directory, file_identity, socket_name, trial_name};
use crate::zygotes::import_output::ImportOutput;
use crate::zygotes::lock::{self, Lock};
use crate::zygotes::status::{Phase, Status};

/// How many fronts may wait for a child, where the system allows it.
const BACKLOG: i32 = 4096;

/// How many zygotes are tried before the request is run by a normal start.
const ATTEMPTS: usize = 3;

/// The least time that an import gets if only `--warm-idle` limits it.
const SHORTEST_IMPORT: Duration = Duration::from_secs(60);

/// The least time between two starts of a zygote that no request waits for, if the first ended without a message.
const BETWEEN_TRIALS: Duration = Duration::from_secs(60);

/// Lets a zygote's child answer, if the plan has `--warm`. Nothing: the request must be run by a normal start.
pub(super) fn answer(
    plan: &Plan,
    variables: &Variables,
    streams: &Streams,
    owed: u64,
    ignores_sigchld: bool,
) -> Option<Outcome> {
    let (identity, limits) = plan.warm.as_ref()?;
    let directory = match Directory::open(variables) {
        Ok(directory) => directory,
        Err(reason) => return fall_back(&reason),
    };
    let zygote = Zygote {
        directory: &directory,
        identity,
        limits,
        plan,
        variables,
        streams,
        owed,
        ignores_sigchld,
    };
    zygote.answer()
}

/// Logs why the request is run by a normal start.
fn fall_back(reason: &str) -> Option<Outcome> {
    report::falls_back(reason);
    None
}

/// Where a zygote of one identity is found, and how one is started.
struct Zygote<'z> {
    directory: &'z Directory,
    identity: &'z Identity,
    limits: &'z Limits,
    plan: &'z Plan,
    variables: &'z Variables,
    streams: &'z Streams,
    owed: u64,
    ignores_sigchld: bool,
}

/// A connection to a zygote's socket.
struct Connection {
    socket: OwnedFd,
    /// [`file_identity`] of the socket's file.
    socket_identity: u64,
    /// What the zygote writes, if this process started it.
    import: Option<ImportOutput>,
}

impl Zygote<'_> {
    fn answer(&self) -> Option<Outcome> {
        let path = match self.directory.socket(&self.identity.name()) {
            Ok(path) => path,
            Err(reason) => return fall_back(&reason),
        };
        let mut why = "the first request";
        for _ in 0..ATTEMPTS {
            let connection = match self.connect_or_start(&path, why) {
                Ok(Some(connection)) => connection,
                // The reason has been logged, and is logged again if it still holds.
                Ok(None) => return None,
                Err(error) => return fall_back(&format!("no zygote can be started: {error}")),
            };
            let is_new = connection.import.is_some();
            let socket_identity = connection.socket_identity;
            match self.hand_over(connection) {
                Outcome::NotBegun(NotBegun::Stale) if is_new => {
                    self.forget(socket_identity);
                    return fall_back("a file of the application changed while it was imported");
                }
                Outcome::NotBegun(NotBegun::Stale) => {
                    why = "a file of the application changed";
                    self.forget(socket_identity);
                }
                Outcome::NotBegun(NotBegun::Cold(reason)) if reason.is_empty() => return None,
                Outcome::NotBegun(NotBegun::Cold(reason)) => return fall_back(&reason),
                Outcome::NotBegun(NotBegun::OtherBuild(build)) => {
                    return fall_back(&format!(
                        "build {build} of cgi2wsgi listens at the zygote's socket"
                    ));
                }
                Outcome::NotBegun(NotBegun::Gone { .. }) if is_new => {
                    return fall_back(
                        "the zygote ended before it was ready, for the reason that follows",
                    );
                }
                Outcome::NotBegun(NotBegun::Gone { .. }) => why = "the last one was gone",
                outcome => return Some(outcome),
            }
        }
        fall_back("zygotes end before they answer: see `cgi2wsgi warm log`")
    }

    fn hand_over(&self, connection: Connection) -> Outcome {
        let me = rustix::process::geteuid().as_raw();
        match peer_user(connection.socket.as_fd()) {
            Ok(user) if user == me => {}
            Ok(user) => {
                let reason = format!("user {user} listens at the zygote's socket");
                return Outcome::NotBegun(NotBegun::Cold(reason));
            }
            Err(_) => return Outcome::NotBegun(NotBegun::Gone { how: None, was_loaded: false }),
        }
        let Connection { socket, import, .. } = connection;
        let order =
            self.plan.order(Some(self.identity.clone()), self.variables, self.ignores_sigchld);
        let request = Supervised {
            order: &order,
            variables: self.variables,
            form: self.plan.service.form,
            owed: self.owed,
            deadline: self.plan.deadline,
            streams: self.streams,
            import: import.as_ref(),
        };
        supervise(&request, Worker { connection: socket, process: Process::NotKnownYet })
    }

    /// A connection to the zygote; if there is none, to one that this process starts. Nothing: the last one could not
    /// serve, and the next one is tried while no request waits for it.
    fn connect_or_start(&self, path: &Path, why: &str) -> io::Result<Option<Connection>> {
        if let Some(connection) = self.connected(path)? {
            return Ok(Some(connection));
        }
        // One of several simultaneous fronts starts it. The others wait here until it has done so, and then connect.
        let lock = Lock::take(self.directory, &self.identity.name())?;
        let found = self.start_unless_there(path, why);
        if found.is_err() {
            // There is no zygote that the lock is for.
            lock.remove();
        }
        found
    }

    /// [`Self::connect_or_start`], for the process that holds the lock.
    fn start_unless_there(&self, path: &Path, why: &str) -> io::Result<Option<Connection>> {
        let name = self.identity.name();
        if let Some(connection) = self.connected(path)? {
            return Ok(Some(connection));
        }
        let last = Status::read(self.directory, &name);
        let on_trial = last.filter(|last| last.refused.is_some());
        if on_trial.as_ref().is_some_and(|last| self.is_being_tried(last)) {
            return Ok(None);
        }
        self.remove_socket()?;
        self.expect_no_crowd(&name)?;
        let is_on_trial = on_trial.is_some();
        let file = if is_on_trial { trial_name(&name) } else { socket_name(&name) };
        let path = path.with_file_name(&file);
        let listener = listening(&path)?;
        // Before the zygote runs, so that this process is the first in line.
        let connection = if is_on_trial { None } else { self.connected(&path)? };
        // Zygotes for other variables may have been started at the same time.
        let started = self
            .expect_no_crowd(&name)
            .and_then(|()| self.start(&file, &listener, why, is_on_trial));
        let import = match started {
            Ok(import) => import,
            Err(error) => {
                self.remove_socket()?;
                return Err(error);
            }
        };
        drop(listener);
        if is_on_trial {
            return Ok(None);
        }
        let connection = connection.ok_or(io::ErrorKind::ConnectionRefused)?;
        Ok(Some(Connection { import: Some(import), ..connection }))
    }

    /// An error if there are already too many zygotes that differ only in variables.
    fn expect_no_crowd(&self, name: &str) -> io::Result<()> {
        match lock::crowd(self.directory, name) {
            None => Ok(()),
            Some(pids) => Err(io::Error::other(crowd::why(&pids, self.variables, self.limits))),
        }
    }

    /// Whether a zygote that no request waits for is importing, or was started less than [`BETWEEN_TRIALS`] ago.
    fn is_being_tried(&self, last: &Status) -> bool {
        let Ok(socket) = self.directory.stat(&trial_name(&self.identity.name())) else {
            return false;
        };
        let is_importing = matches!(last.phase, Phase::Importing(_)) && last.is_alive();
        let began = u64::try_from(socket.st_mtime).unwrap_or_default();
        let age = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(began));
        is_importing || age.is_ok_and(|age| age < BETWEEN_TRIALS)
    }

    fn start(
        &self,
        file: &str,
        listener: &OwnedFd,
        why: &str,
        is_on_trial: bool,
    ) -> io::Result<ImportOutput> {
        let socket = self.directory.stat(file).map_err(|_| {
            let path = self.directory.path().display();
            io::Error::other(format!("{path} now leads to another directory"))
        })?;
        let deadline = match self.plan.deadline {
            Some(deadline) if !is_on_trial => deadline.at,
            _ => Moment::now() + self.limits.idle.max(SHORTEST_IMPORT),
        };
        let order = ZygoteOrder {
            directory: self.directory.path().to_owned(),
            socket_identity: file_identity(&socket),
            identity: self.identity.clone(),
            worker: self.plan.worker.file().to_owned(),
            service: self.plan.service.clone(),
            limits: self.limits.clone(),
            is_on_trial,
            deadline,
            why: why.to_owned(),
        };
        launch::zygote(self.plan, self.variables, listener, order, self.ignores_sigchld)
    }

    /// A connection to the process that listens at `path`; nothing if none does.
    fn connected(&self, path: &Path) -> io::Result<Option<Connection>> {
        let Some(file) = self.directory.find_socket(&self.identity.name())? else {
            return Ok(None);
        };
        let socket_identity = file_identity(&file);
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        loop {
            match connect(&socket, &SocketAddrUnix::new(path)?) {
                Ok(()) => return Ok(Some(Connection { socket, socket_identity, import: None })),
                Err(Errno::INTR) => {}
                Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn remove_socket(&self) -> io::Result<()> {
        let name = self.identity.name();
        for file in [socket_name(&name), trial_name(&name)] {
            match self.directory.remove(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes a stale zygote's socket, unless another process has done so.
    fn forget(&self, socket_identity: u64) {
        if let Ok(lock) = Lock::take(self.directory, &self.identity.name()) {
            lock.remove_socket(socket_identity);
        }
    }
}

/// A socket that listens at `path`.
fn listening(path: &Path) -> io::Result<OwnedFd> {
    let listener =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Other users cannot enter the directory; the socket's mode excludes them too.
    let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = SocketAddrUnix::new(path).and_then(|address| bind(&listener, &address));
    rustix::process::umask(umask);
    bound?;
    listen(&listener, BACKLOG)?;
    Ok(listener)
}
