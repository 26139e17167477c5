//! Requests over a loopback connection, one connection each.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::subject::{Sample, Subject};

/// A hang is a failure, never a stuck run.
const PATIENCE: Duration = Duration::from_secs(60);

/// One visitor's request to a server.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    name: String,
    port: u16,
    path: String,
    status: u16,
    expected: &'static str,
    /// Whether it waits for the end of the connection too.
    until_closed: bool,
}

impl Visit {
    pub(crate) fn new(name: &str, port: u16, path: &str, expected: &'static str) -> Self {
        let (name, path) = (name.to_owned(), path.to_owned());
        Self { name, port, path, status: 200, expected, until_closed: false }
    }

    /// Waits until the server closes the connection. Over one that stays open, a visitor's next request would wait as
    /// long.
    pub(crate) fn until_closed(mut self) -> Self {
        self.until_closed = true;
        self
    }

    /// With another status than 200.
    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn answer(&self) -> Result<Vec<u8>> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_read_timeout(Some(PATIENCE)).context("cannot set a timeout")?;
        let path = &self.path;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).context("cannot send the request")?;
        let mut answer = Vec::with_capacity(64 << 10);
        let mut piece = [0; 16 << 10];
        while self.until_closed || !is_whole(&answer) {
            match stream.read(&mut piece).context("cannot read the answer")? {
                0 => break,
                count => answer.extend_from_slice(&piece[..count]),
            }
        }
        Ok(answer)
    }
}

impl Subject for Visit {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self) -> Result<Sample> {
        let start = Instant::now();
        let answer = self.answer()?;
        let seconds = start.elapsed().as_secs_f64();
        let text = String::from_utf8_lossy(&answer);
        ensure!(
            text.starts_with(&format!("HTTP/1.1 {} ", self.status)) && text.contains(self.expected),
            "{} was answered {text:?}, and {} with {:?} was expected",
            self.path,
            self.status,
            self.expected
        );
        Ok(Sample { seconds, peak: None })
    }
}

/// Whether the whole body came, as the head tells. A visitor waits no longer. `mod_cgid` may close the connection 10 ms
/// later: it sleeps if the program still runs when its output has ended.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    if head.contains("\ntransfer-encoding: chunked") {
        return answer.ends_with(b"\r\n0\r\n\r\n");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: Option<usize> = length.and_then(|length| length.trim().parse().ok());
    length.is_some_and(|length| answer.len() >= end + 4 + length)
}

/// A port that nothing listens on.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr().context("no port")?.port())
}

/// Whether a server answers at a port, whatever it is.
pub(crate) fn is_answering(port: u16) -> bool {
    let visit = Visit::new("", port, "/ready", "");
    visit.answer().is_ok_and(|answer| answer.starts_with(b"HTTP/"))
}
