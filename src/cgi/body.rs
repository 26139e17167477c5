//! The request body: `CONTENT_LENGTH` bytes of standard input (RFC 3875 4.2) and not one more (B1). If a filter of the
//! server may have changed the length, the body is all of standard input (B9).
//!
//! [`super::output`] may have to read a part of the body before the application asks for it (B6). A spool keeps these
//! bytes, in order.

mod spool;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use self::spool::Spool;
use super::file_id::{FileId, closed};

pub use self::spool::NoRoom;

/// Called whenever a signal interrupts a system call; an error ends the operation.
pub type OnInterrupt<'a> = &'a dyn Fn() -> io::Result<()>;

/// Size of the buffer behind `readline` and small reads, in bytes.
const BUFFER: usize = 64 << 10;

/// For a body of more bytes than this the pipe is enlarged.
const LARGE: u64 = 1 << 20;

/// The size of the enlarged pipe, in bytes. The writer and this process wait for each other a quarter as often, which
/// is a quarter of the time of a large upload. The content of a still larger pipe does not stay in the processor's
/// cache.
const PIPE: usize = 256 << 10;

/// B9: how long a server may be silent between the last of the announced bytes and the end of standard input. A server
/// that closes it does so at once; a server that never closes it costs this wait.
const SILENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// After its length.
    Length,
    /// B9: where standard input does. The length is what was announced.
    Stdin,
}

/// A request body that is read once, from its beginning to its end.
#[derive(Debug)]
pub struct Body {
    stdin: Option<OwnedFd>,
    end: End,
    /// Bytes of the length that the server has not delivered yet.
    owed: u64,
    length: u64,
    /// Bytes that the server has delivered.
    received: u64,
    buffer: Vec<u8>,
    at: usize,
    spool: Spool,
    /// Whether it will be read.
    is_wanted: bool,
    /// Why bytes were dropped that the application could have read.
    lost: Option<String>,
    /// Which file standard input is: an application may close the descriptor and open another file under its number.
    file: Option<FileId>,
    ended_early: bool,
}

impl Body {
    /// A body of `length` bytes from `stdin`.
    pub fn new(stdin: OwnedFd, length: u64) -> Self {
        // If standard input is no pipe, or the system refuses a larger one, nothing changes.
        if length > LARGE && rustix::pipe::fcntl_getpipe_size(&stdin).is_ok_and(|size| size < PIPE)
        {
            let _ = rustix::pipe::fcntl_setpipe_size(&stdin, PIPE);
        }
        let file = FileId::from_descriptor(&stdin);
        Self { stdin: Some(stdin), owed: length, length, file, ..Self::empty() }
    }

    /// B9: a body that was announced with `length` bytes and ends where `stdin` does.
    pub fn until_end(stdin: OwnedFd, length: u64) -> Self {
        Self { end: End::Stdin, ..Self::new(stdin, length) }
    }

    /// The last `owed` bytes of a body that will not be read: they are dropped as they arrive.
    pub fn unwanted(stdin: OwnedFd, owed: u64) -> Self {
        Self { is_wanted: false, ..Self::new(stdin, owed) }
    }

    /// No body, and nothing to read one from.
    pub fn empty() -> Self {
        Self {
            stdin: None,
            end: End::Length,
            owed: 0,
            length: 0,
            received: 0,
            buffer: Vec::new(),
            at: 0,
            spool: Spool::default(),
            is_wanted: true,
            lost: None,
            file: None,
            ended_early: false,
        }
    }

    /// B4, B9: all that `stdin` delivers until its end, spooled so that its length is known. `announced` is its
    /// `CONTENT_LENGTH`, if there is one. After an error the returned body is the rest, to be discarded.
    pub fn spool_all(
        stdin: OwnedFd,
        announced: Option<u64>,
        max: Option<u64>,
        interrupted: OnInterrupt<'_>,
    ) -> (Self, Result<(), NotSpooled>) {
        let mut body = match announced {
            Some(length) => Self::until_end(stdin, length),
            None => Self::new(stdin, u64::MAX),
        };
        let spooled = body.spool_rest(max, interrupted);
        if spooled.is_err() {
            body.is_wanted = false;
            body.spool = Spool::default();
        }
        (body, spooled)
    }

    fn spool_rest(
        &mut self,
        max: Option<u64>,
        interrupted: OnInterrupt<'_>,
    ) -> Result<(), NotSpooled> {
        let mut piece = vec![0; BUFFER];
        loop {
            let count = self.receive(&mut piece, interrupted).map_err(NotSpooled::Unread)?;
            if count == 0 {
                break;
            }
            if max.is_some_and(|max| self.received > max) {
                return Err(NotSpooled::TooLarge);
            }
            self.spool.push(&piece[..count]).map_err(NotSpooled::NoRoom)?;
        }
        self.length = self.received;
        self.owed = 0;
        self.stdin = None;
        Ok(())
    }

    /// `announced` bytes were announced and fewer came: reading reports that the body ended early (B3).
    pub fn expect_more(&mut self, announced: u64) {
        self.length = announced;
        self.owed = announced.saturating_sub(self.received);
    }

    /// The first two bytes of a body that is spooled.
    pub fn beginning(&self) -> Vec<u8> {
        self.spool.beginning(2)
    }

    /// The length of the whole body, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes have not been read; there may be more, if [`Self::may_be_longer`].
    pub fn unread(&self) -> u64 {
        (self.buffer.len() - self.at) as u64 + self.spool.len() + self.owed
    }

    /// B9: whether more may come than was announced.
    pub fn may_be_longer(&self) -> bool {
        self.end == End::Stdin && self.stdin.is_some()
    }

    /// Whether reading found that the client did not send all it announced.
    pub fn ended_early(&self) -> bool {
        self.ended_early
    }

    /// Fills `into`, which has at most [`Self::unread`] bytes. B3: a body that ends early is an error.
    pub fn read_exact(&mut self, into: &mut [u8], interrupted: OnInterrupt<'_>) -> io::Result<()> {
        let mut filled = 0;
        while filled < into.len() {
            let count = self.read_some(&mut into[filled..], interrupted)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += count;
        }
        Ok(())
    }

    /// Reads at least one byte, and at most as many as `into` holds; 0 at the end.
    pub fn read_some(
        &mut self,
        into: &mut [u8],
        interrupted: OnInterrupt<'_>,
    ) -> io::Result<usize> {
        let buffered = &self.buffer[self.at..];
        if !buffered.is_empty() {
            let count = buffered.len().min(into.len());
            into[..count].copy_from_slice(&buffered[..count]);
            self.at += count;
            return Ok(count);
        }
        if self.spool.len() > 0 {
            return self.spool.pull(into);
        }
        if into.len() >= BUFFER || self.owed == 0 || self.lost.is_some() {
            return self.receive_owed(into, interrupted);
        }
        self.fill(interrupted)?;
        self.read_some(into, interrupted)
    }

    /// Appends to `line` up to and including the next line feed; `line` gets at most `limit` bytes.
    pub fn read_line(
        &mut self,
        line: &mut Vec<u8>,
        limit: usize,
        interrupted: OnInterrupt<'_>,
    ) -> io::Result<()> {
        while line.len() < limit {
            if self.at == self.buffer.len() && !self.fill(interrupted)? {
                break;
            }
            let buffered = &self.buffer[self.at..];
            let most = buffered.len().min(limit - line.len());
            let found = buffered[..most].iter().position(|byte| *byte == b'\n');
            let count = found.map_or(most, |at| at + 1);
            line.extend_from_slice(&buffered[..count]);
            self.at += count;
            if found.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Fills the empty buffer; false at the end of the body.
    fn fill(&mut self, interrupted: OnInterrupt<'_>) -> io::Result<bool> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(BUFFER, 0);
        let count = if self.spool.len() > 0 {
            self.spool.pull(&mut buffer)
        } else {
            self.receive_owed(&mut buffer, interrupted)
        };
        buffer.truncate(*count.as_ref().unwrap_or(&0));
        self.buffer = buffer;
        self.at = 0;
        Ok(count? > 0)
    }

    fn receive_owed(&mut self, into: &mut [u8], interrupted: OnInterrupt<'_>) -> io::Result<usize> {
        if let Some(why) = &self.lost {
            return Err(io::Error::other(why.clone()));
        }
        if into.is_empty() || (self.owed == 0 && self.end == End::Length) {
            return Ok(0);
        }
        let count = self.receive(into, interrupted)?;
        if count == 0 && self.owed > 0 {
            self.ended_early = true;
            return Err(self.too_short());
        }
        Ok(count)
    }

    fn too_short(&self) -> io::Error {
        let filter = match self.end {
            End::Length => "",
            End::Stdin => ", or an input filter of the server has made the body shorter",
        };
        io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!(
                "the request body ended after {} of {} bytes: the client went away, or \
                 CONTENT_LENGTH is wrong{filter}",
                self.received, self.length
            ),
        )
    }

    /// Waits for a byte of standard input and reads what is there; 0 at its end. EINTR and EAGAIN are not errors (B8).
    fn receive(&mut self, into: &mut [u8], interrupted: OnInterrupt<'_>) -> io::Result<usize> {
        if self.owed == 0 && self.end == End::Stdin && !self.wait_for_end(interrupted)? {
            self.give_up();
        }
        let Some(stdin) = &self.stdin else { return Ok(0) };
        if FileId::from_descriptor(stdin) != self.file {
            return Err(closed("request body"));
        }
        let most = match self.end {
            End::Length => into.len().min(usize::try_from(self.owed).unwrap_or(usize::MAX)),
            End::Stdin => into.len(),
        };
        loop {
            match rustix::io::read(stdin, &mut into[..most]) {
                Ok(0) if most > 0 => {
                    self.give_up();
                    return Ok(0);
                }
                Ok(count) => {
                    self.owed = self.owed.saturating_sub(count as u64);
                    self.received += count as u64;
                    return Ok(count);
                }
                Err(Errno::INTR) => interrupted()?,
                Err(Errno::AGAIN) => match poll(&mut [PollFd::new(stdin, PollFlags::IN)], None) {
                    Err(Errno::INTR) => interrupted()?,
                    other => {
                        other?;
                    }
                },
                // The other end of the socket was closed: the body ends here, though not cleanly.
                Err(Errno::CONNRESET) => {
                    self.give_up();
                    return Ok(0);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// To be called when all announced bytes have come. Whether more bytes, or the end of standard input, come in time.
    /// If not, the server leaves standard input open and the body has ended; an error if it was longer than announced.
    fn wait_for_end(&self, interrupted: OnInterrupt<'_>) -> io::Result<bool> {
        let Some(stdin) = &self.stdin else { return Ok(false) };
        loop {
            match poll(&mut [PollFd::new(stdin, PollFlags::IN)], Some(&SILENCE)) {
                Err(Errno::INTR) => interrupted()?,
                Err(error) => return Err(error.into()),
                Ok(0) if self.received > self.length => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!(
                            "the request body is longer than the {} bytes of CONTENT_LENGTH, and for {} seconds \
                             the server sent neither more of it nor its end",
                            self.length, SILENCE.tv_sec
                        ),
                    ));
                }
                Ok(ready) => return Ok(ready > 0),
            }
        }
    }

    /// Standard input, while the server has bytes of the body to deliver.
    pub fn undelivered(&self) -> Option<BorrowedFd<'_>> {
        let is_owing = self.owed > 0 || self.end == End::Stdin;
        self.stdin.as_ref().filter(|_| is_owing).map(AsFd::as_fd)
    }

    /// Whether only the end of standard input tells where the body ends.
    pub fn length_is_unknown(&self) -> bool {
        self.end == End::Stdin || self.length == u64::MAX
    }

    /// Whether all that was announced has come, and only the end of standard input is missing (B9).
    pub fn is_ending(&self) -> bool {
        self.owed == 0 && self.may_be_longer()
    }

    /// How many bytes the server may still deliver.
    pub fn owed(&self) -> u64 {
        match (self.undelivered(), self.end) {
            (None, _) => 0,
            (Some(_), End::Length) => self.owed,
            (Some(_), End::Stdin) => u64::MAX,
        }
    }

    /// B6: reads what standard input has ready into the spool, or drops it. To be called when a poll says that it is
    /// readable.
    pub fn spool_ready(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 << 10];
        let count = self.receive(&mut piece, &|| Ok(()))?;
        if self.is_wanted
            && self.lost.is_none()
            && let Err(error) = self.spool.push(&piece[..count])
        {
            // The response goes on: applications seldom ask for these bytes.
            self.lost = Some(format!("a part of the request body is lost: {error}"));
        }
        Ok(())
    }

    /// Stops reading standard input. Returns how many bytes the server may still deliver.
    pub fn surrender(&mut self) -> u64 {
        let owed = self.owed();
        self.give_up();
        owed
    }

    /// Nothing more will come.
    fn give_up(&mut self) {
        self.stdin = None;
    }
}

/// Why a body is not spooled.
#[derive(Debug)]
pub enum NotSpooled {
    /// It is larger than is allowed.
    TooLarge,
    /// It cannot be read.
    Unread(io::Error),
    /// It cannot be kept.
    NoRoom(NoRoom),
}

#[cfg(test)]
mod tests;
