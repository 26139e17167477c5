//! A reader of a CGI response that notes what it was, for `-w`, `-L` and `--replay`.

use std::io::{self, Read};

use crate::cgi::digest::Digest;

/// The largest head, in bytes.
const LARGEST_HEAD: usize = 1 << 20;

/// Reads a response and notes what it was.
#[derive(Debug)]
pub(super) struct Observed<R> {
    from: R,
    is_body: bool,
    response: Response,
}

/// What a response was.
#[derive(Debug, Default)]
pub(super) struct Response {
    /// The head, as it was sent.
    pub(super) head: Vec<u8>,
    /// The bytes of the body that were read.
    pub(super) bytes: u64,
    /// The digest of these bytes.
    pub(super) digest: Digest,
}

impl<R: Read> Observed<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, is_body: false, response: Response::default() }
    }

    /// What was read.
    pub(super) fn end(self) -> Response {
        self.response
    }
}

impl<R: Read> Read for Observed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        let mut body = &into[..count];
        let head = &mut self.response.head;
        if !self.is_body {
            let before = head.len();
            head.extend_from_slice(body);
            // The end of the head may be split between two reads.
            let from = before.saturating_sub(3);
            let end = head[from..].windows(4).position(|bytes| bytes == b"\r\n\r\n");
            match end.map(|end| from + end + 4) {
                Some(end) => {
                    head.truncate(end);
                    body = &body[end - before..];
                    self.is_body = true;
                }
                None if head.len() > LARGEST_HEAD => return Err(io::ErrorKind::InvalidData.into()),
                None => return Ok(count),
            }
        }
        self.response.bytes += body.len() as u64;
        self.response.digest.add(body);
        Ok(count)
    }
}

impl Response {
    /// The status, if there was a response.
    pub(super) fn status(&self) -> Option<u16> {
        let text = String::from_utf8_lossy(&self.head);
        let first = text.lines().next()?;
        let status = first.strip_prefix("Status: ").or_else(|| first.strip_prefix("HTTP/1.1 "))?;
        status.get(..3)?.parse().ok()
    }

    /// The value of a header field.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.head).into_owned();
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        let field = fields.find(|(found, _)| found.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Slow<'b>(&'b [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(1).min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn head_and_body_are_told_apart_however_they_come() {
        let raw = b"Status: 404 Not Found\r\nLocation: /x\r\n\r\nbo\r\n\r\ndy";
        let mut digest = Digest::default();
        digest.add(b"bo\r\n\r\ndy");
        let readers: [Box<dyn Read>; 2] = [Box::new(&raw[..]), Box::new(Slow(raw))];
        for reader in readers {
            let mut observed = Observed::new(reader);
            let mut all = Vec::new();
            observed.read_to_end(&mut all).expect("memory");
            assert_eq!(all, raw);
            let response = observed.end();
            assert_eq!((response.status(), response.bytes), (Some(404), 8));
            assert_eq!(response.field("location").as_deref(), Some("/x"));
            assert_eq!((response.digest, response.field("X")), (digest, None));
        }
    }
}
