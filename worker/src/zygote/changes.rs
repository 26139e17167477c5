//! What an application has changed in its process while it was imported: the directory and the umask. A process started
//! for one request would keep these for it, and so does a child.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::umask;

/// The state before the import.
pub(super) struct Before {
    directory: Option<PathBuf>,
    umask: u32,
}

/// What was different after it.
#[derive(Debug)]
pub(super) struct Changes {
    directory: Option<PathBuf>,
    umask: Option<u32>,
}

fn current_umask() -> u32 {
    // The system tells the mask only to a process that sets another.
    let current = umask(Mode::empty());
    umask(current);
    current.bits()
}

impl Before {
    pub(super) fn import() -> Self {
        Self { directory: std::env::current_dir().ok(), umask: current_umask() }
    }

    /// After the import.
    pub(super) fn compare(self) -> Changes {
        let (directory, umask) = (std::env::current_dir().ok(), current_umask());
        Changes {
            directory: directory.filter(|now| Some(now) != self.directory.as_ref()),
            umask: Some(umask).filter(|now| *now != self.umask),
        }
    }
}

impl Changes {
    /// Sets the directory and the umask to those of the request, or to what the import has made of them.
    pub(super) fn become_requests(&self, directory: &Path, mask: u32) -> io::Result<()> {
        umask(Mode::from_raw_mode(self.umask.unwrap_or(mask)));
        std::env::set_current_dir(self.directory.as_deref().unwrap_or(directory))
    }
}
