//! Peak memory, as the kernel reports it at a process's end.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::report::{Section, Value, Verdict};

/// Adds how much more memory `subject` takes than `peer`; both are series of the section.
pub(crate) fn compare(section: &mut Section, subject: &str, peer: &str) -> Result<()> {
    let peak =
        |name: &str| section.find(name)?.peak().with_context(|| format!("no peak of {name}"));
    let (ours, theirs) = (peak(subject)?, peak(peer)?);
    // The kernel also counts a process's memory before exec, when it was a copy of the bench.
    if let Some(own) = own_peak() {
        ensure!(
            own < theirs,
            "the bench itself takes more memory than {peer}: its peak would be taken for {peer}'s"
        );
    }
    let rounds = section.series.first().map_or(0, |series| series.samples.len());
    let what = format!("peak memory, {subject} − {peer}");
    section.verdicts.push(Verdict::new(what, Value::MoreBytes(ours - theirs), rounds, ""));
    Ok(())
}

/// The most memory that the bench itself had resident, where the kernel reports it.
fn own_peak() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kibibytes * 1024.0)
}
