//! What a group found: targets met or missed, and tables; and how both are written as Markdown.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::{Context, Result};

use crate::sampling::Series;
use crate::statistics::{Ratio, ratio};

/// What is to be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtMost(f64),
    /// Shown for comparison.
    None,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Ratio(Ratio),
    /// So much more, in bytes.
    MoreBytes(f64),
}

/// One row of the table of targets.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// Subject and peer.
    pub(crate) what: String,
    pub(crate) value: Value,
    pub(crate) target: Target,
    pub(crate) rounds: usize,
    /// What holds it back, said when the target is missed.
    pub(crate) held_back: String,
}

/// Rows under a head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// What one group found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// What was run and how.
    pub(crate) about: String,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) tables: Vec<Table>,
    /// What the chart is drawn from.
    pub(crate) series: Vec<Series>,
}

impl Section {
    /// Adds the ratio of two of the series as a row of the table of targets.
    pub(crate) fn compare(
        &mut self,
        subject: &str,
        peer: &str,
        target: Target,
        held_back: &str,
    ) -> Result<()> {
        let find = |name: &str| {
            let found = self.series.iter().find(|series| series.name == name);
            found.with_context(|| format!("no series is called {name:?}"))
        };
        let (ours, theirs) = (find(subject)?, find(peer)?);
        self.verdicts.push(Verdict {
            what: format!("{subject} / {peer}"),
            value: Value::Ratio(ratio(&ours.seconds(), &theirs.seconds())),
            target,
            rounds: ours.samples.len(),
            held_back: held_back.to_owned(),
        });
        Ok(())
    }

    /// What one of the series is of another one, as words.
    pub(crate) fn share(&self, part: &str, whole: &str) -> Result<String> {
        let median = |name: &str| {
            let found = self.series.iter().find(|series| series.name == name);
            found.map(Series::median).with_context(|| format!("no series is called {name:?}"))
        };
        Ok(format!("{:.2}", median(part)? / median(whole)?))
    }

    /// A table of all series.
    pub(crate) fn tabulate(&mut self) {
        let head = ["", "median", "quartiles", "peak memory", "runs"];
        let rows = self.series.iter().map(|series| {
            let (low, high) = series.quartiles();
            vec![
                series.name.clone(),
                time(series.median()),
                format!("{} to {}", time(low), time(high)),
                series.peak().map(mebibytes).unwrap_or_default(),
                series.samples.len().to_string(),
            ]
        });
        let rows = rows.collect();
        self.tables.push(Table { head: head.map(str::to_owned).to_vec(), rows });
    }

    /// The section as it stands on the page, which has the targets of all of them elsewhere, or by itself.
    pub(crate) fn text(&self, is_alone: bool) -> String {
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.about);
        if is_alone && !self.verdicts.is_empty() {
            text += &verdicts(&self.verdicts).text();
            text.push('\n');
        }
        for table in &self.tables {
            text += &table.text();
            text.push('\n');
        }
        text
    }
}

impl Verdict {
    /// Whether there is a target.
    pub(crate) fn is_aimed(&self) -> bool {
        !matches!(self.target, Target::None)
    }

    fn is_met(&self) -> Option<bool> {
        match (self.target, self.value) {
            (Target::AtMost(limit), Value::Ratio(ratio)) => Some(ratio.value <= limit),
            (Target::AtMost(limit), Value::MoreBytes(bytes)) => Some(bytes <= limit),
            (Target::None, _) => None,
        }
    }

    /// Met, or missed by how much.
    fn outcome(&self) -> String {
        match (self.is_met(), self.target, self.value) {
            (Some(true), Target::AtMost(limit), Value::Ratio(ratio)) if ratio.high > limit => {
                "met, narrowly: the interval has the target in it".to_owned()
            }
            (Some(true), ..) => "met".to_owned(),
            (Some(false), Target::AtMost(limit), Value::MoreBytes(bytes)) => {
                format!("**missed** by {}", mebibytes(bytes - limit))
            }
            (Some(false), Target::AtMost(limit), Value::Ratio(ratio)) => {
                let narrowly =
                    if ratio.low <= limit { ", and the interval has the target in it" } else { "" };
                format!("**missed** by {:.1} %{narrowly}", (ratio.value / limit - 1.0) * 100.0)
            }
            (Some(false), Target::None, _) | (None, ..) => String::new(),
        }
    }
}

/// The table of targets, and below it what holds the missed ones back.
pub(crate) fn verdicts(verdicts: &[Verdict]) -> Table {
    let head = ["", "target", "measured", "95 % interval", "runs", ""];
    let rows = verdicts.iter().map(|verdict| {
        let (measured, interval) = match verdict.value {
            Value::Ratio(ratio) => {
                (fine(ratio.value), format!("{} to {}", fine(ratio.low), fine(ratio.high)))
            }
            Value::MoreBytes(bytes) => (signed_mebibytes(bytes), String::new()),
        };
        let target = match (verdict.target, verdict.value) {
            (Target::AtMost(limit), Value::Ratio(_)) => format!("≤ {}", fine(limit)),
            (Target::AtMost(limit), Value::MoreBytes(_)) => {
                format!("≤ {}", signed_mebibytes(limit))
            }
            (Target::None, _) => String::new(),
        };
        let rounds = verdict.rounds.to_string();
        vec![verdict.what.clone(), target, measured, interval, rounds, verdict.outcome()]
    });
    Table { rows: rows.collect(), head: head.map(str::to_owned).to_vec() }
}

/// A line for each missed target that says what holds it back.
pub(crate) fn missed(verdicts: &[Verdict]) -> String {
    let missed = verdicts.iter().filter(|verdict| verdict.is_met() == Some(false));
    missed.fold(String::new(), |mut text, verdict| {
        let outcome = verdict.outcome().replace('*', "");
        let _ = writeln!(text, "- **{}**: {outcome}. {}", verdict.what, verdict.held_back);
        text
    })
}

impl Table {
    pub(crate) fn text(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<_> = (0..self.head.len())
            .map(|column| if self.is_of_numbers(column) { "---:" } else { "---" }.to_owned())
            .collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        line(&self.head) + &line(&rule) + &rows
    }
}

impl Table {
    fn is_of_numbers(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.all(|cell| {
            cell.is_empty() || cell.starts_with(|c: char| c.is_ascii_digit() || "+-≤≥".contains(c))
        })
    }
}

/// A ratio, with as many digits as tell it from its target.
pub(crate) fn fine(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.4}") } else { format!("{ratio:.2}") }
}

/// Seconds in the unit that suits them.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 0.999_5 => format!("{s:.2} s"),
        s if s >= 0.099_95 => format!("{:.0} ms", s * 1e3),
        s if s >= 0.009_995 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.2} ms", s * 1e3),
    }
}

const MEBIBYTE: f64 = 1_048_576.0;

pub(crate) fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / MEBIBYTE)
}

fn signed_mebibytes(bytes: f64) -> String {
    format!("{:+.1} MiB", bytes / MEBIBYTE)
}

/// Text as XML takes it.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A line for whoever waits.
pub(crate) fn progress(line: &str) {
    // Nobody who reads is no reason to stop.
    let _ = writeln!(io::stderr(), "{line}");
}

/// A result.
pub(crate) fn say(text: &str) -> Result<()> {
    writeln!(io::stdout(), "{text}").context("cannot write to standard output")
}
