//! Where a log or a record may be: in a directory that nobody else can write to, and never behind a symbolic link.
//! Otherwise this user would write to, or read, what somebody else has put there.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open, openat};

use crate::front::users::this_user;

/// A directory that others cannot write to.
#[derive(Debug)]
pub struct TrustedDirectory {
    /// The open directory.
    pub directory: OwnedFd,
    /// Its path, for messages.
    pub path: PathBuf,
}

impl TrustedDirectory {
    /// The directory of `file`.
    pub fn of_file(file: &Path) -> Result<Self, String> {
        let directory = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Self::at(directory)
    }

    /// The directory at `path`, if others cannot write to it.
    pub fn at(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let directory = open(path, flags, Mode::empty()).map_err(|error| {
            format!("the directory {shown} cannot be opened by {}: {error}", this_user())
        })?;
        let stat = fstat(&directory).map_err(|error| format!("{shown}: {error}"))?;
        if stat.st_mode & 0o022 != 0 {
            return Err(format!(
                "others can write to the directory {shown} (mode {:o}): chmod go-w {shown}, or name \
                 another directory",
                stat.st_mode & 0o7777
            ));
        }
        Ok(Self { directory, path: path.to_owned() })
    }

    /// Opens a regular file of this user's own for writing, with `flags` added. Refuses a link, and a file that has
    /// another hard link.
    pub fn open(&self, name: &OsStr, flags: OFlags) -> Result<File, String> {
        let path = self.path.join(name);
        let shown = path.display();
        // NONBLOCK: do not wait for the reader of a FIFO.
        let safe = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.directory, name, safe | flags, Mode::RUSR | Mode::WUSR);
        let file = file.map_err(|error| match error {
            rustix::io::Errno::LOOP => format!("{shown} is a symbolic link: name the file itself"),
            error => format!("{shown} cannot be written by {}: {error}", this_user()),
        })?;
        let stat = fstat(&file).map_err(|error| format!("{shown}: {error}"))?;
        match complaint(&stat) {
            Some(complaint) => Err(format!("{shown} {complaint}")),
            None => Ok(File::from(file)),
        }
    }
}

/// What is wrong with a file that is to be written to.
fn complaint(stat: &Stat) -> Option<String> {
    let me = rustix::process::geteuid().as_raw();
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        Some("is not a regular file".to_owned())
    } else if stat.st_uid != me {
        Some(format!("belongs to user {} and not to {}", stat.st_uid, this_user()))
    } else if stat.st_nlink > 1 {
        Some("has another name too (a hard link)".to_owned())
    } else if stat.st_mode & 0o022 != 0 {
        Some("can be written by others: chmod go-w it".to_owned())
    } else {
        None
    }
}
