//! What is written to standard error while a request is answered: the lines of this process, and those of the worker
//! (tracebacks, `wsgi.errors`, `print`). The worker's lines come through a pipe, and go to the server's log at once.
//!
//! The pipe exists only with `--log` or `--record`. A process that the application has left behind may keep it open.
//! This delays nothing (P3): this process does not wait for the end of the pipe.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::{stderr, stdin};

use crate::report;

/// A pipe that polls as writable takes this many bytes without blocking.
const PIECE: usize = 4096;

/// How much is still read when the request is over, in bytes: more than a pipe holds. A process may never stop writing.
const REST: usize = 1 << 20;

/// What a worker gets as its standard input and error.
#[derive(Debug, Default)]
pub struct Streams {
    lines: Option<Lines>,
    /// The request body, if this process has read it from the server.
    body: Option<File>,
}

/// The pipe that is a worker's standard error.
#[derive(Debug)]
struct Lines {
    reader: OwnedFd,
    /// This process keeps it open, so that the reader sees no end of file when the others close it.
    writer: OwnedFd,
    /// What has been read and not yet written.
    pending: RefCell<Vec<u8>>,
}

impl Streams {
    /// The streams of a request of which something is kept. If no pipe can be made: those of this process.
    pub fn kept() -> Self {
        let lines = Lines::new();
        if let Err(error) = &lines {
            report::warning(&format!("the application's lines are not logged: {error}"));
        }
        Self { lines: lines.ok(), body: None }
    }

    /// Makes `body` the worker's standard input.
    pub fn set_body(&mut self, body: File) {
        self.body = Some(body);
    }

    /// Whether this process has already read the body, or as much of it as will be read.
    pub fn has_body(&self) -> bool {
        self.body.is_some()
    }

    /// Whether the worker's lines come through this process.
    pub fn are_kept(&self) -> bool {
        self.lines.is_some()
    }

    /// Where the request body comes from.
    pub fn stdin(&self) -> BorrowedFd<'_> {
        self.body.as_ref().map_or(stdin(), AsFd::as_fd)
    }

    /// Where the worker's lines go.
    pub fn stderr(&self) -> BorrowedFd<'_> {
        self.lines.as_ref().map_or(stderr(), |lines| lines.writer.as_fd())
    }

    /// What to poll: once it is ready, [`Self::pass_on`] has something to do.
    pub fn awaited(&self) -> Option<PollFd<'_>> {
        let lines = self.lines.as_ref()?;
        Some(if lines.pending.borrow().is_empty() {
            PollFd::new(&lines.reader, PollFlags::IN)
        } else {
            PollFd::from_borrowed_fd(stderr(), PollFlags::OUT)
        })
    }

    /// Reads a piece, or writes the pending one: whichever [`Self::awaited`] waited for.
    pub fn pass_on(&self) {
        if let Some(lines) = &self.lines {
            let mut pending = lines.pending.borrow_mut();
            if pending.is_empty() {
                lines.read(&mut pending);
            } else {
                write(&mut pending);
            }
        }
    }

    /// Passes on everything that has been written so far.
    pub fn drain(&self) {
        let Some(lines) = &self.lines else { return };
        let mut pending = lines.pending.borrow_mut();
        let mut count = 0;
        loop {
            write(&mut pending);
            count += lines.read(&mut pending);
            if pending.is_empty() || count > REST {
                return write(&mut pending);
            }
        }
    }
}

impl Lines {
    fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        // The worker's end blocks, as any standard error does.
        fcntl_setfl(&reader, fcntl_getfl(&reader)? | OFlags::NONBLOCK)?;
        Ok(Self { reader, writer, pending: RefCell::default() })
    }

    /// Reads what there is, at most a piece. Returns the number of bytes.
    fn read(&self, pending: &mut Vec<u8>) -> usize {
        pending.resize(PIECE, 0);
        let count = rustix::io::read(&self.reader, &mut pending[..]).unwrap_or_default();
        pending.truncate(count);
        report::keep(pending);
        count
    }
}

/// Ignores errors: a closed standard error is no reason to fail.
fn write(pending: &mut Vec<u8>) {
    let _ = io::stderr().write_all(pending);
    pending.clear();
}

/// The kept lines, without the label at the end of cgi2wsgi's own lines, which is for a log that many requests share.
pub(super) fn shown(kept: &report::Kept) -> Vec<String> {
    let label = format!(" {}", report::label());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.strip_suffix(&label).unwrap_or(line));
        lines.map(str::to_owned).collect()
    };
    let mut all = lines(&text(&kept.first));
    if kept.left_out > 0 {
        all.push(format!("({} bytes more, which are not kept)", kept.left_out));
    }
    all.extend(lines(&text(&kept.last)));
    all
}
