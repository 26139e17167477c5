//! The private directory where zygotes are found: `$XDG_RUNTIME_DIR/cgi2wsgi`, or `cgi2wsgi-UID` in the temporary
//! directory. Anybody can write to the latter, so an existing file is used only if it is a directory of this user that
//! no other user can enter, and never through a symbolic link.
//!
//! It is opened once, and its files are reached through that descriptor: a path may lead elsewhere a moment later.
//! Sockets are the exception: no system call takes a descriptor for them. A process that binds a socket then checks
//! whether it is in this directory; a process that connects asks the kernel for the user at the other end.
//!
//! Root reads other users' directories: anything can be in those.

use std::ffi::OsString;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use super::process;
use crate::cgi::variables::Variables;
use crate::handoff::identity::SHARED_LETTERS;

/// A socket's address has 108 bytes, with the zero that ends it.
const LONGEST: usize = 107;

/// The most names that are read in a directory.
const MOST_NAMES: usize = 4096;

/// The most directories that root reads, and the most of one user.
const MOST_DIRECTORIES: usize = 256;
const MOST_OF_A_USER: usize = 16;

/// The variable in a zygote's environment that names its directory: root looks for the zygotes of all users. The zygote
/// removes it before the application is imported.
pub const VARIABLE: &str = "CGI2WSGI_ZYGOTES";

/// The log of all zygotes.
pub const LOG: &str = "warm.log";

/// What the log becomes when it is large.
pub const OLD_LOG: &str = "warm.log.1";

/// The directory, which no other user can enter.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    owner: u32,
    handle: OwnedFd,
    /// The device and the inode: several paths may lead to it.
    file: (u64, u64),
}

impl Directory {
    /// Finds the directory of this user, and makes it if it is not there. The
    /// error says why there is none, and what to do.
    pub fn open(variables: &Variables) -> Result<Self, String> {
        let path = Self::path_for(variables);
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => {
                return Err(format!("{} cannot be made: {error}", path.display()));
            }
        }
        Self::at(path)
    }

    /// The path at which [`Self::open`] finds or makes it.
    pub fn path_for(variables: &Variables) -> PathBuf {
        if let Some(runtime) = variables.get_os("XDG_RUNTIME_DIR")
            && Path::new(runtime).is_absolute()
            && Path::new(runtime).is_dir()
        {
            return Path::new(runtime).join("cgi2wsgi");
        }
        in_temporary(variables, rustix::process::geteuid().as_raw())
    }

    /// The existing directories of this user where zygotes may be: a server may have started some elsewhere than this
    /// process would. Root finds those of all users, including those in a service's own temporary directory. The second
    /// list says why some of this user's are unusable: anybody can create such a name in `/tmp`.
    pub fn existing(variables: &Variables) -> (Vec<Self>, Vec<String>) {
        let (mut found, mut unusable) = (Vec::new(), Vec::new());
        for path in Self::candidates(variables) {
            if path.symlink_metadata().is_ok() {
                match Self::at(path) {
                    Ok(directory) => found.push(directory),
                    Err(why) => unusable.push(why),
                }
            }
        }
        if rustix::process::geteuid().is_root() {
            let of_others = users()
                .flat_map(|user| {
                    let runtime = PathBuf::from(format!("/run/user/{user}/cgi2wsgi"));
                    [(runtime, user), (in_temporary(variables, user), user)]
                })
                .filter_map(|(path, user)| Self::of_user(path, user).ok());
            let of_processes = process::all().into_iter().flat_map(Self::of_process);
            for directory in of_others.chain(of_processes) {
                let is_known = found.iter().any(|other: &Self| other.file == directory.file);
                let of_user = found.iter().filter(|other| other.owner == directory.owner).count();
                if !is_known && of_user < MOST_OF_A_USER && found.len() < MOST_DIRECTORIES {
                    found.push(directory);
                }
            }
        }
        (found, unusable)
    }

    /// The directory of a process that is a zygote; else the directories of the zygotes that it would start, as a
    /// server does: the status of the last zygote is there. A process' user controls its variables, so only directories
    /// of that user count.
    fn of_process(pid: u32) -> Vec<Self> {
        let (Some(owner), Some(variables)) = (process::owner(pid), process::variables(pid)) else {
            return Vec::new();
        };
        let named = |name: &str| {
            let found = variables.iter().find(|(of, _)| of == name.as_bytes());
            found.map(|(_, value)| PathBuf::from(OsString::from_vec(value.clone())))
        };
        let runtime = || named("XDG_RUNTIME_DIR").map(|runtime| runtime.join("cgi2wsgi"));
        let temporary = || named("TMPDIR").filter(|path| path.is_absolute());
        let temporary = || {
            let temporary = temporary().unwrap_or_else(|| "/tmp".into());
            temporary.join(format!("cgi2wsgi-{owner}"))
        };
        let places = match named(VARIABLE) {
            Some(place) => vec![place],
            None => runtime().into_iter().chain([temporary()]).collect(),
        };
        places.into_iter().filter_map(|place| Self::seen_by(pid, place, owner)).collect()
    }

    /// The directory that a process of this user sees at a path.
    fn seen_by(pid: u32, named: PathBuf, owner: u32) -> Option<Self> {
        let inside = named.strip_prefix("/").ok()?;
        let there = Path::new("/proc").join(pid.to_string()).join("root").join(inside);
        let there = Self::of_user(there, owner).ok()?;
        // The plain path is easier to read, if it leads there for this process too.
        let here = Self::of_user(named, owner).ok().filter(|here| here.file == there.file);
        Some(here.unwrap_or(there))
    }

    /// Where zygotes may be: in the directory of [`Self::open`], and in that of a process without `XDG_RUNTIME_DIR`,
    /// such as a server.
    pub fn candidates(variables: &Variables) -> Vec<PathBuf> {
        let user = rustix::process::geteuid().as_raw();
        let mut paths = vec![Self::path_for(variables), in_temporary(variables, user)];
        paths.dedup();
        paths
    }

    /// The directory at `path`, if it is one that no other user can enter.
    pub fn at(path: PathBuf) -> Result<Self, String> {
        Self::of_user(path, rustix::process::geteuid().as_raw())
    }

    fn of_user(path: PathBuf, owner: u32) -> Result<Self, String> {
        let (handle, file) = verified(&path, owner)?;
        Ok(Self { path, owner, handle, file })
    }

    /// Whose it is.
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a zygote listens. An error if that is too long for an address.
    pub fn socket(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.path.join(socket_name(name));
        let length = path.as_os_str().as_bytes().len();
        if length > LONGEST {
            return Err(format!(
                "{} has {length} bytes, and a socket's address at most {LONGEST}: set TMPDIR or \
                 XDG_RUNTIME_DIR to a shorter one",
                path.display()
            ));
        }
        Ok(path)
    }

    /// The names of all zygotes, dead ones too, that differ from this one only in variables, including this one.
    pub fn siblings(&self, name: &str) -> Vec<String> {
        let base = &name[..name.len().min(SHARED_LETTERS)];
        let files = self.names().map(|names| names.all).unwrap_or_default();
        let named = files.iter().filter_map(|name| {
            name.strip_suffix(".socket").or_else(|| name.strip_suffix(".trial"))
        });
        named.filter(|name| name.starts_with(base)).map(str::to_owned).collect()
    }

    /// The names of what is in it, as far as they are UTF-8.
    pub fn names(&self) -> io::Result<Names> {
        let mut names = Names { all: Vec::new(), are_all: true };
        for entry in Dir::read_from(&self.handle)? {
            if names.all.len() == MOST_NAMES {
                names.are_all = false;
                break;
            }
            if let Ok(name) = entry?.file_name().to_str() {
                names.all.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// The metadata of the file of this name; a symbolic link is not followed.
    pub fn stat(&self, name: &str) -> io::Result<Stat> {
        Ok(statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// The socket of the zygote of this name, if there is one.
    pub fn find_socket(&self, name: &str) -> io::Result<Option<Stat>> {
        match self.stat(&socket_name(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(stat) => {
                let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
                Ok(is_socket.then_some(stat))
            }
        }
    }

    /// Opens a file, and makes it if the flags say so; never through a link.
    pub fn open_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// The last bytes of a regular file of the owner's, at most `most`. Nothing: there is no such file. Anything else,
    /// such as a pipe without a writer, is an error and never blocks.
    pub fn read(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        let is_regular = |stat: &Stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                && stat.st_uid == self.owner
        };
        match self.stat(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
            Ok(stat) if !is_regular(&stat) => return Err(odd(name)),
            Ok(_) => {}
        }
        let mut file = self.open_file(name, OFlags::RDONLY | OFlags::NONBLOCK)?;
        // Another file may be in its place by now.
        if !is_regular(&fstat(&file)?) {
            return Err(odd(name));
        }
        let start = file.metadata()?.len().saturating_sub(most);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Removes the file of this name.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.handle, name, AtFlags::empty())?)
    }

    /// Renames a file.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.handle, from, &self.handle, to)?)
    }
}

/// What distinguishes a file from a later one at the same path, which may get the same inode.
pub fn file_identity(file: &Stat) -> u64 {
    let mut hasher = DefaultHasher::new();
    (file.st_ino, file.st_mtime, file.st_mtime_nsec).hash(&mut hasher);
    hasher.finish()
}

/// What is in a directory.
#[derive(Debug)]
pub struct Names {
    /// The names.
    pub all: Vec<String>,
    /// Whether these are all: if there are very many, only the first are read.
    pub are_all: bool,
}

/// The name of a zygote's socket.
pub fn socket_name(name: &str) -> String {
    format!("{name}.socket")
}

/// The name of the socket of a zygote that no request waits for, until it is known whether it can serve.
pub fn trial_name(name: &str) -> String {
    format!("{name}.trial")
}

/// The name of the lock that is held while a zygote is started.
pub fn lock_name(name: &str) -> String {
    format!("{name}.lock")
}

/// The name of a zygote's status file.
pub fn status_name(name: &str) -> String {
    format!("{name}.status")
}

fn odd(name: &str) -> io::Error {
    io::Error::other(format!("{name} is not a regular file of the directory's owner"))
}

/// The directory of a user's zygotes without `XDG_RUNTIME_DIR`.
fn in_temporary(variables: &Variables, user: u32) -> PathBuf {
    // Not a relative path: the zygote and its children have other working directories than this process.
    let temporary = variables.get_os("TMPDIR").map(Path::new).filter(|path| path.is_absolute());
    temporary.unwrap_or(Path::new("/tmp")).join(format!("cgi2wsgi-{user}"))
}

/// The numbers of all other users that the system knows.
fn users() -> impl Iterator<Item = u32> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let users: Vec<u32> = passwd
        .lines()
        .filter_map(|line| line.split(':').nth(2)?.parse().ok())
        .filter(|user| *user != rustix::process::geteuid().as_raw())
        .collect();
    users.into_iter()
}

/// A descriptor of the directory with its device and inode, if it is one, is `owner`'s, and is closed to all others.
fn verified(path: &Path, owner: u32) -> Result<(OwnedFd, (u64, u64)), String> {
    let shown = path.display();
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let directory: OwnedFd = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|error| format!("{shown} is no directory that this user can enter: {error}"))?;
    let stat = fstat(&directory).map_err(|error| format!("{shown}: {error}"))?;
    if stat.st_uid != owner {
        return Err(format!(
            "{shown} belongs to user {}, not to {owner}: remove it, or set XDG_RUNTIME_DIR",
            stat.st_uid
        ));
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(format!(
            "{shown} is open to others (mode {:o}): chmod 700, if everything in it is yours",
            stat.st_mode & 0o777
        ));
    }
    #[allow(clippy::useless_conversion, reason = "types differ by system")]
    Ok((directory, (stat.st_dev.into(), stat.st_ino.into())))
}

#[cfg(test)]
pub(crate) mod tests;
