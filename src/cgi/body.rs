//! The request body: standard input up to its end, which is `CONTENT_LENGTH`
//! bytes away (RFC 3875 4.2) and never a byte further (B1).
//!
//! What [`super::output`] must take off the server's hands before the
//! application has asked for it (B6) waits here in a spool, in order.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::file_id::{FileId, closed};

/// Asked whenever a signal interrupts a system call; an error ends the call.
pub type OnInterrupt<'a> = &'a dyn Fn() -> io::Result<()>;

/// How much of a spooled body stays in memory, in bytes.
const IN_MEMORY: usize = 1 << 20;

/// Size of the buffer behind `readline` and small reads, in bytes.
const BUFFER: usize = 64 << 10;

/// A body beyond so many bytes is worth a larger pipe.
const LARGE: u64 = 1 << 20;

/// The size of that, in bytes: whoever writes and this process wait for each
/// other a quarter as often, which is a quarter of the time of a large upload.
/// Beyond it, what is in the pipe does not stay in the processor's cache.
const PIPE: usize = 256 << 10;

/// A request body that is read once, from its beginning to its end.
#[derive(Debug)]
pub struct Body {
    stdin: Option<OwnedFd>,
    /// Bytes that the server has not delivered yet.
    owed: u64,
    length: u64,
    buffer: Vec<u8>,
    at: usize,
    spool: Spool,
    /// Whether somebody will read it.
    is_wanted: bool,
    /// Which file standard input is: an application may close its number, and open another.
    file: Option<FileId>,
    ended_early: bool,
}

impl Body {
    /// A body of `length` bytes from `stdin`.
    pub fn new(stdin: OwnedFd, length: u64) -> Self {
        // What is no pipe has no such size; a system that refuses a larger one
        // has the smaller.
        if length > LARGE && rustix::pipe::fcntl_getpipe_size(&stdin).is_ok_and(|size| size < PIPE)
        {
            let _ = rustix::pipe::fcntl_setpipe_size(&stdin, PIPE);
        }
        let file = FileId::of(&stdin);
        Self { stdin: Some(stdin), owed: length, length, file, ..Self::empty() }
    }

    /// The rest of a body that nobody will read, of `owed` bytes: what comes of it is dropped.
    pub fn unwanted(stdin: OwnedFd, owed: u64) -> Self {
        Self { is_wanted: false, ..Self::new(stdin, owed) }
    }

    /// No body, and nothing to read one from.
    pub fn empty() -> Self {
        Self {
            stdin: None,
            owed: 0,
            length: 0,
            buffer: Vec::new(),
            at: 0,
            spool: Spool::default(),
            is_wanted: true,
            file: None,
            ended_early: false,
        }
    }

    /// B4: all that `stdin` delivers until its end, spooled so that its length
    /// is known. `Ok(None)` if it is more than `max` bytes; then no more than
    /// that is kept, and the rest is still there to be discarded.
    pub fn spool_all(
        stdin: OwnedFd,
        max: Option<u64>,
        interrupted: OnInterrupt<'_>,
    ) -> io::Result<Result<Self, Self>> {
        let mut body = Self::new(stdin, u64::MAX);
        let mut piece = vec![0; BUFFER];
        let mut total = 0;
        loop {
            let count = body.receive(&mut piece, interrupted)?;
            if count == 0 {
                body.length = total;
                body.owed = 0;
                body.ended_early = false;
                body.stdin = None;
                return Ok(Ok(body));
            }
            total += count as u64;
            if max.is_some_and(|max| total > max) {
                return Ok(Err(body));
            }
            body.spool.push(&piece[..count])?;
        }
    }

    /// The length of the whole body, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes have not been read, in bytes.
    pub fn unread(&self) -> u64 {
        (self.buffer.len() - self.at) as u64 + self.spool.len() + self.owed
    }

    /// Whether reading found that the client did not send all it announced.
    pub fn ended_early(&self) -> bool {
        self.ended_early
    }

    /// Fills `into`, of which no more than [`Self::unread`] bytes can be
    /// filled. B3: a body that ends early is an error.
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

    /// Reads at least a byte, and no more than `into` holds; 0 at the end.
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
        if into.len() >= BUFFER || self.owed == 0 {
            return self.receive_owed(into, interrupted);
        }
        self.fill(interrupted)?;
        self.read_some(into, interrupted)
    }

    /// Appends to `line` up to and with the next line feed, but no more than
    /// `limit` bytes.
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
        if self.owed == 0 || into.is_empty() {
            return Ok(0);
        }
        let count = self.receive(into, interrupted)?;
        if count == 0 {
            self.ended_early = true;
            return Err(self.too_short());
        }
        Ok(count)
    }

    fn too_short(&self) -> io::Error {
        let received = self.length - self.owed;
        io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!(
                "the request body ended after {received} of {} bytes: the client went away, or \
                 CONTENT_LENGTH is wrong",
                self.length
            ),
        )
    }

    /// Reads what there is of standard input, waiting for the first byte; 0 at
    /// its end. EINTR and EAGAIN are not errors (B8).
    fn receive(&mut self, into: &mut [u8], interrupted: OnInterrupt<'_>) -> io::Result<usize> {
        let Some(stdin) = &self.stdin else { return Ok(0) };
        if FileId::of(stdin) != self.file {
            return Err(closed("request body"));
        }
        let most = into.len().min(usize::try_from(self.owed).unwrap_or(usize::MAX));
        loop {
            match rustix::io::read(stdin, &mut into[..most]) {
                Ok(count) => {
                    self.owed -= count as u64;
                    return Ok(count);
                }
                Err(Errno::INTR) => interrupted()?,
                Err(Errno::AGAIN) => match poll(&mut [PollFd::new(stdin, PollFlags::IN)], None) {
                    Err(Errno::INTR) => interrupted()?,
                    other => {
                        other?;
                    }
                },
                // The other end of a socket is gone: the end, though not a clean one.
                Err(Errno::CONNRESET) => return Ok(0),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Standard input, while the server has bytes of the body to deliver.
    pub fn undelivered(&self) -> Option<BorrowedFd<'_>> {
        self.stdin.as_ref().filter(|_| self.owed > 0).map(AsFd::as_fd)
    }

    /// How many bytes the server has not delivered yet.
    pub fn owed(&self) -> u64 {
        self.undelivered().map_or(0, |_| self.owed)
    }

    /// B6: takes into the spool what standard input has ready, or drops it. To be called when a
    /// poll says that it is readable.
    pub fn spool_ready(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 << 10];
        let count = self.receive(&mut piece, &|| Ok(()))?;
        if count == 0 {
            self.give_up();
        }
        if self.is_wanted { self.spool.push(&piece[..count]) } else { Ok(()) }
    }

    /// Reads no more of standard input. How many bytes the server has not delivered yet.
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

/// Bytes waiting to be read: in memory, and from the first that has no room
/// there on in an unnamed temporary file.
#[derive(Debug, Default)]
struct Spool {
    memory: std::collections::VecDeque<u8>,
    file: Option<File>,
    /// Where in the file reading and writing stand.
    read: u64,
    written: u64,
}

impl Spool {
    fn len(&self) -> u64 {
        self.memory.len() as u64 + (self.written - self.read)
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.written == self.read && self.memory.len() + bytes.len() <= IN_MEMORY {
            self.memory.extend(bytes);
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile().map_err(|error| {
                let why = format!("no temporary file for the request body: {error}");
                io::Error::new(error.kind(), why)
            })?),
        };
        file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn pull(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.memory.is_empty() {
            return io::Read::read(&mut self.memory, into);
        }
        let Some(file) = &self.file else { return Ok(0) };
        let count = file.read_at(into, self.read)?;
        self.read += count as u64;
        if count == 0 && !into.is_empty() && self.read < self.written {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "what is asked on an interrupt may fail")]
    fn never() -> io::Result<()> {
        Ok(())
    }

    /// A body of `length` from a pipe that holds `sent` and is then closed.
    fn body(sent: &[u8], length: u64) -> Body {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        File::from(writer).write_all(sent).expect("the pipe has room");
        Body::new(reader, length)
    }

    fn read(body: &mut Body, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        body.read_exact(&mut bytes, &never).map(|()| bytes)
    }

    #[test]
    fn a_large_body_gets_a_larger_pipe_and_no_other_does() {
        let size = |length: u64, before: usize| {
            let (reader, _writer) = rustix::pipe::pipe().expect("a pipe");
            rustix::pipe::fcntl_setpipe_size(&reader, before).expect("a size");
            let copy = reader.try_clone().expect("a copy");
            drop(Body::new(reader, length));
            rustix::pipe::fcntl_getpipe_size(&copy).expect("a size")
        };
        assert_eq!(size(LARGE, 64 << 10), 64 << 10);
        assert_eq!(size(LARGE + 1, 64 << 10), PIPE);
        assert_eq!(size(u64::MAX, 2 * PIPE), 2 * PIPE, "a server's own choice is larger");
    }

    #[test]
    fn b1_not_a_byte_past_the_length_is_read() {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        File::from(writer.try_clone().expect("a copy")).write_all(b"abcdef").expect("room");
        let copy = reader.try_clone().expect("a copy");
        let mut body = Body::new(reader, 4);
        assert_eq!(read(&mut body, 4).expect("four bytes"), b"abcd");
        assert_eq!(body.read_some(&mut [0; 9], &never).expect("the end"), 0);
        let mut rest = [0; 9];
        assert_eq!(rustix::io::read(&copy, &mut rest).expect("a read"), 2);
        drop(writer);
    }

    #[test]
    fn b3_a_body_that_ends_early_is_an_error_with_both_numbers() {
        let mut body = body(b"abc", 5);
        let error = read(&mut body, 5).expect_err("two bytes are missing");
        assert!(error.to_string().contains("after 3 of 5 bytes"), "{error}");
        assert!(body.ended_early());
    }

    #[test]
    fn b7_lines_end_at_a_line_feed_a_limit_or_the_end() {
        let mut body = body(b"one\ntwo\nlast", 12);
        let mut line = |limit| {
            let mut line = Vec::new();
            body.read_line(&mut line, limit, &never).expect("a line");
            String::from_utf8(line).expect("ASCII")
        };
        assert_eq!(line(usize::MAX), "one\n");
        assert_eq!(line(2), "tw");
        assert_eq!(line(0), "");
        assert_eq!(line(9), "o\n");
        assert_eq!(line(99), "last");
        assert_eq!(line(99), "");
    }

    #[test]
    fn b6_what_is_spooled_is_read_in_order_across_memory_and_file() {
        let sent: Vec<u8> = (0..=250).cycle().take(3 * IN_MEMORY).collect();
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        let feeder = std::thread::spawn({
            let sent = sent.clone();
            move || File::from(writer).write_all(&sent)
        });
        let mut body = Body::new(reader, sent.len() as u64);
        let mut first = read(&mut body, 100).expect("a beginning");
        while body.undelivered().is_some() {
            body.spool_ready().expect("room");
        }
        assert!(body.spool.written > 0, "some of it went to the file");
        assert_eq!(body.unread(), sent.len() as u64 - 100);
        let rest = usize::try_from(body.unread()).expect("it fits");
        first.extend(read(&mut body, rest).expect("the rest"));
        assert!(first == sent);
        feeder.join().expect("no panic").expect("all was taken");
    }

    #[test]
    fn b4_a_chunked_body_is_spooled_and_gets_a_length() {
        let stdin = || body(b"abcdef", 0).stdin.expect("it has one");
        let spooled = Body::spool_all(stdin(), Some(6), &never).expect("it is read");
        let mut spooled = spooled.expect("it fits");
        assert_eq!(spooled.length(), 6);
        assert_eq!(read(&mut spooled, 6).expect("six bytes"), b"abcdef");
        assert!(Body::spool_all(stdin(), Some(5), &never).expect("it is read").is_err());
    }
}
