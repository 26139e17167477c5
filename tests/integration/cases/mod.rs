//! The rows of the table, by theme. A row cites the trap in `docs/traps.md` that it covers (`E12`), or, if there is no
//! numbered trap, the section of PEP 3333 or RFC 3875.

mod body;
mod environ;
mod extremes;
mod failures;
mod file_wrapper;
mod forms;
mod frameworks;
mod mount_root;
mod process;
mod response;
mod servers;
mod specification;
mod timings;

pub(crate) use self::failures::FAILED;
use crate::harness::exchange::Answer;
use crate::harness::table::Case;
use anyhow::{Result, ensure};

pub(crate) fn all() -> Vec<Case> {
    [
        environ::cases(),
        mount_root::cases(),
        body::cases(),
        response::cases(),
        file_wrapper::cases(),
        response::head_cases(),
        process::cases(),
        forms::cases(),
        extremes::cases(),
        failures::cases(),
        frameworks::cases(),
        servers::cases(),
        timings::cases(),
        specification::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A row whose application lists its environ.
fn environ(trap: &'static str, sentence: &'static str) -> Case {
    Case::new(trap, sentence, "show_environ.py")
}

/// `show_environ.py` lists this line.
fn listed(answer: &Answer, line: impl AsRef<[u8]>) -> Result<()> {
    let line = line.as_ref();
    let found = answer.body.split(|byte| *byte == b'\n').any(|found| found == line);
    ensure!(found, "the environ has no {}", line.escape_ascii());
    Ok(())
}

/// `show_environ.py` lists no variable of this name.
fn absent(answer: &Answer, name: &str) -> Result<()> {
    let start = format!("{name}=");
    let mut lines = answer.body.split(|byte| *byte == b'\n');
    ensure!(!lines.any(|line| line.starts_with(start.as_bytes())), "the environ has {name}");
    Ok(())
}
