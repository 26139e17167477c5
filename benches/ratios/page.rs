//! `docs/benchmarks.md` and its picture.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::chart;
use crate::packages::{APACHE, PHP_CGI, Package};
use crate::report::{Section, Verdict, missed, verdicts};
use crate::sampling::Series;
use crate::servers::caddy;
use crate::stage::Stage;
use crate::targets::{TARGETS, Target};

/// What the numbers were measured on, without names and paths of the machine.
pub(crate) struct Machine {
    processor: String,
    software: String,
    /// The share of the processors' time that other processes took before each group, in percent.
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
        let of_package =
            |package: &Package| package.find().map(|found| said(&found, "-v")).unwrap_or_default();
        let python = said(&stage.python(), "--version");
        let gunicorn = said(&stage.python_env().join("bin/gunicorn"), "--version");
        let gunicorn = gunicorn.replace("(version ", "").trim_end_matches(')').to_owned();
        let apache = of_package(&APACHE).replace("Server version: ", "").replace(" (Debian)", "");
        let caddy = caddy::built().map(|caddy| said(&caddy, "version")).unwrap_or_default();
        let caddy = caddy.split(' ').next().unwrap_or_default();
        let php = of_package(&PHP_CGI);
        let php: Vec<_> = php.split(' ').take(2).collect();
        Self {
            processor: format!("{model}, {cores} cores{}", memory.unwrap_or_default()),
            software: format!(
                "Linux {release}, {python}, {gunicorn}, {apache}, Caddy {caddy}, {}",
                php.join(" ")
            ),
            others: Vec::new(),
        }
    }

    /// Measures what other processes take while the bench does nothing. During a measurement it cannot: zygotes and
    /// programs of a server are no children of the bench, so it does not know their time.
    pub(crate) fn rest(&mut self) {
        let before = ticks();
        thread::sleep(REST);
        let after = ticks();
        if let Some(all) = Some(after.0 - before.0).filter(|all| *all > 0) {
            self.others.push((after.1 - before.1) * 100 / all);
        }
    }

    /// The machine, and what disturbed the measurement.
    fn words(&self) -> String {
        format!("Measured on: {}; {}. {}", self.processor, self.software, self.disturbance())
    }

    /// What disturbed the measurement, as a sentence.
    fn disturbance(&self) -> String {
        let Some(percent) = self.others.iter().max() else {
            return "The load by other processes is not known.".to_owned();
        };
        let advice = if *percent > 5 { ": **the run was disturbed**" } else { "" };
        format!(
            "In one idle second before each group, other processes took {percent} % of the processors' time at \
             most{advice}."
        )
    }
}

/// The first line that a program says about itself.
fn said(program: &Path, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
}

/// How long the processors are watched before a group.
const REST: Duration = Duration::from_secs(1);

/// The clock ticks of the processors since the system's start: all of them, and those not idle. Zeroes where the kernel
/// does not report them.
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
    let series: Vec<&Series> = sections.iter().flat_map(|section| &section.series).collect();
    let page = text(&date, sections, machine);
    let picture = chart::svg(&series, &format!("cargo bench, {date}; {}", machine.processor));
    for (name, text) in
        [("benchmarks.md", page.trim_end().to_owned() + "\n"), ("benchmarks.svg", picture)]
    {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        crate::terminal::progress(&format!("cargo bench: wrote {}", path.display()));
    }
    Ok(())
}

/// The page: the picture, the targets, the reasons for missed ones, how it was measured, all rows.
fn text(date: &str, sections: &[Section], machine: &Machine) -> String {
    let all: Vec<_> = sections.iter().flat_map(|section| section.verdicts.clone()).collect();
    let (aimed, compared): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|verdict| verdict.target.is_some());
    // In the order of the targets. Targets that were not measured are listed too.
    let find = |target: &Target| aimed.iter().find(|verdict| verdict.what == target.what);
    let known: Vec<Verdict> = TARGETS.iter().filter_map(find).cloned().collect();
    let lacking = TARGETS.iter().filter(|target| find(target).is_none());
    let lacking =
        lacking.map(|target| format!("- not measured: {} {}", target.what, target.words()));
    let lacking = lacking.collect::<Vec<_>>().join("\n");
    let met = known.iter().filter(|verdict| verdict.is_met() == Some(true)).count();
    let mut page = format!(
        "# Benchmarks\n\n\
         ![Bar chart of what a request takes: CGIHandler, php-cgi, cgi2wsgi cold and warm, a C program](benchmarks.svg)\n\n\
         A CGI program is started, answers one request and ends: these are whole requests. *cold* is cgi2wsgi as a server \
         starts it, *warm* is with `--warm`; `CGIHandler` is Python's own bridge. Measured by `cargo \
         bench` on {date}, all of it in one run. [How it was measured](#how-it-was-measured).\n\n\
         ## Targets\n\n\
         {met} of {} are met. A row is the time of its first part as a share of the second's, unless it says something \
         else.\n\n{}\n",
        TARGETS.len(),
        verdicts(&known).text()
    );
    if !lacking.is_empty() {
        page = page + &lacking + "\n\n";
    }
    let missed = missed(&known);
    if !missed.is_empty() {
        page += "What holds back those that were missed, as far as it was measured:\n\n";
        page = page + &missed + "\n";
    }
    if !compared.is_empty() {
        page += "For comparison, without a target:\n\n";
        page = page + &verdicts(&compared).text() + "\n";
    }
    page = page + "## How it was measured\n\n" + HOW + " " + &machine.words() + "\n\n";
    for section in sections {
        page += &section.text(false);
    }
    page
}

const HOW: &str = "Every number is of whole processes, from their start to the last byte of their answer and their end, \
    or of whole visits to a server. Subjects that are compared ran in turns, each round in another order; \
    numbers are medians, and an interval holds 95 of 100 ratios when the rounds are drawn anew. It is an interval of \
    this run alone: the rows of 1 GiB were seen to differ more than that from one run to the next. A target is met or \
    missed narrowly when it lies within the interval, and another run may give the other result. \
    All Pythons are the same one, in the same virtual environment. *CGIHandler* is a script with Python's \
    `wsgiref.handlers.CGIHandler`; *C program* is one that prints a greeting and does nothing else.";
