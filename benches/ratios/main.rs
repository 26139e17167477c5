//! `cargo bench`: cgi2wsgi against its peers, in one run, as ratios.
//!
//! Every number is of whole processes, from spawn to the last byte read and the process waited for. What is compared is
//! measured alternately, so that a machine that becomes slower becomes so for all of them.
//!
//! - `stage.rs`: front and worker as they are installed, the Python environment, the C programs, the fixtures;
//!   `servers.rs`, `http.rs`: the servers, and a client;
//! - `subject.rs`, `sampling.rs`, `statistics.rs`: what is run, how it is timed, what is made of the numbers;
//! - one file for each group: `cold.rs`, processes that answer one request; `warm.rs`, a zygote's children;
//!   `resident.rs`, servers that stay; `bodies.rs`, 1 GiB each way, with `memory.rs`; `growth.rs`, how cost grows;
//! - `report.rs`, `page.rs`, `chart.rs`: what a group found, the page that is written, and its picture;
//! - `programs/`: what is compiled or imported.
//!
//! `cargo bench` runs everything and writes `docs/benchmarks.md`; `cargo bench -- cold` runs one group, and
//! `cargo bench -- --quick` fewer rounds: these write the page into `target/tmp` instead.

mod bodies;
mod chart;
mod cold;
mod growth;
mod http;
mod memory;
mod page;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/integration/harness/process.rs"]
mod process;
mod report;
mod resident;
mod sampling;
mod servers;
mod stage;
mod statistics;
mod subject;
mod warm;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::page::Machine;
use crate::report::Section;
use crate::stage::Stage;

type Measure = fn(&Bench) -> Result<Section>;

/// In the order in which they are measured and written.
const GROUPS: [(&str, Measure); 5] = [
    ("cold", cold::measure),
    ("warm", warm::measure),
    ("resident", resident::measure),
    ("bodies", bodies::measure),
    ("growth", growth::measure),
];

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
            report::progress(&format!("cargo bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let started = Instant::now();
    let (mut quick, mut filter) = (false, None);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--bench" => {}
            "--quick" => quick = true,
            option if option.starts_with('-') => {
                bail!("there is no option {option}: cargo bench -- [--quick] [GROUP]")
            }
            group => filter = Some(group.to_owned()),
        }
    }
    let asked = |name: &str| filter.as_deref().is_none_or(|filter| name.contains(filter));
    let groups: Vec<_> = GROUPS.into_iter().filter(|(name, _)| asked(name)).collect();
    let names = GROUPS.map(|(name, _)| name).join(", ");
    ensure!(!groups.is_empty(), "no group is called {filter:?}: there are {names}");

    let mut bench = Bench { stage: Stage::new()?, quick };
    let mut machine = Machine::look(&bench.stage);
    let is_whole = !quick && groups.len() == GROUPS.len();
    let mut sections = Vec::new();
    for (name, measure) in groups {
        report::progress(&format!("== {name}"));
        machine.rest();
        let section = measure(&bench).with_context(|| {
            format!("{name} failed; what it ran is left in {}", bench.stage.keep().display())
        })?;
        report::say(&section.text(true))?;
        sections.push(section);
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = project.join("docs");
    // What is less than the whole is no page to show.
    let directory = if is_whole { &docs } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
    page::write(directory, &sections, &machine)?;
    report::progress(&format!("cargo bench: {} s", started.elapsed().as_secs()));
    Ok(())
}
