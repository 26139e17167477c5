//! What an application has changed of its process while it was imported: the directory and the umask. A process of its
//! own keeps that for its request, and so does a child.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::umask;

/// As it was before the import.
pub(super) struct Before {
    directory: Option<PathBuf>,
    umask: u32,
}

/// What was other after it.
#[derive(Debug)]
pub(super) struct Changes {
    directory: Option<PathBuf>,
    umask: Option<u32>,
}

fn current_umask() -> u32 {
    // The system tells the mask only to who sets another.
    let current = umask(Mode::empty());
    umask(current);
    current.bits()
}

impl Before {
    pub(super) fn import() -> Self {
        Self { directory: std::env::current_dir().ok(), umask: current_umask() }
    }

    /// The import is over.
    pub(super) fn compare(self) -> Changes {
        let (directory, umask) = (std::env::current_dir().ok(), current_umask());
        Changes {
            directory: directory.filter(|now| Some(now) != self.directory.as_ref()),
            umask: Some(umask).filter(|now| *now != self.umask),
        }
    }
}

impl Changes {
    /// Directory and umask become what they were for the request, or what the import has made of them.
    pub(super) fn become_requests(&self, directory: &Path, mask: u32) -> io::Result<()> {
        umask(Mode::from_raw_mode(self.umask.unwrap_or(mask)));
        std::env::set_current_dir(self.directory.as_deref().unwrap_or(directory))
    }
}
