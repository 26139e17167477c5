//! What is on this machine for a request: the application, the Python that runs it, and the worker that this Python
//! loads. Looks at files, and starts nothing.

pub mod application;
pub mod carried;
pub mod python;
pub mod way;
pub mod worker;

use std::path::PathBuf;

/// Where this executable really is, whatever links lead to it.
pub fn this_executable() -> Option<PathBuf> {
    std::env::current_exe().ok().filter(|path| path.is_absolute())
}
