//! The front's own answer, in place of the application's. Also reads what is left of the request body after a response:
//! a server that insists on delivering the body does not read the response before (B6).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::stdio::{dup2_stdout, stderr, stdin, stdout};

use super::account;
use super::deadline::Deadline;
use super::exit::FAILED;
use super::page::Page;
use crate::cgi::body::Body;
use crate::cgi::file_id::FileId;
use crate::cgi::head::Form;
use crate::cgi::output::{Output, is_gone};
use crate::cgi::refusal::Refusal;
use crate::cgi::request::BodyLength;
use crate::cgi::variables::Variables;
use crate::report;
use crate::timings::Moment;

/// B10: how long reading the rest of a request body may take in total, without `--timeout`: as long as Apache and nginx
/// wait for a client by default.
const DRAINING: Duration = Duration::from_secs(60);

/// With `--timeout` the limit is what is left of it, but at least this: a server needs time to read an answer.
const LEAST_DRAINING: Duration = Duration::from_secs(5);

/// How long a server may be silent where the length of the body is unknown: it may never signal the end.
const SILENCE: Duration = Duration::from_secs(10);

/// What is left of a request body, and until when it is read.
pub struct Rest {
    body: Body,
    until: Moment,
    /// When the server has been silent for too long, if that matters.
    silent: Option<Moment>,
}

/// Answers a request that no worker has, and reads what the server delivers of its body.
pub fn refuse(
    refusal: &Refusal,
    variables: &Variables,
    form: Form,
    owed: u64,
    deadline: Option<Deadline>,
) {
    report::error(&format!("{} (answered {})", refusal.reason, refusal.status));
    account::outlive_server();
    let (rest, output) = answer(refusal, variables, form, owed, deadline);
    account::close(FAILED);
    let rest = rest.filter(|rest| rest.source().is_some());
    if let Some(output) = output {
        output.end(rest.is_none());
    }
    if let Some(mut rest) = rest {
        while rest.wait_and_drop() {}
    }
}

/// Writes an answer. `owed` is how much of the request body the server may still deliver. Returns what remains of it,
/// to be read as [`draining`] says, and the response, which is still to be closed.
pub fn answer(
    refusal: &Refusal,
    variables: &Variables,
    form: Form,
    owed: u64,
    deadline: Option<Deadline>,
) -> (Option<Rest>, Option<Output>) {
    let is_head = variables.get("REQUEST_METHOD") == Some(b"HEAD");
    let date = httpdate::fmt_http_date(SystemTime::now());
    let page = Page::new(refusal, variables);
    let bytes = refusal.encode(form, is_head, &date, page.content_type, &page.body);
    account::answered(refusal.status, &bytes);
    let written = (|| {
        let body = Mutex::new(Body::unwanted(stdin().try_clone_to_owned()?, owed));
        let output = Output::new(stdout().try_clone_to_owned()?);
        release_output();
        output.write_all(&bytes, &[], &body, &|| Ok(()))?;
        let body = body.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok((body, output))
    })();
    match written {
        Ok((body, output)) => (Some(Rest::new(body, deadline)), Some(output)),
        // A server that is gone needs no answer.
        Err(error) if is_gone(&error) => (None, None),
        Err(error) => {
            report::error(&format!("the answer cannot be written: {error}"));
            (None, None)
        }
    }
}

/// Closes standard output: the server sees the end of the response when the worker closes it. Under Apache's `mod_cgid`
/// standard input and output are one socket, which stays open as input: returns it, to be closed with the worker.
pub fn release_output() -> Option<Output> {
    let is_one = FileId::from_descriptor(stdin())
        .is_some_and(|input| FileId::from_descriptor(stdout()) == Some(input));
    let socket = is_one.then(|| stdin().try_clone_to_owned().ok()).flatten();
    // Standard error stays open anyway.
    let _ = dup2_stdout(stderr());
    socket.map(Output::new).filter(Output::is_socket)
}

/// How much of the request body the server may deliver.
pub fn owed(length: BodyLength) -> u64 {
    match length {
        BodyLength::Known(length) => length,
        BodyLength::Filtered { .. } | BodyLength::UntilEnd => u64::MAX,
    }
}

/// Until when the rest of a request body is read. Bytes that arrive do not prolong it.
fn draining(deadline: Option<Deadline>) -> Moment {
    let patience = deadline.map_or(DRAINING, |deadline| deadline.at.left().max(LEAST_DRAINING));
    Moment::now() + patience
}

impl Rest {
    /// The rest of a body that a worker has left.
    pub fn of_worker(owed: u64, deadline: Option<Deadline>) -> io::Result<Self> {
        let body = Body::unwanted(stdin().try_clone_to_owned()?, owed);
        Ok(Self::new(body, deadline))
    }

    fn new(body: Body, deadline: Option<Deadline>) -> Self {
        let silent = body.length_is_unknown().then(|| Moment::now() + SILENCE);
        Self { body, until: draining(deadline), silent }
    }

    /// The descriptor that more of it comes from; `None` if it is over, or its time is.
    pub fn source(&self) -> Option<BorrowedFd<'_>> {
        self.body.undelivered().filter(|_| self.until().left() > Duration::ZERO)
    }

    /// Until when it is read.
    pub fn until(&self) -> Moment {
        self.silent.map_or(self.until, |silent| silent.min(self.until))
    }

    /// Drops what has arrived. To be called when a poll says that something has.
    pub fn drop_ready(&mut self) -> io::Result<()> {
        self.silent = self.silent.map(|_| Moment::now() + SILENCE);
        self.body.spool_ready()
    }

    /// Waits for more and drops it. Returns false when it is over.
    fn wait_and_drop(&mut self) -> bool {
        let timeout = Timespec::try_from(self.until().left()).ok();
        let Some(source) = self.source() else { return false };
        match poll(&mut [PollFd::new(&source.as_fd(), PollFlags::IN)], timeout.as_ref()) {
            Err(Errno::INTR) => true,
            Ok(1..) => self.drop_ready().is_ok(),
            _ => false,
        }
    }
}
