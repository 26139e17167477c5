//! The limits of a zygote, and the variables and files that it ignores (`--warm-...`).

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
    /// Children that are forked before a request needs them.
    pub spare: u32,
    /// The most children at a time; further requests wait in line.
    pub max: u32,
    /// A path that is requested once after the import.
    pub request: Option<OsString>,
    /// Variables that belong to the request though their names do not show it, and files (absolute paths) whose changes
    /// start no new zygote. A name that ends with a star stands for all that begin like it.
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
    /// Whether a variable belongs to one request, by its name or by the operator's setting.
    pub fn is_of_a_request(&self, name: &[u8]) -> bool {
        request_variables::is_of_a_request(name) || self.is_ignored(name)
    }

    /// Whether a file may change without another import, by the operator's setting.
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
