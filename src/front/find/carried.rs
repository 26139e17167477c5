//! The worker that packaging/build appends to this executable, for sites where only one file can be uploaded.
//!
//! The last line gives its length and its build. Python loads it from a memfd: no file stays behind. The memfd is filled
//! while Python starts, since the copy takes half a millisecond. Where the system has no memfd (Linux before 3.17), runs
//! no code from it or cannot fill it, the worker is unpacked once into the private directory of the zygotes.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek, sendfile};

use crate::cgi::variables::Variables;
use crate::front::users::this_user;
use crate::handoff::build::{BUILD, worker_file_name};
use crate::system;
use crate::zygotes::directory::Directory;

/// The end of the last line, after the worker's length and its build, each of sixteen hexadecimal digits.
const MARK: &[u8] = b"cgi2wsgi-worker\n";
const LAST_LINE: usize = 48;

/// A worker in this executable.
#[derive(Debug)]
pub struct Carried {
    /// The path of this executable.
    pub front: PathBuf,
    executable: File,
    begins: u64,
    length: usize,
}

/// The worker that this executable, which is at `front`, carries.
pub(super) fn find(front: &Path) -> Result<Option<Carried>> {
    let executable = match File::open("/proc/self/exe") {
        Ok(executable) => executable,
        // The worker may still be a file beside the executable.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{}", front.display())),
    };
    let size = executable.metadata()?.len();
    let mut line = [0; LAST_LINE];
    let Some(begins) = size.checked_sub(LAST_LINE as u64) else { return Ok(None) };
    executable.read_exact_at(&mut line, begins).with_context(|| format!("{}", front.display()))?;
    let Some(length) = length(&line)? else { return Ok(None) };
    let begins = begins.checked_sub(length as u64);
    let begins =
        begins.with_context(|| format!("{} is damaged: it is too short", front.display()))?;
    Ok(Some(Carried { front: front.to_owned(), executable, begins, length }))
}

/// The worker's length, from the last line of an executable; `None` if that line is not a worker's.
fn length(line: &[u8; LAST_LINE]) -> Result<Option<usize>> {
    let Some(words) = line.strip_suffix(MARK) else { return Ok(None) };
    let words = str::from_utf8(words).context("this executable is damaged in its last line")?;
    let (length, build) = words.split_at(16);
    ensure!(
        build == BUILD,
        "this executable is of build {BUILD} and carries a worker of build {build}: put those of one \
         build together"
    );
    let length = usize::from_str_radix(length, 16);
    Ok(Some(length.context("this executable is damaged in its last line")?))
}

impl Carried {
    /// Empty memory from which Python can load the worker when [`Self::fill`] has filled it.
    pub fn memory(&self) -> io::Result<OwnedFd> {
        let name = worker_file_name();
        // The worker is not to be executed as a program; Linux before 6.3 has no flag for that.
        let flags = MemfdFlags::CLOEXEC;
        let memory = memfd_create(&*name, flags | MemfdFlags::NOEXEC_SEAL)
            .or_else(|_| memfd_create(&*name, flags))?;
        system::expect_executable(&memory)?;
        Ok(memory)
    }

    /// Copies the worker into `memory`.
    pub fn fill(&self, memory: &OwnedFd) -> io::Result<()> {
        seek(&self.executable, SeekFrom::Start(self.begins))?;
        let mut left = self.length;
        while left > 0 {
            match sendfile(memory, &self.executable, None, left)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => left -= count,
            }
        }
        Ok(())
    }

    /// Unpacks the worker into a file of the private directory. `reason` is why it cannot be loaded from memory.
    pub fn file(&self, variables: &Variables, reason: &io::Error) -> Result<PathBuf> {
        self.in_directory(variables).with_context(|| {
            format!(
                "the worker in {} can be loaded neither from memory ({reason}) nor from a file",
                self.front.display()
            )
        })
    }

    /// The file gets its name when it is complete. Only this user can enter the directory.
    fn in_directory(&self, variables: &Variables) -> Result<PathBuf> {
        let directory = Directory::open(variables).map_err(anyhow::Error::msg)?;
        let path = directory.path().join(worker_file_name());
        let is_whole =
            |file: &std::fs::Metadata| file.is_file() && file.size() == self.length as u64;
        if !std::fs::symlink_metadata(&path).is_ok_and(|file| is_whole(&file)) {
            let mut bytes = vec![0; self.length];
            self.executable.read_exact_at(&mut bytes, self.begins)?;
            let mut new = tempfile::NamedTempFile::new_in(directory.path())
                .with_context(|| format!("{}", directory.path().display()))?;
            new.write_all(&bytes).with_context(|| format!("{}", directory.path().display()))?;
            new.persist(&path).with_context(|| format!("{}", path.display()))?;
        }
        let file = File::open(&path).with_context(|| format!("{}", path.display()))?;
        if let Err(error) = system::expect_executable(&file) {
            bail!(
                "code cannot be loaded from {}: {error}: if its file system is mounted noexec, set TMPDIR \
                 or XDG_RUNTIME_DIR to a directory of {} on another file system",
                path.display(),
                this_user()
            );
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> [u8; LAST_LINE] {
        text.as_bytes().try_into().expect("as long as a last line")
    }

    #[test]
    fn a_last_line_says_how_long_the_worker_is_and_of_which_build() {
        let own = line(&format!("00000000000f4240{BUILD}cgi2wsgi-worker\n"));
        assert_eq!(length(&own).expect("its own build"), Some(1_000_000));
        let none = line(&format!("00000000000f4240{BUILD}cgi2wsgi_worker\n"));
        assert_eq!(length(&none).expect("no worker"), None);
        let other = line("00000000000f42400123456789abcdefcgi2wsgi-worker\n");
        assert!(
            length(&other).expect_err("another build").to_string().contains("0123456789abcdef")
        );
        let damaged = line(&format!("0000 0000 0f4240{BUILD}cgi2wsgi-worker\n"));
        assert!(length(&damaged).is_err());
    }
}
