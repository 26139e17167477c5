//! The limits of a zygote, and what an operator says of its requests' variables and of files (`--warm-...`).

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::request_variables;

/// How many children, and for how long (`--warm-...`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a zygote waits for a request before it exits.
    pub idle: Duration,
    /// Children that are forked ahead of need.
    pub spare: u32,
    /// Children at a time; more requests wait in line.
    pub max: u32,
    /// A path that is requested once after the import.
    pub request: Option<OsString>,
    /// Variables that are the request's, though their names do not say so, and files (absolute paths) whose changes start
    /// no other zygote; one that ends with a star stands for all that begin so.
    pub ignored: Vec<OsString>,
    /// The memory of a zygote and its children together, in bytes, beyond which requests wait in line.
    pub memory: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(600),
            spare: 2,
            max: 64,
            request: None,
            ignored: Vec::new(),
            memory: None,
        }
    }
}

impl Limits {
    /// Whether a variable belongs to one request, by its name or by the operator's word.
    pub fn is_of_a_request(&self, name: &[u8]) -> bool {
        request_variables::is_of_a_request(name) || self.is_ignored(name)
    }

    /// Whether a file may change without another import, by the operator's word.
    pub fn ignores(&self, file: &Path) -> bool {
        self.is_ignored(file.as_os_str().as_bytes())
    }

    fn is_ignored(&self, name: &[u8]) -> bool {
        let is_meant = |ignored: &OsString| match ignored.as_bytes().strip_suffix(b"*") {
            Some(beginning) => name.starts_with(beginning),
            None => name == ignored.as_bytes(),
        };
        self.ignored.iter().any(is_meant)
    }
}
