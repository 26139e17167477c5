//! How a child tells the zygote that it has a request. It lends it the front's
//! connection with that: when a child ends without a word, killed or by
//! `os._exit`, the zygote is the only one to know how, and says so there.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use cgi2wsgi::warm::message::Reply;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, send, sendmsg, socketpair,
};

/// The zygote's end, and that of all its children.
pub(super) struct Taken {
    zygotes: OwnedFd,
    childrens: OwnedFd,
}

impl Taken {
    pub(super) fn new() -> io::Result<Self> {
        let (zygotes, childrens) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok(Self { zygotes, childrens })
    }

    /// What is readable when a child has a request.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.zygotes
    }

    /// In a child: what the zygote alone may hold, or a front would never see
    /// the end of a connection that is lent to a zygote that is gone.
    pub(super) fn keep_childrens(&self) {
        // SAFETY: a child leaves without dropping it, and uses it no more.
        unsafe { libc::close(self.zygotes.as_raw_fd()) };
    }

    /// In a child: the request that came by `front` is its own. A zygote that is
    /// gone, or has no room for it, does without.
    pub(super) fn say(&self, front: BorrowedFd<'_>) {
        let number = std::process::id().to_ne_bytes();
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fronts = [front];
        control.push(SendAncillaryMessage::ScmRights(&fronts));
        let parts = [IoSlice::new(&number)];
        if sendmsg(&self.childrens, &parts, &mut control, flags).is_err() {
            // Too many descriptors may be on their way; the number matters more.
            let _ = send(&self.childrens, &number, flags);
        }
    }

    /// The next child that has said so, and the connection to its front.
    pub(super) fn next(&self) -> Option<(i32, Option<OwnedFd>)> {
        let mut number = [0; 4];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut number)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = recvmsg(&self.zygotes, &mut parts, &mut control, flags).ok()?;
        let front = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        (received.bytes == number.len()).then(|| (i32::from_ne_bytes(number), front))
    }
}

/// Tells the front how its child ended, by the status that the system gives. A
/// child that has said so itself was heard first.
pub(super) fn tell(front: &OwnedFd, status: libc::c_int) {
    let number = |value: libc::c_int| u8::try_from(value).unwrap_or(u8::MAX);
    let reply = if libc::WIFSIGNALED(status) {
        Reply::Killed(number(libc::WTERMSIG(status)))
    } else {
        Reply::Exited(number(libc::WEXITSTATUS(status)))
    };
    // It has two bytes, and there is room or nobody reads.
    reply.send(front.as_fd());
}
