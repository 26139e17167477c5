//! Files that are on another machine: what this system knows of them may be out of date.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

/// Asks the machine that has the file, so that the next call on this path tells its answer. Before Linux 4.11 this does
/// nothing.
pub(super) fn force(path: &Path, follow: AtFlags) {
    let _ = statx(CWD, path, follow | AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS);
}

/// Asks the machine that has a directory whether it has changed. If so, the system looks up its names again.
pub(super) fn ask(directory: &Path) {
    force(directory, AtFlags::empty());
}
