//! Standard input and output, taken out of everybody else's reach (P2).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::stdio::{dup2_stdin, dup2_stdout, stderr, stdin, stdout};

/// The server's ends of one request, under numbers of their own, closed on
/// exec.
#[derive(Debug)]
pub struct Descriptors {
    /// Where the request body comes from.
    pub stdin: OwnedFd,
    /// Where the response goes.
    pub stdout: OwnedFd,
}

impl Descriptors {
    /// Moves descriptors 0 and 1 away. In their places remain `/dev/null` and
    /// standard error: whatever else prints, in this process or in one that it
    /// starts, cannot touch the response.
    pub fn take() -> io::Result<Self> {
        let taken =
            Self { stdin: stdin().try_clone_to_owned()?, stdout: stdout().try_clone_to_owned()? };
        dup2_stdin(File::open("/dev/null")?.as_fd())?;
        dup2_stdout(stderr())?;
        Ok(taken)
    }
}
