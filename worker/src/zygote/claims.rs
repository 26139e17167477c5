//! How a child tells the zygote that it has a connection, and then that it has a request, so that another child takes
//! its place at the socket.

use std::io;
use std::os::fd::OwnedFd;

use cgi2wsgi::system;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};

/// The zygote's end, and that of all its children.
pub(super) struct Claims {
    zygotes: OwnedFd,
    childrens: OwnedFd,
}

/// What a child has reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    /// Its process id.
    pub(super) pid: i32,
    /// Whether it has a request. Before that it has a connection.
    pub(super) is_request: bool,
}

impl Claims {
    pub(super) fn new() -> io::Result<Self> {
        let (zygotes, childrens) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok(Self { zygotes, childrens })
    }

    /// Readable when a child has sent something.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.zygotes
    }

    /// In a child: closes the end that is the zygote's alone.
    pub(super) fn close_zygotes(&self) {
        // A child ends without dropping it, and no longer uses it.
        system::close_borrowed(&self.zygotes);
    }

    /// In a child: reports a connection, or a request. If the zygote is gone, that does not matter.
    pub(super) fn say(&self, is_request: bool) {
        let mut message = [0; 5];
        message[..4].copy_from_slice(&std::process::id().to_ne_bytes());
        message[4] = u8::from(is_request);
        let _ = send(&self.childrens, &message, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    /// The next report of a child.
    pub(super) fn next(&self) -> Option<Claim> {
        let mut message = [0; 5];
        let (length, _) = recv(&self.zygotes, &mut message, RecvFlags::DONTWAIT).ok()?;
        let pid = i32::from_ne_bytes(*message.first_chunk()?);
        (length == message.len()).then_some(Claim { pid, is_request: message[4] == 1 })
    }
}
