//! The request body: standard input up to its end, which is `CONTENT_LENGTH`
//! bytes away (RFC 3875 4.2) and never a byte further (B1), but where a filter
//! of the server may have made another length of it (B9).
//!
//! What [`super::output`] must take off the server's hands before the
//! application has asked for it (B6) waits here in a spool, in order.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
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

/// B9: how long a server may be silent between the last of the announced bytes and the end of standard input. One that
/// closes it does so at once; one that never does costs this wait.
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
    /// Whether somebody will read it.
    is_wanted: bool,
    /// Why bytes were dropped that somebody may have wanted to read.
    lost: Option<String>,
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

    /// B9: a body that was announced with `length` bytes and ends where `stdin` does.
    pub fn until_end(stdin: OwnedFd, length: u64) -> Self {
        Self { end: End::Stdin, ..Self::new(stdin, length) }
    }

    /// The rest of a body that nobody will read, of `owed` bytes: what comes of it is dropped.
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
    /// `CONTENT_LENGTH`, if there is one. After an error the rest of it is still there to be discarded.
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

    /// More than this was announced: reading will say that it ended early (B3).
    pub fn expect_more(&mut self, announced: u64) {
        self.length = announced;
        self.owed = announced.saturating_sub(self.received);
    }

    /// The first two bytes of a body that is spooled.
    pub fn beginning(&self) -> Vec<u8> {
        self.spool.memory.iter().take(2).copied().collect()
    }

    /// The length of the whole body, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes have not been read; at least so many, if [`Self::may_be_longer`].
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
        if into.len() >= BUFFER || self.owed == 0 || self.lost.is_some() {
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

    /// Reads what there is of standard input, waiting for the first byte; 0 at
    /// its end. EINTR and EAGAIN are not errors (B8).
    fn receive(&mut self, into: &mut [u8], interrupted: OnInterrupt<'_>) -> io::Result<usize> {
        if self.owed == 0 && self.end == End::Stdin && !self.wait_for_end(interrupted)? {
            self.give_up();
        }
        let Some(stdin) = &self.stdin else { return Ok(0) };
        if FileId::of(stdin) != self.file {
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
                // The other end of a socket is gone: the end, though not a clean one.
                Err(Errno::CONNRESET) => {
                    self.give_up();
                    return Ok(0);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// All that was announced has come. Whether more of it comes, or the end: a server that says neither leaves standard
    /// input open, and the body has ended, unless it had more than was announced.
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
                            "the request body has more than the {} bytes of CONTENT_LENGTH, and \
                             for {} seconds neither more of it came nor its end",
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

    /// Whether all that was announced is there, and but the end of standard input is missing (B9).
    pub fn is_ending(&self) -> bool {
        self.owed == 0 && self.may_be_longer()
    }

    /// How many bytes the server may deliver yet.
    pub fn owed(&self) -> u64 {
        match (self.undelivered(), self.end) {
            (None, _) => 0,
            (Some(_), End::Length) => self.owed,
            (Some(_), End::Stdin) => u64::MAX,
        }
    }

    /// B6: takes into the spool what standard input has ready, or drops it. To be called when a
    /// poll says that it is readable.
    pub fn spool_ready(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 << 10];
        let count = self.receive(&mut piece, &|| Ok(()))?;
        if self.is_wanted
            && self.lost.is_none()
            && let Err(error) = self.spool.push(&piece[..count])
        {
            // The response does not suffer by it: most often nobody asks for these bytes.
            self.lost = Some(format!("a part of the request body is lost: {error}"));
        }
        Ok(())
    }

    /// Reads no more of standard input. How many bytes the server may deliver yet.
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

/// Why a part of a body cannot be kept in a temporary file.
#[derive(Debug)]
pub struct NoRoom {
    directory: PathBuf,
    error: io::Error,
}

impl NoRoom {
    /// Whether there would be room in another place, or at another time.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self.error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    }
}

impl std::fmt::Display for NoRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let directory = self.directory.display();
        write!(f, "it cannot be kept in a temporary file in {directory}: {}", self.error)?;
        if self.error.kind() == io::ErrorKind::FileTooLarge {
            return write!(f, "; raise the limit of a file's size (ulimit -f), or set --max-body");
        }
        let cure = if self.is_full() {
            "make room there"
        } else {
            "make it a directory that this user can write to"
        };
        write!(f, "; {cure}, or name another one in TMPDIR")
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

    fn push(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        if self.written == self.read && self.memory.len() + bytes.len() <= IN_MEMORY {
            self.memory.extend(bytes);
            return Ok(());
        }
        self.write(bytes).map_err(|error| NoRoom { directory: std::env::temp_dir(), error })?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.write_all(bytes)
    }

    fn pull(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.memory.is_empty() {
            return io::Read::read(&mut self.memory, into);
        }
        let Some(file) = &self.file else { return Ok(0) };
        // What a failed write has left behind is not part of it.
        let most = into.len().min(usize::try_from(self.written - self.read).unwrap_or(usize::MAX));
        let into = &mut into[..most];
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
        let (mut body, spooled) = Body::spool_all(stdin(), None, Some(6), &never);
        assert!(spooled.is_ok() && body.length() == 6);
        assert_eq!(read(&mut body, 6).expect("six bytes"), b"abcdef");
        let (mut rest, spooled) = Body::spool_all(stdin(), None, Some(5), &never);
        assert!(matches!(spooled, Err(NotSpooled::TooLarge)));
        assert_eq!(rest.surrender(), u64::MAX - 6);
    }

    #[test]
    fn b9_a_body_is_what_comes_until_the_end_whatever_was_announced() {
        let until_end = |sent, announced| {
            let Body { stdin, .. } = body(sent, 0);
            Body::until_end(stdin.expect("it has one"), announced)
        };
        let all = |body: &mut Body| {
            let mut line = Vec::new();
            body.read_line(&mut line, usize::MAX, &never).map(|()| line)
        };
        let mut longer = until_end(b"abcdef", 4);
        assert!(longer.may_be_longer());
        assert_eq!(all(&mut longer).expect("all of it"), b"abcdef");
        assert!(!longer.may_be_longer());
        assert_eq!(longer.surrender(), 0);
        assert_eq!(all(&mut until_end(b"abcd", 4)).expect("all of it"), b"abcd");
        let error = all(&mut until_end(b"abc", 4)).expect_err("it is shorter").to_string();
        assert!(error.contains("3 of 4") && error.contains("input filter"), "{error}");
        for announced in [0, 2, 4, 9] {
            let Body { stdin, .. } = body(b"abcd", 0);
            let stdin = stdin.expect("it has one");
            let (mut spooled, result) = Body::spool_all(stdin, Some(announced), None, &never);
            assert!(result.is_ok());
            assert_eq!(spooled.length(), 4);
            assert_eq!(read(&mut spooled, 4).expect("all of it"), b"abcd");
        }
    }

    #[test]
    fn b4_where_there_is_no_room_is_told_from_where_nobody_may_write() {
        let mut spool = Spool { file: File::create("/dev/full").ok(), ..Spool::default() };
        let full = spool.push(&vec![0; IN_MEMORY + 1]).expect_err("it is full");
        assert!(full.is_full() && full.to_string().contains("make room there"), "{full}");
        let error = io::ErrorKind::NotFound.into();
        let missing = NoRoom { directory: "/nonexistent".into(), error };
        assert!(
            !missing.is_full() && missing.to_string().contains("in /nonexistent:"),
            "{missing}"
        );
    }

    #[test]
    fn b10_bytes_for_which_there_is_no_room_are_dropped_and_reading_them_says_so() {
        let sent: Vec<u8> = (0..=250).cycle().take(IN_MEMORY + 9).collect();
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        let feeder = std::thread::spawn(move || File::from(writer).write_all(&sent));
        let mut body = Body::new(reader, IN_MEMORY as u64 + 9);
        // A file that takes no bytes.
        body.spool.file = Some(File::open("/dev/null").expect("it is there"));
        while body.undelivered().is_some() {
            body.spool_ready().expect("no room is no error yet");
        }
        feeder.join().expect("no panic").expect("all was taken");
        let kept = usize::try_from(body.spool.len()).expect("it fits");
        read(&mut body, kept).expect("what was kept");
        let error = read(&mut body, 1).expect_err("it is lost").to_string();
        assert!(error.contains("is lost") && error.contains("TMPDIR"), "{error}");
    }
}
