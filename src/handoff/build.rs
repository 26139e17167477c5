//! Which build this is. Front and worker work together only if both are of one build.

use std::hint::black_box;
use std::path::PathBuf;

/// A hash of all sources, as sixteen hexadecimal digits.
pub const BUILD: &str = env!("BUILD_IDENTITY");

/// The name of the worker's file for this build. The workers of other builds are beside it under other names.
pub fn worker_file_name() -> PathBuf {
    // One string, which the compiler must not split: packaging/parts reads it in the executable, and tests/installed
    // overwrites it.
    black_box(concat!("cgi2wsgi_worker-", env!("BUILD_IDENTITY"), ".so")).into()
}
