//! What a worker tells its front.

use super::encoding::{Reader, Writer};

/// How far a worker is. On the stream each is a netstring of its fields, the first of which is a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The first reply: Python has loaded the worker, which is of this build.
    Hello(String),
    /// Python cannot be used, for this reason. Python's start code sends this before it loads anything.
    Unusable(String),
    /// The application's code has changed since it was imported: another zygote is needed.
    Stale,
    /// This zygote cannot answer, for this reason; an empty reason was reported before. The request has not begun.
    Cold(String),
    /// The application cannot be forked, for this reason. The process that has imported it for this request answers it
    /// itself, and the next ones get normal starts.
    Alone(String),
    /// From now on the process with this number has the request. A zygote's child also sends a descriptor, from which
    /// the front can read how the process ended.
    Begun(u32),
    /// SIGTERM has raised its exception: it need not be sent again.
    Terminating,
    /// The application has a handler of its own for SIGTERM.
    HandlesSigterm,
    /// The tracebacks of all threads are written.
    Traced,
    /// The import of the application runs a server of its own, as this text says. The import ends now.
    Serves(String),
    /// There is no response: the front has to answer.
    Refused {
        /// The status of the answer.
        status: u16,
        /// What a visitor sees in addition to the plain line (`--debug`).
        details: Option<String>,
        /// The value of a Server-Timing header; empty for none.
        timings: String,
        /// The exit status.
        exit: u8,
        /// The bytes of the request body that the server has not delivered yet.
        owed: u64,
        /// Whether threads of the application live on: the answer then ends before the process does.
        lives_on: bool,
    },
    /// The head of the response is sent now: no other process may answer.
    Head,
    /// The body of the response is delivered except its last byte, and the worker reads no more of the request body.
    /// If nothing lives on, the response ends with the front's process, after the worker's.
    Done {
        /// Whether it is whole.
        is_whole: bool,
        /// The bytes of the request body that the server has not delivered yet.
        owed: u64,
        /// The last byte of a response whose length the server knows (P8): the front sends it when the worker has
        /// exited.
        last: Option<u8>,
        /// Whether threads of the application live on: the response has ended then.
        lives_on: bool,
    },
    /// The head that will be sent. This comes before [`Reply::Head`], to a front that asked for it ([`Told`]).
    ///
    /// [`Told`]: super::call::Told
    Responding {
        /// The status.
        status: u16,
        /// The whole head, for [`Told::Everything`]; empty if it is too long.
        ///
        /// [`Told::Everything`]: super::call::Told::Everything
        head: Vec<u8>,
    },
    /// How much of the body was sent. This comes before [`Reply::Done`], to a front that asked for it.
    Delivered {
        /// The bytes.
        bytes: u64,
        /// [`crate::cgi::digest`], for `Told::Everything`.
        digest: Option<u64>,
    },
    /// This version of Python runs the application. This comes before the application runs, for `Told::Everything`.
    Runs(String),
    /// The process exits now by itself, and no longer holds anything of the request.
    Exits,
}

impl Reply {
    /// [`Reply::Traced`] as bytes, for a signal handler.
    pub const TRACED: &'static [u8] = b"3:1:T";

    /// The bytes of it, on a stream.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Writer::default();
        match self {
            Self::Hello(build) => {
                fields.put("I");
                fields.put(build);
            }
            Self::Unusable(reason) => {
                fields.put("U");
                fields.put(cut(reason));
            }
            Self::Stale => fields.put("S"),
            Self::Cold(reason) => {
                fields.put("C");
                fields.put(cut(reason));
            }
            Self::Alone(reason) => {
                fields.put("N");
                fields.put(cut(reason));
            }
            Self::Begun(pid) => {
                fields.put("B");
                fields.put_number(*pid);
            }
            Self::Terminating => fields.put("E"),
            Self::HandlesSigterm => fields.put("A"),
            Self::Traced => fields.put("T"),
            Self::Serves(reason) => {
                fields.put("O");
                fields.put(cut(reason));
            }
            Self::Refused { status, details, timings, exit, owed, lives_on } => {
                fields.put("R");
                fields.put_number(*status);
                fields.put_number(details.is_some());
                fields.put(cut(details.as_deref().unwrap_or_default()));
                fields.put(timings);
                fields.put_number(*exit);
                fields.put_number(*owed);
                fields.put_number(*lives_on);
            }
            Self::Head => fields.put("H"),
            Self::Done { is_whole, owed, last, lives_on } => {
                fields.put("D");
                fields.put_number(*is_whole);
                fields.put_number(*owed);
                fields.put(last.as_slice());
                fields.put_number(*lives_on);
            }
            Self::Responding { status, head } => {
                fields.put("P");
                fields.put_number(*status);
                fields.put(if head.len() > LONGEST { &[] } else { head.as_slice() });
            }
            Self::Delivered { bytes, digest } => {
                fields.put("L");
                fields.put_number(*bytes);
                fields.put_optional(*digest);
            }
            Self::Runs(version) => {
                fields.put("V");
                fields.put(cut(version));
            }
            Self::Exits => fields.put("X"),
        }
        let mut message = Writer::default();
        message.put(fields.into_bytes());
        message.into_bytes()
    }

    /// The reply whose fields [`Self::encode`] put into a netstring, or nothing if these are no reply.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes);
        let reply = match fields.text()? {
            "I" => Self::Hello(fields.text()?.to_owned()),
            "U" => Self::Unusable(lossy(fields.bytes()?)),
            "S" => Self::Stale,
            "C" => Self::Cold(lossy(fields.bytes()?)),
            "N" => Self::Alone(lossy(fields.bytes()?)),
            "B" => Self::Begun(fields.number()?),
            "E" => Self::Terminating,
            "A" => Self::HandlesSigterm,
            "T" => Self::Traced,
            "O" => Self::Serves(lossy(fields.bytes()?)),
            "R" => {
                let status = fields.number()?;
                let (has_details, details) = (fields.switch()?, lossy(fields.bytes()?));
                let details = has_details.then_some(details);
                let timings = fields.text()?.to_owned();
                let (exit, owed) = (fields.number()?, fields.number()?);
                let lives_on = fields.switch()?;
                Self::Refused { status, details, timings, exit, owed, lives_on }
            }
            "H" => Self::Head,
            "D" => {
                let (is_whole, owed) = (fields.switch()?, fields.number()?);
                let last = match fields.bytes()? {
                    [] => None,
                    [last] => Some(*last),
                    _ => return None,
                };
                Self::Done { is_whole, owed, last, lives_on: fields.switch()? }
            }
            "P" => Self::Responding { status: fields.number()?, head: fields.bytes()?.to_vec() },
            "L" => Self::Delivered { bytes: fields.number()?, digest: fields.optional()? },
            "V" => Self::Runs(lossy(fields.bytes()?)),
            "X" => Self::Exits,
            _ => return None,
        };
        fields.is_at_end().then_some(reply)
    }
}

/// The size limit of a text, in bytes: what a socket takes at once.
const LONGEST: usize = 48 << 10;

fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::encoding::{self, Length};
    use super::*;

    fn replies() -> Vec<Reply> {
        vec![
            Reply::Hello("x".into()),
            Reply::Unusable("because of ü".into()),
            Reply::Stale,
            Reply::Cold(String::new()),
            Reply::Alone("it has threads".into()),
            Reply::Begun(7),
            Reply::Terminating,
            Reply::HandlesSigterm,
            Reply::Traced,
            Reply::Serves("line 9".into()),
            Reply::Refused {
                status: 500,
                details: None,
                timings: String::new(),
                exit: 1,
                owed: 3,
                lives_on: false,
            },
            Reply::Refused {
                status: 404,
                details: Some("d".into()),
                timings: "t".into(),
                exit: 2,
                owed: u64::MAX,
                lives_on: true,
            },
            Reply::Head,
            Reply::Done { is_whole: true, owed: 9, last: None, lives_on: true },
            Reply::Done { is_whole: false, owed: 0, last: Some(b'\n'), lives_on: false },
            Reply::Responding { status: 404, head: b"Status: 404\r\n\r\n\xff".to_vec() },
            Reply::Delivered { bytes: u64::MAX, digest: None },
            Reply::Delivered { bytes: 0, digest: Some(u64::MAX) },
            Reply::Runs("3.11.2".into()),
            Reply::Exits,
        ]
    }

    #[test]
    fn a_reply_arrives_as_it_was_sent_and_a_damaged_one_is_none() {
        for reply in replies() {
            let bytes = reply.encode();
            let Length::Known { length, start } = encoding::length(&bytes) else {
                panic!("no whole length");
            };
            assert_eq!(bytes.len(), start + length);
            assert_eq!(Reply::decode(&bytes[start..]), Some(reply));
            for end in start..bytes.len() {
                assert_eq!(Reply::decode(&bytes[start..end]), None);
            }
        }
    }

    #[test]
    fn what_a_signal_handler_sends_is_that_reply() {
        assert_eq!(Reply::Traced.encode(), Reply::TRACED);
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_between_two_characters() {
        let Reply::Cold(text) =
            Reply::decode(&Reply::Cold("ü".repeat(50_000)).encode()[6..]).expect("a reply")
        else {
            panic!("another reply");
        };
        assert_eq!(text.len(), LONGEST);
    }
}
