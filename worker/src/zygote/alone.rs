//! An application that cannot be forked: the process that has imported it answers the request that it was started for,
//! as a process started for that request alone would. So this request waits for one import, and not for two. If no
//! request waits, the process ends: if it holds what normal starts need, as one that has imported the application and
//! does nothing else.
//!
//! A copy of the process, which runs no Python code, stays as the zygote and refuses later requests: see
//! [`refusal`](super::refusal).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use cgi2wsgi::handoff::ZygoteOrder;
use cgi2wsgi::handoff::channel::is_readable;
use cgi2wsgi::system::{self, Fork};
use cgi2wsgi::timings::Moment;
use rustix::net::{SocketFlags, accept_with};
use rustix::pipe::{PipeFlags, pipe_with};

use super::child::{self, Birth};
use super::import::Imported;
use super::inherited::Inherited;
use super::{FINALIZING, Zygote, title};
use crate::python::finish::Noted;
use crate::{Over, descriptors, handlers};

/// How long the copy may take until `cgi2wsgi warm status` shows it.
const SETTLING: Duration = Duration::from_secs(1);

/// The two processes after [`part`].
pub(super) enum Part {
    /// The one that has imported the application.
    Original(Original),
    /// The copy.
    Copy(Copy),
}

/// What the process that has imported the application knows of the copy.
pub(super) struct Original {
    /// At its end when the copy refuses requests.
    settles: OwnedFd,
    /// The copy sees its end when this process has ended.
    _ends: OwnedFd,
}

/// What the copy knows of the process that has imported the application.
pub(super) struct Copy {
    /// Closed when this process refuses requests.
    settles: OwnedFd,
    ends: OwnedFd,
}

/// Makes the copy. Its code runs while other threads of the application may hold any lock of Python's, so it must not
/// run Python code; the C library's own locks are free in it.
pub(super) fn part(inherited: &Inherited, order: &ZygoteOrder) -> io::Result<Part> {
    let (settled, settles) = pipe_with(PipeFlags::CLOEXEC)?;
    let (ended, ends) = pipe_with(PipeFlags::CLOEXEC)?;
    // The copy needs the socket.
    descriptors::guard_listener(None);
    system::flush_streams();
    match system::fork()? {
        Fork::Parent(_) => Ok(Part::Original(Original { settles: settled, _ends: ends })),
        Fork::Child => {
            drop((settled, ends));
            // The application may signal its process group.
            let _ = rustix::process::setsid();
            title::of_zygote(&order.service.application);
            inherited.let_go();
            Ok(Part::Copy(Copy { settles, ends: ended }))
        }
    }
}

impl Copy {
    /// Waits until the other process has ended: it holds what normal starts need.
    pub(super) fn wait_for_original(&self) {
        is_at_end(&self.ends, FINALIZING + SETTLING);
    }

    /// From here on this process refuses requests.
    pub(super) fn has_settled(self) {
        drop(self.settles);
    }
}

/// Waits until a pipe that nothing is written to is at its end.
fn is_at_end(pipe: &OwnedFd, patience: Duration) -> bool {
    is_readable(pipe.as_fd(), Moment::now() + patience)
}

/// The connection of the front that waits for this process, if one does. To be called before [`part`]: the copy would
/// turn that front away.
pub(super) fn front_that_waits(order: &ZygoteOrder, listener: &OwnedFd) -> Option<OwnedFd> {
    let is_awaited = !order.is_on_trial && is_readable(listener.as_fd(), Moment::now());
    is_awaited.then(|| accept_with(listener, SocketFlags::CLOEXEC).ok())?
}

impl Original {
    /// Answers the request of `front`, if it is still there.
    pub(super) fn answer(
        &self,
        zygote: &Zygote<'_>,
        front: OwnedFd,
        imported: Imported<'_>,
        reason: &str,
    ) -> Over {
        let Zygote { py, order, listener, inherited, watch, signals, .. } = zygote;
        signals.give_back();
        let answered = imported.stay().ok().and_then(|application| {
            let birth = Birth {
                py: *py,
                order,
                listener,
                application: &application,
                noted: &Noted::default(),
                inherited,
                renewed: &Ok(()),
                watch,
                claims: None,
                end: None,
                alone: Some(reason),
            };
            child::meet(&birth, front)
        });
        is_at_end(&self.settles, SETTLING);
        let Some(front) = answered else { return end() };
        // If it were closed, the front would believe that this process is lost.
        std::mem::forget(front);
        Over::Answered
    }
}

/// Ends this process like one that has imported the application and does nothing else.
pub(super) fn end() -> Over {
    handlers::set_timer(handlers::create_timer(libc::SIGKILL), FINALIZING);
    Over::Import
}
