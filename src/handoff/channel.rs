//! The stream socket between a front and a worker: orders with descriptors one way, replies the other.
//!
//! A front never blocks here, because it waits for several things at once. A worker that expects its order does.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::encoding::{self, Length};
use super::reply::Reply;
use crate::timings::Moment;

/// The size limit of an order, in bytes: more than the arguments and the environment of a process can have.
const LARGEST_ORDER: usize = 64 << 20;

/// How much of an order is read at once, before its length is known and after.
const FIRST_PIECE: usize = 16 << 10;
const LARGEST_PIECE: usize = 1 << 20;

/// The size limit of a reply, in bytes.
const LARGEST_REPLY: usize = 1 << 16;

/// The two ends of a new channel, closed on exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// The user at the other end (`SO_PEERCRED`).
pub fn peer_user(socket: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(socket)?.uid.as_raw())
}

/// An order on its way, with its descriptors. These go with one of its bytes, or with one more byte behind it: a
/// receiver that may be stopped gets the order before it has shown that it runs, and the descriptors afterwards.
#[derive(Debug)]
pub struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    has_descriptors: bool,
}

impl Outgoing {
    /// An order that is about to be sent.
    pub fn new(order: &[u8]) -> Self {
        let mut message = encoding::Writer::default();
        message.put(order);
        Self { bytes: message.into_bytes(), sent: 0, has_descriptors: false }
    }

    /// Whether all of it is sent, and its descriptors.
    pub fn is_sent(&self) -> bool {
        self.is_order_sent() && self.has_descriptors
    }

    /// Whether all of it is sent, except the descriptors.
    pub fn is_order_sent(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Sends as much as there is room for; the descriptors only if there are any. An error: the receiver is gone.
    pub fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        descriptors: Option<&[BorrowedFd<'_>]>,
    ) -> io::Result<()> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        loop {
            let descriptors = descriptors.filter(|_| !self.has_descriptors);
            let piece = &self.bytes[self.sent..];
            let piece = match descriptors {
                None if piece.is_empty() => return Ok(()),
                Some(_) if piece.is_empty() => &[0],
                _ => piece,
            };
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if let Some(descriptors) = descriptors {
                control.push(SendAncillaryMessage::ScmRights(descriptors));
            }
            match sendmsg(socket, &[IoSlice::new(piece)], &mut control, flags) {
                Ok(count) => {
                    self.has_descriptors |= descriptors.is_some();
                    self.sent = (self.sent + count).min(self.bytes.len());
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Waits for an order, with its descriptors, until `deadline`. Nothing: the front is gone, or what it sent is no order.
pub fn receive_order(
    socket: BorrowedFd<'_>,
    deadline: Option<Moment>,
) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let wait = || deadline.is_none_or(|deadline| is_readable(socket, deadline));
    let Some((order, mut descriptors)) = receive_order_while(socket, wait)? else {
        return Ok(None);
    };
    let is_whole = receive_descriptors_while(socket, &mut descriptors, wait)?;
    Ok(is_whole.then_some((order, descriptors)))
}

/// Receives an order, and its descriptors if they come with it. `wait` is called before each piece and waits until
/// there is something to read; if it returns false, there is no order.
pub fn receive_order_while(
    socket: BorrowedFd<'_>,
    wait: impl Fn() -> bool,
) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let (mut bytes, mut descriptors) = (Vec::with_capacity(FIRST_PIECE), Vec::new());
    loop {
        let wanted = match encoding::length(&bytes) {
            Length::Damaged => return Ok(None),
            Length::Incomplete => FIRST_PIECE,
            Length::Known { length, .. } if length > LARGEST_ORDER => return Ok(None),
            Length::Known { length, start } => {
                let end = start + length;
                if bytes.len() >= end {
                    bytes.truncate(end);
                    bytes.drain(..start);
                    return Ok(Some((bytes, descriptors)));
                }
                (end - bytes.len()).min(LARGEST_PIECE)
            }
        };
        if !wait() {
            return Ok(None);
        }
        let filled = bytes.len();
        bytes.resize(filled + wanted, 0);
        let count = receive(socket, &mut bytes[filled..], &mut descriptors, RecvFlags::empty())?;
        bytes.truncate(filled + count);
        if count == 0 {
            return Ok(None);
        }
    }
}

/// Receives the descriptors that belong to an order, unless they have come with it. False: they do not come.
pub fn receive_descriptors_while(
    socket: BorrowedFd<'_>,
    descriptors: &mut Vec<OwnedFd>,
    wait: impl Fn() -> bool,
) -> io::Result<bool> {
    if descriptors.is_empty() && wait() {
        receive(socket, &mut [0], descriptors, RecvFlags::empty())?;
    }
    Ok(!descriptors.is_empty())
}

/// Waits until there is something to read. False: nothing came in time.
pub fn is_readable(socket: BorrowedFd<'_>, deadline: Moment) -> bool {
    loop {
        let timeout = Timespec::try_from(deadline.left()).ok();
        match poll(&mut [PollFd::new(&socket, PollFlags::IN)], timeout.as_ref()) {
            Err(Errno::INTR) => {}
            ready => return ready.is_ok_and(|ready| ready > 0),
        }
    }
}

fn receive(
    socket: BorrowedFd<'_>,
    into: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
    flags: RecvFlags,
) -> io::Result<usize> {
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(into)];
        match recvmsg(socket, &mut parts, &mut control, flags | RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => {
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(received) = message {
                        descriptors.extend(received);
                    }
                }
                return Ok(received.bytes);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends a reply, with `descriptor` if there is one. False: it was not sent, for example because the front is gone.
pub fn send_reply(socket: impl AsFd, reply: &Reply, descriptor: Option<BorrowedFd<'_>>) -> bool {
    let bytes = reply.encode();
    let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        match sendmsg(&socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            sent => return sent == Ok(bytes.len()),
        }
    }
}

/// The replies that have come, with the descriptors that came with them.
#[derive(Debug, Default)]
pub struct Incoming {
    bytes: Vec<u8>,
    /// What came with [`Reply::Begun`].
    pub descriptors: Vec<OwnedFd>,
    /// Whether nothing more can come.
    pub is_over: bool,
}

impl Incoming {
    /// Takes what has come, without waiting.
    pub fn fill(&mut self, socket: BorrowedFd<'_>) {
        while self.fill_at_most(socket, 4096) {}
    }

    /// Takes at most `most` bytes. False: there were none.
    pub fn fill_at_most(&mut self, socket: BorrowedFd<'_>, most: usize) -> bool {
        let mut piece = [0; 4096];
        let piece = &mut piece[..most.min(4096)];
        match receive(socket, piece, &mut self.descriptors, RecvFlags::DONTWAIT) {
            Ok(count) if count > 0 => {
                self.bytes.extend_from_slice(&piece[..count]);
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => self.is_over = true,
        }
        false
    }

    /// The next reply. Bytes that are no reply end the stream.
    pub fn take(&mut self) -> Option<Reply> {
        let reply = match encoding::length(&self.bytes) {
            Length::Incomplete => return None,
            Length::Known { length, start } if length <= LARGEST_REPLY => {
                let end = start + length;
                if self.bytes.len() < end {
                    return None;
                }
                let reply = Reply::decode(&self.bytes[start..end]);
                self.bytes.drain(..end);
                reply
            }
            _ => None,
        };
        if reply.is_none() {
            self.is_over = true;
            self.bytes.clear();
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn an_order_that_is_larger_than_the_socket_arrives_with_its_descriptors() {
        let (front, worker) = pair().expect("sockets");
        let (mut reader, writer) = UnixStream::pair().expect("sockets");
        let order = vec![b'x'; 2 << 20];
        let mut outgoing = Outgoing::new(&order);
        std::thread::scope(|scope| {
            let receiver = scope.spawn(|| receive_order(worker.as_fd(), None));
            while !outgoing.is_sent() {
                let descriptors = [writer.as_fd()];
                outgoing.send(front.as_fd(), Some(&descriptors)).expect("the other end receives");
            }
            let (arrived, descriptors) =
                receiver.join().expect("it ends").expect("received").expect("an order");
            assert_eq!(arrived, order);
            let [descriptor] = <[OwnedFd; 1]>::try_from(descriptors).expect("one");
            UnixStream::from(descriptor).write_all(b"through").expect("written");
        });
        let mut text = [0; 7];
        reader.read_exact(&mut text).expect("read");
        assert_eq!(&text, b"through");
    }

    #[test]
    fn descriptors_follow_an_order_that_was_sent_without_them() {
        let (front, worker) = pair().expect("sockets");
        let (_reader, writer) = UnixStream::pair().expect("sockets");
        let mut outgoing = Outgoing::new(b"order");
        outgoing.send(front.as_fd(), None).expect("sent");
        assert!(outgoing.is_order_sent() && !outgoing.is_sent());
        let received = receive_order_while(worker.as_fd(), || true).expect("received");
        let (order, mut descriptors) = received.expect("an order");
        assert_eq!((order.as_slice(), descriptors.len()), (b"order".as_slice(), 0));
        let soon = || is_readable(worker.as_fd(), Moment::now());
        let whole = receive_descriptors_while(worker.as_fd(), &mut descriptors, soon);
        assert!(!whole.expect("no error"), "they were not sent yet");
        for _ in 0..2 {
            outgoing.send(front.as_fd(), Some(&[writer.as_fd()])).expect("sent");
        }
        assert!(outgoing.is_sent());
        let whole = receive_descriptors_while(worker.as_fd(), &mut descriptors, soon);
        assert!(whole.expect("no error"));
        assert_eq!(descriptors.len(), 1);
        assert!(!soon(), "they are sent once");
    }

    #[test]
    fn an_order_is_whole_with_its_descriptors() {
        let (front, worker) = pair().expect("sockets");
        let mut outgoing = Outgoing::new(b"order");
        outgoing.send(front.as_fd(), None).expect("sent");
        drop(front);
        assert!(receive_order(worker.as_fd(), None).expect("no error").is_none());
    }

    #[test]
    fn replies_arrive_in_order_in_pieces_of_any_size() {
        let (worker, front) = UnixStream::pair().expect("sockets");
        let replies = [Reply::Hello("b".into()), Reply::Begun(1), Reply::Head, Reply::Exits];
        let bytes: Vec<u8> = replies.iter().flat_map(Reply::encode).collect();
        let mut incoming = Incoming::default();
        let mut received = Vec::new();
        for byte in bytes {
            (&worker).write_all(&[byte]).expect("written");
            incoming.fill(front.as_fd());
            received.extend(incoming.take());
        }
        assert_eq!(received, replies);
        assert!(!incoming.is_over);
        drop(worker);
        incoming.fill(front.as_fd());
        assert!(incoming.is_over && incoming.take().is_none());
    }

    #[test]
    fn noise_is_the_end() {
        for noise in [b"x".as_slice(), b"3:1:Z", b"99999999:", b"1:B"] {
            let (mut worker, front) = UnixStream::pair().expect("sockets");
            worker.write_all(noise).expect("written");
            let mut incoming = Incoming::default();
            incoming.fill(front.as_fd());
            assert!(incoming.take().is_none() && incoming.is_over, "{noise:?}");
        }
    }

    #[test]
    fn a_front_that_says_half_of_it_holds_a_worker_no_longer_than_the_deadline() {
        let (front, worker) = pair().expect("sockets");
        rustix::io::write(&front, b"5:ab").expect("written");
        let deadline = Moment::now() + std::time::Duration::from_millis(20);
        assert!(receive_order(worker.as_fd(), Some(deadline)).expect("no error").is_none());
        assert_eq!(deadline.left(), std::time::Duration::ZERO);
    }

    #[test]
    fn a_front_that_leaves_has_no_order() {
        let (front, worker) = pair().expect("sockets");
        drop(front);
        assert!(receive_order(worker.as_fd(), None).expect("no error").is_none());
    }
}
