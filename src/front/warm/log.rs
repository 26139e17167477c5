//! `cgi2wsgi warm log`: shows the log of this user's zygotes, or everybody's for root.

use anyhow::Result;

use super::{NOTHING, directories, none, show, user_name};
use crate::cgi::variables::Variables;
use crate::front::cli::WarmLogArgs;
use crate::report::{self, printable, printable_line};
use crate::zygotes::log::Log;

/// How many characters of another user's line are shown at most.
const LONGEST: usize = 2000;

pub(super) fn run(arguments: &WarmLogArgs, variables: &Variables) -> Result<u8> {
    let me = rustix::process::geteuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let directories = directories(variables);
    let are_labelled = directories.iter().any(|directory| directory.owner() != me);
    let mut found = false;
    for directory in &directories {
        let log = Log::new(directory);
        let path = printable_line(&log.path().to_string_lossy(), LONGEST);
        let text = match log.read() {
            Ok(Some(text)) => text,
            Ok(None) => continue,
            Err(error) => {
                report::warning(&format!("skipped: {path}: {error}"));
                continue;
            }
        };
        found = true;
        if arguments.path {
            show(format!("{path}\n").as_bytes())?;
            continue;
        }
        let text = String::from_utf8_lossy(last_lines(&text, arguments.lines));
        let text = if are_labelled {
            labelled(&user_name(&passwd, directory.owner()), &text)
        } else {
            printable(&text)
        };
        show(text.as_bytes())?;
    }
    if !found {
        report::plain(&format!("{} (there is no log either)", none(variables)));
        return Ok(NOTHING);
    }
    Ok(0)
}

/// Each line after its user's name.
fn labelled(user: &str, text: &str) -> String {
    let line = |line| format!("{user}: {}\n", printable_line(line, LONGEST));
    text.lines().map(line).collect()
}

/// The last `count` lines, or all.
fn last_lines(text: &[u8], count: Option<usize>) -> &[u8] {
    let Some(count) = count else { return text };
    let ends = text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    // The line break at the very end begins no line.
    let start =
        ends.map(|(at, _)| at + 1).filter(|start| *start < text.len()).nth(count.wrapping_sub(1));
    match count {
        0 => &[],
        _ => &text[start.unwrap_or_default()..],
    }
}

#[cfg(test)]
mod tests {
    use super::{labelled, last_lines};

    #[test]
    fn no_line_of_a_log_has_another_users_label_or_obeys_a_terminal() {
        let text = "one\n\x1b[2Jroot: \rtwo\u{2028}\n".to_owned() + &"x".repeat(3000);
        let shown = labelled("eve", &text);
        assert!(shown.lines().count() == 3 && shown.lines().all(|line| line.starts_with("eve: ")));
        assert!(!shown.contains(['\x1b', '\r', '\u{2028}']) && shown.len() < 2200, "{shown}");
    }

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
