//! Starts the site's own Python as a worker: for one request, or as a zygote that outlives this process.
//!
//! A worker is started without anything of a request: variables and descriptors come with the order. `boot.py` is the
//! program that Python runs. It loads the worker without an import path. If it cannot, `refuse.py` tells why; it is a
//! separate text, so that Python compiles it only then. Where this executable carries the worker, `wait.py` runs first:
//! a byte on the connection tells that the worker is whole. All are valid in any Python from 2.7 on.

mod detach;
mod loaded;

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::Pid;

use self::loaded::Loaded;
use super::account::lines::Streams;
use super::plan::Plan;
use super::supervise::{NotBegun, Process, Worker};
use crate::cgi::variables::Variables;
use crate::handoff::channel::{self, Outgoing};
use crate::handoff::request_variables::is_of_a_request;
use crate::handoff::{Order, ZygoteOrder};
use crate::system::{self, Disposition};
use crate::timings::Moment;
use crate::zygotes::directory;
use crate::zygotes::import_output::ImportOutput;

/// The program that Python runs.
const BOOT: &str = include_str!("boot.py");

/// What Python runs before BOOT if the worker's memory is filled meanwhile.
const WAIT: &str = concat!(include_str!("wait.py"), include_str!("boot.py"));

/// What BOOT runs if it cannot load the worker.
const REFUSE: &str = include_str!("refuse.py");

/// The descriptor number of the connection in a worker, if it is free.
const ITS_NUMBER: i32 = 700;

/// How long a zygote may take to receive its order, where nothing else limits it.
const ZYGOTE_START: Duration = Duration::from_secs(30);

/// Starts a worker for one request, in the application's directory. SIGCHLD must not be ignored.
pub(super) fn worker(
    plan: &Plan,
    variables: &Variables,
    streams: &Streams,
) -> Result<Worker, NotBegun> {
    let mut loaded = Loaded::new(&plan.worker, variables).map_err(NotBegun::NoWorker)?;
    let worker = start(plan, variables, streams, &loaded)?;
    // Python has meanwhile begun to start.
    let Err(reason) = loaded.fill(&worker.connection) else { return Ok(worker) };
    drop(worker.connection);
    worker.process.kill();
    loaded = Loaded::from_file(&plan.worker, variables, &reason).map_err(NotBegun::NoWorker)?;
    Ok(start(plan, variables, streams, &loaded)?)
}

fn start(
    plan: &Plan,
    variables: &Variables,
    streams: &Streams,
    loaded: &Loaded<'_>,
) -> io::Result<Worker> {
    let (connection, its_end) = inherited_pair()?;
    let mut command = python(plan, variables, &its_end, loaded);
    command
        .stdin(nothing()?)
        .stdout(streams.stderr().try_clone_to_owned()?)
        .current_dir(&plan.service.application.directory);
    if streams.are_kept() {
        command.stderr(streams.stderr().try_clone_to_owned()?);
    }
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::Other)?;
    Ok(Worker { connection, process: Process::Own(pid) })
}

/// Starts a zygote, which is an orphan when this returns. Returns what it writes while it imports.
pub(super) fn zygote(
    plan: &Plan,
    variables: &Variables,
    listener: &OwnedFd,
    order: ZygoteOrder,
    ignores_sigchld: bool,
) -> io::Result<ImportOutput> {
    let output = ImportOutput::new(&order.directory)?;
    let loaded = Loaded::new(&plan.worker, variables).map_err(io::Error::other)?;
    let (connection, its_end) = inherited_pair()?;
    let mut command = python(plan, variables, &its_end, &loaded);
    for (name, _) in variables.iter_os() {
        if order.limits.is_of_a_request(name.as_encoded_bytes()) {
            command.env_remove(name);
        }
    }
    command
        .env(directory::VARIABLE, &order.directory)
        .stdin(nothing()?)
        .stdout(output.descriptor()?)
        .stderr(output.descriptor()?)
        .current_dir(&plan.service.application.directory);
    let kept: Vec<_> =
        loaded.memory().into_iter().chain([&its_end]).map(AsRawFd::as_raw_fd).collect();
    let ended = detach::run(&mut command, &kept, ignores_sigchld)?;
    drop(its_end);
    if !ended.success() {
        let reason = format!("{} ended with {ended}", plan.interpreter.executable.display());
        return Err(io::Error::other(reason));
    }
    let until = plan.deadline.map_or_else(|| Moment::now() + ZYGOTE_START, |deadline| deadline.at);
    loaded.fill(&connection)?;
    let order = Order::Zygote(Box::new(order)).encode();
    send(&connection, &mut Outgoing::new(&order), listener, until)?;
    Ok(output)
}

/// Sends an order to a worker that is not supervised.
fn send(
    connection: &OwnedFd,
    order: &mut Outgoing,
    descriptor: &OwnedFd,
    until: Moment,
) -> io::Result<()> {
    loop {
        order.send(connection.as_fd(), Some(&[descriptor.as_fd()]))?;
        if order.is_sent() {
            return Ok(());
        }
        let timeout = Timespec::try_from(until.left()).ok();
        let ready = poll(&mut [PollFd::new(connection, PollFlags::OUT)], timeout.as_ref());
        if ready == Ok(0) {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// A channel whose second end a worker inherits, under the same number whatever else is open.
fn inherited_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (connection, its_end) = channel::pair()?;
    Ok((connection, inherited(&its_end, ITS_NUMBER)?))
}

/// A copy of a descriptor that a child inherits, as `number` if that is free.
fn inherited(descriptor: &OwnedFd, number: i32) -> io::Result<OwnedFd> {
    let copy = fcntl_dupfd_cloexec(descriptor, number)
        // The limit of open files is lower than `number`.
        .or_else(|_| fcntl_dupfd_cloexec(descriptor, 3))?;
    fcntl_setfd(&copy, FdFlags::empty())?;
    Ok(copy)
}

/// The interpreter with the program that loads the worker, in the operator's environment.
fn python(plan: &Plan, variables: &Variables, its_end: &OwnedFd, loaded: &Loaded<'_>) -> Command {
    let mut command = Command::new(&plan.interpreter.executable);
    // P5: text is UTF-8 whatever the locale, unless the site says otherwise.
    if variables.get("PYTHONUTF8").is_none() {
        command.args(["-X", "utf8"]);
    }
    let program = if loaded.memory().is_some() { WAIT } else { BOOT };
    command
        .args(["-c", program])
        .arg(its_end.as_raw_fd().to_string())
        .arg(loaded.name())
        .arg(REFUSE);
    command.env_clear().envs(surroundings(variables));
    command
}

/// The operator's environment: what is the same for all requests, without what makes Python wait for a person.
pub(super) fn surroundings(variables: &Variables) -> impl Iterator<Item = (&OsStr, &OsStr)> {
    variables.iter_os().filter(|(name, _)| {
        !is_of_a_request(name.as_encoded_bytes())
            && !name.is_empty()
            && !matches!(name.as_encoded_bytes(), b"PYTHONINSPECT" | b"PYTHONSTARTUP")
    })
}

/// Standard input that is at its end: `/dev/null`, or a pipe without a writer where `/dev/null` is missing.
fn nothing() -> io::Result<Stdio> {
    match std::fs::File::open("/dev/null") {
        Ok(null) => Ok(null.into()),
        Err(_) => Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?.0.into()),
    }
}

/// Stops ignoring SIGCHLD, so that the system keeps the status of children. Returns whether a server ignored it.
pub(super) fn expect_children() -> bool {
    let is_ignored = system::disposition(libc::SIGCHLD) == Disposition::Ignored;
    system::set_ignored(libc::SIGCHLD, false);
    is_ignored
}
