//! The signals that a zygote waits for, as a descriptor, and what its children
//! get back.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// SIGCHLD and SIGTERM, taken from the process.
pub(super) struct Signals {
    descriptor: OwnedFd,
    /// What SIGCHLD meant to the application.
    child_ended: libc::sigaction,
}

impl Signals {
    /// From here on both come as something to read. An application, or a
    /// server, that has SIGCHLD ignored would have children vanish unseen.
    pub(super) fn take() -> io::Result<Self> {
        // SAFETY: set and actions are initialized before they are used; the
        // descriptor is new.
        unsafe {
            let set = both();
            checked(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))?;
            let usual = std::mem::zeroed::<libc::sigaction>();
            let mut child_ended = std::mem::zeroed::<libc::sigaction>();
            checked(libc::sigaction(libc::SIGCHLD, &raw const usual, &raw mut child_ended))?;
            let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
            let descriptor = libc::signalfd(-1, &raw const set, flags);
            checked(descriptor)?;
            Ok(Self { descriptor: OwnedFd::from_raw_fd(descriptor), child_ended })
        }
    }

    /// In a child: they are as they were before.
    pub(super) fn give_back(&self) -> io::Result<()> {
        // SAFETY: the set and the action are valid.
        unsafe {
            let set = both();
            let action = &raw const self.child_ended;
            checked(libc::sigaction(libc::SIGCHLD, action, std::ptr::null_mut()))?;
            checked(libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()))
        }
    }

    /// What is readable when one has come.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// Reads all that have come; whether SIGTERM is among them.
    pub(super) fn drain(&self) -> bool {
        let mut terminated = false;
        let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
        while rustix::io::read(&self.descriptor, &mut info) == Ok(info.len()) {
            let number = u32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
            terminated |= number == libc::SIGTERM.unsigned_abs();
        }
        terminated
    }
}

fn both() -> libc::sigset_t {
    // SAFETY: sigemptyset initializes the set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        set
    }
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
