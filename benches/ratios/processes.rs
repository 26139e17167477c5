//! Processes of this machine that have a variable of the bench: zygotes, their children, and fronts.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::process::until;

/// How long processes may take until all of them are idle.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long they must then stay idle: some of the kernel's clock ticks.
const REST: Duration = Duration::from_millis(200);

/// A zygote, and the children that it forks ahead of need.
pub(crate) const AT_REST: usize = 3;

#[derive(PartialEq)]
pub(crate) struct Process(PathBuf);

/// The processes that have a variable, `NAME=value`.
pub(crate) fn with_variable(variable: &str) -> Vec<Process> {
    with_any(|other| other == variable.as_bytes())
}

/// The processes one of whose variables begins like this.
pub(crate) fn with_variable_like(start: &str) -> Vec<Process> {
    with_any(|variable| variable.starts_with(start.as_bytes()))
}

fn with_any(accept: impl Fn(&[u8]) -> bool) -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_number = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok())
    };
    let all = entries.map(|entry| entry.path()).filter(is_number).map(Process);
    all.filter(|process| process.variables().split(|byte| *byte == 0).any(&accept)).collect()
}

/// The processes with a variable, once there are enough of them and all are idle.
pub(crate) fn settled(variable: &str, least: usize) -> Result<Vec<Process>> {
    let before = Cell::new(u64::MAX);
    until(PATIENCE, "processes that all wait", || {
        let found = with_variable(variable);
        let worked: u64 = found.iter().map(|process| process.ticks().unwrap_or_default()).sum();
        let same = before.replace(worked) == worked;
        if same && found.len() >= least {
            return Ok(Some(found));
        }
        thread::sleep(REST);
        Ok(None)
    })
}

/// The memory of all these processes together, in bytes, as the kernel divides it (PSS).
#[expect(clippy::cast_precision_loss, reason = "megabytes")]
pub(crate) fn memory<'p>(processes: impl IntoIterator<Item = &'p Process>) -> f64 {
    let each = processes.into_iter().map(|process| process.memory().unwrap_or_default());
    each.sum::<u64>() as f64
}

impl Process {
    fn file(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(Path::join(&self.0, name)).ok()
    }

    fn variables(&self) -> Vec<u8> {
        self.file("environ").unwrap_or_default()
    }

    /// Whether it runs the program at `path`.
    pub(crate) fn runs(&self, path: &Path) -> bool {
        fs::read_link(self.0.join("exe")).is_ok_and(|executable| executable == path)
    }

    /// Its processor time, in clock ticks.
    fn ticks(&self) -> Option<u64> {
        let text = String::from_utf8(self.file("stat")?).ok()?;
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_whitespace().skip(11);
        Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
    }

    /// Its share of memory, in bytes.
    fn memory(&self) -> Option<u64> {
        let text = String::from_utf8(self.file("smaps_rollup")?).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
    }

    pub(crate) fn end(&self) {
        let number = self.0.file_name().unwrap_or_default();
        // It may have ended already.
        let _ = Command::new("kill").arg(number).stderr(Stdio::null()).status();
    }
}
