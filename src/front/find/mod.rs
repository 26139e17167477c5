//! Finds the application, the Python that runs it, and the worker that this Python loads. Looks at files and starts no
//! process.

pub mod application;
pub mod carried;
pub mod python;
pub mod way;
pub mod worker;

use std::path::PathBuf;

/// The path of this executable, with all links resolved.
pub fn this_executable() -> Option<PathBuf> {
    std::env::current_exe().ok().filter(|path| path.is_absolute())
}
