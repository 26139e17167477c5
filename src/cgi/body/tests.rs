//! How a body is read, spooled and given up.

use std::fs::File;
use std::io::Write;

use super::spool::IN_MEMORY;
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
fn b10_bytes_for_which_there_is_no_room_are_dropped_and_reading_them_says_so() {
    let sent: Vec<u8> = (0..=250).cycle().take(IN_MEMORY + 9).collect();
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let feeder = std::thread::spawn(move || File::from(writer).write_all(&sent));
    let mut body = Body::new(reader, IN_MEMORY as u64 + 9);
    // A file that takes no bytes.
    body.spool = Spool::in_file(File::open("/dev/null").expect("it is there"));
    while body.undelivered().is_some() {
        body.spool_ready().expect("no room is no error yet");
    }
    feeder.join().expect("no panic").expect("all was taken");
    let kept = usize::try_from(body.spool.len()).expect("it fits");
    read(&mut body, kept).expect("what was kept");
    let error = read(&mut body, 1).expect_err("it is lost").to_string();
    assert!(error.contains("is lost") && error.contains("TMPDIR"), "{error}");
}
