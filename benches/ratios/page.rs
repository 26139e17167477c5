//! `docs/benchmarks.md` and its picture.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::chart;
use crate::report::{Section, Verdict, missed, verdicts};
use crate::sampling::Series;
use crate::stage::Stage;

/// What the numbers were measured on, without names and paths of the machine.
pub(crate) struct Machine {
    processor: String,
    software: String,
    /// Of the processors' time, what others took before each group, in percent.
    others: Vec<u64>,
}

impl Machine {
    /// Looked at before the measurement begins.
    pub(crate) fn look(stage: &Stage) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        let model =
            model.map_or("an unknown processor", |text| text.trim_start_matches([' ', '\t', ':']));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kibibytes = meminfo
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))
            .and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
        let memory = kibibytes.map(|kibibytes| format!(", {} GiB", (kibibytes + (1 << 19)) >> 20));
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let release = release.split('-').next().unwrap_or_default().trim().to_owned();
        let said = |program: &Path, argument: &str| {
            let output = Command::new(program).arg(argument).output().ok()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.lines().next().map(str::to_owned)
        };
        let python = said(&stage.python(), "--version").unwrap_or_default();
        let gunicorn = said(&stage.python_env().join("bin/gunicorn"), "--version");
        let gunicorn =
            gunicorn.unwrap_or_default().replace("(version ", "").trim_end_matches(')').to_owned();
        let apache = crate::servers::executable().ok().and_then(|apache| said(apache, "-v"));
        let apache =
            apache.unwrap_or_default().replace("Server version: ", "").replace(" (Debian)", "");
        Self {
            processor: format!("{model}, {cores} cores{}", memory.unwrap_or_default()),
            software: format!("Linux {release}, {python}, {gunicorn}, {apache}"),
            others: Vec::new(),
        }
    }

    /// Watches what others do while nothing is measured. Meanwhile is no time to ask: zygotes and what a server starts
    /// are nobody's children, and nobody tells what they took.
    pub(crate) fn rest(&mut self) {
        let before = ticks();
        thread::sleep(REST);
        let after = ticks();
        if let Some(all) = Some(after.0 - before.0).filter(|all| *all > 0) {
            self.others.push((after.1 - before.1) * 100 / all);
        }
    }

    /// What disturbed the measurement, as a sentence.
    fn disturbance(&self) -> String {
        let Some(percent) = self.others.iter().max() else {
            return "What else ran is not known.".to_owned();
        };
        let advice = if *percent > 5 { ": **the run was disturbed**" } else { "" };
        format!(
            "In a second of rest before each group, others' processes took {percent} % of the processors' time at \
             most{advice}."
        )
    }
}

/// How long the processors are watched before a group.
const REST: Duration = Duration::from_secs(1);

/// What the processors have done since they were started, in clock ticks: whatever it was, and what was not idling.
/// Zeroes where the kernel does not tell.
fn ticks() -> (u64, u64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq, steal; what follows is in user already.
    let first = stat.lines().next().unwrap_or_default();
    let ticks = first.split_whitespace().filter_map(|word| word.parse().ok());
    let ticks: Vec<u64> = ticks.take(8).collect();
    let all: u64 = ticks.iter().sum();
    (all, all - ticks.iter().skip(3).take(2).sum::<u64>())
}

/// Writes page and picture into `directory`.
pub(crate) fn write(directory: &Path, sections: &[Section], machine: &Machine) -> Result<()> {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output().context("no date")?;
    let date = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let all: Vec<_> = sections.iter().flat_map(|section| section.verdicts.clone()).collect();
    let (aimed, compared): (Vec<_>, Vec<_>) = all.into_iter().partition(Verdict::is_aimed);
    let mut page = format!(
        "# Benchmarks\n\n\
         Written by `cargo bench` on {date}, in one run. Every number is of whole processes, from \
         their start to the last byte of their answer and their end. Subjects that are compared ran in turns, each \
         round beginning with another one; numbers are medians, and an interval holds 95 of 100 ratios when the rounds \
         are drawn anew. It is an interval of this run alone: the rows of 1 GiB were seen to differ more \
         than that from one run to the next, so a target that is met or missed narrowly is neither for sure.\n\n\
         Measured on: {}; {}. {} All Pythons are the same one, in the same virtual \
         environment. *cold* is cgi2wsgi as a server starts it; *CGIHandler* is a script with Python's \
         `wsgiref.handlers.CGIHandler`.\n\n\
         ![Bar chart of the medians below](benchmarks.svg)\n\n\
         ## Targets\n\n{}\n",
        machine.processor,
        machine.software,
        machine.disturbance(),
        verdicts(&aimed).text()
    );
    let missed = missed(&aimed);
    if missed.is_empty() {
        page += "Every target is met.\n\n";
    } else {
        writeln!(page, "What holds back those that were missed:\n\n{missed}")?;
    }
    if !compared.is_empty() {
        writeln!(page, "For comparison, without a target:\n\n{}", verdicts(&compared).text())?;
    }
    for section in sections {
        page += &section.text(false);
    }
    let series: Vec<&Series> = sections.iter().flat_map(|section| &section.series).collect();
    let picture = chart::svg(
        &series,
        &format!("×: of CGIHandler's time. Medians of one run of cargo bench, {date}"),
    );
    for (name, text) in
        [("benchmarks.md", page.trim_end().to_owned() + "\n"), ("benchmarks.svg", picture)]
    {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        crate::report::progress(&format!("cargo bench: wrote {}", path.display()));
    }
    Ok(())
}
