//! JSON for a terminal: the same content, with some characters escaped.

use std::fmt::Write;

use crate::report::is_escaped;

/// Escapes every character that a terminal obeys or a reader does not see.
pub fn printable(json: &str) -> String {
    escape(json, is_escaped)
}

/// Escapes every character that is not printable ASCII.
pub fn ascii(json: &str) -> String {
    escape(json, |character| !matches!(character, ' '..='~'))
}

fn escape(json: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(json.len());
    let mut units = [0; 2];
    for character in json.chars() {
        // JSON has line breaks only between strings, where they mean nothing.
        if character == '\n' || !is_escaped(character) {
            text.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut units) {
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        assert_eq!(printable("{\n \"ü\u{9b}\u{202e}\"}"), "{\n \"ü\\u009b\\u202e\"}");
        assert_eq!(ascii("{\n \"ü\u{1d11e}\x7f\"}"), "{\n \"\\u00fc\\ud834\\udd1e\\u007f\"}");
    }
}
