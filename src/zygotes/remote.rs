//! Files that are on another machine: what it answers may be older than what it has.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

/// What the machine answers where the file is, is what the next call says. Before Linux 4.11 that is all there is.
pub(super) fn force(path: &Path, follow: AtFlags) {
    let _ = statx(CWD, path, follow | AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS);
}

/// Asks the machine where a directory is whether it has changed: names that were looked up before are then looked up
/// anew.
pub(super) fn ask(directory: &Path) {
    force(directory, AtFlags::empty());
}
