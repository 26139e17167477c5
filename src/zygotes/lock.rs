//! The lock of one zygote's socket: its holder alone may make and remove the socket.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::fs::{FlockOperation, OFlags, flock, fstat};
use rustix::io::Errno;

use super::directory::{Directory, file_identity, lock_name, socket_name, trial_name};
use super::status::Status;

/// How many zygotes may differ only in variables. A variable that differs from request to request would start a new
/// zygote for each.
const MOST: usize = 4;

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct Lock<'d> {
    file: File,
    directory: &'d Directory,
    /// Of the zygote.
    name: String,
}

impl<'d> Lock<'d> {
    /// Waits for the lock of the zygote `name`.
    pub fn take(directory: &'d Directory, name: &str) -> io::Result<Self> {
        Self::with(directory, name, FlockOperation::LockExclusive)
    }

    fn with(directory: &'d Directory, name: &str, operation: FlockOperation) -> io::Result<Self> {
        let path = lock_name(name);
        loop {
            let file = directory.open_file(&path, OFlags::WRONLY | OFlags::CREATE)?;
            match flock(file.as_fd(), operation) {
                // A zygote that ended may have removed the file meanwhile, and another process may have made a new one.
                Ok(()) if is_at(&file, directory, &path) => {
                    return Ok(Self { file, directory, name: name.to_owned() });
                }
                Ok(()) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes the zygote's socket if it is the one with this [`file_identity`], and returns whether it did.
    pub fn remove_socket(&self, identity: u64) -> bool {
        let [socket, trial] = [socket_name(&self.name), trial_name(&self.name)];
        // An error is ignored: the next process makes a socket, and reports if it cannot.
        let is_removed =
            |name: &str| self.has_identity(name, identity) && self.directory.remove(name).is_ok();
        is_removed(&socket) || is_removed(&trial)
    }

    /// Lets requests find the zygote whose socket has this [`file_identity`]. Until now no request waited for it.
    pub fn publish(&self, identity: u64) -> io::Result<()> {
        let trial = trial_name(&self.name);
        if self.has_identity(&trial, identity) {
            self.directory.rename(&trial, &socket_name(&self.name))?;
        }
        Ok(())
    }

    fn has_identity(&self, name: &str, identity: u64) -> bool {
        self.directory.stat(name).is_ok_and(|file| file_identity(&file) == identity)
    }

    /// Releases the lock and removes its file.
    pub fn remove(self) {
        let _ = self.directory.remove(&lock_name(&self.name));
        drop(self.file);
    }
}

fn is_at(file: &File, directory: &Directory, name: &str) -> bool {
    match (fstat(file), directory.stat(name)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

/// At the end of a zygote whose socket has this [`file_identity`]: requests that wait there are refused and start another;
/// nothing is left in the directory.
pub fn leave(directory: &Directory, name: &str, identity: u64) {
    let Ok(lock) = Lock::take(directory, name) else { return };
    let is_gone = || directory.stat(&socket_name(name)).is_err();
    // A zygote that took this one's place may have ended before it.
    if lock.remove_socket(identity) || is_gone() {
        lock.remove();
    }
}

/// If too many zygotes differ from that of `name` only in variables to start another: their processes, as far as known.
/// Removes the files of killed zygotes.
pub fn crowd(directory: &Directory, name: &str) -> Option<Vec<u32>> {
    let others = || directory.siblings(name).into_iter().filter(|other| other != name);
    if others().count() < MOST {
        return None;
    }
    let (mut count, mut pids) = (0, Vec::new());
    for name in others() {
        match Status::read(directory, &name) {
            Some(status) if status.is_alive() => pids.push(status.pid),
            _ if is_abandoned(directory, &name) => continue,
            // It has just been started, and has no status yet.
            _ => {}
        }
        count += 1;
    }
    (count >= MOST).then_some(pids)
}

/// Whether no process listens at a zygote's socket, which is then removed.
fn is_abandoned(directory: &Directory, name: &str) -> bool {
    // Does not wait for the lock: two processes that do this hold one each, and would wait for each other.
    if let Ok(lock) = Lock::with(directory, name, FlockOperation::NonBlockingLockExclusive)
        && [socket_name(name), trial_name(name)]
            .iter()
            .all(|file| UnixStream::connect(directory.path().join(file)).is_err())
    {
        let _ = directory.remove(&socket_name(name));
        let _ = directory.remove(&trial_name(name));
        lock.remove();
        return true;
    }
    false
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
        assert!(directory.stat("x.lock").is_err(), "it is left behind");
    }

    #[test]
    fn v2_the_sockets_of_the_dead_are_no_crowd() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = directory(temporary.path());
        let listen = |number: usize| {
            let path = directory.socket(&format!("{number:032}")).expect("a path");
            std::os::unix::net::UnixListener::bind(path).expect("it listens")
        };
        let mut listeners: Vec<_> = (0..=MOST).map(listen).collect();
        let mut status = crate::zygotes::status::tests::status();
        status.write(&directory, &format!("{:032}", 1)).expect("written");
        // The zygote itself does not count.
        let me = std::process::id();
        assert_eq!(crowd(&directory, &"0".repeat(32)), Some(vec![me]));
        // A zygote that has ended, and whose number another process has.
        status.started += 1;
        status.write(&directory, &format!("{MOST:032}")).expect("written");
        listeners.truncate(MOST);
        assert_eq!(crowd(&directory, &"0".repeat(32)), None);
        assert_eq!(directory.siblings(&"0".repeat(32)).len(), MOST);
    }

    #[test]
    fn only_its_own_socket_is_removed() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = directory(temporary.path());
        let path = directory.socket("x").expect("a path");
        std::fs::write(&path, "").expect("written");
        let own = file_identity(&directory.stat("x.socket").expect("it is there"));
        leave(&directory, "x", own + 1);
        assert!(path.exists(), "another's was removed");
        leave(&directory, "x", own);
        assert!(!path.exists() && directory.stat("x.lock").is_err(), "something is left");
        leave(&directory, "x", own);
        assert!(directory.stat("x.lock").is_err(), "a lock without a zygote is left");
    }
}
