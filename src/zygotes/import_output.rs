//! What an application writes to standard error while a zygote imports it. It is kept in memory, for the log and for
//! the request that waits for the import, which gets it as if a process of its own had written it. A pipe would not do:
//! its reader may exit during an import for which other requests wait too.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{MemfdFlags, OFlags, fcntl_setfl, memfd_create};

/// The memory that is a zygote's standard error while it imports.
#[derive(Debug)]
pub struct ImportOutput(File);

impl ImportOutput {
    /// An empty one. Before Linux 3.17 it is a file without a name in `directory`.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let memory = memfd_create("cgi2wsgi-import", MemfdFlags::CLOEXEC)
            .map_err(io::Error::from)
            .or_else(|_| tempfile::tempfile_in(directory).map(OwnedFd::from))?;
        // Several may write, each through a descriptor of its own.
        fcntl_setfl(&memory, OFlags::RDWR | OFlags::APPEND)?;
        Ok(Self(memory.into()))
    }

    /// For the zygote, whose standard error it is.
    pub fn of_stderr() -> io::Result<Self> {
        Ok(Self(rustix::stdio::stderr().try_clone_to_owned()?.into()))
    }

    /// For the process that is to write into it.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.0.as_fd().try_clone_to_owned()
    }

    /// Copies all of it.
    pub fn copy_to(&self, writer: &mut impl Write) -> io::Result<()> {
        let mut position = 0;
        let mut piece = [0; 8192];
        loop {
            let count = self.0.read_at(&mut piece, position)?;
            if count == 0 {
                return Ok(());
            }
            writer.write_all(&piece[..count])?;
            position += count as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_write_is_copied_whole_and_as_often_as_asked_for() {
        let output = ImportOutput::new(&std::env::temp_dir()).expect("memory");
        let mut first = File::from(output.descriptor().expect("a descriptor"));
        let mut second = File::from(output.descriptor().expect("a descriptor"));
        let long = vec![b'x'; 20_000];
        first.write_all(&long).expect("written");
        second.write_all(b"the end").expect("written");
        for _ in 0..2 {
            let mut copy = Vec::new();
            output.copy_to(&mut copy).expect("copied");
            assert_eq!(copy, [long.as_slice(), b"the end"].concat());
        }
    }
}
