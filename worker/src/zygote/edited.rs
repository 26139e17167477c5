//! The files of a site that people edit, and the clock that dates their changes.

use std::path::{Path, PathBuf};

use cgi2wsgi::handoff::Application;

/// What people edit. It gets the watches first, if these are few. If it is on another machine, that machine is asked.
pub(super) struct Edited {
    directory: PathBuf,
    venv: Option<PathBuf>,
}

impl Edited {
    pub(super) fn from_application(application: &Application) -> Self {
        Self { directory: application.directory.clone(), venv: application.venv.clone() }
    }

    pub(super) fn has(&self, file: &Path) -> bool {
        file.starts_with(&self.directory)
            && !self.venv.as_ref().is_some_and(|venv| file.starts_with(venv))
    }
}

/// The current time. The timestamps of file systems are up to a tick behind it, which is less than Python takes to
/// start and to read a first file.
pub(super) fn now() -> (i64, i64) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    (now.tv_sec, now.tv_nsec)
}
