//! `docs/benchmarks.md` and its picture.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::chart;
use crate::report::{Section, Verdict, missed, verdicts};
use crate::sampling::Series;
use crate::stage::Stage;

/// What the numbers were measured on, without names and paths of the machine.
pub(crate) struct Machine {
    processor: String,
    software: String,
    busy: Busy,
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
            busy: Busy::now(),
        }
    }
}

/// What the processors have done since they were started, in clock ticks.
struct Busy {
    /// Whatever it was, idling included.
    all: u64,
    /// Not idle.
    working: u64,
    /// By this process, and by those it has waited for.
    own: u64,
}

impl Busy {
    /// Zeroes where the kernel does not tell.
    fn now() -> Self {
        let numbers = |text: &str| -> Vec<u64> {
            text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
        };
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows is in user already.
        let ticks = numbers(stat.lines().next().unwrap_or_default());
        let all = ticks.iter().take(8).sum();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // Behind the name, which may have spaces: utime, stime, cutime and cstime are fields 14 to 17, the state is 3.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let own =
            fields.split_whitespace().skip(11).take(4).filter_map(|word| word.parse::<u64>().ok());
        Self { all, working: all - idle, own: own.sum() }
    }

    /// How much others took since then, as a sentence: what disturbed the measurement.
    fn by_others(&self) -> String {
        let now = Self::now();
        let all = now.all - self.all;
        let others = (now.working - self.working).saturating_sub(now.own - self.own);
        if all == 0 {
            return "What else ran meanwhile is not known.".to_owned();
        }
        let percent = others * 100 / all;
        let advice = if percent > 5 { ": **the run was disturbed**" } else { "" };
        format!("Others' processes took {percent} % of the processors' time meanwhile{advice}.")
    }
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
        machine.busy.by_others(),
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
