//! Who may make and remove the socket of one zygote: whoever holds its lock.

use std::fs::{File, Metadata, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::directory::Directory;

/// How many zygotes one application may have. Each has another environment, and
/// a variable that differs from request to request would have a new one started
/// for each.
const MOST: usize = 32;

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Waits for the lock of the zygote `name`.
    pub fn take(directory: &Directory, name: &str) -> io::Result<Self> {
        Self::with(directory, name, FlockOperation::LockExclusive)
    }

    fn with(directory: &Directory, name: &str, operation: FlockOperation) -> io::Result<Self> {
        let path = directory.lock(name);
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW)
                .open(&path)?;
            match flock(file.as_fd(), operation) {
                // A zygote that ended may have removed the file meanwhile, and
                // somebody else made another.
                Ok(()) if is_at(&file, &path) => return Ok(Self { file, path }),
                Ok(()) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes the socket at `path` if it is the one with this [`mark`], and
    /// says whether it was.
    pub fn remove_socket(&self, path: &Path, of: u64) -> bool {
        let is_same = std::fs::symlink_metadata(path).is_ok_and(|file| mark(&file) == of);
        // Whoever comes next makes another, and complains if it cannot.
        is_same && std::fs::remove_file(path).is_ok()
    }

    /// Gives it back and leaves no file behind.
    pub fn remove(self) {
        let _ = std::fs::remove_file(&self.path);
        drop(self.file);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// What tells a socket's file from another that takes its place: it may get the
/// same inode.
pub fn mark(file: &Metadata) -> u64 {
    let mut hasher = DefaultHasher::new();
    (file.ino(), file.mtime(), file.mtime_nsec()).hash(&mut hasher);
    hasher.finish()
}

/// At the end of a zygote whose socket has this [`mark`]: whoever waits there
/// is turned away and starts another; nothing is left in the directory.
pub fn leave(directory: &Directory, name: &str, of: u64) {
    let Ok(path) = directory.socket(name) else { return };
    let Ok(lock) = Lock::take(directory, name) else { return };
    // One that took this one's place may have left before it.
    if lock.remove_socket(&path, of) || !path.exists() {
        lock.remove();
    }
}

/// How many zygotes the application of `name` has, if that is too many to start
/// another. Removes what killed ones have left.
pub fn crowd(directory: &Directory, name: &str) -> Option<usize> {
    if directory.siblings(name).len() < MOST {
        return None;
    }
    for (name, path) in directory.siblings(name) {
        // Nobody waits for a lock here: two that do this hold one each.
        if let Ok(lock) = Lock::with(directory, &name, FlockOperation::NonBlockingLockExclusive)
            && UnixStream::connect(&path).is_err()
            && std::fs::remove_file(&path).is_ok()
        {
            lock.remove();
        }
    }
    Some(directory.siblings(name).len()).filter(|count| *count >= MOST)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;
    use crate::zygotes::directory::tests::directory;

    #[test]
    fn a_lock_that_is_removed_while_others_wait_still_excludes() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = directory(temporary.path());
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let lock = Lock::take(&directory, "x").expect("the lock");
                        assert_eq!(inside.fetch_add(1, SeqCst), 0, "two hold it");
                        inside.fetch_sub(1, SeqCst);
                        lock.remove();
                    }
                });
            }
        });
        assert!(!directory.lock("x").exists(), "it is left behind");
    }

    #[test]
    fn the_sockets_of_the_dead_are_no_crowd() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = directory(temporary.path());
        let listen = |number: usize| {
            let path = directory.socket(&format!("{number:032}")).expect("a path");
            std::os::unix::net::UnixListener::bind(path).expect("it listens")
        };
        let mut listeners: Vec<_> = (0..MOST).map(listen).collect();
        assert_eq!(crowd(&directory, &"0".repeat(32)), Some(MOST));
        listeners.truncate(MOST - 2);
        assert_eq!(crowd(&directory, &"0".repeat(32)), None);
        assert_eq!(directory.siblings(&"0".repeat(32)).len(), MOST - 2);
    }

    #[test]
    fn only_its_own_socket_is_removed() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = directory(temporary.path());
        let path = directory.socket("x").expect("a path");
        std::fs::write(&path, "").expect("written");
        let own = mark(&std::fs::metadata(&path).expect("it is there"));
        leave(&directory, "x", own + 1);
        assert!(path.exists(), "another's was removed");
        leave(&directory, "x", own);
        assert!(!path.exists() && !directory.lock("x").exists(), "something is left");
        leave(&directory, "x", own);
        assert!(!directory.lock("x").exists(), "a lock of nobody is left");
    }
}
