//! A fork of a process that runs Python, as `os.fork` does it.

use std::io;

use cgi2wsgi::system::{self, Fork};
use pyo3::ffi;
use pyo3::prelude::*;

/// Forks. The child runs `before_python` before Python's own work. Only to be used while there is no other thread.
pub(crate) fn fork(_: Python<'_>, before_python: impl FnOnce()) -> io::Result<Fork> {
    // SAFETY: this thread holds Python's lock. After the fork one of the two functions below is called, which end what
    // this one begins.
    unsafe { ffi::PyOS_BeforeFork() };
    let forked = system::fork();
    if matches!(forked, Ok(Fork::Child)) {
        before_python();
        // SAFETY: as above, in the child.
        unsafe { ffi::PyOS_AfterFork_Child() };
    } else {
        // SAFETY: as above, in the parent, whether there is a child or not.
        unsafe { ffi::PyOS_AfterFork_Parent() };
    }
    forked
}
