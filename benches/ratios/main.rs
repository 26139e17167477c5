//! `cargo bench`: cgi2wsgi against its peers, in one run, as ratios.
//!
//! Every number is of whole processes, from spawn to the last byte read and the process waited for. What is compared is
//! measured alternately, so that a machine that becomes slower becomes so for all of them.
//!
//! - `stage.rs`: the built executables, the Python environment, the C programs, the fixtures;
//! - `subject.rs`, `sampling.rs`, `statistics.rs`: what is run, how it is timed, what is made of the numbers;
//! - `cold.rs`: processes that answer one request;
//! - `report.rs`: what a group found.
//!
//! `cargo bench` runs everything; `cargo bench -- cold` one group; `-- --quick` fewer rounds.

mod allocations;
mod bodies;
mod calls;
mod cold;
mod growth;
mod http;
mod memory;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/integration/process.rs"]
mod process;
mod report;
mod resident;
mod sampling;
mod servers;
mod stage;
mod statistics;
mod subject;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::report::Section;
use crate::stage::Stage;

type Measure = fn(&Bench) -> Result<Section>;

/// In the order in which they are measured and written.
const GROUPS: [(&str, Measure); 5] = [
    ("cold", cold::measure),
    ("resident", resident::measure),
    ("bodies", bodies::measure),
    ("calls", calls::measure),
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
    for (name, measure) in groups {
        report::progress(&format!("== {name}"));
        let section = measure(&bench).with_context(|| {
            format!("{name} failed; what it ran is left in {}", bench.stage.keep().display())
        })?;
        report::say(&section.text())?;
    }
    report::progress(&format!("cargo bench: {} s", started.elapsed().as_secs()));
    Ok(())
}
