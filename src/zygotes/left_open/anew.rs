//! Pipes, pairs of sockets, eventfds and event loops (epoll) that belong to this process alone: each child makes new
//! ones, in the same state and under the same numbers.
//!
//! A pipe can be made anew if this process has both ends, the pipe is empty, and there is no child that could have an
//! end too.

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, ioctl_fionread};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::descriptor::{Descriptor, Kind, borrowed};
use super::renewal::put;
use super::verdict::Finding;

/// Descriptors of one open file.
#[derive(Debug)]
pub(super) struct End {
    numbers: Vec<(RawFd, bool)>,
    flags: OFlags,
}

#[derive(Debug)]
pub(super) enum Anew {
    Pipe { reads: End, writes: End },
    Pair { kind: SocketType, ends: [End; 2] },
    Event { end: End, count: u32, is_semaphore: bool },
    EventLoop { end: End, entries: Vec<Entry> },
}

/// What an event loop waits for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    number: RawFd,
    events: u32,
    data: u64,
    inode: u64,
}

/// Those of the candidates that can be made anew, event loops last, and the findings about the others.
pub(super) fn divide(
    candidates: Vec<(Descriptor, Finding)>,
    all: &[(RawFd, u64)],
) -> (Vec<Anew>, Vec<Finding>) {
    let (mut anew, mut findings) = (Vec::new(), Vec::new());
    let mut rest = candidates;
    let is_alone = has_no_children();
    while !rest.is_empty() {
        let (first, finding) = rest.remove(0);
        // All descriptors of the same object. An anonymous inode belongs to many objects.
        let mut same: Vec<Descriptor> = Vec::new();
        let is_anonymous = first.kind == Kind::Anonymous;
        rest.retain(|(other, _)| {
            let is_same = if is_anonymous {
                other.target == first.target && other.details == first.details
            } else {
                other.inode == first.inode
            };
            if is_same {
                same.push(other.clone());
            }
            !is_same
        });
        same.insert(0, first);
        let made = match &same[0].kind {
            Kind::Pipe if is_alone => pipe(same),
            Kind::Socket(socket) if is_alone => {
                let kind = socket.kind;
                pair(&same, kind, &mut rest)
            }
            Kind::Anonymous => event(&same).or_else(|| event_loop(&same, all)),
            _ => None,
        };
        match made {
            Some(made @ Anew::EventLoop { .. }) => anew.push(made),
            Some(made) => anew.insert(0, made),
            None => findings.push(finding),
        }
    }
    (anew, findings)
}

/// Whether no other process can have got a descriptor of this one, as far as can be seen.
fn has_no_children() -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::All, look).err() == Some(Errno::CHILD)
}

fn is_empty(number: RawFd) -> bool {
    ioctl_fionread(&*borrowed(number)) == Ok(0)
}

impl End {
    fn from_descriptors(descriptors: &[Descriptor]) -> Option<Self> {
        let flags = descriptors.first()?.flags;
        let numbers = descriptors.iter().map(|one| (one.number, one.closes_on_exec)).collect();
        descriptors.iter().all(|one| one.flags == flags).then_some(Self { numbers, flags })
    }

    /// Makes all its numbers refer to `new`.
    fn become_one(&self, new: &OwnedFd) -> io::Result<()> {
        // Open files of these kinds have no other flags that matter.
        fcntl_setfl(new, self.flags & (OFlags::NONBLOCK | OFlags::DIRECT))?;
        put(new, &self.numbers)
    }
}

fn pipe(ends: Vec<Descriptor>) -> Option<Anew> {
    let (writes, reads): (Vec<_>, Vec<_>) = ends.into_iter().partition(Descriptor::is_written);
    let has_all = is_empty(reads.first()?.number) && !reads.iter().any(Descriptor::is_written);
    Some(Anew::Pipe {
        reads: End::from_descriptors(&reads)?,
        writes: End::from_descriptors(&writes)?,
    })
    .filter(|_| has_all)
}

/// A socket and the other of its pair, if this process has that too: a byte that is sent to one arrives at the other.
fn pair(
    one: &[Descriptor],
    kind: SocketType,
    rest: &mut Vec<(Descriptor, Finding)>,
) -> Option<Anew> {
    let is_socket = |one: &Descriptor| matches!(one.kind, Kind::Socket(_));
    let others: Vec<Descriptor> =
        rest.iter().map(|(other, _)| other).filter(|other| is_socket(other)).cloned().collect();
    let first = borrowed(one[0].number);
    if others.is_empty()
        || !is_empty(one[0].number)
        || !others.iter().all(|other| is_empty(other.number))
        || send(&*first, b"?", SendFlags::NOSIGNAL | SendFlags::DONTWAIT) != Ok(1)
    {
        return None;
    }
    let other = others.iter().find(|other| !is_empty(other.number))?;
    let inode = other.inode;
    let mut byte = [0];
    recv(&*borrowed(other.number), &mut byte, RecvFlags::DONTWAIT).ok()?;
    let other: Vec<_> = others.into_iter().filter(|other| other.inode == inode).collect();
    rest.retain(|(other, _)| other.inode != inode);
    Some(Anew::Pair { kind, ends: [End::from_descriptors(one)?, End::from_descriptors(&other)?] })
}

/// A number of `/proc/self/fdinfo`.
fn number_of(details: &str, name: &str, radix: u32) -> Option<u64> {
    let line = details.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    u64::from_str_radix(line.trim(), radix).ok()
}

fn event(ends: &[Descriptor]) -> Option<Anew> {
    let details = &ends.first()?.details;
    // Without `eventfd-id` (Linux before 5.2) two eventfds cannot be distinguished. Without `eventfd-semaphore` (before
    // 6.5) it is not known what a read does.
    number_of(details, "eventfd-id", 10)?;
    Some(Anew::Event {
        end: End::from_descriptors(ends)?,
        count: number_of(details, "eventfd-count", 16)?.try_into().ok()?,
        is_semaphore: number_of(details, "eventfd-semaphore", 10)? == 1,
    })
}

fn event_loop(ends: &[Descriptor], all: &[(RawFd, u64)]) -> Option<Anew> {
    let [only] = ends else {
        // Two event loops, or two descriptors of one: this cannot be distinguished.
        return None;
    };
    if only.target != "anon_inode:[eventpoll]" {
        return None;
    }
    let lines = only.details.lines().filter(|line| line.starts_with("tfd:"));
    let entries = lines.map(entry).collect::<Option<Vec<_>>>()?;
    let is_known = |entry: &Entry| all.contains(&(entry.number, entry.inode));
    let end = End::from_descriptors(ends)?;
    entries.iter().all(is_known).then_some(Anew::EventLoop { end, entries })
}

/// `tfd:        5 events:       19 data:       5  pos:0 ino:61 sdev:8`
fn entry(line: &str) -> Option<Entry> {
    let mut words = line.split([' ', ':']).filter(|word| !word.is_empty());
    let mut next = |name: &str| (words.next()? == name).then(|| words.next()).flatten();
    let (number, events, data) = (next("tfd")?, next("events")?, next("data")?);
    let _position = next("pos")?;
    Some(Entry {
        number: number.parse().ok()?,
        events: u32::from_str_radix(events, 16).ok()?,
        data: u64::from_str_radix(data, 16).ok()?,
        inode: u64::from_str_radix(next("ino")?, 16).ok()?,
    })
}

impl Anew {
    /// To be called in a child: makes it anew.
    pub(super) fn renew(&self) -> io::Result<()> {
        match self {
            Self::Pipe { reads, writes } => {
                let (new_reads, new_writes) = pipe_with(PipeFlags::CLOEXEC)?;
                reads.become_one(&new_reads)?;
                writes.become_one(&new_writes)
            }
            Self::Pair { kind, ends } => {
                let flags = SocketFlags::CLOEXEC;
                let (one, other) = socketpair(AddressFamily::UNIX, *kind, flags, None)?;
                ends[0].become_one(&one)?;
                ends[1].become_one(&other)
            }
            Self::Event { end, count, is_semaphore } => {
                let mut flags = EventfdFlags::CLOEXEC;
                flags.set(EventfdFlags::SEMAPHORE, *is_semaphore);
                end.become_one(&eventfd(*count, flags)?)
            }
            Self::EventLoop { end, entries } => {
                let new = epoll::create(epoll::CreateFlags::CLOEXEC)?;
                for entry in entries {
                    let data = epoll::EventData::new_u64(entry.data);
                    let events = epoll::EventFlags::from_bits_retain(entry.events);
                    epoll::add(&new, borrowed(entry.number).as_fd(), data, events)?;
                }
                put(&new, &end.numbers)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_an_event_loop_is_read() {
        let line = "tfd:        4 events:       19 data:              1f4  pos:0 ino:6f5ab6 sdev:9";
        let read = Entry { number: 4, events: 0x19, data: 0x1f4, inode: 0x6f_5ab6 };
        assert_eq!(entry(line), Some(read));
        assert_eq!(entry("tfd: 4 events: 19"), None);
        assert_eq!(entry(""), None);
    }

    #[test]
    fn a_number_of_fdinfo_is_read() {
        let details = "pos:\t0\neventfd-count:               1f\neventfd-id: 3\n";
        assert_eq!(number_of(details, "eventfd-count", 16), Some(0x1f));
        assert_eq!(number_of(details, "eventfd-id", 10), Some(3));
        assert_eq!(number_of(details, "eventfd-semaphore", 10), None);
        assert_eq!(number_of(details, "eventfd", 10), None);
    }
}
