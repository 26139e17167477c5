//! The private directory where zygotes are found: `$XDG_RUNTIME_DIR/cgi2wsgi`,
//! or `cgi2wsgi-UID` in the temporary directory. Anybody can write in the latter:
//! what is there already is used only if it is a directory of this user's that
//! nobody else can enter, and never through a symbolic link.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::process;
use crate::cgi::variables::Variables;
use crate::handoff::identity::SHARED_LETTERS;

/// A socket's address has 108 bytes, with the zero that ends it.
const LONGEST: usize = 107;

/// The variable by which a zygote's process tells where its directory is: root looks for those of all users. The zygote
/// removes it before the application is imported.
pub const VARIABLE: &str = "CGI2WSGI_ZYGOTES";

/// The directory, which nobody else can enter.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    owner: u32,
    /// The device and the inode: a path may lead to it in several ways.
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

    /// Where it would be.
    pub fn path_for(variables: &Variables) -> PathBuf {
        if let Some(runtime) = variables.get_os("XDG_RUNTIME_DIR")
            && Path::new(runtime).is_absolute()
            && Path::new(runtime).is_dir()
        {
            return Path::new(runtime).join("cgi2wsgi");
        }
        Self::temporary(variables)
    }

    fn temporary(variables: &Variables) -> PathBuf {
        // The zygote and its children are in other directories than this process.
        let temporary = variables.get_os("TMPDIR").map(Path::new).filter(|path| path.is_absolute());
        let temporary = temporary.unwrap_or(Path::new("/tmp"));
        temporary.join(format!("cgi2wsgi-{}", rustix::process::geteuid().as_raw()))
    }

    /// The directories of this user where zygotes may be, and which are there:
    /// a server may have started some where this process would not. Root finds
    /// those of all users, a service's own temporary directory included.
    pub fn existing(variables: &Variables) -> Result<Vec<Self>, String> {
        let mut found: Vec<Self> = Vec::new();
        for path in Self::candidates(variables) {
            if path.symlink_metadata().is_ok() {
                found.push(Self::at(path)?);
            }
        }
        if rustix::process::geteuid().is_root() {
            for pid in process::all() {
                if let Some(directory) = Self::of_process(pid)
                    && found.iter().all(|other| other.file != directory.file)
                {
                    found.push(directory);
                }
            }
        }
        Ok(found)
    }

    /// Where a process has its zygote, if it is one. What a process says of
    /// itself is its user's word: only a directory of that user's is taken.
    fn of_process(pid: u32) -> Option<Self> {
        let named = PathBuf::from(OsString::from_vec(process::variable(pid, VARIABLE)?));
        let owner = process::owner(pid)?;
        let inside = named.strip_prefix("/").ok()?;
        let there = Path::new("/proc").join(pid.to_string()).join("root").join(inside);
        let there = Self::of_user(there, owner).ok()?;
        // Its own path is easier to read, where that leads to it from here.
        let here = Self::of_user(named, owner).ok().filter(|here| here.file == there.file);
        Some(here.unwrap_or(there))
    }

    /// Where zygotes may be: in that of [`Self::open`], and in that of a
    /// process without `XDG_RUNTIME_DIR`, such as a server's.
    pub fn candidates(variables: &Variables) -> Vec<PathBuf> {
        let mut paths = vec![Self::path_for(variables), Self::temporary(variables)];
        paths.dedup();
        paths
    }

    /// The directory at `path`, if it is one that nobody else can enter.
    pub fn at(path: PathBuf) -> Result<Self, String> {
        Self::of_user(path, rustix::process::geteuid().as_raw())
    }

    fn of_user(path: PathBuf, owner: u32) -> Result<Self, String> {
        let file = verify(&path, owner)?;
        Ok(Self { path, owner, file })
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
        let path = self.path.join(format!("{name}.socket"));
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

    /// The names and sockets of all zygotes, dead ones too, of the application
    /// of this one.
    pub fn siblings(&self, name: &str) -> Vec<(String, PathBuf)> {
        let application = &name[..name.len().min(SHARED_LETTERS)];
        let entries = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        let named = entries.filter_map(|entry| {
            let name = entry.file_name().to_str()?.strip_suffix(".socket")?.to_owned();
            Some((name, entry.path()))
        });
        named.filter(|(name, _)| name.starts_with(application)).collect()
    }

    /// What whoever starts a zygote holds meanwhile.
    pub fn lock(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.lock"))
    }

    /// What a zygote says of itself.
    pub fn status(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.status"))
    }

    /// Where all zygotes write what there is to say.
    pub fn log(&self) -> PathBuf {
        self.path.join("warm.log")
    }
}

/// The device and the inode of the directory, if it is one, this user's, and
/// closed to all others.
fn verify(path: &Path, owner: u32) -> Result<(u64, u64), String> {
    let shown = path.display();
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let directory: OwnedFd = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|error| format!("{shown} is no directory that this user can enter: {error}"))?;
    let stat = rustix::fs::fstat(&directory).map_err(|error| format!("{shown}: {error}"))?;
    if stat.st_uid != owner {
        return Err(format!(
            "{shown} belongs to user {}, not to {owner}: remove it, or set XDG_RUNTIME_DIR",
            stat.st_uid
        ));
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(format!(
            "{shown} is open to others (mode {:o}): chmod 700, if all in it is yours",
            stat.st_mode & 0o777
        ));
    }
    #[allow(clippy::useless_conversion, reason = "types differ by system")]
    Ok((stat.st_dev.into(), stat.st_ino.into()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn variables(temporary: &Path) -> Variables {
        [("TMPDIR", temporary.to_str().expect("UTF-8"))].into_iter().collect()
    }

    /// That in a temporary directory of a test's own.
    pub(crate) fn directory(temporary: &Path) -> Directory {
        Directory::open(&variables(temporary)).expect("a directory")
    }

    #[test]
    fn it_is_made_closed_to_all_others_and_found_again() {
        let temporary = tempfile::tempdir().expect("a directory");
        for _ in 0..2 {
            let directory = directory(temporary.path());
            let mode = fs::metadata(directory.path()).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
    }

    #[test]
    fn what_others_may_enter_and_what_is_no_directory_is_refused() {
        let temporary = tempfile::tempdir().expect("a directory");
        let variables = variables(temporary.path());
        let path = Directory::path_for(&variables);
        fs::create_dir(&path).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("opened");
        let error = Directory::open(&variables).expect_err("others may enter");
        assert!(error.contains("mode 755"), "{error}");
        fs::remove_dir(&path).expect("removed");

        let elsewhere = temporary.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("made");
        fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o700)).expect("closed");
        symlink(&elsewhere, &path).expect("linked");
        assert!(Directory::open(&variables).is_err(), "a symbolic link");
        fs::remove_file(&path).expect("removed");

        fs::write(&path, "").expect("written");
        assert!(Directory::open(&variables).is_err(), "a file");
    }

    #[test]
    fn zygotes_are_looked_for_where_a_server_would_start_them_too() {
        let temporary = tempfile::tempdir().expect("a directory");
        let runtime = tempfile::tempdir().expect("a directory");
        let mut both = variables(temporary.path());
        both.set("XDG_RUNTIME_DIR", runtime.path().to_str().expect("UTF-8").as_bytes().to_vec());
        // Root finds those of others too, wherever they are.
        let existing = || -> Vec<PathBuf> {
            let found = Directory::existing(&both).expect("nothing is wrong").into_iter();
            let paths = found.map(|directory| directory.path().to_owned());
            let own = [temporary.path(), runtime.path()];
            paths.filter(|path| own.iter().any(|own| path.starts_with(own))).collect()
        };
        assert!(existing().is_empty());
        let of_server = directory(temporary.path());
        let of_shell = Directory::open(&both).expect("a directory");
        assert_eq!(existing(), [of_shell.path(), of_server.path()]);
    }

    #[test]
    fn a_path_that_is_too_long_for_an_address_says_so() {
        let temporary = tempfile::tempdir().expect("a directory");
        let deep = temporary.path().join("x".repeat(90));
        fs::create_dir(&deep).expect("made");
        let directory = directory(&deep);
        let error = directory.socket(&"f".repeat(32)).expect_err("too long");
        assert!(error.contains("at most 107"), "{error}");
    }
}
