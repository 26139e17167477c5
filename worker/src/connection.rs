//! The worker's end of the connection to its front.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

use cgi2wsgi::cgi::file_id::FileId;
use cgi2wsgi::handoff::Reply;
use cgi2wsgi::handoff::channel::send_reply;

/// The number of its descriptor, for signal handlers and forks.
pub(crate) static CONNECTION: AtomicI32 = AtomicI32::new(-1);

/// A connection, which lasts until the process ends.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    /// The socket's file: an application may close the descriptor and open another file under its number (P11).
    file: Option<FileId>,
}

impl Connection {
    /// The connection that this process uses from here on.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        CONNECTION.store(socket.as_raw_fd(), SeqCst);
        let file = FileId::from_descriptor(&socket);
        Self { socket, file }
    }

    /// Sends a reply to the front. Returns whether that succeeded: the front may be gone.
    pub(crate) fn send(&self, reply: &Reply) -> bool {
        self.send_with(reply, None)
    }

    /// Sends a reply and a descriptor to the front.
    pub(crate) fn send_with(&self, reply: &Reply, descriptor: Option<BorrowedFd<'_>>) -> bool {
        FileId::from_descriptor(&self.socket) == self.file
            && send_reply(&self.socket, reply, descriptor)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Another file will get its number.
        CONNECTION.store(-1, SeqCst);
    }
}
