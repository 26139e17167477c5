//! Databases of `SQLite`: their files, and what an import does with them. At import most applications only make sure
//! that their tables exist; rows are written in every request. Then only the tables are watched. If the import reads
//! rows ([`rows`](super::rows)), they are watched too.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What the import has done with a database.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Used {
    /// It has read rows.
    pub(crate) is_read: bool,
    /// It may have written to it.
    pub(crate) is_written: bool,
}

/// The file of a database by its name, which may be a URI. None if the database is in memory.
pub(super) fn file_of(named: &Path) -> Option<PathBuf> {
    let name = named.as_os_str().as_bytes();
    if name.is_empty() || name == b":memory:" {
        return None;
    }
    let Some(uri) = name.strip_prefix(b"file:") else { return std::path::absolute(named).ok() };
    let end = uri.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(uri.len());
    let (path, query) = uri.split_at(end);
    if query.windows(11).any(|words| words == b"mode=memory") || path == b":memory:" {
        return None;
    }
    let path = match path.strip_prefix(b"//") {
        Some(rest) => &rest[rest.iter().position(|byte| *byte == b'/')?..],
        None => path,
    };
    std::path::absolute(OsStr::from_bytes(&decoded(path))).ok()
}

/// Decodes `%20` to a space.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    decoded
}
