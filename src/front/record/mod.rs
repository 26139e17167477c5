//! `--record DIR`: what is kept of a request, so that `cgi2wsgi request --replay` can run it again. docs/records.md
//! describes the form, which is JSON.
//!
//! - [`contents`]: what is kept of a request, without its secrets; [`directory`]: where, and how many.

pub mod contents;
pub mod directory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::{Deserialize, Serialize};

use crate::front::json::printable;

/// The version of the form of a record. This program reads no other.
const FORM: u32 = 1;

/// The largest body that a record keeps, in bytes. A larger one is left out: half of it is of no use.
pub const LARGEST_BODY: u64 = 1 << 20;

/// How many records a directory keeps, where `--record-max` does not say.
pub const MOST: u32 = 100;

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A directory with a limited number of records.
    Directory {
        /// Its absolute path.
        path: PathBuf,
        /// `--record-max`.
        most: u32,
    },
    /// One file (`request --save`).
    File(PathBuf),
}

/// What is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where records go.
    pub target: Target,
    /// `--record-all`: not only the requests that failed.
    pub all: bool,
    /// `--record-secrets`.
    pub secrets: bool,
    /// How the application is run.
    pub run: Run,
}

/// A request and its outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The version of its form.
    #[serde(rename = "cgi2wsgi_record")]
    pub form: u32,
    /// When it began, in UTC.
    #[serde(default)]
    pub time: String,
    /// Its number.
    #[serde(default)]
    pub request: String,
    /// Why it is recorded.
    #[serde(default)]
    pub reason: String,
    /// How the application was run.
    #[serde(default)]
    pub run: Run,
    /// What it was run with.
    #[serde(default)]
    pub versions: Versions,
    /// The variables of the request; with `--record-secrets`, all.
    pub variables: BTreeMap<String, Text>,
    /// The request body, if there was one.
    #[serde(default)]
    pub body: Option<Body>,
    /// What was answered.
    #[serde(default)]
    pub response: Response,
    /// How long it took.
    #[serde(default)]
    pub milliseconds: f64,
    /// What was written to standard error meanwhile.
    #[serde(default)]
    pub lines: Vec<String>,
    /// The names of what was left out because it is a secret.
    #[serde(default)]
    pub left_out: Vec<String>,
}

/// How an application was run: what the options and variables said, with absolute paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// APP.
    pub app: Option<String>,
    /// `--chdir`.
    pub chdir: Option<String>,
    /// `--pythonpath`.
    pub pythonpath: Vec<String>,
    /// `--python`.
    pub python: Option<String>,
    /// `--venv`.
    pub venv: Option<String>,
    /// `--mount`.
    pub mount: Option<String>,
    /// `--handler`.
    pub handler: Option<String>,
}

/// The versions that answered a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Versions {
    /// The version of this program.
    pub cgi2wsgi: String,
    /// Its build.
    pub build: String,
    /// The version of Python; nothing if none has run.
    pub python: Option<String>,
    /// Its executable.
    pub executable: Option<String>,
}

/// Bytes: text where they are UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// UTF-8.
    Plain(String),
    /// Any bytes.
    Encoded {
        /// In base64.
        base64: String,
    },
}

/// A request body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// How long it was, in bytes.
    pub length: u64,
    /// The content without the values of secrets; nothing if it is not kept.
    #[serde(default)]
    pub content: Option<Text>,
    /// Why it is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// A response.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Response {
    /// Its status; nothing if there was none.
    pub status: Option<u16>,
    /// Whether it was delivered whole.
    pub whole: bool,
    /// Whether cgi2wsgi answered in place of the application.
    pub own: bool,
    /// Its header fields, in order.
    pub head: Vec<(String, Text)>,
    /// The bytes of its body, if that is known.
    pub bytes: Option<u64>,
    /// The FNV-1a hash of its body, 64 bits in hexadecimal, if that is known.
    pub digest: Option<String>,
}

impl Text {
    /// The text for `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Plain(text.to_owned()),
            Err(_) => Self::Encoded { base64: BASE64_STANDARD.encode(bytes) },
        }
    }

    /// The bytes, or why they cannot be decoded.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Plain(text) => Ok(text.clone().into_bytes()),
            Self::Encoded { base64 } => {
                BASE64_STANDARD.decode(base64).map_err(|error| format!("base64: {error}"))
            }
        }
    }
}

impl Record {
    /// The version of the form that this program writes.
    pub fn form() -> u32 {
        FORM
    }

    /// The record as text that a terminal can show.
    pub fn encode(&self) -> String {
        // Strings, numbers, lists and maps can always be written.
        printable(&serde_json::to_string_pretty(self).unwrap_or_default()) + "\n"
    }

    /// Reads what [`Self::encode`] gave. The error says what is wrong, and in which line and column of `file`.
    pub fn decode(text: &[u8], file: &Path) -> Result<Self, String> {
        let shown = file.display();
        let record: Self = serde_json::from_slice(text).map_err(|error| {
            let text = error.to_string();
            let what = text.split(" at line ").next().unwrap_or(&text);
            format!(
                "{shown}, line {}, column {}: {what}: this is not a record, or it is damaged",
                error.line(),
                error.column()
            )
        })?;
        if record.form != FORM {
            return Err(format!(
                "{shown} has format {} (cgi2wsgi_record), and this cgi2wsgi reads format {FORM}",
                record.form
            ));
        }
        Ok(record)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record() -> Record {
        Record {
            form: FORM,
            time: "2026-01-02T03:04:05.678Z".into(),
            request: "7h3k9x2m".into(),
            reason: "status 500".into(),
            run: Run { app: Some("/srv/app.py".into()), ..Run::default() },
            versions: Versions::default(),
            variables: [
                ("REQUEST_METHOD".to_owned(), Text::from_bytes(b"POST")),
                ("PATH_INFO".to_owned(), Text::from_bytes(b"/\xff")),
            ]
            .into(),
            body: Some(Body {
                length: 4,
                content: Some(Text::from_bytes(b"\x1b[2J")),
                why_not: None,
            }),
            response: Response {
                status: Some(500),
                whole: true,
                own: false,
                head: vec![("Content-Type".into(), Text::from_bytes(b"text/plain"))],
                bytes: Some(3),
                digest: Some("cbf29ce484222325".into()),
            },
            milliseconds: 1.5,
            lines: vec!["Traceback".into()],
            left_out: vec!["HTTP_COOKIE".into()],
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_obeyed_by_no_terminal() {
        let text = record().encode();
        assert!(!text.contains('\x1b') && text.contains("\\u001b[2J"), "{text}");
        assert_eq!(Record::decode(text.as_bytes(), Path::new("r.json")), Ok(record()));
    }

    #[test]
    fn damage_is_told_with_its_place() {
        let text = record().encode();
        let wrong = |text: &str| {
            Record::decode(text.as_bytes(), Path::new("r.json")).expect_err("it is damaged")
        };
        let place = wrong(&text.replace("\"POST\"", "POST"));
        assert!(place.starts_with("r.json, line 25, column 23: expected value"), "{place}");
        let place = wrong(&text.replace("\"length\": 4", "\"length\": \"4\""));
        assert!(place.starts_with("r.json, line 28, column 17: invalid type: string"), "{place}");
        assert!(wrong("").starts_with("r.json, line 1, column 0: EOF"), "{}", wrong(""));
        assert!(wrong(&text[..text.len() / 2]).contains(", column "));
        assert!(wrong("{}").contains("missing field `cgi2wsgi_record`"), "{}", wrong("{}"));
        let other = wrong(&text.replacen("\"cgi2wsgi_record\": 1", "\"cgi2wsgi_record\": 9", 1));
        assert!(other.contains("has format 9"), "{other}");
        for end in 0..text.len() {
            // It must not panic. Without its last line break the record is still whole.
            let _ = Record::decode(&text.as_bytes()[..end], Path::new("r.json"));
        }
    }
}
