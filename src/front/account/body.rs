//! The body of a request that is recorded. The front reads it from the server before it starts the worker, keeps it,
//! and gives it to the worker as a file.
//!
//! If the body is known to be larger than a record keeps, the worker reads it from the server, as without `--record`.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::stdio::stdin;

use crate::cgi::request::BodyLength;
use crate::front::deadline::Deadline;
use crate::front::record::LARGEST_BODY;
use crate::timings::Moment;

/// A filtered body has no known length. It counts as complete when the announced bytes have been read and the server
/// has then sent nothing for this long.
const SILENCE: Duration = Duration::from_secs(5);

/// How much is read at once, in bytes.
const PIECE: usize = 64 << 10;

/// A body in a file.
#[derive(Debug)]
pub struct Spooled {
    /// The file, positioned at its beginning.
    pub file: File,
    /// Its length, in bytes.
    pub length: u64,
    /// How much of it the server may still deliver.
    pub owed: u64,
}

/// Why a body is not spooled.
#[derive(Debug)]
pub enum NotSpooled {
    /// The server did not send it before the deadline.
    TimedOut,
    /// It cannot be read or kept.
    Failed(io::Error),
}

/// Reads the body of a request that may be recorded. The second file is a duplicate descriptor, for the worker.
/// Nothing: there is no body, or it is too large.
pub fn spool(
    length: BodyLength,
    max: Option<u64>,
    deadline: Option<Deadline>,
) -> Result<Option<(Spooled, File)>, NotSpooled> {
    let (known, announced) = match length {
        BodyLength::Known(0) => return Ok(None),
        BodyLength::Known(length) if length > LARGEST_BODY => return Ok(None),
        BodyLength::Known(length) => (Some(length), length),
        BodyLength::Filtered { announced, .. } => (None, announced),
        BodyLength::UntilEnd => (None, u64::MAX),
    };
    // Before Linux 3.17, and for a body that may be large: a temporary file without a name.
    let memory = known.and_then(|_| memfd_create("cgi2wsgi-body", MemfdFlags::CLOEXEC).ok());
    let mut file = match memory {
        Some(memory) => File::from(memory),
        None => tempfile::tempfile().map_err(NotSpooled::Failed)?,
    };
    let mut read = 0;
    let mut piece = vec![0; PIECE];
    // One byte more than `max` shows the worker that the body is too large.
    let most = known.or(max.map(|max| max.saturating_add(1))).unwrap_or(u64::MAX);
    let owed = loop {
        if read == most {
            break if known.is_some() { 0 } else { u64::MAX };
        }
        let silence = (read >= announced).then(|| Moment::now() + SILENCE);
        if !wait(deadline, silence)? {
            break u64::MAX;
        }
        let wanted = piece.len().min(usize::try_from(most - read).unwrap_or(usize::MAX));
        match rustix::io::read(stdin(), &mut piece[..wanted]) {
            Ok(0) | Err(Errno::CONNRESET) => break 0,
            Ok(count) => {
                file.write_all(&piece[..count]).map_err(NotSpooled::Failed)?;
                read += count as u64;
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(NotSpooled::Failed(error.into())),
        }
    };
    file.rewind().map_err(NotSpooled::Failed)?;
    let of_worker = file.try_clone().map_err(NotSpooled::Failed)?;
    Ok(Some((Spooled { file, length: read, owed }, of_worker)))
}

/// Waits until standard input is readable or at its end. False: the server has sent nothing for too long.
fn wait(deadline: Option<Deadline>, silence: Option<Moment>) -> Result<bool, NotSpooled> {
    loop {
        let until = [deadline.map(|deadline| deadline.at), silence].into_iter().flatten().min();
        let timeout = until.and_then(|until| Timespec::try_from(until.left()).ok());
        match poll(&mut [PollFd::new(&stdin().as_fd(), PollFlags::IN)], timeout.as_ref()) {
            Ok(0) if deadline.is_some_and(|deadline| deadline.at.left().is_zero()) => {
                return Err(NotSpooled::TimedOut);
            }
            Ok(0) if silence.is_some_and(|silence| silence.left().is_zero()) => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(NotSpooled::Failed(error.into())),
        }
    }
}

impl Spooled {
    /// The whole body, if it is not too large for a record.
    pub fn content(&self) -> Option<Vec<u8>> {
        let mut content = vec![0; usize::try_from(self.length.min(LARGEST_BODY + 1)).ok()?];
        self.file.read_exact_at(&mut content, 0).ok()?;
        (self.length <= LARGEST_BODY).then_some(content)
    }
}
