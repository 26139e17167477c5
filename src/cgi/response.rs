//! One response, from its head to its last byte: when the head is sent (R10), what is corrected in it (R6 to R9), how
//! the body compares with the length it declared (R7), and its last byte, which is held back (P8).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

use super::body::{Body, OnInterrupt};
use super::digest::Digest;
use super::head::{Form, Head};
use super::output::Output;
use super::request::{Request, Scheme};
use super::variables::Variables;

/// Is called before the head is sent.
pub trait BeforeHead: Send {
    /// Adds the fields that depend on the time.
    fn complete(&mut self, head: &mut Head);

    /// The head is sent next; after an error it is not.
    fn announce(&mut self) -> io::Result<()>;
}

/// The response to one request.
pub struct Response {
    output: Output,
    form: Form,
    head: Option<Head>,
    is_head_request: bool,
    scheme: Scheme,
    /// How deep the path of the request is, for the relative form of a `Location` (R9).
    depth: usize,
    /// The longest header line that the server passes on, in bytes, and its name.
    longest_line: (usize, &'static str),
    sent: bool,
    declared: Option<u64>,
    written: u64,
    /// The last byte of a response of known length, which is held back: the client does not wait for more after it
    /// (P8).
    last: Option<u8>,
    too_long: bool,
    digest: Option<Digest>,
    warnings: Vec<String>,
    before_head: Option<Box<dyn BeforeHead>>,
}

impl Response {
    /// The response to `request`, to be written to `output`.
    pub fn to(
        request: &Request,
        output: Output,
        form: Form,
        before_head: Option<Box<dyn BeforeHead>>,
    ) -> Self {
        let variables = &request.variables;
        Self {
            output,
            form,
            head: None,
            is_head_request: variables.get("REQUEST_METHOD") == Some(b"HEAD"),
            scheme: request.scheme,
            depth: depth(variables),
            longest_line: longest_line(variables.get("SERVER_SOFTWARE").unwrap_or_default()),
            sent: false,
            declared: None,
            written: 0,
            last: None,
            too_long: false,
            digest: None,
            warnings: Vec::new(),
            before_head,
        }
    }

    /// Whether the application has called `start_response`.
    pub fn has_head(&self) -> bool {
        self.head.is_some()
    }

    /// The status code that the application has given.
    pub fn code(&self) -> Option<u16> {
        self.head.as_ref().map(Head::code)
    }

    /// Whether the head is on its way to the client.
    pub fn is_head_sent(&self) -> bool {
        self.sent
    }

    /// Whether all that the head declares is sent, except the byte that is held back.
    pub fn is_whole(&self) -> bool {
        self.sent && (!self.has_body_on_the_wire() || self.declared == Some(self.written))
    }

    /// How many bytes of the body were sent, as far as a write tells.
    pub fn bytes(&self) -> u64 {
        if self.has_body_on_the_wire() { self.written } else { 0 }
    }

    /// Computes [`Self::digest`] from now on.
    pub fn digest_body(&mut self) {
        self.digest = Some(Digest::default());
    }

    /// The digest of what was sent of the body, if it was asked for.
    pub fn digest(&self) -> Option<u64> {
        self.digest.map(Digest::value)
    }

    /// Stores the head, in place of an earlier one that was not sent.
    pub fn set_head(&mut self, head: Head) {
        debug_assert!(!self.sent);
        self.head = Some(head);
    }

    /// The warnings for standard error; each is returned once.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Declares the length of the whole body (R7), if the application has not and the response may have one.
    pub fn declare_length(&mut self, length: u64) {
        // An application may leave the body out of its answer to HEAD: then
        // its length is not that of the answer to GET.
        if self.is_head_request && length == 0 {
            return;
        }
        if let Some(head) = self.head.as_mut().filter(|_| !self.sent)
            && head.allows_body()
            && head.get("Content-Length").is_none()
        {
            head.set("Content-Length", length.to_string().as_bytes());
        }
    }

    /// Sends a piece of the body, and before it the head if that is not sent yet. An empty piece sends nothing, not
    /// even the head (R10). False: the body is longer than declared and was cut (R7).
    pub fn write(
        &mut self,
        chunk: &[u8],
        body: &Mutex<Body>,
        interrupted: OnInterrupt<'_>,
    ) -> io::Result<bool> {
        if chunk.is_empty() {
            return Ok(true);
        }
        let head = self.take_head(true);
        let chunk = &chunk[..self.admitted(chunk.len())];
        self.send(&head, chunk, body, interrupted)?;
        let is_sent = self.has_body_on_the_wire();
        if let Some(digest) = self.digest.as_mut().filter(|_| is_sent) {
            digest.add(chunk);
        }
        Ok(!self.too_long)
    }

    /// R14: sends the rest of a regular file, up to the declared length.
    pub fn write_file(
        &mut self,
        file: &File,
        body: &Mutex<Body>,
        interrupted: OnInterrupt<'_>,
    ) -> io::Result<()> {
        let size = rustix::fs::fstat(file)?.st_size;
        let position = rustix::fs::tell(file)?;
        let rest = u64::try_from(size).unwrap_or(0).saturating_sub(position);
        if rest == 0 {
            return Ok(());
        }
        let head = self.take_head(true);
        self.send(&head, &[], body, interrupted)?;
        // A file that is longer than declared is cut, like any body.
        let most = self.admitted(usize::try_from(rest).unwrap_or(usize::MAX)) as u64;
        if self.has_body_on_the_wire() && most > 0 {
            let unheld = most - u64::from(self.is_whole());
            let mut written = self.output.send_file(file, unheld, body, interrupted)?;
            let mut last = [0];
            if unheld < most && written == unheld && file.read_at(&mut last, position + unheld)? > 0
            {
                self.last = Some(last[0]);
                written += 1;
            }
            self.written -= most - written;
            self.digest_file(file, position, written)?;
        }
        Ok(())
    }

    /// Adds the bytes that were sent of a file. The kernel sent them, so they are read here.
    fn digest_file(&mut self, file: &File, mut position: u64, mut left: u64) -> io::Result<()> {
        let Some(digest) = &mut self.digest else { return Ok(()) };
        let mut piece = vec![0; 64 << 10];
        while left > 0 {
            let most = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = file.read_at(&mut piece[..most], position)?;
            if count == 0 {
                break;
            }
            digest.add(&piece[..count]);
            position += count as u64;
            left -= count as u64;
        }
        Ok(())
    }

    /// Ends the response. False: the body is shorter than it declared (R7).
    pub fn finish(&mut self, body: &Mutex<Body>, interrupted: OnInterrupt<'_>) -> io::Result<bool> {
        if !self.sent {
            self.declare_length(0);
            let head = self.take_head(false);
            self.send(&head, &[], body, interrupted)?;
        }
        if !self.has_body_on_the_wire() {
            return Ok(true);
        }
        if self.too_long {
            self.warnings.push(format!(
                "the body is longer than its Content-Length, {}: it was cut there",
                self.written
            ));
        }
        match self.declared {
            Some(declared) if self.written < declared => {
                self.warnings.push(format!(
                    "the body has {} bytes and its Content-Length says {declared}",
                    self.written
                ));
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    /// Leaves standard output open until this process ends. Returns the byte that is to be sent after that.
    pub fn hold(self) -> Option<u8> {
        self.output.hold();
        self.last
    }

    /// Closes standard output: the server has the whole response.
    pub fn close(self, body: &Mutex<Body>, interrupted: OnInterrupt<'_>) -> io::Result<()> {
        let last = self.output.write_all(self.last.as_slice(), &[], body, interrupted);
        self.output.close();
        last
    }

    /// How much of a piece of `length` bytes goes into the body (R7).
    fn admitted(&mut self, length: usize) -> usize {
        let room = self.declared.map_or(u64::MAX, |declared| declared - self.written);
        let admitted = length.min(usize::try_from(room).unwrap_or(usize::MAX));
        self.too_long |= admitted < length;
        self.written += admitted as u64;
        admitted
    }

    fn has_body_on_the_wire(&self) -> bool {
        !self.is_head_request && self.head.as_ref().is_none_or(Head::allows_body)
    }

    /// The head as bytes, if it is not sent yet, with everything corrected that a server would misunderstand.
    fn take_head(&mut self, has_body: bool) -> Vec<u8> {
        if self.sent {
            return Vec::new();
        }
        let Some(head) = &mut self.head else { return Vec::new() };
        match head.code() {
            204 => head.remove("Content-Length"),
            // Unlike with 204 and 304, the status alone does not tell where the response ends.
            205 => head.set("Content-Length", b"0"),
            _ => {}
        }
        for name in ["Content-Type", "Location"] {
            let count = head.keep_last(name);
            if count > 1 {
                self.warnings.push(format!(
                    "the response has {count} {name} headers and may have only one: the last one, {:?}, is sent",
                    String::from_utf8_lossy(head.get(name).unwrap_or_default())
                ));
            }
        }
        if has_body && head.allows_body() && head.get("Content-Type").is_none() {
            self.warnings.push(
                "the response has a body and no Content-Type: sent as application/octet-stream, \
                 because servers guess a type from the script's name"
                    .into(),
            );
            head.set("Content-Type", b"application/octet-stream");
        }
        if let Some(location) = head.get("Location").filter(|_| head.code() == 200)
            && location.starts_with(b"/")
        {
            let harmless = harmless_location(location, self.scheme, self.depth);
            self.warnings.push(format!(
                "status 200 with Location {:?} would make the server throw the body away and \
                 redirect internally: sent as {:?}; a redirect needs a 3xx status",
                String::from_utf8_lossy(location),
                String::from_utf8_lossy(&harmless)
            ));
            head.set("Location", &harmless);
        }
        if let Some(before_head) = &mut self.before_head {
            before_head.complete(head);
        }
        let (longest, server) = self.longest_line;
        for (name, value) in head.fields() {
            let length = name.len() + value.len() + 4;
            if length > longest {
                self.warnings.push(format!(
                    "the header {} is {length} bytes long: over {longest} {server} may answer 500",
                    String::from_utf8_lossy(name)
                ));
            }
        }
        self.declared = head
            .get("Content-Length")
            .filter(|_| !self.is_head_request && head.allows_body())
            .and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        head.encode(self.form)
    }

    /// Sends the head and a piece of the body in one write (R2), except the last byte of the response.
    fn send(
        &mut self,
        head: &[u8],
        chunk: &[u8],
        body: &Mutex<Body>,
        interrupted: OnInterrupt<'_>,
    ) -> io::Result<()> {
        let chunk = if self.has_body_on_the_wire() { chunk } else { &[] };
        if !head.is_empty() {
            if let Some(before_head) = &mut self.before_head {
                before_head.announce()?;
            }
            self.sent = true;
        }
        if !self.is_whole() {
            return self.output.write_all(head, chunk, body, interrupted);
        }
        let (head, chunk, last) = match (chunk.split_last(), head.split_last()) {
            (Some((last, chunk)), _) => (head, chunk, Some(*last)),
            (None, Some((last, head))) => (head, chunk, Some(*last)),
            (None, None) => return Ok(()),
        };
        self.output.write_all(head, chunk, body, interrupted)?;
        self.last = last;
        Ok(())
    }
}

/// How many slashes the path of the request has.
fn depth(variables: &Variables) -> usize {
    let slashes = |text: &[u8]| text.split(|byte| *byte == b'/').count() - 1;
    match variables.get_nonempty("REQUEST_URI") {
        Some(uri) => slashes(uri.split(|byte| *byte == b'?').next().unwrap_or_default()),
        None => ["SCRIPT_NAME", "PATH_INFO"]
            .iter()
            .map(|name| slashes(variables.get(name).unwrap_or_default()))
            .sum(),
    }
}

/// R9, R19: the same address, relative to the request's path, so that no server takes it for a local redirect (RFC 3875
/// 6.2.2). An absolute URL would do too, but with `UseCanonicalName` off every name of this host comes from the client.
fn harmless_location(location: &[u8], scheme: Scheme, depth: usize) -> Vec<u8> {
    if location.starts_with(b"//") {
        return [scheme.as_str().as_bytes(), b":", location].concat();
    }
    let up = b"../".repeat(depth.saturating_sub(1));
    [b"./".as_slice(), &up, &location[1..]].concat()
}

/// R15: how long a header line the server passes on, in bytes with its line end, and the server's name.
fn longest_line(server_software: &[u8]) -> (usize, &'static str) {
    for (name, shown) in
        [(b"Apache".as_slice(), "Apache"), (b"lighttpd", "lighttpd"), (b"nginx", "nginx")]
    {
        if server_software.starts_with(name) {
            return (8192, shown);
        }
    }
    (1024, "Caddy")
}

#[cfg(test)]
mod tests;
