//! An answer that the bridge gives itself, in place of the application.
//!
//! The visitor gets one line, on a page that the front makes; the reason is for the log alone.

use super::head::{Form, Head};

/// Why a request is not given to the application, or what is sent because the
/// application failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status code.
    pub status: u16,
    /// What goes to standard error: what happened, with the value, and what
    /// to do about it.
    pub reason: String,
    /// With `--debug` only: what the visitor sees in addition to the plain line.
    pub details: Option<String>,
    /// Where the time went, as the value of a Server-Timing header; empty for none.
    pub timings: String,
}

impl Refusal {
    /// A refusal with a reason for the log.
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), details: None, timings: String::new() }
    }

    /// The site's fault: 500.
    pub fn fault(reason: impl Into<String>) -> Self {
        Self::new(500, reason)
    }

    /// The whole response with this `body`, which is left out for a HEAD request. `date` is the time in HTTP's format,
    /// for a response that no server completes.
    pub fn encode(
        &self,
        form: Form,
        is_head_request: bool,
        date: &str,
        content_type: &str,
        body: &str,
    ) -> Vec<u8> {
        let mut head = Head::with_code(self.status);
        head.set("Content-Type", content_type.as_bytes());
        head.set("Content-Length", body.len().to_string().as_bytes());
        if !self.timings.is_empty() {
            head.set("Server-Timing", self.timings.as_bytes());
        }
        if form == Form::Nph {
            head.set("Date", date.as_bytes());
        }
        let mut bytes = head.encode(form);
        if !is_head_request {
            bytes.extend_from_slice(body.as_bytes());
        }
        bytes
    }
}

/// The one line that a visitor sees.
pub const fn visitor_line(status: u16) -> &'static str {
    match status {
        400 => "The request is malformed.",
        403 => "This address cannot be requested.",
        404 => "There is nothing at this address.",
        413 => "The request body is larger than this site accepts.",
        507 => "There is no room for the request body.",
        504 => "The application took too long to answer.",
        _ => "The application failed.",
    }
}

/// Tells the owner of the site where the reason is; empty if there is none to look for.
pub const fn reason_line(status: u16, is_logged: bool) -> &'static str {
    match status {
        400 | 403 | 404 | 413 | 504 => "",
        _ if is_logged => "The reason is in the server's error log.",
        _ => "The reason is on standard error.",
    }
}
