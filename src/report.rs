//! The lines on standard error: the server's error log.
//!
//! They may quote what a client sent, so control characters are escaped. An error while writing them is ignored.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// The text at the end of each line. It names the request: a server's log mixes the lines of many requests.
static LABEL: Mutex<String> = Mutex::new(String::new());

/// A copy of what is written to standard error, once [`keep_lines`] was called.
static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

/// How much of it is kept, in bytes: of its beginning, and of its end.
const MOST_FIRST: usize = 64 << 10;
const MOST_LAST: usize = 192 << 10;

/// What was written to standard error.
#[derive(Debug, Default)]
pub struct Kept {
    /// The beginning.
    pub first: Vec<u8>,
    /// How many bytes after the beginning are left out.
    pub left_out: usize,
    /// The end.
    pub last: Vec<u8>,
}

impl Kept {
    fn add(&mut self, bytes: &[u8]) {
        let (first, last) = bytes.split_at(bytes.len().min(MOST_FIRST - self.first.len()));
        self.first.extend_from_slice(first);
        self.last.extend_from_slice(last);
        if self.last.len() > 2 * MOST_LAST {
            let surplus = self.last.len() - MOST_LAST;
            self.last.drain(..surplus);
            self.left_out += surplus;
        }
    }
}

/// From now on, keeps a copy of what this process writes to standard error.
pub fn keep_lines() {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
}

/// Keeps what another process has written, if anything is kept.
pub fn keep(bytes: &[u8]) {
    if let Some(kept) = KEPT.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        kept.add(bytes);
    }
}

/// Returns the copy and stops keeping one.
pub fn take_lines() -> Kept {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
}

/// Appends `label` to each line from now on; an empty one appends nothing. It must be printable.
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

/// Something works, but should be changed.
pub fn warning(message: &str) {
    line("warning", message);
}

/// With `--warm`, a request gets a normal start all the same, for this reason.
pub fn falls_back(reason: &str) {
    warning(&format!("--warm: falling back to a normal (cold) start: {reason}"));
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

/// Standard error; a copy of what is written to it is kept too.
#[derive(Debug)]
pub struct Standard;

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = std::io::stderr().write(bytes)?;
        keep(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One write, so that lines of several processes do not mix.
fn write(line: &str) {
    keep(line.as_bytes());
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// `text` with its control characters escaped, except line breaks and tabs: a terminal obeys them. Invisible characters
/// and those that reverse the order of letters are escaped too: they make one line look like another.
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if is_escaped(character) && !matches!(character, '\n' | '\t') {
            printable.extend(character.escape_unicode());
        } else {
            printable.push(character);
        }
    }
    printable
}

/// Whether a character is one that a terminal obeys, or that a reader does not see.
pub fn is_escaped(character: char) -> bool {
    character.is_control() || is_deceptive(character)
}

/// [`printable`], in one line of at most `most` characters.
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
