//! A process that a check starts, with a deadline: what it wrote, how it ended and how long it took. Its process group
//! is killed before this returns.

use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process_group, set_parent_process_death_signal, setpgid};

use crate::system::{self, Fork};

/// The most that is kept of each stream, in bytes. An import profile of a large application has half a mebibyte.
const MOST: usize = 4 << 20;

/// How often to check whether the process has ended, while its streams are open.
const INTERVAL: Duration = Duration::from_millis(50);

/// What is known of a process that has ended.
pub(in crate::front) struct Ended {
    pub(super) stdout: Vec<u8>,
    pub(in crate::front) stderr: Vec<u8>,
    /// What it wrote to the descriptor that it was given.
    pub(in crate::front) result: Vec<u8>,
    /// How it ended; nothing if it had to be killed.
    pub(super) status: Option<ExitStatus>,
    pub(super) took: Duration,
}

/// Runs `action` in a new process, which is killed after `patience`. The argument of `action` is a descriptor for
/// results; its return value is the exit status.
pub(in crate::front) fn run(
    patience: Duration,
    action: impl FnOnce(i32) -> u8,
) -> io::Result<Ended> {
    run_watched(patience, action, &mut |_, _, _| false)
}

/// Tells, at intervals, whether a process has run long enough, by its ID, how long it has run and what it has written
/// to standard error.
pub(super) type Look<'l> = dyn FnMut(Pid, Duration, &[u8]) -> bool + 'l;

/// [`run`], but kills the process when `is_enough` is true.
pub(super) fn run_watched(
    patience: Duration,
    action: impl FnOnce(i32) -> u8,
    is_enough: &mut Look<'_>,
) -> io::Result<Ended> {
    let (mut pipes, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (reader, writer) = io::pipe()?;
        let flags = rustix::fs::fcntl_getfl(&reader)?;
        rustix::fs::fcntl_setfl(&reader, flags | OFlags::NONBLOCK)?;
        pipes.push(Pipe { reader, bytes: Vec::new(), is_open: true });
        ends.push(OwnedFd::from(writer));
    }
    let began = Instant::now();
    let child = match system::fork()? {
        Fork::Child => {
            let result = become_child(&ends);
            drop((pipes, ends));
            let status = match result {
                Ok(number) => action(number),
                Err(_) => u8::MAX,
            };
            std::process::exit(status.into())
        }
        Fork::Parent(child) => child,
    };
    drop(ends);
    // The child does the same: either may run first.
    let _ = setpgid(Some(child), Some(child));
    let status = gather(&mut pipes, child, began, patience, is_enough)?;
    let took = began.elapsed();
    // The processes that it has started are in its process group, unless they have left it.
    let _ = kill_process_group(child, Signal::KILL);
    let [stdout, stderr, result] = pipes.try_into().map_err(|_| io::ErrorKind::Other)?;
    Ok(Ended { stdout: stdout.bytes, stderr: stderr.bytes, result: result.bytes, status, took })
}

/// In the child: makes a process group, has the kernel kill the child when its parent ends, and sets the streams.
/// Returns the number of the descriptor for results, which stays open across `exec`.
fn become_child(ends: &[OwnedFd]) -> io::Result<i32> {
    let _ = setpgid(None, None);
    set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let [stdout, stderr, result] = ends else { return Err(io::ErrorKind::Other.into()) };
    let result = rustix::io::fcntl_dupfd_cloexec(result, 3)?;
    rustix::io::fcntl_setfd(&result, rustix::io::FdFlags::empty())?;
    rustix::stdio::dup2_stdout(stdout)?;
    rustix::stdio::dup2_stderr(stderr)?;
    let number = result.as_raw_fd();
    // It stays open under this number until the process ends.
    std::mem::forget(result);
    Ok(number)
}

struct Pipe {
    reader: PipeReader,
    bytes: Vec<u8>,
    is_open: bool,
}

impl Pipe {
    fn read(&mut self) {
        let mut piece = [0; 8 << 10];
        loop {
            match self.reader.read(&mut piece) {
                Ok(0) => self.is_open = false,
                Ok(count) => {
                    let room = MOST.saturating_sub(self.bytes.len());
                    self.bytes.extend_from_slice(&piece[..count.min(room)]);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.is_open = false,
            }
            return;
        }
    }
}

/// Reads until the process has ended. Nothing: it had to be killed.
fn gather(
    pipes: &mut [Pipe],
    child: Pid,
    began: Instant,
    patience: Duration,
    is_enough: &mut Look<'_>,
) -> io::Result<Option<ExitStatus>> {
    loop {
        let mut left = patience.saturating_sub(began.elapsed());
        if is_enough(child, began.elapsed(), &pipes[1].bytes) {
            left = Duration::ZERO;
        }
        let is_open = pipes.iter().any(|pipe| pipe.is_open);
        if is_open && !left.is_zero() {
            let mut sources: Vec<PollFd<'_>> = pipes
                .iter()
                .filter(|pipe| pipe.is_open)
                .map(|pipe| PollFd::from_borrowed_fd(pipe.reader.as_fd(), PollFlags::IN))
                .collect();
            let _ = poll(&mut sources, Timespec::try_from(left.min(INTERVAL)).ok().as_ref());
            drop(sources);
            pipes.iter_mut().filter(|pipe| pipe.is_open).for_each(Pipe::read);
        }
        if let Some((_, status)) = system::try_wait(Some(child))? {
            pipes.iter_mut().filter(|pipe| pipe.is_open).for_each(Pipe::read);
            return Ok(Some(status));
        }
        if left.is_zero() {
            let _ = kill_process_group(child, Signal::KILL);
            system::kill(child, libc::SIGKILL);
            system::wait_for(child)?;
            pipes.iter_mut().filter(|pipe| pipe.is_open).for_each(Pipe::read);
            return Ok(None);
        }
        if !is_open {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
