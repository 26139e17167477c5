//! The report: each finding at once, for a person, or all as JSON at the end. Control characters are escaped.

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use super::finding::{Finding, Level, verdict};
use crate::front::json::ascii;
use crate::report::{printable, printable_line};

/// The longest text, in characters.
const LONGEST: usize = 1200;

/// Where findings go.
pub(super) struct Report {
    user: String,
    form: Form,
    findings: Vec<Finding>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    /// Nothing is written.
    Quiet,
    Lines {
        is_coloured: bool,
    },
}

impl Report {
    pub(super) fn new(user: String, is_json: bool) -> Self {
        let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let is_coloured = io::stdout().is_terminal() && has_colours;
        let form = if is_json { Form::Json } else { Form::Lines { is_coloured } };
        Self { user, form, findings: Vec::new() }
    }

    /// A report that is kept and not written.
    pub(super) fn quiet() -> Self {
        Self { user: String::new(), form: Form::Quiet, findings: Vec::new() }
    }

    /// The lines of all problems.
    pub(super) fn problems(&self) -> Vec<String> {
        let is_problem = |finding: &&Finding| finding.level == Level::Problem;
        self.findings.iter().filter(is_problem).map(|finding| lines(finding, false)).collect()
    }

    pub(super) fn push(&mut self, finding: Finding) {
        if let Form::Lines { is_coloured } = self.form {
            write(&lines(&finding, is_coloured));
        }
        self.findings.push(finding);
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// Whether there is a problem so far.
    pub(super) fn has_problem(&self) -> bool {
        self.count(Level::Problem) > 0
    }

    /// Writes the verdict; returns the exit status.
    pub(super) fn end(&self) -> u8 {
        let (problems, warnings) = (self.count(Level::Problem), self.count(Level::Warning));
        let worst = self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Fine);
        match self.form {
            Form::Quiet => {}
            Form::Json => write(&self.json(worst)),
            Form::Lines { is_coloured } => {
                let line = format!("{} {}", worst.sign(), verdict(problems, warnings));
                write(&format!("{}\n", painted(worst, &line, is_coloured)));
            }
        }
        worst.exit()
    }

    fn json(&self, worst: Level) -> String {
        let findings: Vec<Value> = self.findings.iter().map(value).collect();
        let whole = json!({
            "cgi2wsgi": env!("CARGO_PKG_VERSION"),
            "user": self.user,
            "findings": findings,
            "problems": self.count(Level::Problem),
            "warnings": self.count(Level::Warning),
            "verdict": worst.name(),
        });
        ascii(&format!("{whole:#}\n"))
    }
}

fn value(finding: &Finding) -> Value {
    json!({
        "level": finding.level.name(),
        "about": finding.about,
        "seen": finding.seen,
        "cure": finding.cure,
        "detail": finding.detail,
    })
}

/// A finding: one line, and its details below it.
fn lines(finding: &Finding, is_coloured: bool) -> String {
    let sign = painted(finding.level, finding.level.sign(), is_coloured);
    let seen = printable_line(&finding.seen, LONGEST);
    let mut text = format!("{sign} {:<13} {seen}", finding.about);
    if let Some(cure) = &finding.cure {
        let cure = printable_line(cure, LONGEST);
        text += if is_coloured { "  → \x1b[1m" } else { "  → " };
        text += &cure;
        text += if is_coloured { "\x1b[0m" } else { "" };
    }
    text.push('\n');
    for line in &finding.detail {
        text += &["                ", &printable_line(&printable(line), LONGEST), "\n"].concat();
    }
    text
}

fn painted(level: Level, text: &str, is_coloured: bool) -> String {
    let colour = match level {
        Level::Fine => "32",
        Level::Warning => "33",
        Level::Problem => "31",
    };
    if is_coloured { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Ignores errors: the reader may have closed the pipe.
fn write(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostile() -> Finding {
        Finding::problem("import", "\x1b[2J\n\u{202e}x")
            .cure("echo '\u{9b}'")
            .detail(vec!["a\rb".to_owned()])
    }

    #[test]
    fn a_finding_is_one_line_and_nothing_that_a_terminal_obeys() {
        let text = lines(&hostile(), false);
        let expected =
            "✗ import        \\u{1b}[2J \\u{202e}x  → echo '\\u{9b}'\n                a\\u{d}b\n";
        assert_eq!(text, expected);
        assert!(lines(&hostile(), true).starts_with("\x1b[31m✗\x1b[0m import"));
    }

    #[test]
    fn json_is_ascii_and_says_the_same() {
        let mut report = Report { user: "ü".into(), form: Form::Json, findings: Vec::new() };
        report.push(hostile());
        report.push(Finding::warning("locale", "x"));
        let text = report.json(Level::Problem);
        assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..0x7f).contains(&byte)), "{text}");
        let read: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(read["user"], "ü");
        assert_eq!(read["findings"][0]["seen"], "\x1b[2J\n\u{202e}x");
        assert_eq!(read["verdict"], "problem");
        assert_eq!((read["problems"].as_u64(), read["warnings"].as_u64()), (Some(1), Some(1)));
    }
}
