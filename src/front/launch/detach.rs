//! Runs a command that outlives this process: in another session, and without this process' open files.

use std::io::{self, Write};
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};

use rustix::process::set_child_subreaper;

use crate::system::{self, Fork};

/// Runs `command` with `kept` open. Returns the exit status of the process that forked it and left it an orphan.
///
/// The orphan becomes a child of this process, which can therefore learn how it has ended (from Linux 3.4 on), and of
/// process 1 when this one has ended.
pub(super) fn run(
    command: &mut Command,
    kept: &[RawFd],
    ignores_sigchld: bool,
) -> io::Result<ExitStatus> {
    let me = rustix::process::getpid();
    let adopts = set_child_subreaper(Some(me)).is_ok();
    let ended = match system::fork() {
        Ok(Fork::Child) => leave_behind(command, kept, ignores_sigchld),
        Ok(Fork::Parent(first)) => system::wait_for(first),
        Err(error) => Err(error),
    };
    if adopts {
        // What an application leaves behind is not for this process.
        let _ = set_child_subreaper(None);
    }
    ended
}

/// In the first child: forks the command's process and exits, which makes that process an orphan.
fn leave_behind(command: &mut Command, kept: &[RawFd], ignores_sigchld: bool) -> ! {
    match system::fork() {
        Err(error) => fail("a zygote cannot be forked", &error),
        Ok(Fork::Parent(_)) => system::exit_now(0),
        Ok(Fork::Child) => {}
    }
    if let Err(error) = rustix::process::setsid() {
        fail("a zygote cannot begin a session (setsid)", &error.into());
    }
    system::set_ignored(libc::SIGCHLD, ignores_sigchld);
    system::keep_only_on_exec(kept);
    let error = command.exec();
    fail(&command.get_program().display().to_string(), &error)
}

fn fail(what: &str, error: &io::Error) -> ! {
    let _ = writeln!(io::stderr(), "cgi2wsgi: error: {what}: {error}");
    system::exit_now(1)
}
