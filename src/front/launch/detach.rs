//! Runs a command that outlives this process: in another session, and without this process' open files.

use std::io::{self, Write};
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};

use crate::system::{self, Fork};

/// Runs `command` with `kept` open. Returns the exit status of the process that forked it and left it an orphan.
pub(super) fn run(
    command: &mut Command,
    kept: &[RawFd],
    ignores_sigchld: bool,
) -> io::Result<ExitStatus> {
    match system::fork()? {
        Fork::Child => leave_behind(command, kept, ignores_sigchld),
        Fork::Parent(first) => system::wait_for(first),
    }
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
