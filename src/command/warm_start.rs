//! `--warm`: the request is answered by a child of a zygote, which is started
//! if there is none; this process waits for it and ends as it ended.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::fs::Mode;

use crate::cgi::head::Form;
use crate::cgi::refusal::Refusal;
use crate::cgi::variables::Variables;
use crate::command::serve::{self, FAILED, Launch};
use crate::timings::Moment;
use crate::warm::client::{self, End, Outcome, Zygote};
use crate::warm::identity::{Identity, is_of_a_request};
use crate::warm::message::Call;
use crate::warm::output::ImportOutput;
use crate::warm::place::Place;
use crate::warm::start::{self, Limits, Start};
use crate::{handoff, report};

/// What a warm start needs besides the handoff.
#[derive(Debug)]
pub(super) struct WarmStart {
    /// Which zygote.
    pub(super) identity: Identity,
    /// How a new one is to be.
    pub(super) limits: Limits,
    /// How long a request may take, the import included.
    pub(super) timeout: Option<Duration>,
}

/// Has a zygote's child answer, if that is wanted. Nothing: the request is to
/// be run cold.
pub(super) fn answer(launch: &Launch, variables: &Variables, form: Form) -> Option<ExitCode> {
    let warm = launch.warm.as_ref()?;
    match hand_over(launch, warm, variables) {
        Outcome::Cold(reason) => {
            if let Some(reason) = reason {
                report::warning(&format!("--warm: {reason}"));
            }
            None
        }
        Outcome::Ended(status) => Some(ExitCode::from(status)),
        Outcome::Crashed(signal) => {
            die_of(signal.into());
            Some(ExitCode::from(FAILED))
        }
        Outcome::TimedOut => {
            let reason = "the application was not imported within --timeout";
            serve::answer(&Refusal::new(504, reason), variables, form);
            Some(ExitCode::from(FAILED))
        }
        Outcome::Lost { answered, end } => Some(lost(answered, end, variables, form)),
    }
}

/// The child is gone, with or without having sent a head. This process ends as
/// it ended, as far as that is known.
fn lost(answered: bool, end: Option<End>, variables: &Variables, form: Form) -> ExitCode {
    let how = match end {
        // Whatever is left after the head is the application's decision.
        Some(End::Exited(status)) if answered => return ExitCode::from(status),
        Some(End::Exited(status)) => format!("ended itself with status {status}"),
        Some(End::Killed(signal)) => format!("was killed by signal {signal}"),
        None => "was killed".to_owned(),
    };
    if answered {
        report::error(&format!(
            "--warm: the process of this request {how}: the response ends there"
        ));
    } else {
        let reason = format!("--warm: the process of this request {how} before it answered");
        serve::answer(&Refusal::fault(reason), variables, form);
    }
    match end {
        Some(End::Exited(status)) => return ExitCode::from(status),
        Some(End::Killed(signal)) => die_of(signal.into()),
        None => {}
    }
    ExitCode::from(FAILED)
}

fn hand_over(launch: &Launch, warm: &WarmStart, variables: &Variables) -> Outcome {
    let place = match Place::open(variables) {
        Ok(place) => place,
        Err(reason) => return Outcome::Cold(Some(reason)),
    };
    // The system tells the mask only to who sets another.
    let umask = rustix::process::umask(Mode::empty());
    rustix::process::umask(umask);
    let call = Call {
        identity: warm.identity.clone(),
        handoff: launch.handoff.as_bytes().to_vec(),
        umask: umask.bits(),
        deadline: warm.timeout.map(|timeout| Moment::now() + timeout),
        variables: variables.clone(),
    };
    let start = |listener: OwnedFd, why: &str| {
        let start = Start {
            place: place.path().to_owned(),
            identity: warm.identity.clone(),
            limits: warm.limits.clone(),
            why: why.to_owned(),
        };
        start_zygote(launch, &start, listener, variables)
    };
    let name = warm.identity.name();
    let zygote = Zygote { place: &place, name: &name, start: &start };
    client::run(&call, &zygote)
}

/// Starts a zygote, whose first process is gone when this returns: it is
/// nobody's child.
fn start_zygote(
    launch: &Launch,
    start: &Start,
    listener: OwnedFd,
    variables: &Variables,
) -> io::Result<ImportOutput> {
    let output = ImportOutput::new()?;
    let surroundings = variables.iter_os().filter(|(name, _)| !is_of_a_request(name.as_bytes()));
    // Where a server has SIGCHLD ignored, nobody could be waited for.
    // SAFETY: the disposition is a valid one.
    let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    let mut command = Command::new(&launch.executable);
    // SAFETY: the process that is started calls nothing else before its exec.
    unsafe {
        command.pre_exec(move || {
            libc::signal(libc::SIGCHLD, before);
            Ok(())
        });
    }
    let ended = command
        .env_clear()
        .envs(surroundings)
        .env(handoff::VARIABLE, &launch.handoff)
        .env(start::VARIABLE, start.encode())
        .stdin(listener)
        .stdout(Stdio::null())
        .stderr(output.descriptor()?)
        .status();
    // SAFETY: this is what it was.
    unsafe { libc::signal(libc::SIGCHLD, before) };
    let ended = ended?;
    if ended.success() {
        return Ok(output);
    }
    Err(io::Error::other(format!("{} ended with {ended}", launch.executable.display())))
}

/// Ends this process as the child ended.
fn die_of(signal: i32) {
    // SAFETY: both are valid calls for any signal number; no core of this
    // process is of use to anybody.
    unsafe {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}
