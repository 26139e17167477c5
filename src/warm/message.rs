//! What the front and a child of the zygote say to each other, over a stream
//! socket. The child speaks first, with [`HELLO`]; the front sends its three
//! descriptors and a [`Call`]; then the child tells, byte by byte, how far it
//! is ([`Reply`]). A request has begun exactly when [`Reply::Begun`] was sent:
//! without it nothing of the application has run, and it can be run elsewhere.
//! What the child cannot say any more, how it ended, the zygote says.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, send, sendmsg,
};

use super::identity::Identity;
use crate::cgi::variables::Variables;
use crate::timings::Moment;

/// What a child says first: both sides are of one version.
pub const HELLO: &[u8] = concat!("cgi2wsgi ", env!("CARGO_PKG_VERSION"), " warm 2\n").as_bytes();

/// The most that a call may have, in bytes: more than a process can be started
/// with.
const LARGEST: usize = 64 << 20;

/// One request, as the front hands it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which zygote it is for.
    pub identity: Identity,
    /// What is run and how, as in [`crate::handoff`].
    pub handoff: Vec<u8>,
    /// The file mode creation mask.
    pub umask: u32,
    /// When the request's `--timeout` is over, the time in line included.
    pub deadline: Option<Moment>,
    /// The whole environment of the front.
    pub variables: Variables,
}

impl Call {
    /// The bytes of it.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |part: &[u8]| {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        };
        put(self.identity.as_bytes());
        put(&self.handoff);
        put(&self.umask.to_le_bytes());
        put(&self.deadline.map_or(0, Moment::to_nanos).to_le_bytes());
        for (name, value) in self.variables.iter() {
            put(name);
            put(value);
        }
        bytes
    }

    /// What [`Self::encode`] gave, or nothing if it is damaged.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let identity = Identity::from_bytes(take(&mut bytes)?.to_vec());
        let handoff = take(&mut bytes)?.to_vec();
        let umask = u32::from_le_bytes(take(&mut bytes)?.try_into().ok()?);
        let deadline = u64::from_le_bytes(take(&mut bytes)?.try_into().ok()?);
        let deadline = Some(deadline).filter(|nanos| *nanos > 0).map(Moment::from_nanos);
        let mut pairs = Vec::new();
        while !bytes.is_empty() {
            pairs.push((take(&mut bytes)?, take(&mut bytes)?));
        }
        Some(Self { identity, handoff, umask, deadline, variables: pairs.into_iter().collect() })
    }

    /// Sends it with the descriptors of the request.
    pub fn send(&self, socket: BorrowedFd<'_>, descriptors: [BorrowedFd<'_>; 3]) -> io::Result<()> {
        let body = self.encode();
        let length = (body.len() as u64).to_le_bytes();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        // The descriptors go with the first bytes.
        let mut sent = loop {
            let parts = [IoSlice::new(&length), IoSlice::new(&body)];
            match sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL) {
                Ok(sent) => break sent,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        if sent < length.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        sent -= length.len();
        while sent < body.len() {
            match send(socket, &body[sent..], SendFlags::NOSIGNAL) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Receives one with its descriptors. Nothing: the front is gone, or it is
    /// none.
    pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(Self, [OwnedFd; 3])>> {
        let mut length = [0; 8];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut parts = [IoSliceMut::new(&mut length)];
            match recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => break received.bytes,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        let descriptors: Vec<OwnedFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
        let Ok(descriptors) = <[OwnedFd; 3]>::try_from(descriptors) else { return Ok(None) };
        if received != 8 || length > LARGEST {
            return Ok(None);
        }
        let mut body = vec![0; length];
        Stream(socket).read_exact(&mut body)?;
        Ok(Self::decode(&body).map(|call| (call, descriptors)))
    }
}

fn take<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (part, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}

/// How far a child is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The application's code has changed since it was imported: another
    /// zygote is needed.
    Stale,
    /// This zygote cannot answer, and why. It has not begun.
    Cold(String),
    /// From here on the request is the child's.
    Begun,
    /// The head of the response is on its way: nobody else may answer.
    Head,
    /// The response is over, and this is the exit status.
    Ended(u8),
    /// The child dies of this signal.
    Crashed(u8),
    /// The zygote says it: the child is gone with this exit status, and has
    /// left no word of its own.
    Exited(u8),
    /// The same of one that a signal has killed.
    Killed(u8),
}

impl Reply {
    /// The first byte of [`Reply::Head`], for signal handlers.
    pub const HEAD: u8 = b'H';
    /// The first byte of [`Reply::Ended`], for signal handlers.
    pub const ENDED: u8 = b'X';
    /// The first byte of [`Reply::Crashed`], for signal handlers.
    pub const CRASHED: u8 = b'K';

    /// The bytes of it.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Stale => vec![b'S'],
            Self::Begun => vec![b'B'],
            Self::Head => vec![Self::HEAD],
            Self::Ended(status) => vec![Self::ENDED, *status],
            Self::Crashed(signal) => vec![Self::CRASHED, *signal],
            Self::Exited(status) => vec![b'E', *status],
            Self::Killed(signal) => vec![b'D', *signal],
            Self::Cold(reason) => {
                let mut end = reason.len().min(4000);
                while !reason.is_char_boundary(end) {
                    end -= 1;
                }
                let length = u16::try_from(end).unwrap_or_default();
                [b"C".as_slice(), &length.to_le_bytes(), &reason.as_bytes()[..end]].concat()
            }
        }
    }

    /// Sends it. Whether that was done: a front may be gone.
    pub fn send(&self, socket: impl AsFd) -> bool {
        let bytes = self.encode();
        loop {
            match send(&socket, &bytes, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                sent => return sent == Ok(bytes.len()),
            }
        }
    }

    /// Waits for the next one. Nothing: the child is gone.
    pub fn receive(socket: BorrowedFd<'_>) -> Option<Self> {
        let mut stream = Stream(socket);
        let mut byte = || -> Option<u8> {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            Some(byte[0])
        };
        Some(match byte()? {
            b'S' => Self::Stale,
            b'B' => Self::Begun,
            Self::HEAD => Self::Head,
            Self::ENDED => Self::Ended(byte()?),
            Self::CRASHED => Self::Crashed(byte()?),
            b'E' => Self::Exited(byte()?),
            b'D' => Self::Killed(byte()?),
            b'C' => {
                let length = u16::from_le_bytes([byte()?, byte()?]);
                let mut text = vec![0; length.into()];
                Stream(socket).read_exact(&mut text).ok()?;
                Self::Cold(String::from_utf8_lossy(&text).into_owned())
            }
            _ => return None,
        })
    }
}

/// A socket that is read to what is asked for, whatever interrupts.
pub struct Stream<'s>(pub BorrowedFd<'s>);

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        rustix::io::read(self.0, buffer).map_err(Into::into)
    }
}

/// The user at the other end (`SO_PEERCRED`), or an error.
#[cfg(target_os = "linux")]
pub fn peer_user(socket: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(socket)?.uid.as_raw())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn call() -> Call {
        Call {
            identity: Identity::from_bytes(b"who\0".to_vec()),
            handoff: b"what\xff".to_vec(),
            umask: 0o027,
            deadline: Some(Moment::from_nanos(7)),
            variables: [("A", "1"), ("EMPTY", "")].into_iter().collect(),
        }
    }

    #[test]
    fn a_call_arrives_with_its_descriptors() {
        let (front, child) = UnixStream::pair().expect("sockets");
        let (reader, writer) = UnixStream::pair().expect("sockets");
        let mut large = call();
        large.variables.set("LARGE", vec![b'x'; 1 << 20]);
        let sent = large.clone();
        let sender = std::thread::spawn(move || {
            let descriptors = [reader.as_fd(), writer.as_fd(), front.as_fd()];
            sent.send(front.as_fd(), descriptors).expect("sent");
            (reader, writer, front)
        });
        let (received, descriptors) =
            Call::receive(child.as_fd()).expect("received").expect("a call");
        drop(sender.join().expect("the sender ended"));
        assert_eq!(received, large);
        rustix::io::write(&descriptors[1], b"through").expect("written");
        let mut text = [0; 7];
        Stream(descriptors[0].as_fd()).read_exact(&mut text).expect("read");
        assert_eq!(&text, b"through");
    }

    #[test]
    fn a_damaged_call_is_none() {
        let bytes = call().encode();
        assert_eq!(Call::decode(&bytes), Some(call()));
        for end in 1..bytes.len() {
            let cut = Call::decode(&bytes[..end]);
            assert!(cut != Some(call()), "{end}");
        }
    }

    #[test]
    fn replies_arrive_in_order() {
        let (child, front) = UnixStream::pair().expect("sockets");
        let replies = [
            Reply::Cold("because of ü".into()),
            Reply::Stale,
            Reply::Begun,
            Reply::Head,
            Reply::Ended(3),
            Reply::Crashed(11),
            Reply::Exited(0),
            Reply::Killed(9),
        ];
        for reply in &replies {
            reply.send(&child);
        }
        drop(child);
        for reply in replies {
            assert_eq!(Reply::receive(front.as_fd()), Some(reply));
        }
        assert_eq!(Reply::receive(front.as_fd()), None);
    }

    #[test]
    fn a_front_that_leaves_is_no_call() {
        let (front, child) = UnixStream::pair().expect("sockets");
        drop(front);
        assert!(Call::receive(child.as_fd()).expect("no error").is_none());
    }
}
