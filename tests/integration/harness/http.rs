//! Requests as bytes and responses from bytes: what goes over the wire to a web server, and what comes back from
//! it or from a CGI program. Nothing is normalised: order, duplicates and raw bytes stay as they were. The
//! connection itself is in `exchange.rs`.

use anyhow::{Context, Result, bail, ensure};

/// What a client asks for, below the mount of an application.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query as they are on the wire, after the mount's prefix.
    pub(crate) target: Vec<u8>,
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Empty,
    /// Sent with its Content-Length. A CGI program's standard input stays open after it (B1).
    Whole(Vec<u8>),
    /// Sent in chunks without a Content-Length.
    Chunked(Vec<Vec<u8>>),
    /// Shorter than its declared length; then the sending side is closed (B3).
    CutShort {
        declared: usize,
        bytes: Vec<u8>,
    },
}

impl Request {
    pub(crate) fn new(method: &str, target: impl AsRef<[u8]>) -> Self {
        Self {
            method: method.to_owned(),
            target: target.as_ref().to_vec(),
            headers: Vec::new(),
            body: Body::Empty,
        }
    }

    pub(crate) fn get(target: impl AsRef<[u8]>) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: impl AsRef<[u8]>, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).body(Body::Whole(body.into()))
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn path(&self) -> &[u8] {
        let end = self.target.iter().position(|byte| *byte == b'?');
        &self.target[..end.unwrap_or(self.target.len())]
    }

    pub(crate) fn query(&self) -> &[u8] {
        let start = self.target.iter().position(|byte| *byte == b'?');
        start.map_or(b"", |mark| &self.target[mark + 1..])
    }

    /// The request as HTTP/1.1 on a connection that is closed after it.
    pub(crate) fn wire(&self, prefix: &str, authority: &str) -> Vec<u8> {
        let mut wire = Vec::new();
        wire.extend_from_slice(self.method.as_bytes());
        wire.push(b' ');
        wire.extend_from_slice(prefix.as_bytes());
        wire.extend_from_slice(&self.target);
        wire.extend_from_slice(b" HTTP/1.1\r\n");
        let mut field = |name: &[u8], value: &[u8]| {
            wire.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
        };
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"host")) {
            field(b"Host", authority.as_bytes());
        }
        field(b"Connection", b"close");
        for (name, value) in &self.headers {
            field(name, value);
        }
        match &self.body {
            Body::Empty => {}
            Body::Whole(bytes) => field(b"Content-Length", bytes.len().to_string().as_bytes()),
            Body::CutShort { declared, .. } => {
                field(b"Content-Length", declared.to_string().as_bytes());
            }
            Body::Chunked(_) => field(b"Transfer-Encoding", b"chunked"),
        }
        wire.extend_from_slice(b"\r\n");
        match &self.body {
            Body::Empty => {}
            Body::Whole(bytes) | Body::CutShort { bytes, .. } => wire.extend_from_slice(bytes),
            Body::Chunked(chunks) => {
                for chunk in chunks {
                    wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    wire.extend_from_slice(chunk);
                    wire.extend_from_slice(b"\r\n");
                }
                wire.extend_from_slice(b"0\r\n\r\n");
            }
        }
        wire
    }

    /// The body's bytes without any framing: a CGI program's standard input.
    pub(crate) fn body_bytes(&self) -> Vec<u8> {
        match &self.body {
            Body::Empty => Vec::new(),
            Body::Whole(bytes) | Body::CutShort { bytes, .. } => bytes.clone(),
            Body::Chunked(chunks) => chunks.concat(),
        }
    }
}

/// How many headers a response may have.
const MOST_HEADERS: usize = 2000;

/// A response's status line and headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// In the order of the wire.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// The values of all headers of one name.
    pub(crate) fn all(&self, name: &str) -> Vec<&[u8]> {
        let named = self.headers.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice()).collect()
    }

    /// The value of a header that occurs exactly once.
    pub(crate) fn one(&self, name: &str) -> Option<&[u8]> {
        match self.all(name)[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// Reads the head of an HTTP response at the start of `bytes`, after any interim responses. Returns nothing
    /// while it is incomplete, else the head and its length.
    pub(crate) fn of_http(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        let mut start = 0;
        loop {
            let mut fields = vec![httparse::EMPTY_HEADER; MOST_HEADERS];
            let mut response = httparse::Response::new(&mut fields);
            let parsed = response
                .parse(&bytes[start..])
                .with_context(|| format!("no HTTP response: {}", printable(&bytes[start..])))?;
            let httparse::Status::Complete(length) = parsed else {
                return Ok(None);
            };
            start += length;
            let status = response.code.context("a response without a status")?;
            if (100..200).contains(&status) {
                continue;
            }
            let reason = response.reason.unwrap_or_default().to_owned();
            return Ok(Some((Self { status, reason, headers: owned(response.headers) }, start)));
        }
    }

    /// Reads the head of a CGI response (RFC 3875 6.2), as strictly as the strictest server would: `Status`
    /// first and spelt so, every line ended by CRLF (R1, R2).
    pub(crate) fn of_cgi(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        const END: &[u8] = b"\r\n\r\n";
        let Some(end) = bytes.windows(END.len()).position(|four| four == END) else {
            return Ok(None);
        };
        let length = end + END.len();
        let text = &bytes[..length];
        let bare = text.split_inclusive(|byte| *byte == b'\n').any(|line| !line.ends_with(b"\r\n"));
        ensure!(!bare, "R2: a line of the head without CRLF: {}", printable(text));
        let mut fields = vec![httparse::EMPTY_HEADER; MOST_HEADERS];
        httparse::parse_headers(text, &mut fields)
            .with_context(|| format!("no CGI response head: {}", printable(text)))?;
        let mut headers = owned(&fields);
        ensure!(
            headers.first().is_some_and(|(name, _)| name == "Status"),
            "R1: the head does not begin with Status: {}",
            printable(text)
        );
        let (_, line) = headers.remove(0);
        ensure!(
            !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("status")),
            "two Status headers: {}",
            printable(text)
        );
        ensure!(
            !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding")),
            "R4: a script has no transfer coding: {}",
            printable(text)
        );
        let line = String::from_utf8_lossy(&line).into_owned();
        let (code, reason) = line.split_once(' ').unwrap_or((&line, ""));
        ensure!(code.len() == 3, "R1: a status of three digits, not {line:?}");
        ensure!(!reason.is_empty(), "R1: a status without a reason: {line:?}");
        let status = code.parse().with_context(|| format!("R1: no status: {line:?}"))?;
        Ok(Some((Self { status, reason: reason.to_owned(), headers }, length)))
    }
}

fn owned(fields: &[httparse::Header]) -> Vec<(String, Vec<u8>)> {
    let filled = fields.iter().filter(|field| !field.name.is_empty());
    filled.map(|field| (field.name.to_owned(), field.value.to_vec())).collect()
}

/// How the end of a body is known (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Nothing,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    pub(crate) fn from_head(head: &Head, method: &str) -> Result<Self> {
        if method == "HEAD" || matches!(head.status, 204 | 304) {
            return Ok(Self::Nothing);
        }
        if let Some(coding) = head.one("Transfer-Encoding") {
            ensure!(coding == b"chunked", "Transfer-Encoding: {}", printable(coding));
            return Ok(Self::Chunked);
        }
        match head.all("Content-Length")[..] {
            [] => Ok(Self::UntilClose),
            [value] => {
                let length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                let length = length.with_context(|| format!("length {}", printable(value)))?;
                Ok(Self::Length(length))
            }
            _ => bail!("several Content-Length headers"),
        }
    }

    /// The body's bytes in what has arrived, and whether it is whole; `closed` says that no more will arrive.
    pub(crate) fn decode(self, bytes: &[u8], closed: bool) -> Result<(Vec<u8>, bool)> {
        match self {
            Self::Nothing => {
                ensure!(bytes.is_empty(), "a body where none belongs: {}", printable(bytes));
                Ok((Vec::new(), true))
            }
            Self::UntilClose => Ok((bytes.to_vec(), closed)),
            Self::Length(length) => {
                ensure!(bytes.len() <= length, "more than the declared {length} bytes");
                Ok((bytes.to_vec(), bytes.len() == length))
            }
            Self::Chunked => dechunk(bytes),
        }
    }
}

fn dechunk(bytes: &[u8]) -> Result<(Vec<u8>, bool)> {
    let mut body = Vec::new();
    let mut rest = bytes;
    loop {
        let parsed = httparse::parse_chunk_size(rest)
            .map_err(|_| anyhow::anyhow!("no chunk size: {}", printable(rest)))?;
        let httparse::Status::Complete((line, size)) = parsed else {
            return Ok((body, false));
        };
        rest = &rest[line..];
        let size = usize::try_from(size).context("a chunk beyond memory")?;
        if size == 0 {
            return Ok((body, rest.ends_with(b"\r\n")));
        }
        if rest.len() < size + 2 {
            body.extend_from_slice(&rest[..size.min(rest.len())]);
            return Ok((body, false));
        }
        body.extend_from_slice(&rest[..size]);
        ensure!(rest[size..].starts_with(b"\r\n"), "a chunk longer than its size");
        rest = &rest[size + 2..];
    }
}

/// Decodes `%41` (RFC 3986 2.1), as a server does for `PATH_INFO` and for words of the query.
pub(crate) fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        if let (b'%', Some(byte)) = (first, byte) {
            decoded.push(byte);
            rest = &tail[2..];
        } else {
            decoded.push(*first);
            rest = tail;
        }
    }
    decoded
}

/// Bytes as text for a failure's message, cut to a screenful.
pub(crate) fn printable(bytes: &[u8]) -> String {
    const SCREENFUL: usize = 2000;
    let shown = &bytes[..bytes.len().min(SCREENFUL)];
    let lines = shown.split(|byte| *byte == b'\n').map(readable);
    let text = lines.collect::<Vec<_>>().join("\n    ");
    match bytes.len() - shown.len() {
        0 => format!("|{text}|"),
        left => format!("|{text} ... and {left} bytes more|"),
    }
}

fn readable(line: &[u8]) -> String {
    let escape = |character: char| match character {
        '"' | '\\' => character.to_string(),
        character if character.is_ascii() => character.escape_default().to_string(),
        character => character.to_string(),
    };
    match std::str::from_utf8(line) {
        Ok(text) => text.chars().map(escape).collect(),
        Err(_) => line.escape_ascii().to_string(),
    }
}
