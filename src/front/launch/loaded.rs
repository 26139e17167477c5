//! What Python loads the worker from: a file, or memory that this process fills while Python starts.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{SendFlags, send};

use super::{ITS_NUMBER, inherited};
use crate::cgi::variables::Variables;
use crate::front::find::carried::Carried;
use crate::front::find::worker::Worker;

/// The descriptor number of the memory that a carried worker is loaded from, if it is free.
const ITS_MEMORY: i32 = ITS_NUMBER + 1;

/// Where the system has a file for each descriptor. A worker that is loaded from there closes that descriptor.
const MEMORY: &str = "/proc/self/fd/";

/// Where Python finds the worker.
pub(super) struct Loaded<'w> {
    /// A path.
    name: OsString,
    filled: Option<(&'w Carried, OwnedFd)>,
}

impl<'w> Loaded<'w> {
    /// If the worker is in this executable, the memory is empty as yet.
    pub(super) fn new(worker: &'w Worker, variables: &Variables) -> anyhow::Result<Self> {
        let Worker::Carried(carried) = worker else {
            return Ok(Self { name: worker.file().into(), filled: None });
        };
        let memory = carried.memory().and_then(|memory| inherited(&memory, ITS_MEMORY));
        match memory {
            Ok(memory) => Ok(Self {
                name: format!("{MEMORY}{}", memory.as_raw_fd()).into(),
                filled: Some((carried, memory)),
            }),
            Err(reason) => Self::from_file(worker, variables, &reason),
        }
    }

    /// From a file in any case. `reason` is why this executable's worker cannot be loaded from memory.
    pub(super) fn from_file(
        worker: &'w Worker,
        variables: &Variables,
        reason: &io::Error,
    ) -> anyhow::Result<Self> {
        let name = match worker {
            Worker::Carried(carried) => carried.file(variables, reason)?,
            Worker::File(file) => file.clone(),
        };
        Ok(Self { name: name.into(), filled: None })
    }

    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }

    /// The memory, if the worker is loaded from memory: Python must wait until it is told that the worker is whole.
    pub(super) fn memory(&self) -> Option<&OwnedFd> {
        self.filled.as_ref().map(|(_, memory)| memory)
    }

    /// Fills the memory, and tells so the process at the other end of `connection`. Nothing is done for a file.
    pub(super) fn fill(&self, connection: &OwnedFd) -> io::Result<()> {
        let Some((carried, memory)) = &self.filled else { return Ok(()) };
        carried.fill(memory)?;
        // If the process is gone, its supervisor notices.
        let _ = send(connection, b"\n", SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        Ok(())
    }
}
