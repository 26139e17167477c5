//! `cgi2wsgi warm log`: what this user's zygotes, or everybody's for root, had to say.

use anyhow::{Context, Result};

use super::{NOTHING, directories, none, show};
use crate::cgi::variables::Variables;
use crate::front::cli::WarmLogArgs;
use crate::report::{self, printable};
use crate::zygotes::log::Log;

pub(super) fn run(arguments: &WarmLogArgs, variables: &Variables) -> Result<u8> {
    let mut found = false;
    for directory in directories(variables)? {
        let log = Log::new(&directory);
        let shown = log.path().display();
        let Some(text) = log.read().with_context(|| shown.to_string())? else { continue };
        found = true;
        if arguments.path {
            show(format!("{shown}\n").as_bytes())?;
        } else {
            let text = String::from_utf8_lossy(last_lines(&text, arguments.lines));
            show(printable(&text).as_bytes())?;
        }
    }
    if !found {
        report::plain(&format!("{} (there is no log either)", none(variables)));
        return Ok(NOTHING);
    }
    Ok(0)
}

/// The last so many lines, or all.
fn last_lines(text: &[u8], count: Option<usize>) -> &[u8] {
    let Some(count) = count else { return text };
    let ends = text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    // The line end behind the last line ends none before it.
    let start =
        ends.map(|(at, _)| at + 1).filter(|start| *start < text.len()).nth(count.wrapping_sub(1));
    match count {
        0 => &[],
        _ => &text[start.unwrap_or_default()..],
    }
}

#[cfg(test)]
mod tests {
    use super::last_lines;

    #[test]
    fn the_last_lines_are_whole() {
        let text = b"one\ntwo\nthree\n";
        for (count, expected) in [
            (None, "one\ntwo\nthree\n"),
            (Some(0), ""),
            (Some(1), "three\n"),
            (Some(2), "two\nthree\n"),
            (Some(3), "one\ntwo\nthree\n"),
            (Some(9), "one\ntwo\nthree\n"),
        ] {
            assert_eq!(last_lines(text, count), expected.as_bytes(), "{count:?}");
        }
        assert_eq!(last_lines(b"", Some(1)), b"");
        assert_eq!(last_lines(b"a\ncut", Some(1)), b"cut");
    }
}
