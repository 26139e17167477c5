//! One request in progress: a connection or a pipe that is read while the request is still being written, so that an
//! early answer is seen. A case can read it piece by piece to watch a stream. Every wait has a deadline: a hang is a
//! failure with a message.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::harness::http::{Body, Framing, Head, Request, printable};
use crate::harness::process::{End, PATIENCE, Running, until, wait_readable};

/// Which form the answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Http,
    Cgi,
}

/// How long after the answer a server may take to write its log.
const LOG_PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Exchange {
    incoming: File,
    deadline: Instant,
    received: Vec<u8>,
    closed: bool,
    form: Form,
    method: String,
    head: Option<(Head, usize)>,
    upload: Upload,
    process: Option<Running>,
    log: LogWindow,
}

/// How the request is sent.
enum Upload {
    Connection(TcpStream),
    Pipe(Option<JoinHandle<Option<ChildStdin>>>),
}

impl Exchange {
    /// Sends a request to a web server.
    pub(crate) fn over_http(
        address: SocketAddr,
        prefix: &str,
        request: &Request,
        log: LogWindow,
    ) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("no server at {address}"))?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        let wire = request.wire(prefix, &address.to_string());
        let cut_short = matches!(request.body, Body::CutShort { .. });
        let mut outgoing = stream.try_clone().context("cannot clone a connection")?;
        let connection = stream.try_clone().context("cannot clone a connection")?;
        // A server that has answered already may not read the rest: that is no failure.
        std::thread::spawn(move || {
            if outgoing.write_all(&wire).is_ok() && cut_short {
                let _ = outgoing.shutdown(Shutdown::Write);
            }
        });
        Ok(Self::new(stream.into(), Form::Http, request, Upload::Connection(connection), log))
    }

    /// Feeds a CGI program that was started with pipes.
    pub(crate) fn with_program(
        mut process: Running,
        request: &Request,
        log: LogWindow,
    ) -> Result<Self> {
        let stdout =
            process.child().stdout.take().context("the program has no pipe to read from")?;
        let upload = process.child().stdin.take().map(|mut stdin| {
            let bytes = request.body_bytes();
            let close = matches!(request.body, Body::Chunked(_) | Body::CutShort { .. });
            std::thread::spawn(move || {
                let _ = stdin.write_all(&bytes);
                // A server need not close the body's pipe (RFC 3875 4.2), so without `close` it stays open.
                (!close).then_some(stdin)
            })
        });
        let mut exchange =
            Self::new(OwnedFd::from(stdout), Form::Cgi, request, Upload::Pipe(upload), log);
        exchange.process = Some(process);
        Ok(exchange)
    }

    fn new(
        incoming: OwnedFd,
        form: Form,
        request: &Request,
        upload: Upload,
        log: LogWindow,
    ) -> Self {
        Self {
            incoming: incoming.into(),
            deadline: Instant::now() + PATIENCE,
            received: Vec::new(),
            closed: false,
            form,
            method: request.method.clone(),
            head: None,
            upload,
            process: None,
            log,
        }
    }

    /// Waits until the body contains `wanted`.
    pub(crate) fn body_until(&mut self, wanted: &[u8]) -> Result<()> {
        loop {
            let (body, whole) = self.body()?;
            if body.windows(wanted.len()).any(|part| part == wanted) {
                return Ok(());
            }
            ensure!(
                !whole && !self.closed,
                "the body ended without {}: {}",
                printable(wanted),
                printable(&body)
            );
            self.receive().with_context(|| format!("waiting for {}", printable(wanted)))?;
        }
    }

    /// The program that answers, where there is no server in between.
    pub(crate) fn process(&mut self) -> Result<&mut Running> {
        self.process.as_mut().context("the program belongs to the server")
    }

    /// Disconnects, like a visitor who closes the browser.
    pub(crate) fn hang_up(self) -> Abandoned {
        if let Upload::Connection(connection) = &self.upload {
            let _ = connection.shutdown(Shutdown::Both);
        }
        Abandoned { process: self.process, log: self.log }
    }

    pub(crate) fn log(&self) -> LogWindow {
        self.log.clone()
    }

    /// Waits for the whole answer.
    pub(crate) fn finish(mut self) -> Result<Answer> {
        while !self.closed {
            self.receive()?;
        }
        let (body, whole) = self.body()?;
        let (head, _) = self.head.take().context("no head")?;
        let end = self.process.as_mut().map(|process| process.wait(PATIENCE)).transpose()?;
        if let Upload::Pipe(upload) = &mut self.upload {
            // The process has ended, so the writer cannot block; stdin was open until here.
            drop(upload.take().map(JoinHandle::join));
        }
        Ok(Answer { head, body, whole, end })
    }

    fn body(&mut self) -> Result<(Vec<u8>, bool)> {
        self.parse_head()?;
        let (head, length) = self.head.as_ref().context("no head")?;
        Framing::from_head(head, &self.method)?.decode(&self.received[*length..], self.closed)
    }

    fn parse_head(&mut self) -> Result<()> {
        while self.head.is_none() {
            self.head = match self.form {
                Form::Http => Head::of_http(&self.received)?,
                Form::Cgi => Head::of_cgi(&self.received)?,
            };
            if self.head.is_none() {
                ensure!(
                    !self.closed,
                    "the answer ended without a whole head: {}",
                    printable(&self.received)
                );
                self.receive()?;
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<()> {
        let so_far = |received: &[u8]| format!("so far came: {}", printable(received));
        wait_readable(self.incoming.as_fd(), self.deadline)
            .with_context(|| so_far(&self.received))?;
        let mut piece = vec![0; 64 * 1024];
        let count = self.incoming.read(&mut piece).with_context(|| so_far(&self.received))?;
        self.received.extend_from_slice(&piece[..count]);
        self.closed = count == 0;
        Ok(())
    }
}

/// What is left of an exchange whose client has closed the connection.
pub(crate) struct Abandoned {
    /// The program, where there is no server in between.
    pub(crate) process: Option<Running>,
    pub(crate) log: LogWindow,
}

/// A whole answer, and what else can be known of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to the end that its framing declares.
    pub(crate) whole: bool,
    /// How the program ended, where there is no server in between.
    pub(crate) end: Option<End>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn status(&self, expected: u16) -> Result<&Self> {
        ensure!(self.head.status == expected, "status {}, not {expected}", self.head.status);
        Ok(self)
    }

    /// The header is there once and has this value.
    pub(crate) fn header(&self, name: &str, expected: &str) -> Result<&Self> {
        let values = self.head.all(name);
        ensure!(
            values == [expected.as_bytes()],
            "{name} is {:?}, not {expected:?}",
            values.iter().map(|value| value.escape_ascii().to_string()).collect::<Vec<_>>()
        );
        Ok(self)
    }

    pub(crate) fn no_header(&self, name: &str) -> Result<&Self> {
        let values = self.head.all(name);
        ensure!(values.is_empty(), "{name} is there: {}", printable(&values.concat()));
        Ok(self)
    }

    pub(crate) fn body(&self, expected: impl AsRef<[u8]>) -> Result<&Self> {
        let expected = expected.as_ref();
        ensure!(self.body == expected, "the body is not {}", printable(expected));
        Ok(self)
    }

    /// See [`is_page`].
    pub(crate) fn page(&self, line: &str) -> Result<&Self> {
        ensure!(is_page(&self.text(), line), "the body is not {line:?} and a number");
        Ok(self)
    }

    pub(crate) fn contains(&self, part: &str) -> Result<&Self> {
        ensure!(self.text().contains(part), "the body has no {part:?}");
        Ok(self)
    }

    pub(crate) fn lacks(&self, part: &str) -> Result<&Self> {
        ensure!(!self.text().contains(part), "the body has {part:?}");
        Ok(self)
    }

    /// The exit status, which only the shell shows.
    pub(crate) fn exit_code(&self, expected: i32) -> Result<&Self> {
        let matches = self.end.is_none_or(|end| end == End::Code(expected));
        ensure!(matches, "ended with {:?}, not {:?}", self.end, End::Code(expected));
        Ok(self)
    }

    /// The answer as a failure's message shows it.
    pub(crate) fn summary(&self) -> String {
        let mut lines = vec![format!("{} {}", self.head.status, self.head.reason)];
        let fields = self.head.headers.iter();
        lines.extend(fields.map(|(name, value)| format!("{name}: {}", value.escape_ascii())));
        lines.push(String::new());
        lines.push(printable(&self.body));
        lines.join("\n    ")
    }
}

/// Whether a body is what the front answers in place of the application: a line, and the number of the request.
pub(crate) fn is_page(body: &str, line: &str) -> bool {
    let number = body.strip_prefix(line).and_then(|rest| rest.strip_prefix("Request "));
    number.and_then(|rest| rest.strip_suffix('\n')).is_some_and(|number| number.len() == 8)
}

/// What a server's error log, or a program's stderr, has said since a request began.
#[derive(Clone, Debug)]
pub(crate) struct LogWindow {
    file: PathBuf,
    start: usize,
    /// Caddy quotes what it logs as JSON.
    quoted: bool,
}

impl LogWindow {
    pub(crate) fn from_start(file: &Path) -> Self {
        Self { file: file.to_owned(), start: 0, quoted: false }
    }

    pub(crate) fn from_now(file: &Path, quoted: bool) -> Self {
        let length = fs::metadata(file).map_or(0, |metadata| metadata.len());
        Self { file: file.to_owned(), start: usize::try_from(length).unwrap_or(0), quoted }
    }

    pub(crate) fn text(&self) -> Result<String> {
        let bytes =
            fs::read(&self.file).with_context(|| format!("no log {}", self.file.display()))?;
        let text =
            String::from_utf8_lossy(bytes.get(self.start..).unwrap_or_default()).into_owned();
        Ok(if self.quoted { unquote(&text) } else { text })
    }

    /// Waits until the log says `wanted`: a server may write it after the answer.
    pub(crate) fn wait_for(&self, wanted: &str) -> Result<()> {
        until(LOG_PATIENCE, &format!("{wanted:?} in the log"), || {
            Ok(self.text()?.contains(wanted).then_some(()))
        })
    }
}

/// Undoes the escapes of a JSON string, well enough to search in it.
fn unquote(text: &str) -> String {
    let escapes = [
        ("\\n", "\n"),
        ("\\t", "\t"),
        ("\\\"", "\""),
        ("\\u003c", "<"),
        ("\\u003e", ">"),
        ("\\u0026", "&"),
    ];
    let unescaped = escapes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    unescaped.replace("\\\\", "\\")
}
