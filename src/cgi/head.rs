//! The head of a response: its status, its header fields, and their form on the wire. Every rule on what an application
//! may send is checked here (R1, R3, R4), so `python -O` cannot switch one off.

use std::fmt;

/// A status and header fields, in order, with duplicates (R5). Everything in it has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    code: u16,
    reason: Vec<u8>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What is wrong with a status or a header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadError {
    /// Not three digits, and then a space and a reason.
    StatusForm(Vec<u8>),
    /// Not a code that a final CGI response can have (R1).
    StatusCode(u16),
    /// A control character in the reason.
    Reason(Vec<u8>),
    /// Not a token of RFC 7230 3.2.6.
    Name(Vec<u8>),
    /// A control character other than TAB in the value of this field.
    Value(String),
    /// A `Content-Length` that is no number of bytes, or a second one.
    Length(Vec<u8>),
    /// A field that only the server may send.
    Forbidden(String, &'static str),
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StatusForm(status) => write!(
                f,
                "the status {} is not three digits, a space and a reason, such as \"200 OK\"",
                quoted(status)
            ),
            Self::StatusCode(code) => {
                write!(
                    f,
                    "the status code {code} cannot be the final status of a response: use 200 to 599"
                )
            }
            Self::Reason(status) => {
                write!(f, "the status {} contains a control character", quoted(status))
            }
            Self::Name(name) => write!(
                f,
                "the header name {} is not a token: letters, digits and !#$%&'*+-.^_`|~ only",
                quoted(name)
            ),
            Self::Value(name) => write!(
                f,
                "the value of the header {name} contains a control character (a line break \
                 would let it forge other headers)"
            ),
            Self::Length(value) => {
                write!(f, "the Content-Length {} is not a single number of bytes", quoted(value))
            }
            Self::Forbidden(name, why) => write!(f, "the header {name} is refused: {why}"),
        }
    }
}

impl std::error::Error for HeadError {}

/// The form of the first line: a CGI response's `Status` (RFC 3875 6.3.3), or
/// the HTTP status line of a non-parsed-header script (RFC 3875 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The server parses the head and completes it.
    Cgi,
    /// cgi2wsgi writes the whole HTTP response.
    Nph,
}

impl Head {
    /// Reads what the application gave `start_response` as its status.
    pub fn parse(status: &[u8]) -> Result<Self, HeadError> {
        let form = || HeadError::StatusForm(status.to_vec());
        let (digits, rest) = status.split_at_checked(3).ok_or_else(form)?;
        if !digits.iter().all(u8::is_ascii_digit) || !(rest.is_empty() || rest[0] == b' ') {
            return Err(form());
        }
        let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        if !(200..=599).contains(&code) {
            return Err(HeadError::StatusCode(code));
        }
        let reason = rest.trim_ascii();
        if rest.iter().any(|byte| is_forbidden_in_a_value(*byte)) {
            return Err(HeadError::Reason(status.to_vec()));
        }
        let mut head = Self::with_code(code);
        if !reason.is_empty() {
            head.reason = reason.to_vec();
        }
        Ok(head)
    }

    /// A head with the usual reason for `code` and no fields.
    pub fn with_code(code: u16) -> Self {
        Self { code, reason: usual_reason(code).into(), fields: Vec::new() }
    }

    /// Adds a header field that the application gave.
    pub fn push(&mut self, name: &[u8], mut value: &[u8]) -> Result<(), HeadError> {
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(HeadError::Name(name.to_vec()));
        }
        let shown = || String::from_utf8_lossy(name).into_owned();
        if value.iter().any(|byte| is_forbidden_in_a_value(*byte)) {
            return Err(HeadError::Value(shown()));
        }
        if name.eq_ignore_ascii_case(b"status") {
            let why = "the status is the first argument of start_response";
            return Err(HeadError::Forbidden(shown(), why));
        }
        if HOP_BY_HOP.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes())) {
            let why = "only the server sets hop-by-hop headers (PEP 3333, Other HTTP Features)";
            return Err(HeadError::Forbidden(shown(), why));
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let given = value;
            value = value.trim_ascii();
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            if !digits || value.len() > 18 || self.get("Content-Length").is_some() {
                return Err(HeadError::Length(given.to_vec()));
            }
        }
        self.fields.push((name.to_vec(), value.to_vec()));
        Ok(())
    }

    /// The status code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The value of the first field called `name`.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let field = self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
        field.map(|(_, value)| value.as_slice())
    }

    /// Replaces the fields called `name` by one of the bridge's own. Control characters in `value` are left out.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        let value: Vec<u8> =
            value.iter().copied().filter(|byte| !is_forbidden_in_a_value(*byte)).collect();
        match self.fields.iter().position(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())) {
            Some(at) => {
                self.fields[at].1 = value;
                let mut index = 0;
                self.fields.retain(|(n, _)| {
                    index += 1;
                    index - 1 <= at || !n.eq_ignore_ascii_case(name.as_bytes())
                });
            }
            None => self.fields.push((name.into(), value)),
        }
    }

    /// Adds a field of the bridge's own after those that the application gave.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        debug_assert!(!value.iter().any(u8::is_ascii_control));
        self.fields.push((name.into(), value.into()));
    }

    /// Removes every field called `name`.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(n, _)| !n.eq_ignore_ascii_case(name.as_bytes()));
    }

    /// Keeps only the last field called `name` that has a value: a field without one counts as not sent (RFC 3875 6.3).
    /// Returns how many had a value.
    pub fn keep_last(&mut self, name: &str) -> usize {
        let is_it = |field: &[u8]| field.eq_ignore_ascii_case(name.as_bytes());
        self.fields.retain(|(field, value)| !(is_it(field) && value.trim_ascii().is_empty()));
        let count = self.fields.iter().filter(|(field, _)| is_it(field)).count();
        let mut left = count;
        self.fields.retain(|(field, _)| {
            left -= usize::from(is_it(field));
            !is_it(field) || left == 0
        });
        count
    }

    /// The fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// Whether a response with this status has a body at all (RFC 9110 6.4.1 and 15.3.6).
    pub fn allows_body(&self) -> bool {
        !matches!(self.code, 204 | 205 | 304)
    }

    /// The head as it is sent, with the empty line that ends it (R1, R2).
    pub fn encode(&self, form: Form) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + self.fields.len() * 48);
        bytes.extend_from_slice(match form {
            Form::Cgi => b"Status: ".as_slice(),
            Form::Nph => b"HTTP/1.1 ".as_slice(),
        });
        bytes.extend_from_slice(self.code.to_string().as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(&self.reason);
        bytes.extend_from_slice(b"\r\n");
        for (name, value) in &self.fields {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if form == Form::Nph {
            bytes.extend_from_slice(b"Connection: close\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

/// Fields of one connection only (RFC 2616 13.5.1). For `Transfer-Encoding` from a script newer Apache answers 502, and
/// older Apache leaked the framing (R4).
const HOP_BY_HOP: [&str; 9] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "TE",
    "Trailer",
    "Trailers",
    "Transfer-Encoding",
    "Upgrade",
];

/// Whether a byte may stand in a token (RFC 7230 3.2.6), such as a header name.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_forbidden_in_a_value(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn quoted(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}

/// The reason phrase of RFC 9110 and its registry. A code without one gets the
/// name of its class.
pub fn usual_reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a Teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => match code / 100 {
            2 => "Success",
            3 => "Redirection",
            4 => "Client Error",
            _ => "Server Error",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r1_the_status_line_keeps_the_reason_or_gets_the_usual_one() {
        let encoded = |status: &[u8]| Head::parse(status).map(|head| head.encode(Form::Cgi));
        assert_eq!(encoded(b"200 Fine").as_deref(), Ok(b"Status: 200 Fine\r\n\r\n".as_slice()));
        assert_eq!(encoded(b"404").as_deref(), Ok(b"Status: 404 Not Found\r\n\r\n".as_slice()));
        assert_eq!(encoded(b"299 ").as_deref(), Ok(b"Status: 299 Success\r\n\r\n".as_slice()));
    }

    #[test]
    fn r1_codes_that_do_not_end_a_response_are_refused() {
        for code in [0, 99, 100, 101, 199, 600, 999] {
            let status = format!("{code:03} X");
            assert_eq!(Head::parse(status.as_bytes()), Err(HeadError::StatusCode(code)));
        }
        for status in [b"200 OK\n".as_slice(), b"200 \x0cX", b"200 \r"] {
            assert_eq!(Head::parse(status), Err(HeadError::Reason(status.to_vec())));
        }
        for status in [b"".as_slice(), b"20", b"OK", b"2000 X", b"200X", b" 200 OK", b"-20 X"] {
            assert_eq!(Head::parse(status), Err(HeadError::StatusForm(status.to_vec())));
        }
    }

    #[test]
    fn r3_no_byte_can_split_the_head() {
        for byte in 0..=255_u8 {
            let control = (byte < 0x20 && byte != b'\t') || byte == 0x7f;
            let mut head = Head::with_code(200);
            assert_eq!(head.push(b"X-A", &[b'a', byte, b'b']).is_err(), control, "{byte:#x}");
            let status = [b"200 A".as_slice(), &[byte], b"B"].concat();
            assert_eq!(Head::parse(&status).is_err(), control, "{byte:#x}");
            let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(head.push(&[b'X', byte], b"v").is_ok(), token, "{byte:#x}");
        }
        assert_eq!(Head::with_code(200).push(b"", b"v"), Err(HeadError::Name(vec![])));
    }

    #[test]
    fn r4_what_is_the_servers_is_refused() {
        for name in ["Status", "status", "Connection", "TRANSFER-ENCODING", "Trailer", "te"] {
            let refused = Head::with_code(200).push(name.as_bytes(), b"x");
            assert!(matches!(refused, Err(HeadError::Forbidden(..))), "{name}");
        }
    }

    #[test]
    fn r7_a_content_length_is_one_number() {
        for value in ["", " ", "-1", "+5", "5 5", "1e3", "abc", "9999999999999999999"] {
            let refused = Head::with_code(200).push(b"content-length", value.as_bytes());
            assert_eq!(refused, Err(HeadError::Length(value.into())), "{value}");
        }
        let mut head = Head::with_code(200);
        assert!(head.push(b"Content-Length", b" 5\t").is_ok());
        assert_eq!(head.get("Content-Length"), Some(b"5".as_slice()));
        assert!(head.push(b"content-length", b"5").is_err());
    }

    #[test]
    fn r5_order_and_duplicates_are_kept() {
        let mut head = Head::with_code(200);
        for (name, value) in [("Set-Cookie", "a=1"), ("X", "y"), ("Set-Cookie", "b=2")] {
            head.push(name.as_bytes(), value.as_bytes()).expect("well formed");
        }
        let expected = "Status: 200 OK\r\nSet-Cookie: a=1\r\nX: y\r\nSet-Cookie: b=2\r\n\r\n";
        assert_eq!(head.encode(Form::Cgi), expected.as_bytes());
    }

    #[test]
    fn setting_a_field_leaves_one_in_the_first_ones_place() {
        let mut head = Head::with_code(200);
        for (name, value) in [("A", "1"), ("B", "2"), ("a", "3")] {
            head.push(name.as_bytes(), value.as_bytes()).expect("well formed");
        }
        head.set("a", b"4");
        let fields: Vec<_> = head.fields().collect();
        assert_eq!(fields, [(b"A".as_slice(), b"4".as_slice()), (b"B", b"2")]);
    }
}
