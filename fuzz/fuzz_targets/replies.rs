//! Replies of a worker, as the front reads them: a stream of any bytes, in pieces of any size. A worker shares its
//! process with the application, which can write whatever it likes to the connection.

#![no_main]

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use cgi2wsgi::handoff::Reply;
use cgi2wsgi::handoff::channel::Incoming;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some(reply) = Reply::decode(input) {
        let encoded = reply.encode();
        assert_eq!(received(&encoded, encoded.len()), [reply]);
    }
    let [piece, stream @ ..] = input else { return };
    let piece = usize::from(*piece).max(1);
    assert_eq!(received(stream, piece), received(stream, stream.len().max(1)));
});

/// The replies that a front makes of `stream` when it comes in pieces.
fn received(stream: &[u8], piece: usize) -> Vec<Reply> {
    let (mut worker, front) = UnixStream::pair().expect("sockets");
    let mut incoming = Incoming::default();
    let mut replies = Vec::new();
    for piece in stream.chunks(piece) {
        // The buffer of a socket has room for an input.
        worker.write_all(piece).expect("written");
        incoming.fill(front.as_fd());
        while let Some(reply) = incoming.take() {
            replies.push(reply);
        }
        if incoming.is_over {
            break;
        }
    }
    replies
}
