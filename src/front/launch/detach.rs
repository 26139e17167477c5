//! Runs a command that outlives this process, away from all that it has open, its session and its process group.

use std::io::{self, Write};
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};

use super::wait_for;

/// Runs `command` with `kept` open. Returns how the process ended that has left it behind.
pub(super) fn run(
    command: &mut Command,
    kept: &[RawFd],
    ignores_sigchld: bool,
) -> io::Result<ExitStatus> {
    // SAFETY: this process has one thread, so the child can do what this process could.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => leave_behind(command, kept, ignores_sigchld),
        first => wait_for(first),
    }
}

/// In the first child: its own child is the command's process, and nobody's when this has ended.
fn leave_behind(command: &mut Command, kept: &[RawFd], ignores_sigchld: bool) -> ! {
    // SAFETY: as in `run`.
    match unsafe { libc::fork() } {
        -1 => fail("a zygote cannot be forked", &io::Error::last_os_error()),
        0 => {}
        _ => exit(0),
    }
    if let Err(error) = rustix::process::setsid() {
        fail("a zygote gets no session", &error.into());
    }
    if ignores_sigchld {
        // SAFETY: the disposition is a valid one.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    }
    close_on_exec(kept);
    let error = command.exec();
    fail(&command.get_program().display().to_string(), &error)
}

fn fail(what: &str, error: &io::Error) -> ! {
    let _ = writeln!(io::stderr(), "cgi2wsgi: error: {what}: {error}");
    exit(1)
}

fn exit(status: i32) -> ! {
    // SAFETY: what the parent has to do at its end is not to be done here.
    unsafe { libc::_exit(status) }
}

/// Whatever this process was started with is not the zygote's, but for `kept`.
fn close_on_exec(kept: &[RawFd]) {
    const CLOSE_ON_EXEC: libc::c_uint = 4;
    // SAFETY: flags of descriptors of this process are changed.
    unsafe {
        if libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_ON_EXEC) != 0 {
            // Linux before 5.11.
            for descriptor in open_descriptors() {
                libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
        for descriptor in kept {
            libc::fcntl(*descriptor, libc::F_SETFD, 0);
        }
    }
}

fn open_descriptors() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|number: &i32| *number > 2)
}
