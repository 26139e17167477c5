//! Keeps the part of a body that has to be read before the application asks for it (B6): up to a mebibyte in memory,
//! and more in an unnamed file in the temporary directory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// How much of a spooled body stays in memory, in bytes.
pub(super) const IN_MEMORY: usize = 1 << 20;

/// Why a part of a body cannot be kept in a temporary file.
#[derive(Debug)]
pub struct NoRoom {
    directory: PathBuf,
    error: io::Error,
}

impl NoRoom {
    /// Whether the disk, a quota or a limit of file sizes is exhausted.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self.error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    }
}

impl std::fmt::Display for NoRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let directory = self.directory.display();
        write!(f, "it cannot be kept in a temporary file in {directory}: {}", self.error)?;
        if self.error.kind() == io::ErrorKind::FileTooLarge {
            return write!(f, "; raise the limit on file size (ulimit -f), or set --max-body");
        }
        let cure = if self.is_full() {
            "make room there"
        } else {
            "make it a directory that this user can write to"
        };
        write!(f, "; {cure}, or name another directory in TMPDIR")
    }
}

/// Bytes waiting to be read: first those in memory, then those in an unnamed temporary file.
#[derive(Debug, Default)]
pub(super) struct Spool {
    memory: VecDeque<u8>,
    file: Option<File>,
    /// The positions of reading and writing in the file.
    read: u64,
    pub(super) written: u64,
}

impl Spool {
    /// A spool that keeps in `file` what has no room in memory.
    #[cfg(test)]
    pub(super) fn in_file(file: File) -> Self {
        Self { file: Some(file), ..Self::default() }
    }

    /// The first bytes that wait in memory, at most `count`.
    pub(super) fn beginning(&self, count: usize) -> Vec<u8> {
        self.memory.iter().take(count).copied().collect()
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> u64 {
        self.memory.len() as u64 + (self.written - self.read)
    }

    /// Appends `bytes`. After an error, none of them are kept.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        if self.written == self.read && self.memory.len() + bytes.len() <= IN_MEMORY {
            self.memory.extend(bytes);
            return Ok(());
        }
        self.write(bytes).map_err(|error| NoRoom { directory: std::env::temp_dir(), error })?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.write_all(bytes)
    }

    /// Takes the next bytes, at most as many as `into` has room for; 0 if none wait.
    pub(super) fn pull(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.memory.is_empty() {
            return io::Read::read(&mut self.memory, into);
        }
        let Some(file) = &self.file else { return Ok(0) };
        // Bytes that a failed write has left in the file do not count.
        let most = into.len().min(usize::try_from(self.written - self.read).unwrap_or(usize::MAX));
        let into = &mut into[..most];
        let count = file.read_at(into, self.read)?;
        self.read += count as u64;
        if count == 0 && !into.is_empty() && self.read < self.written {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b4_where_there_is_no_room_is_told_from_where_nobody_may_write() {
        let mut spool = Spool::in_file(File::create("/dev/full").expect("it is there"));
        let full = spool.push(&vec![0; IN_MEMORY + 1]).expect_err("it is full");
        assert!(full.is_full() && full.to_string().contains("make room there"), "{full}");
        let error = io::ErrorKind::NotFound.into();
        let missing = NoRoom { directory: "/nonexistent".into(), error };
        assert!(
            !missing.is_full() && missing.to_string().contains("in /nonexistent:"),
            "{missing}"
        );
    }
}
