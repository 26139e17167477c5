//! The lines on standard error: the server's error log.
//!
//! What they quote may be a stranger's, so no control character reaches the
//! log; a standard error that is gone is no reason to fail.

use std::io::Write;

/// Something went wrong.
pub fn error(message: &str) {
    line("error", message);
}

/// Something works, and is better changed.
pub fn warning(message: &str) {
    line("warning", message);
}

/// Where the time went (`--timings`).
pub fn timings(message: &str) {
    line("timings", message);
}

/// An answer to a person that is no error.
pub fn plain(message: &str) {
    let _ = std::io::stderr().write_all(format!("cgi2wsgi: {}\n", printable(message)).as_bytes());
}

/// What a zygote has to say, for the log of all of them.
pub fn zygote(pid: u32, message: &str) {
    let now = httpdate::fmt_http_date(std::time::SystemTime::now());
    line(&format!("{now}: zygote {pid}"), message);
}

fn line(kind: &str, message: &str) {
    let text = format!("cgi2wsgi: {kind}: {}\n", printable(message));
    // One write, so that lines of several processes do not mix.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// `text` with its control characters escaped, but for line breaks and tabs.
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !matches!(character, '\n' | '\t') {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}
