//! Answers a request in a process of its own, as under a server, so that this one can show the response.

use std::fs::File;
use std::io::{self, PipeReader};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::front::exit::FAILED;

/// The process that answers.
pub(super) struct Child(libc::pid_t);

/// Runs `answer` with `body` as standard input and the returned pipe as standard output.
pub(super) fn run(
    body: Option<File>,
    answer: impl FnOnce() -> u8,
) -> io::Result<(PipeReader, Child)> {
    let (response, output) = io::pipe()?;
    // SAFETY: this process has one thread, so the child can do what this process could.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(response);
            let code = set_aside(body, &output).map_or(FAILED, |()| answer());
            std::process::exit(code.into())
        }
        pid => Ok((response, Child(pid))),
    }
}

fn set_aside(body: Option<File>, output: &io::PipeWriter) -> io::Result<()> {
    match body {
        Some(body) => rustix::stdio::dup2_stdin(&body)?,
        None => rustix::stdio::dup2_stdin(File::open("/dev/null")?)?,
    }
    rustix::stdio::dup2_stdout(output)?;
    Ok(())
}

impl Child {
    /// Waits until it has ended.
    pub(super) fn wait(self) -> io::Result<ExitStatus> {
        let mut status = 0;
        loop {
            // SAFETY: waits for the child that was forked.
            if unsafe { libc::waitpid(self.0, &raw mut status, 0) } == self.0 {
                return Ok(ExitStatus::from_raw(status));
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}
