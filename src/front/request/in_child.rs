//! Answers a request in a child process, as under a server, so that this process can show the response.

use std::fs::File;
use std::io::{self, PipeReader};
use std::process::ExitStatus;

use rustix::process::Pid;

use crate::front::exit::FAILED;
use crate::system::{self, Fork};

/// The process that answers.
pub(super) struct Child(Pid);

/// Runs `answer` with `body` as standard input and the returned pipe as standard output.
pub(super) fn run(
    body: Option<File>,
    answer: impl FnOnce() -> u8,
) -> io::Result<(PipeReader, Child)> {
    let (response, output) = io::pipe()?;
    match system::fork()? {
        Fork::Parent(child) => Ok((response, Child(child))),
        Fork::Child => {
            drop(response);
            let is_set = set_aside(body, &output);
            drop(output);
            let code = is_set.map_or(FAILED, |()| answer());
            std::process::exit(code.into())
        }
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
        system::wait_for(self.0)
    }
}
