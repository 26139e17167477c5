//! What is written to standard error while a request is answered: the lines of this process, and those of the worker
//! (tracebacks, `wsgi.errors`, `print`), which come through a pipe and go on to the server's log as they come.
//!
//! The pipe is there with `--log` or `--record` alone. A process that holds it too, such as one that the application has
//! left behind, delays nothing (P3): its end is not waited for.

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

/// How much is still read when the request is over, in bytes: more than a pipe holds. Somebody may write for ever.
const REST: usize = 1 << 20;

/// What a worker gets as its standard input and error.
#[derive(Debug, Default)]
pub struct Streams {
    lines: Option<Lines>,
    /// The request body, if it was taken off the server's hands.
    body: Option<File>,
}

/// The pipe that is a worker's standard error.
#[derive(Debug)]
struct Lines {
    reader: OwnedFd,
    /// Held by this process too, so that its end is none of those who have it.
    writer: OwnedFd,
    /// What has been read and is to be passed on.
    pending: RefCell<Vec<u8>>,
}

impl Streams {
    /// Those of a request of which something is kept; without a pipe, those of this process.
    pub fn kept() -> Self {
        let lines = Lines::new();
        if let Err(error) = &lines {
            report::warning(&format!("the application's lines are not logged: {error}"));
        }
        Self { lines: lines.ok(), body: None }
    }

    /// Has the worker read the request body from a file.
    pub fn set_body(&mut self, body: File) {
        self.body = Some(body);
    }

    /// Whether the server has delivered the body already, or what will be read of it.
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

    /// What to wait for, so that [`Self::pass_on`] has something to do.
    pub fn awaited(&self) -> Option<PollFd<'_>> {
        let lines = self.lines.as_ref()?;
        Some(if lines.pending.borrow().is_empty() {
            PollFd::new(&lines.reader, PollFlags::IN)
        } else {
            PollFd::from_borrowed_fd(stderr(), PollFlags::OUT)
        })
    }

    /// Reads a piece, or writes it: whichever [`Self::awaited`] was found ready for.
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

    /// Passes on all that was written until now.
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

    /// Reads what there is, at most a piece. How many bytes.
    fn read(&self, pending: &mut Vec<u8>) -> usize {
        pending.resize(PIECE, 0);
        let count = rustix::io::read(&self.reader, &mut pending[..]).unwrap_or_default();
        pending.truncate(count);
        report::keep(pending);
        count
    }
}

/// A standard error that is gone is no reason to fail.
fn write(pending: &mut Vec<u8>) {
    let _ = io::stderr().write_all(pending);
    pending.clear();
}

/// The lines of what was kept, without the label that each of cgi2wsgi's has for a log that many share.
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
