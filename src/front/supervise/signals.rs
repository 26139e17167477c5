//! The signals that a supervising front acts on, as something to read.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// SIGTERM, SIGHUP, SIGINT and SIGCHLD, taken from this process until this is dropped.
pub(super) struct Signals {
    descriptor: OwnedFd,
    before: libc::sigset_t,
}

/// One that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signal {
    /// Its number.
    pub(super) number: i32,
    /// Whether a terminal sent it, to the whole process group.
    pub(super) is_from_terminal: bool,
}

/// `si_code` of what the kernel sends itself.
const SI_KERNEL: i32 = 0x80;

impl Signals {
    /// From here on they are read. What is ignored stays ignored.
    pub(super) fn take() -> io::Result<Self> {
        // SAFETY: the sets are initialized before they are used, and the descriptor is new.
        unsafe {
            let mut set = std::mem::zeroed::<libc::sigset_t>();
            let mut before = std::mem::zeroed::<libc::sigset_t>();
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGCHLD] {
                libc::sigaddset(&raw mut set, signal);
            }
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, &raw mut before) < 0 {
                return Err(io::Error::last_os_error());
            }
            let descriptor =
                libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if descriptor < 0 {
                let error = io::Error::last_os_error();
                libc::sigprocmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
                return Err(error);
            }
            Ok(Self { descriptor: OwnedFd::from_raw_fd(descriptor), before })
        }
    }

    /// The next one that has come.
    pub(super) fn next(&self) -> Option<Signal> {
        let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
        let count = rustix::io::read(&self.descriptor, &mut info).ok()?;
        let number = |at: usize| Some(i32::from_ne_bytes(*info.get(at..)?.first_chunk()?));
        (count == info.len()).then_some(())?;
        // signalfd_siginfo: ssi_signo, ssi_errno, ssi_code.
        Some(Signal { number: number(0)?, is_from_terminal: number(8)? == SI_KERNEL })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: the set is one that the system gave.
        unsafe {
            libc::sigprocmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut())
        };
    }
}
