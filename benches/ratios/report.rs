//! What a group found: targets met or missed, and tables; and how both are written as Markdown.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use crate::figures::{fine, mebibytes, signed_mebibytes, time};
use crate::sampling::Series;
use crate::statistics::{Ratio, ratio};
use crate::targets::{self, Limit, Target};

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Ratio(Ratio),
    /// Bytes more than the peer.
    MoreBytes(f64),
}

/// One row of the table of targets.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// Subject and peer.
    pub(crate) what: String,
    pub(crate) value: Value,
    pub(crate) target: Option<Target>,
    pub(crate) rounds: usize,
    /// The measured reason why a target is missed, shown only then.
    pub(crate) held_back: String,
}

/// Which figure of two series is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of {
    Medians,
    NinetyNinth,
    /// Of a crowd, whose samples are seconds for each request.
    Rates,
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
    /// Adds the ratio of two of the series as a row, with the target that [`targets`] has for the row's name.
    pub(crate) fn compare(
        &mut self,
        of: Of,
        subject: &str,
        peer: &str,
        held_back: &str,
    ) -> Result<()> {
        let (ours, theirs) = (self.find(subject)?, self.find(peer)?);
        let (seconds, others) = (ours.seconds(), theirs.seconds());
        let ratio = match of {
            Of::Medians => ratio(&seconds, &others, 0.5),
            Of::NinetyNinth => ratio(&seconds, &others, 0.99),
            Of::Rates => ratio(&others, &seconds, 0.5),
        };
        let rounds = ours.samples.len();
        let what = row_name(of, subject, peer);
        self.verdicts.push(Verdict::new(what, Value::Ratio(ratio), rounds, held_back));
        Ok(())
    }

    /// One of the series.
    pub(crate) fn find(&self, name: &str) -> Result<&Series> {
        let found = self.series.iter().find(|series| series.name == name);
        found.with_context(|| format!("no series is called {name:?}"))
    }

    /// The ratio of one of the series to another, as text.
    pub(crate) fn share(&self, part: &str, whole: &str) -> Result<String> {
        Ok(fine(self.find(part)?.median() / self.find(whole)?.median()))
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

    /// The text of the section: on the page, where the targets of all sections are elsewhere, or alone.
    pub(crate) fn text(&self, is_alone: bool) -> String {
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.about);
        if is_alone && !self.verdicts.is_empty() {
            text = text + &verdicts(&self.verdicts).text() + "\n" + &missed(&self.verdicts) + "\n";
        }
        for table in &self.tables {
            text += &table.text();
            text.push('\n');
        }
        text
    }
}

/// The name of a row. A common beginning of subject and peer is written once.
fn row_name(of: Of, subject: &str, peer: &str) -> String {
    let place = subject.split_once(": ").map(|(place, _)| format!("{place}: "));
    let peer = place.and_then(|place| peer.strip_prefix(&place)).unwrap_or(peer);
    let quantity = match of {
        Of::Medians => "",
        Of::NinetyNinth => ", 99th percentiles",
        Of::Rates => ", requests a second",
    };
    format!("{subject} / {peer}{quantity}")
}

impl Verdict {
    pub(crate) fn new(what: String, value: Value, rounds: usize, held_back: &str) -> Self {
        let target = targets::find(&what);
        Self { what, value, target, rounds, held_back: held_back.to_owned() }
    }

    /// Whether it stays within its target, if it has one.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let number = match self.value {
            Value::Ratio(ratio) => ratio.value,
            Value::MoreBytes(bytes) => bytes,
        };
        Some(self.target?.limit.is_met(number))
    }

    /// Met, or missed by how much.
    fn outcome(&self) -> String {
        let (Some(target), Some(is_met)) = (self.target, self.is_met()) else {
            return String::new();
        };
        let narrowly = match self.value {
            Value::Ratio(ratio) => {
                target.limit.is_met(ratio.low) != target.limit.is_met(ratio.high)
            }
            Value::MoreBytes(_) => false,
        };
        let narrowly = if narrowly { ", narrowly" } else { "" };
        if is_met {
            return format!("met{narrowly}");
        }
        let distance = match (target.limit, self.value) {
            (Limit::MoreBytes(limit), Value::MoreBytes(bytes)) => mebibytes(bytes - limit),
            (Limit::AtMost(limit) | Limit::AtLeast(limit), Value::Ratio(ratio)) => {
                format!("{:.0} %", ((ratio.value / limit - 1.0) * 100.0).abs().max(1.0))
            }
            _ => String::new(),
        };
        format!("**missed** by {distance}{narrowly}")
    }

    fn row(&self) -> Vec<String> {
        let (measured, interval) = match self.value {
            Value::Ratio(ratio) => {
                (fine(ratio.value), format!("{} to {}", fine(ratio.low), fine(ratio.high)))
            }
            Value::MoreBytes(bytes) => (signed_mebibytes(bytes), String::new()),
        };
        let target = self.target.map(|target| target.words()).unwrap_or_default();
        let rounds = self.rounds.to_string();
        vec![self.what.clone(), target, measured, self.outcome(), interval, rounds]
    }
}

/// The table of rows, with or without targets.
pub(crate) fn verdicts(verdicts: &[Verdict]) -> Table {
    let head = ["", "target", "measured", "", "95 % interval", "runs"];
    Table {
        rows: verdicts.iter().map(Verdict::row).collect(),
        head: head.map(str::to_owned).to_vec(),
    }
}

/// A line with the reason for each missed target.
pub(crate) fn missed(verdicts: &[Verdict]) -> String {
    let missed = verdicts.iter().filter(|verdict| verdict.is_met() == Some(false));
    missed.fold(String::new(), |mut text, verdict| {
        let outcome = verdict.outcome().replace('*', "");
        let held_back = match verdict.held_back.as_str() {
            "" => "No floor was measured for it.",
            known => known,
        };
        let _ = writeln!(text, "- **{}**: {outcome}. {held_back}", verdict.what);
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
        // A column of names has no title, and a name may begin with a digit.
        let is_of_names = column == 0 && self.head.first().is_some_and(String::is_empty);
        let mut cells = self.rows.iter().filter_map(|row| row.get(column));
        !is_of_names
            && cells.all(|cell| {
                cell.is_empty()
                    || cell.starts_with(|c: char| c.is_ascii_digit() || "+-≤≥".contains(c))
            })
    }
}
