//! The signals that a zygote reads from a descriptor, and what its children get back.

use std::io;
use std::os::fd::OwnedFd;

use cgi2wsgi::system;

use crate::handlers::{self, SavedAction};

/// SIGCHLD and SIGTERM, read from a descriptor instead of handled.
pub(super) struct Signals {
    descriptor: OwnedFd,
    mask_before: u64,
    /// What SIGCHLD meant to the application.
    child_ended: SavedAction,
}

impl Signals {
    /// From here on both are read from the descriptor. If an application, or a server, ignored SIGCHLD, children would
    /// vanish unseen.
    pub(super) fn take() -> io::Result<Self> {
        let mask_before = system::signal_mask();
        let descriptor = system::signal_descriptor(&[libc::SIGCHLD, libc::SIGTERM])?;
        let child_ended = handlers::save_action(libc::SIGCHLD)?;
        system::set_ignored(libc::SIGCHLD, false);
        Ok(Self { descriptor, mask_before, child_ended })
    }

    /// In a child: restores both as they were before.
    pub(super) fn give_back(&self) {
        self.child_ended.restore();
        system::set_signal_mask(self.mask_before);
    }

    /// Readable when a signal has come.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// Reads all signals that have come. Returns whether SIGTERM is among them.
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
