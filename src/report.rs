//! The lines on standard error: the server's error log.
//!
//! What they quote may be a stranger's, so no control character reaches the
//! log; a standard error that is gone is no reason to fail.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// What stands behind each line: what it is about, where a server's log mixes the lines of many requests.
static LABEL: Mutex<String> = Mutex::new(String::new());

/// Puts a label behind each line from here on; nothing for an empty one. It is taken to be printable.
pub fn set_label(label: &str) {
    label.clone_into(&mut LABEL.lock().unwrap_or_else(PoisonError::into_inner));
}

/// The label that lines have.
pub fn label() -> String {
    LABEL.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

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
    write(&format!("cgi2wsgi: {}\n", printable(message)));
}

fn line(kind: &str, message: &str) {
    let label = label();
    let separator = if label.is_empty() { "" } else { " " };
    write(&format!("cgi2wsgi: {kind}: {}{separator}{label}\n", printable(message.trim_end())));
}

/// One write, so that lines of several processes do not mix.
fn write(line: &str) {
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// `text` with its control characters escaped, but for line breaks and tabs: a terminal obeys them. What a reader does
/// not see, and what turns the order of letters round, is escaped too: it makes a line look like another.
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        let is_layout = matches!(character, '\n' | '\t');
        if (character.is_control() && !is_layout) || is_deceptive(character) {
            printable.extend(character.escape_unicode());
        } else {
            printable.push(character);
        }
    }
    printable
}

/// The same in one line of at most so many characters.
pub fn printable_line(text: &str, most: usize) -> String {
    let line = printable(text).replace(['\n', '\t'], " ");
    match line.char_indices().nth(most) {
        Some((end, _)) => line[..end].to_owned() + "…",
        None => line,
    }
}

/// Characters without a shape of their own: marks of direction, joiners and spaces of no width, separators of lines and
/// tags (Unicode's Cf, Zl and Zp).
fn is_deceptive(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_or_a_reader_does_not_see_is_escaped() {
        for (text, shown) in [
            ("\x1b[31m", "\\u{1b}[31m"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\rb\x7f\0", "a\\u{d}b\\u{7f}\\u{0}"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            ("pass\u{200b}word\u{2028}", "pass\\u{200b}word\\u{2028}"),
            ("Jürgen, 日本\n\tand", "Jürgen, 日本\n\tand"),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(printable_line("a\nb\tc", 9), "a b c");
        assert_eq!(printable_line("üüüü", 3), "üüü…");
    }
}
