//! Shows the response on a terminal or in a pipe: the body as it comes, the head if asked for, colour on a terminal
//! only.

use std::io::{self, IsTerminal, Read, Write};

use anyhow::{Context, Result, bail};

use super::redirect;
use crate::cgi::variables::Variables;
use crate::report::printable;

/// What is shown, and how.
pub(super) struct Style {
    /// The head before the body (-i, -I).
    pub(super) head: bool,
    /// Variables and head on standard error (-v).
    pub(super) verbose: bool,
    /// No body for a status of 400 or more (-f).
    pub(super) fail: bool,
    /// The URL from which redirects are followed (-L): their bodies are not shown.
    pub(super) follow_from: Option<String>,
}

impl Style {
    /// Whether the answer is a redirect that is followed.
    fn is_followed(&self, code: u16, fields: &[&str]) -> bool {
        let Some(url) = self.follow_from.as_ref().filter(|_| redirect::is_redirect(code)) else {
            return false;
        };
        let mut fields = fields.iter().filter_map(|field| field.split_once(':'));
        let location = fields.find(|(name, _)| name.eq_ignore_ascii_case("Location"));
        location.is_some_and(|(_, location)| redirect::next(url, location.trim()).is_some())
    }
}

/// Whether output is coloured: on a terminal, unless `NO_COLOR` is set.
fn is_coloured(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Shows the variables that describe a request, on standard error.
pub(super) fn variables(variables: &Variables) {
    let colour = is_coloured(io::stderr().is_terminal());
    let (name_start, name_end) = if colour { ("\x1b[36m", "\x1b[0m") } else { ("", "") };
    let mut text = String::new();
    // The process environment comes first; the request's variables begin with this one.
    let of_request = variables.iter().skip_while(|(name, _)| *name != b"GATEWAY_INTERFACE");
    for (name, value) in of_request {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        text += &printable_line(&format!("> {name_start}"), &name, &format!("{name_end}={value}"));
    }
    text += ">\n";
    let _ = io::stderr().write_all(text.as_bytes());
}

fn printable_line(start: &str, name: &str, rest: &str) -> String {
    let (end, value) = rest.split_once('=').unwrap_or(("", rest));
    format!("{start}{}{end}={}\n", printable(name), printable(value).replace('\n', "\\n"))
}

/// Passes a CGI response on to `to`. Returns its status, or `None` if there was no response at all.
pub(super) fn response(
    mut from: impl Read,
    mut to: impl Write,
    terminal: bool,
    style: &Style,
) -> Result<Option<u16>> {
    let mut received = Vec::new();
    let mut piece = vec![0; 64 << 10];
    let end = loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        match from.read(&mut piece).context("the response cannot be read")? {
            0 if received.is_empty() => return Ok(None),
            0 => bail!("the response ended in the middle of its head"),
            count => received.extend_from_slice(&piece[..count]),
        }
    };
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    // With --nph the first line is an HTTP status line.
    let status = first.strip_prefix("Status: ").or_else(|| first.strip_prefix("HTTP/1.1 "));
    let status = status.with_context(|| format!("the response begins with {first:?}"))?;
    let code: u16 = status.split(' ').next().unwrap_or_default().parse().context("no status")?;
    let head = Head { status, code, fields: lines.collect() };

    if style.verbose {
        let colour = is_coloured(io::stderr().is_terminal());
        let _ = io::stderr().write_all(head.shown("< ", colour).as_bytes());
    }
    let written = (|| {
        if style.head {
            to.write_all(head.shown("", is_coloured(terminal)).as_bytes())?;
        }
        let body = &received[end + 4..];
        if style.is_followed(code, &head.fields) || (style.fail && code >= 400) {
            // Reads to the end: the application must be able to write all of it.
            return io::copy(&mut from, &mut io::sink()).map(|_| true);
        }
        if terminal && body.contains(&0) {
            return Ok(false);
        }
        to.write_all(body)?;
        to.flush()?;
        loop {
            match from.read(&mut piece)? {
                0 => return io::Result::Ok(true),
                count => to.write_all(&piece[..count]).and_then(|()| to.flush())?,
            }
        }
    })();
    match written {
        Ok(true) => Ok(Some(code)),
        Ok(false) => {
            bail!("the body is binary, which may upset this terminal: write it with -o FILE")
        }
        // The reader has closed the pipe, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Some(code)),
        Err(error) => Err(error).context("the response cannot be written"),
    }
}

struct Head<'h> {
    status: &'h str,
    code: u16,
    fields: Vec<&'h str>,
}

impl Head<'_> {
    /// The head as in HTTP, each line after `prefix`.
    fn shown(&self, prefix: &str, colour: bool) -> String {
        let paint = |code: &str, text: &str| {
            if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
        };
        let mood = match self.code {
            200..300 => "32",
            300..400 => "33",
            _ => "31",
        };
        let mut text = format!("{prefix}HTTP/1.1 {}\n", paint(mood, self.status));
        for field in &self.fields {
            match field.split_once(": ") {
                Some((name, value)) => {
                    text += &[prefix, &paint("36", name), ": ", value, "\n"].concat();
                }
                None => text += &[prefix, field, "\n"].concat(),
            }
        }
        text += prefix.trim_end();
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(raw: &[u8], style: &Style, terminal: bool) -> Result<(Option<u16>, String), String> {
        let mut to = Vec::new();
        response(raw, &mut to, terminal, style)
            .map(|status| (status, String::from_utf8_lossy(&to).into_owned()))
            .map_err(|error| error.to_string())
    }

    const PLAIN: Style = Style { head: false, verbose: false, fail: false, follow_from: None };
    const RESPONSE: &[u8] = b"Status: 404 Not Found\r\nA: b\r\n\r\nbody";

    #[test]
    fn the_body_alone_is_shown_or_the_head_before_it() {
        assert_eq!(shown(RESPONSE, &PLAIN, false), Ok((Some(404), "body".into())));
        let style = Style { head: true, ..PLAIN };
        let whole = "HTTP/1.1 404 Not Found\nA: b\n\nbody";
        assert_eq!(shown(RESPONSE, &style, false), Ok((Some(404), whole.into())));
        let coloured = "HTTP/1.1 \x1b[31m404 Not Found\x1b[0m\n\x1b[36mA\x1b[0m: b\n\nbody";
        assert_eq!(shown(RESPONSE, &style, true), Ok((Some(404), coloured.into())));
    }

    #[test]
    fn fail_leaves_the_body_out() {
        let style = Style { fail: true, ..PLAIN };
        assert_eq!(shown(RESPONSE, &style, false), Ok((Some(404), String::new())));
    }

    #[test]
    fn binary_is_kept_from_a_terminal() {
        let raw = b"Status: 200 OK\r\n\r\n\x89PNG\0\0";
        assert!(shown(raw, &PLAIN, true).expect_err("it is binary").contains("-o FILE"));
        assert!(shown(raw, &PLAIN, false).is_ok());
    }

    #[test]
    fn half_a_head_is_an_error_and_nothing_is_nothing() {
        assert_eq!(shown(b"", &PLAIN, false), Ok((None, String::new())));
        assert!(shown(b"Status: 200 OK\r\nA", &PLAIN, false).is_err());
        assert!(shown(b"Hello\r\n\r\n", &PLAIN, false).is_err());
    }
}
