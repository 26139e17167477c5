//! Which build this is. Front and worker are of one build, or they do not work together.

use std::hint::black_box;
use std::path::PathBuf;

/// A hash of all sources, as sixteen hexadecimal digits.
pub const BUILD: &str = env!("BUILD_IDENTITY");

/// The name of the worker's file for this build. Those of other builds stand beside it under other names.
pub fn worker_file_name() -> PathBuf {
    // In one piece, which the compiler is not to take apart: packaging/parts reads it in the executable, and
    // tests/installed writes another.
    black_box(concat!("cgi2wsgi_worker-", env!("BUILD_IDENTITY"), ".so")).into()
}
