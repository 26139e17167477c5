//! Which file a descriptor refers to: another file may get its number (P11).

use std::io;
use std::os::fd::AsFd;

use rustix::fs::fstat;

/// The device and the inode of an open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(u64, u64);

impl FileId {
    /// The file of `descriptor`; nothing if it is closed.
    pub fn from_descriptor(descriptor: impl AsFd) -> Option<Self> {
        let stat = fstat(descriptor).ok()?;
        #[allow(clippy::useless_conversion, reason = "types differ by system")]
        Some(Self(stat.st_dev.into(), stat.st_ino.into()))
    }
}

/// The error for a descriptor that no longer refers to its file.
pub fn closed(what: &str) -> io::Error {
    io::Error::other(format!(
        "the application has closed the descriptor of the {what}: it must not close descriptors that it did not \
         open (os.closerange)"
    ))
}
