//! What a visitor sees where the application gives no answer: a page for a browser, plain text for everything else.
//! With `--debug` it has the traceback too, with the application's frames set apart from those of libraries.

use super::number;
use crate::cgi::refusal::{Refusal, reason_line, visitor_line};
use crate::cgi::variables::Variables;
use crate::report;

mod traceback;

const STYLE: &str = include_str!("page/style.css");

/// The body of an answer.
pub struct Page {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: String,
}

impl Page {
    /// The page for `refusal`, in the form that the client asks for.
    pub fn new(refusal: &Refusal, variables: &Variables) -> Self {
        // At a shell there is no log to look a number up in: the reason is on the terminal.
        let number = (!report::label().is_empty()).then(number::of_request);
        if wants_html(variables.get("HTTP_ACCEPT").unwrap_or_default()) {
            let address = String::from_utf8_lossy(&number::address(variables)).into_owned();
            let body = html(refusal, number, &address);
            Self { content_type: "text/html; charset=utf-8", body }
        } else {
            Self { content_type: "text/plain; charset=utf-8", body: plain(refusal, number) }
        }
    }
}

/// Whether an `Accept` names HTML, as browsers do and curl and scripts do not (RFC 9110 12.5.1).
fn wants_html(accept: &[u8]) -> bool {
    accept.split(|byte| *byte == b',').any(|range| {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let is_html = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"));
        let is_refused = parts.any(|parameter| {
            let value = parameter.strip_prefix(b"q=").or(parameter.strip_prefix(b"Q="));
            value.is_some_and(|value| value.iter().all(|byte| matches!(byte, b'0' | b'.')))
        });
        is_html && !is_refused
    })
}

fn plain(refusal: &Refusal, number: Option<&str>) -> String {
    let mut body = format!(
        "{} {}\n",
        visitor_line(refusal.status),
        reason_line(refusal.status, number.is_some())
    )
    .replace(" \n", "\n");
    if let Some(number) = number {
        body += "Request ";
        body += number;
        body.push('\n');
    }
    if let Some(details) = &refusal.details {
        body.push('\n');
        body.push_str(details);
    }
    body
}

fn html(refusal: &Refusal, number: Option<&str>, address: &str) -> String {
    let status = refusal.status;
    let line = visitor_line(status);
    let number = number.map_or_else(String::new, |number| {
        format!("<p class=number>Request <code>{number}</code></p>\n")
    });
    let main = match &refusal.details {
        Some(details) => {
            let shown = traceback::html(details);
            format!(
                "<main class=debug>\n<p class=status>{status} &middot; {}</p>\n<h1>{}</h1>\n{}{number}\
                 <p class=note>This page is shown because of <code>--debug</code>, which is never for a \
                 public site.</p>\n</main>",
                escaped(address),
                escaped(&shown.headline),
                shown.body
            )
        }
        None => format!(
            "<main>\n<p class=status>{status}</p>\n<h1>{line}</h1>\n<p>{}</p>\n{number}</main>",
            advice(status)
        ),
    };
    format!(
        "<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta name=viewport \
         content=\"width=device-width, initial-scale=1\">\n<meta name=robots content=noindex>\n\
         <title>{status} {line}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{main}\n</body>\n</html>\n"
    )
}

/// What a visitor can do about it.
fn advice(status: u16) -> &'static str {
    match status {
        400 => "This site cannot read the address, or what was sent with it.",
        403 | 404 => {
            "Check the address for a misspelling, or go back to the page that you came from."
        }
        413 => "Send something smaller.",
        _ => {
            "Try again in a while. If it happens again, tell the owner of this site the number of the request, \
             under which the reason is in the server&rsquo;s error log."
        }
    }
}

/// Text that HTML does not take for markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_html_and_nobody_else_does() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("Text/HTML; q=0.5", true),
            ("text/html;q=0", false),
            ("text/html; q=0.000, */*", false),
            ("*/*", false),
            ("text/*", false),
            ("application/json, text/plain", false),
            ("", false),
        ] {
            assert_eq!(wants_html(accept.as_bytes()), expected, "{accept}");
        }
    }

    #[test]
    fn nothing_of_a_stranger_is_markup() {
        let mut refusal = Refusal::fault("");
        refusal.details = Some("ValueError: <script>alert(1)</script>\n".into());
        let page = html(&refusal, Some("n"), "/<b>?\"'");
        assert!(!page.contains("<script>") && !page.contains("<b>"), "{page}");
        assert!(page.contains("ValueError: &lt;script&gt;"), "{page}");
    }

    #[test]
    fn plain_text_is_a_line_and_the_number() {
        let failed =
            "The application failed. The reason is in the server's error log.\nRequest n\n";
        assert_eq!(plain(&Refusal::fault(""), Some("n")), failed);
        assert_eq!(
            plain(&Refusal::fault(""), None),
            "The application failed. The reason is on standard error.\n"
        );
        assert_eq!(plain(&Refusal::new(404, ""), None), "There is nothing at this address.\n");
    }
}
