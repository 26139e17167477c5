//! `cgi2wsgi warm stop`: asks zygotes to end, and waits until they are gone. Children that have a request finish it
//! without the zygote.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use super::{NOTHING, Zygote, directories, none, show, shown, zygotes};
use crate::cgi::variables::Variables;
use crate::front::cli::{Options, WarmStopArgs};
use crate::front::find;
use crate::front::settings::Settings;
use crate::report;
use crate::zygotes::directory::Directory;
use crate::zygotes::process;
use crate::zygotes::status::Status;

/// How long a zygote may take to end after SIGTERM, and after SIGKILL.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often a zygote without a pidfd is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

pub(super) fn run(arguments: WarmStopArgs, variables: &Variables) -> Result<u8> {
    let me = rustix::process::geteuid().as_raw();
    if arguments.all_users && me != 0 {
        bail!("--all-users is for root: another user can stop its own zygotes only, with --all");
    }
    let directories = directories(variables);
    let mut zygotes = zygotes(&directories);
    if arguments.all {
        let all = zygotes.len();
        zygotes.retain(|zygote| zygote.directory.owner() == me);
        if zygotes.is_empty() && all > 0 {
            report::plain(&format!(
                "no zygote of this user runs; {all} of other users are left alone: give --all-users \
                 to stop them"
            ));
            return Ok(NOTHING);
        }
    } else if !arguments.all_users {
        let app = arguments.app.or_else(|| variables.get_os("CGI2WSGI_APP").map(OsStr::to_owned));
        let app = app.context("specify an application, or --all")?;
        let names = names(&app, arguments.options, variables)?;
        let mut running: Vec<String> =
            zygotes.iter().map(|zygote| shown(&zygote.status.application)).collect();
        running.sort_unstable();
        running.dedup();
        zygotes.retain(|zygote| is_meant(&zygote.status.application, &names));
        if zygotes.is_empty() && !running.is_empty() {
            report::plain(&format!(
                "no zygote of {} runs; these do:\n  {}",
                names[0],
                running.join("\n  ")
            ));
            return Ok(NOTHING);
        }
    }
    if zygotes.is_empty() {
        report::plain(&none(variables));
        return Ok(NOTHING);
    }
    let mut code = 0;
    for Zygote { directory, name, status } in zygotes {
        match stop(&status, directory.owner()) {
            // A zygote writes its last status at its end.
            Ok(How::Ended) => show(told(&latest(directory, &name, status), "stopped").as_bytes())?,
            Ok(How::Killed) => show(told(&status, "killed").as_bytes())?,
            Err(error) => {
                let application = shown(&status.application);
                report::error(&format!("{application} (pid {}): {error:#}", status.pid));
                code = NOTHING;
            }
        }
    }
    Ok(code)
}

/// What a person may call the application: as it is found, and as it was typed.
fn names(app: &OsStr, options: Options, variables: &Variables) -> Result<Vec<String>> {
    let typed = app.to_string_lossy().into_owned();
    let settings = Settings::new(Some(OsString::from(app)), options, variables)?;
    // The application may be gone.
    let found = find::application::find(&settings, app);
    let found = found.ok().map(|application| application.shown());
    Ok(found.into_iter().chain([typed]).collect())
}

/// Whether the application that `warm status` shows has one of these names. A module may be named without the directory
/// that it is imported in.
fn is_meant(shown: &str, names: &[String]) -> bool {
    names.iter().any(|name| {
        let module = name.split(':').next().unwrap_or_default();
        shown == name || shown.strip_prefix(module).is_some_and(|rest| rest.starts_with(" in "))
    })
}

fn latest(directory: &Directory, name: &str, status: Status) -> Status {
    match Status::read(directory, name) {
        Some(last) if (last.pid, last.started) == (status.pid, status.started) => last,
        _ => status,
    }
}

fn told(status: &Status, how: &str) -> String {
    let Status { application, pid, requests, .. } = status;
    let application = shown(application);
    let requests = if *requests == 1 { "1 request".into() } else { format!("{requests} requests") };
    let busy = match status.busy {
        0 => String::new(),
        1 => "; 1 request that has begun will be finished".to_owned(),
        count => format!("; {count} requests that have begun will be finished"),
    };
    format!("{how} {application} (pid {pid}, {requests}{busy})\n")
}

/// How a zygote ended.
enum How {
    Ended,
    Killed,
}

/// Ends a zygote, which is a process of `owner`'s.
fn stop(status: &Status, owner: u32) -> Result<How> {
    let pid = i32::try_from(status.pid).ok().and_then(Pid::from_raw).context("no such process")?;
    let hold = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(hold) => Some(hold),
        Err(Errno::SRCH) => return Ok(How::Ended),
        // Linux before 5.3. The start time is compared before each signal.
        Err(Errno::NOSYS) => None,
        Err(error) => bail!("it cannot be opened as a process ({error}): kill {}", status.pid),
    };
    for (signal, how) in [(Signal::TERM, How::Ended), (Signal::KILL, How::Killed)] {
        // The pidfd refers to one process: the zygote, if the zygote is alive now.
        if !status.is_alive() || process::owner(status.pid) != Some(owner) {
            return Ok(How::Ended);
        }
        let sent = match &hold {
            Some(hold) => pidfd_send_signal(hold, signal),
            None => kill_process(pid, signal),
        };
        match sent {
            Ok(()) => {}
            Err(Errno::SRCH) => return Ok(How::Ended),
            Err(error) => bail!("it cannot be sent a signal: {error}"),
        }
        if has_ended(status, hold.as_ref()) {
            return Ok(how);
        }
    }
    bail!("it is still there after SIGKILL: it waits for a disk or a network file system")
}

/// Whether it ends within [`PATIENCE`].
fn has_ended(status: &Status, hold: Option<&OwnedFd>) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Without a pidfd the only way is to look again and again.
        let wait = if hold.is_some() { left } else { left.min(INTERVAL) };
        let timeout = Timespec::try_from(wait).ok();
        let hold = hold.map(|hold| PollFd::new(hold, PollFlags::IN));
        match poll(hold.into_iter().collect::<Vec<_>>().as_mut_slice(), timeout.as_ref()) {
            Ok(1..) => return true,
            _ if !status.is_alive() => return true,
            _ if left.is_zero() => return false,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zygotes::status::tests::status;

    #[test]
    fn an_application_is_meant_as_it_is_shown_or_by_its_module() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        for (shown, given, expected) in [
            ("/srv/app.py", &["/srv/app.py", "app.py"][..], true),
            ("/srv/app.py", &["/other/app.py", "app.py"], false),
            ("mysite.wsgi in /srv", &["mysite.wsgi:application"], true),
            ("mysite.wsgi in /srv", &["mysite.wsgi in /srv"], true),
            ("mysite.wsgi in /srv", &["mysite"], false),
            ("mysite.wsgi in /srv", &[""], false),
        ] {
            assert_eq!(is_meant(shown, &names(given)), expected, "{shown} {given:?}");
        }
    }

    #[test]
    fn what_was_stopped_is_told_with_what_goes_on() {
        let mut status = status();
        status.pid = 7;
        let told = |status: &Status| told(status, "stopped");
        assert_eq!(
            told(&status),
            "stopped /srv/site/app.py (pid 7, 12 requests; 1 request that has begun will be finished)\n"
        );
        (status.busy, status.requests) = (0, 1);
        assert_eq!(told(&status), "stopped /srv/site/app.py (pid 7, 1 request)\n");
    }

    #[test]
    fn a_stranger_of_the_same_number_is_left_alone() {
        let mut stranger = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat is everywhere");
        let mut status = status();
        // The zygote had this number, and was started at another time.
        (status.pid, status.started) = (stranger.id(), 1);
        assert!(matches!(stop(&status, 0), Ok(How::Ended)));
        assert!(stranger.try_wait().expect("it is a child").is_none(), "it was stopped");
        drop(stranger.stdin.take());
        assert!(stranger.wait().expect("it ends").success());
    }
}
