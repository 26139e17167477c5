//! The files of a site that people edit, and by which clock a change of theirs is dated.

use std::path::{Path, PathBuf};

use cgi2wsgi::handoff::Application;

/// What people edit. It gets the watches first, if there are few, and where it is
/// on another machine, that is asked.
pub(super) struct Edited {
    directory: PathBuf,
    venv: Option<PathBuf>,
}

impl Edited {
    pub(super) fn of(application: &Application) -> Self {
        Self { directory: application.directory.clone(), venv: application.venv.clone() }
    }

    pub(super) fn has(&self, file: &Path) -> bool {
        file.starts_with(&self.directory)
            && !self.venv.as_ref().is_some_and(|venv| file.starts_with(venv))
    }
}

/// This moment. File systems stamp by a clock that is up to a tick behind it,
/// which is less than Python takes to start and to read a first file.
pub(super) fn now() -> (i64, i64) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    (now.tv_sec, now.tv_nsec)
}
