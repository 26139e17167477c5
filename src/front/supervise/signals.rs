//! The signals that a supervising front acts on, read from a descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::system;

/// SIGTERM, SIGHUP, SIGINT and SIGCHLD, blocked in this process until this is dropped.
pub(super) struct Signals {
    descriptor: OwnedFd,
    mask_before: u64,
}

/// A signal that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signal {
    /// Its number.
    pub(super) number: i32,
    /// Whether a terminal sent it, to the whole process group.
    pub(super) is_from_terminal: bool,
}

/// `si_code` of signals that the kernel itself sends.
const SI_KERNEL: i32 = 0x80;

impl Signals {
    /// Blocks the signals, so that they are read. Ignored signals stay ignored.
    pub(super) fn take() -> io::Result<Self> {
        let mask_before = system::signal_mask();
        let signals = [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGCHLD];
        Ok(Self { descriptor: system::signal_descriptor(&signals)?, mask_before })
    }

    /// The next signal that has arrived.
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
        system::set_signal_mask(self.mask_before);
    }
}
