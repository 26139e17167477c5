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
    let line = format!("cgi2wsgi: {}\n", printable(message));
    // One write, so that lines of several processes do not mix.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn line(kind: &str, message: &str) {
    plain(&format!("{kind}: {message}"));
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
