//! The process of a worker, as a front can see and signal it: its own child, or a zygote's.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::system;

/// A worker's process.
#[derive(Debug)]
pub(in crate::front) enum Process {
    /// This process has started it.
    Own(Pid),
    /// A zygote's child that has not reported its pid yet.
    NotKnownYet,
    /// A zygote's child.
    OfZygote(OfZygote),
}

/// What a front has of a zygote's child.
#[derive(Debug)]
pub(in crate::front) struct OfZygote {
    pid: Pid,
    /// Its pidfd, which never refers to another process with the same pid; Linux before 5.3 has none.
    hold: Option<OwnedFd>,
    /// Only the zygote writes to it: the child's exit status.
    end: Option<File>,
    /// Whether it may be a child of this process: one that has started a zygote becomes its parent.
    may_be_own: bool,
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// It ended with this status.
    Known(ExitStatus),
    /// No process can tell the status any more.
    Unknown,
}

impl Process {
    /// A zygote's child that has reported its pid; the zygote writes to `end`. Without `end`, a process that was to
    /// become a zygote and answers itself.
    pub(super) fn of_zygote(pid: u32, end: Option<OwnedFd>) -> Self {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Self::NotKnownYet;
        };
        let hold = pidfd_open(pid, PidfdFlags::empty()).ok();
        let may_be_own = end.is_none();
        Self::OfZygote(OfZygote { pid, hold, end: end.map(File::from), may_be_own })
    }

    /// Whether this process started it.
    pub(super) fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// The descriptor that becomes readable when it has ended. The end of an own child comes as SIGCHLD.
    pub(super) fn end(&self) -> Option<BorrowedFd<'_>> {
        let Self::OfZygote(child) = self else { return None };
        child.end.as_ref().map(AsFd::as_fd).or(child.hold.as_ref().map(AsFd::as_fd))
    }

    /// Whether it has ended, and how.
    pub(super) fn look(&mut self) -> Option<Death> {
        match self {
            Self::Own(pid) => match system::try_wait(Some(*pid)) {
                Ok(None) => None,
                Ok(Some((_, status))) => Some(Death::Known(status)),
                Err(_) => Some(Death::Unknown),
            },
            Self::NotKnownYet => None,
            Self::OfZygote(child) => child.look(),
        }
    }

    /// Whether [`Self::look`] can ever see the end.
    pub(super) fn can_tell(&self) -> bool {
        self.is_own() || self.end().is_some()
    }

    /// Ends a process that this process started, and has been told nothing.
    pub(in crate::front) fn kill(&self) {
        self.signal(libc::SIGKILL);
        if let Self::Own(pid) = self {
            let _ = system::wait_for(*pid);
        }
    }

    /// Sends it a signal, unless it is gone.
    pub(super) fn signal(&self, number: i32) {
        match self {
            Self::Own(pid) => system::kill(*pid, number),
            Self::NotKnownYet => {}
            Self::OfZygote(OfZygote { pid, hold, end, may_be_own }) => match hold {
                Some(hold) => {
                    if let Some(signal) = system::signal(number) {
                        let _ = pidfd_send_signal(hold, signal);
                    }
                }
                // Until it is reaped, by this process or by the zygote, which reports that, no other process gets its
                // pid.
                None if *may_be_own || end.as_ref().is_some_and(|end| !is_readable(end)) => {
                    system::kill(*pid, number);
                }
                None => {}
            },
        }
    }
}

impl OfZygote {
    fn look(&mut self) -> Option<Death> {
        if self.may_be_own {
            match system::try_wait(Some(self.pid)) {
                Ok(None) => return None,
                ended => {
                    self.may_be_own = false;
                    if let Ok(Some((_, status))) = ended {
                        return Some(Death::Known(status));
                    }
                }
            }
        }
        if let Some(end) = &mut self.end {
            if !is_readable(&*end) {
                return None;
            }
            let mut status = [0; 4];
            if end.read_exact(&mut status).is_ok() {
                return Some(Death::Known(ExitStatus::from_raw(i32::from_ne_bytes(status))));
            }
            // The zygote is gone.
            self.end = None;
        }
        let hold = self.hold.as_ref()?;
        is_readable(hold).then_some(Death::Unknown)
    }
}

fn is_readable(descriptor: impl AsFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
}
