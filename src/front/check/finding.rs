//! What was found, and the verdict on all of it.

pub(super) use crate::remedies::word;

/// How good or bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// It is as it must be.
    Fine,
    /// The site works, and should be changed.
    Warning,
    /// The site does not work, or not for everybody.
    Problem,
}

impl Level {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Fine => "✓",
            Self::Warning => "!",
            Self::Problem => "✗",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }

    /// The exit status of a check whose worst finding this is.
    pub(super) fn exit(self) -> u8 {
        self as u8
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// What it is about, in a word or two.
    pub(super) about: &'static str,
    /// What was seen, with the value.
    pub(super) seen: String,
    /// What to do: a command to copy, or a line for a configuration.
    pub(super) cure: Option<String>,
    /// More lines, such as the frames of a traceback.
    pub(super) detail: Vec<String>,
}

impl Finding {
    fn new(level: Level, about: &'static str, seen: impl Into<String>) -> Self {
        Self { level, about, seen: seen.into(), cure: None, detail: Vec::new() }
    }

    pub(super) fn fine(about: &'static str, seen: impl Into<String>) -> Self {
        Self::new(Level::Fine, about, seen)
    }

    pub(super) fn warning(about: &'static str, seen: impl Into<String>) -> Self {
        Self::new(Level::Warning, about, seen)
    }

    pub(super) fn problem(about: &'static str, seen: impl Into<String>) -> Self {
        Self::new(Level::Problem, about, seen)
    }

    pub(super) fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }

    pub(super) fn maybe_cure(mut self, cure: Option<String>) -> Self {
        self.cure = cure.or(self.cure);
        self
    }

    pub(super) fn detail(mut self, lines: Vec<String>) -> Self {
        self.detail = lines;
        self
    }
}

/// The verdict as text, with the number of problems and warnings.
pub(super) fn verdict(problems: usize, warnings: usize) -> String {
    let count = |number: usize, name: &str| match number {
        1 => format!("1 {name}"),
        _ => format!("{number} {name}s"),
    };
    match (problems, warnings) {
        (0, 0) => "no problem found".to_owned(),
        (0, _) => format!("{}, and no problem", count(warnings, "warning")),
        (_, 0) => count(problems, "problem"),
        _ => format!("{} and {}", count(problems, "problem"), count(warnings, "warning")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_counts() {
        assert_eq!(verdict(0, 0), "no problem found");
        assert_eq!(verdict(0, 1), "1 warning, and no problem");
        assert_eq!(verdict(2, 0), "2 problems");
        assert_eq!(verdict(1, 3), "1 problem and 3 warnings");
    }
}
