//! `cargo bench`: cgi2wsgi against its peers, in one run, as ratios.
//!
//! Every number is for whole processes, from spawn to the last byte read and the process waited for. Subjects that are
//! compared are measured alternately, so that a machine that becomes slower slows all of them.
//!
//! - `stage.rs`: front and worker as they are installed, the Python environment, the C programs, the fixtures;
//!   `packages.rs`: programs of the system, installed where they are missing; `servers/`, `http.rs`: the servers, and a
//!   client;
//! - `subject.rs`, `sampling.rs`, `statistics.rs`, `processes.rs`: what is run, how it is timed, the statistics of the
//!   numbers, and the memory of the processes;
//! - `groups/`: a file for each group of rows; `targets.rs`: the targets;
//! - `report.rs`, `page.rs`, `chart.rs`: the results of a group, the page, and its picture; `figures.rs`: how numbers are
//!   written; `terminal.rs`: what is seen while it runs;
//! - `programs/`: what is compiled or imported.
//!
//! `cargo bench` runs everything and writes `docs/benchmarks.md`; `cargo bench -- cold warm` runs some groups,
//! and `cargo bench -- --quick` fewer rounds: these write the page into `target/tmp` instead.

mod chart;
mod figures;
mod groups;
mod http;
mod packages;
mod page;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/integration/harness/process.rs"]
mod process;
mod processes;
mod report;
mod sampling;
mod servers;
mod stage;
mod statistics;
mod subject;
mod targets;
mod terminal;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::groups::{GROUPS, Group};
use crate::page::Machine;
use crate::report::Section;
use crate::stage::Stage;

/// What every group is given.
pub(crate) struct Bench {
    pub(crate) stage: Stage,
    quick: bool,
}

impl Bench {
    /// How often each subject of a group runs: `wanted` times, or a few times where quickness was asked for.
    pub(crate) fn rounds(&self, wanted: usize) -> usize {
        if self.quick { (wanted / 5).max(3) } else { wanted }
    }
}

fn main() -> ExitCode {
    // `cargo test --benches` starts this too, without `--bench`: timings are no tests.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::progress(&format!("cargo bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let started = Instant::now();
    let (mut quick, mut wanted) = (false, Vec::new());
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--bench" => {}
            "--quick" => quick = true,
            option if option.starts_with('-') => {
                bail!("there is no option {option}: cargo bench -- [--quick] [GROUP...]")
            }
            group => wanted.push(group.to_owned()),
        }
    }
    let names = GROUPS.map(|group| group.name);
    if let Some(unknown) = wanted.iter().find(|group| !names.contains(&group.as_str())) {
        bail!("no group is called {unknown}: there are {}", names.join(", "));
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|group| group == name);
    let groups: Vec<Group> = GROUPS.into_iter().filter(|group| is_wanted(group.name)).collect();

    let mut bench = Bench { stage: Stage::new()?, quick };
    for group in &groups {
        let prepared = group.prepare.map_or(Ok(()), |prepare| prepare(&bench));
        prepared.with_context(|| format!("{} cannot be prepared", group.name))?;
    }
    let mut machine = Machine::look(&bench.stage);
    let mut is_whole = !quick && groups.len() == GROUPS.len();
    let mut sections = Vec::new();
    let mut failed = Vec::new();
    for group in groups {
        terminal::progress(&format!("== {}", group.name));
        machine.rest();
        match measured(&bench, &group) {
            Ok(section) => sections.push(section),
            Err(error) => {
                // The results of the other groups take minutes, and are kept.
                let left = bench.stage.keep().display();
                terminal::progress(&format!("   FAILED; what it ran is left in {left}: {error:#}"));
                failed.push(group.name);
                is_whole = false;
            }
        }
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = project.join("docs");
    // The page of some groups is not published.
    let directory = if is_whole { &docs } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
    page::write(directory, &sections, &machine)?;
    terminal::progress(&format!("cargo bench: {} s", started.elapsed().as_secs()));
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// The results of a group, with a remark about warm requests that were answered cold.
fn measured(bench: &Bench, group: &Group) -> Result<Section> {
    let begun = Instant::now();
    let before = bench.stage.fall_backs()?;
    let mut section = (group.measure)(bench)?;
    let mut fell_back = bench.stage.fall_backs()?;
    fell_back.retain(|line| !before.contains(line));
    if let Some(line) = fell_back.first() {
        let count = fell_back.len();
        let remark =
            format!("**{count} warm requests were answered cold**, the first one: `{line}`.");
        section.about = section.about + " " + &remark;
    }
    terminal::say(&section.text(true))?;
    terminal::progress(&format!("   {} s", begun.elapsed().as_secs()));
    Ok(section)
}
