//! Writes to standard output, whatever kind of descriptor it is: completely, and without a deadlock with a server that
//! is still delivering the request body (B6).

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};
use rustix::pipe::SpliceFlags;

use super::body::{Body, OnInterrupt};
use super::file_id::{FileId, closed};

/// A pipe that polls as writable takes this many bytes without blocking.
const ATOMIC: usize = 4096;

/// How much one splice may move, in bytes.
const SPLICE: usize = 1 << 20;

/// For a file of more bytes than this the pipe is enlarged.
const LARGE: u64 = 1 << 18;

/// Where the response goes.
#[derive(Debug)]
pub struct Output {
    fd: OwnedFd,
    kind: FileType,
    file: Option<FileId>,
}

impl Output {
    /// Takes over the descriptor of the response.
    pub fn new(fd: OwnedFd) -> Self {
        let kind =
            fstat(&fd).map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode));
        let file = FileId::from_descriptor(&fd);
        Self { fd, kind, file }
    }

    /// Writes `first` and then `second`, together if the descriptor takes both. While the server has bytes of `body` to
    /// deliver, they are spooled whenever it writes and does not read.
    pub fn write_all(
        &self,
        mut first: &[u8],
        mut second: &[u8],
        body: &Mutex<Body>,
        interrupted: OnInterrupt<'_>,
    ) -> io::Result<()> {
        while !(first.is_empty() && second.is_empty()) {
            self.check()?;
            let written = if self.wait_for_room(body, interrupted)? {
                self.write_without_blocking(first, second)
            } else {
                rustix::io::writev(&self.fd, &[IoSlice::new(first), IoSlice::new(second)])
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    let of_first = count.min(first.len());
                    first = &first[of_first..];
                    second = &second[count - of_first..];
                }
                Err(error) => self.recover(error, interrupted)?,
            }
        }
        Ok(())
    }

    /// R14: sends `count` bytes of a regular file from its current position,
    /// in the kernel where it can; fewer if the file ends. Returns how many.
    pub fn send_file(
        &self,
        file: &File,
        count: u64,
        body: &Mutex<Body>,
        interrupted: OnInterrupt<'_>,
    ) -> io::Result<u64> {
        let mut left = count;
        if self.kind == FileType::Fifo && count > LARGE {
            // What is spliced is not copied, so a larger pipe costs nothing. If the system refuses it, the pipe stays
            // as it is.
            let _ = rustix::pipe::fcntl_setpipe_size(&self.fd, SPLICE);
        }
        while left > 0 {
            self.check()?;
            let owing = self.wait_for_room(body, interrupted)?;
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(SPLICE);
            let moved = match self.kind {
                FileType::Fifo => {
                    let flags = if owing { SpliceFlags::NONBLOCK } else { SpliceFlags::empty() };
                    rustix::pipe::splice(file, None, &self.fd, None, most, flags)
                }
                FileType::Socket if !owing => rustix::fs::sendfile(&self.fd, file, None, most),
                _ => Err(Errno::INVAL),
            };
            match moved {
                Ok(0) => break,
                Ok(moved) => left -= moved as u64,
                Err(Errno::INVAL | Errno::NOSYS) => {
                    let copied = self.copy_file(file, left, body, interrupted)?;
                    return Ok(count - left + copied);
                }
                Err(error) => self.recover(error, interrupted)?,
            }
        }
        Ok(count - left)
    }

    fn copy_file(
        &self,
        file: &File,
        count: u64,
        body: &Mutex<Body>,
        interrupted: OnInterrupt<'_>,
    ) -> io::Result<u64> {
        let mut position = rustix::fs::tell(file)?;
        let mut piece = vec![0; 256 << 10];
        let mut left = count;
        while left > 0 {
            let most = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = match file.read_at(&mut piece[..most], position) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    interrupted()?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.write_all(&piece[..read], &[], body, interrupted)?;
            position += read as u64;
            left -= read as u64;
        }
        Ok(count - left)
    }

    /// P11: an error if the descriptor no longer refers to its file.
    fn check(&self) -> io::Result<()> {
        if FileId::from_descriptor(&self.fd) == self.file {
            Ok(())
        } else {
            Err(closed("response"))
        }
    }

    /// B6. Returns whether the server still has bytes of the body to deliver; if so, the descriptor has room for
    /// [`ATOMIC`] bytes now. While another thread reads the body, there can be no deadlock.
    fn wait_for_room(&self, body: &Mutex<Body>, interrupted: OnInterrupt<'_>) -> io::Result<bool> {
        let Ok(mut body) = body.try_lock() else { return Ok(false) };
        while let Some(stdin) = body.undelivered() {
            let mut wait =
                [PollFd::new(&self.fd, PollFlags::OUT), PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut wait, None) {
                Err(Errno::INTR) => interrupted()?,
                Err(error) => return Err(error.into()),
                // The end of the body is there, or more of it than was announced (B9).
                Ok(_) if !wait[1].revents().is_empty() && body.is_ending() => body.spool_ready()?,
                // Room, or no reader: the write will tell.
                Ok(_) if !wait[0].revents().is_empty() => return Ok(true),
                Ok(_) => body.spool_ready()?,
            }
        }
        Ok(false)
    }

    fn write_without_blocking(&self, first: &[u8], second: &[u8]) -> rustix::io::Result<usize> {
        if self.kind == FileType::Socket {
            let piece = if first.is_empty() { second } else { first };
            return rustix::net::send(&self.fd, piece, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
        let first = &first[..first.len().min(ATOMIC)];
        let second = &second[..second.len().min(ATOMIC - first.len())];
        rustix::io::writev(&self.fd, &[IoSlice::new(first), IoSlice::new(second)])
    }

    /// EINTR and EAGAIN are not errors (B8); everything else is.
    fn recover(&self, error: Errno, interrupted: OnInterrupt<'_>) -> io::Result<()> {
        match error {
            Errno::INTR => interrupted(),
            Errno::AGAIN => match poll(&mut [PollFd::new(&self.fd, PollFlags::OUT)], None) {
                Err(Errno::INTR) => interrupted(),
                other => other.map(drop).map_err(Into::into),
            },
            error => Err(error.into()),
        }
    }

    /// The descriptor, to be polled for room.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether it is a socket, which may be standard input too.
    pub fn is_socket(&self) -> bool {
        self.kind == FileType::Socket
    }

    /// Leaves the descriptor open until this process ends.
    pub fn hold(self) {
        let _ = self.fd.into_raw_fd();
    }

    /// Writes one byte if there is room for it, without waiting. False: there is no room.
    pub fn write_if_ready(&self, byte: u8) -> io::Result<bool> {
        self.check()?;
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut [PollFd::new(&self.fd, PollFlags::OUT)], Some(&now)) {
            Ok(0) | Err(Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        match self.write_without_blocking(&[byte], &[]) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR | Errno::AGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the response: with this process, if that is about to end, and otherwise at once.
    ///
    /// Apache's `mod_cgid` sends SIGTERM to a program whose output has ended and whose process has not, and looks again
    /// 10 ms later. Its thread waits for that, and so does the next request on the visitor's connection.
    pub fn end(self, with_process: bool) {
        if with_process { self.hold() } else { self.close() }
    }

    /// Ends the response: the server sees its end now, whatever this process still does. Under
    /// Apache's `mod_cgid` standard input and output are one socket, which the front holds too.
    pub fn close(self) {
        if self.kind == FileType::Socket && self.check().is_ok() {
            // Failure means that the other side is gone already.
            let _ = rustix::net::shutdown(&self.fd, Shutdown::Write);
        }
    }
}

/// Whether an error means that the reader of the response has gone.
pub fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected
    )
}
