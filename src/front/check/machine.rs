//! What the machine gives a request: this executable and its worker, a directory for temporary files, and limits.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use rustix::process::{Resource, getrlimit};

use super::finding::{Finding, word};
use super::user::User;
use super::way;
use crate::cgi::variables::Variables;
use crate::did_you_mean;
use crate::front::find;
use crate::front::find::way::obstacle;
use crate::front::find::worker::Worker;
use crate::front::settings::VARIABLES;
use crate::handoff::build::{BUILD, worker_file_name};

/// This executable, and the worker of its build.
pub(super) fn front(front: &Path, user: &User) -> Vec<Finding> {
    let mut findings = Vec::new();
    let shown = front.display();
    let version = env!("CARGO_PKG_VERSION");
    findings.push(way::executable("cgi2wsgi", front, user).unwrap_or_else(|| {
        Finding::fine("cgi2wsgi", format!("{shown} {version}, build {BUILD}, as {}", user.shown()))
    }));
    findings.push(match find::worker::find() {
        Ok(Worker::Carried(_)) => Finding::fine("worker", format!("in {shown} itself")),
        Ok(Worker::File(file)) => way::readable("worker", &file, user).unwrap_or_else(|| {
            let file = file.canonicalize().unwrap_or(file);
            Finding::fine("worker", format!("{} of the same build", file.display()))
        }),
        Err(error) => {
            let name = worker_file_name();
            let beside = front.parent().unwrap_or(Path::new("/"));
            let there = others(beside);
            let text = format!("{error:#}");
            let cure = if text.contains("chmod go-w") {
                text.rsplit_once("chmod").map(|(_, rest)| format!("chmod{rest}"))
            } else {
                Some(format!("cp {} {}", word(&name), word(beside)))
            };
            let there = there.map_or(String::new(), |other| {
                format!("; {} is of another build", other.display())
            });
            Finding::problem("worker", format!("{text}{there}")).maybe_cure(cure)
        }
    });
    findings
}

/// A worker of another build beside this executable.
fn others(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    entries.map(|entry| entry.path()).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cgi2wsgi_worker-"))
    })
}

/// Variables that look like settings but are not.
pub(super) fn misspelt(variables: &Variables) -> Vec<Finding> {
    let unknown = variables.iter().filter(|(name, _)| is_misspelt(name));
    unknown
        .map(|(name, _)| {
            let name = String::from_utf8_lossy(name);
            let meant = did_you_mean::settings(&name, VARIABLES);
            let finding =
                Finding::warning("settings", format!("{name} is not a setting of cgi2wsgi"));
            finding.maybe_cure(meant.first().map(|meant| (*meant).to_owned()))
        })
        .collect()
}

pub(super) fn is_misspelt(name: &[u8]) -> bool {
    name.starts_with(b"CGI2WSGI_") && !VARIABLES.iter().any(|known| known.as_bytes() == name)
}

/// Where temporary files go: large uploads, and what `--warm` leaves for the next request.
pub(super) fn temporary(variables: &Variables, user: &User) -> Finding {
    const ABOUT: &str = "TMPDIR";
    let set = variables.get_os("TMPDIR").map(PathBuf::from);
    let place = set.clone().unwrap_or_else(|| PathBuf::from("/tmp"));
    let shown = place.display();
    if !place.is_absolute() {
        return Finding::problem(ABOUT, format!("{shown} is relative")).cure("unset TMPDIR");
    }
    if let Some(obstacle) = obstacle(&place) {
        let finding = way::finding(&obstacle, ABOUT, &place, user);
        let cure = finding.cure.clone();
        return finding.cure(cure.unwrap_or_else(|| format!("mkdir -m 1777 {}", word(&place))));
    }
    if !place.is_dir() {
        return Finding::problem(ABOUT, format!("{shown} is not a directory")).cure("unset TMPDIR");
    }
    let free = statvfs(&place).map_or(u64::MAX, |it| it.f_bavail.saturating_mul(it.f_frsize)) >> 20;
    let written = tempfile::tempfile_in(&place).and_then(|mut file| file.write_all(&[0; 4096]));
    match written {
        Err(error) => {
            let is_full = error.raw_os_error() == Some(libc::ENOSPC);
            let seen = format!("{} cannot write to {shown}: {error}", user.shown());
            let cure = if is_full {
                format!("du -xsh {}/* | sort -h | tail", word(&place))
            } else {
                format!("chmod 1777 {}", word(&place))
            };
            Finding::problem(ABOUT, seen).cure(cure)
        }
        Ok(()) if free < 64 => Finding::warning(
            ABOUT,
            format!("{shown} has {free} MiB left: a large upload will not fit"),
        )
        .cure(format!("du -xsh {}/* | sort -h | tail", word(&place))),
        Ok(()) if free == u64::MAX >> 20 => {
            Finding::fine(ABOUT, format!("{shown} can be written to"))
        }
        Ok(()) => {
            Finding::fine(ABOUT, format!("{shown} can be written to and has {free} MiB left"))
        }
    }
}

/// The limits of this process, which a request inherits.
pub(super) fn limits() -> Vec<Finding> {
    let of = |resource| getrlimit(resource).current;
    let findings = low(&Limits {
        memory: [of(Resource::As), of(Resource::Data)].into_iter().flatten().min(),
        processes: of(Resource::Nproc),
        files: of(Resource::Nofile),
        file_size: of(Resource::Fsize),
        seconds: of(Resource::Cpu),
    });
    if findings.is_empty() {
        return vec![Finding::fine(
            "limits",
            "none is low (RLIMIT_AS, DATA, NPROC, NOFILE, FSIZE, CPU)",
        )];
    }
    findings
}

/// The values of some limits. Nothing: there is no limit.
#[derive(Default)]
struct Limits {
    memory: Option<u64>,
    processes: Option<u64>,
    files: Option<u64>,
    file_size: Option<u64>,
    seconds: Option<u64>,
}

fn low(limits: &Limits) -> Vec<Finding> {
    const ABOUT: &str = "limits";
    let mut findings = Vec::new();
    if let Some(memory) = limits.memory.map(|memory| memory >> 20).filter(|memory| *memory < 512) {
        let seen = format!(
            "a process may have {memory} MiB of memory (RLIMIT_AS or RLIMIT_DATA; Apache's RLimitMEM)"
        );
        findings.push(if memory < 128 {
            Finding::problem(ABOUT, seen + ": Python and an application need more")
                .cure("ulimit -v unlimited")
        } else {
            Finding::warning(ABOUT, seen).cure("ulimit -v unlimited")
        });
    }
    if let Some(processes) = limits.processes.filter(|processes| *processes < 32) {
        let seen = format!(
            "this user may have {processes} processes (RLIMIT_NPROC; Apache's RLimitNPROC), and a request needs two"
        );
        findings.push(Finding::warning(ABOUT, seen).cure("ulimit -u 256"));
    }
    if let Some(files) = limits.files.filter(|files| *files < 64) {
        let seen = format!("a process may have {files} files open (RLIMIT_NOFILE)");
        findings.push(Finding::warning(ABOUT, seen).cure("ulimit -n 1024"));
    }
    if let Some(size) = limits.file_size.filter(|size| *size < 64 << 20) {
        let seen =
            format!("a file may have {size} bytes (RLIMIT_FSIZE): a large upload will not fit");
        findings.push(Finding::warning(ABOUT, seen).cure("ulimit -f unlimited"));
    }
    if let Some(seconds) = limits.seconds.filter(|seconds| *seconds < 10) {
        let seen = format!(
            "a process may use {seconds} s of processor time (RLIMIT_CPU; Apache's RLimitCPU)"
        );
        findings.push(Finding::warning(ABOUT, seen).cure("ulimit -t unlimited"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn low_limits_are_named_with_their_values() {
        assert!(low(&Limits::default()).is_empty());
        let tight = Limits {
            memory: Some(64 << 20),
            processes: Some(2),
            files: Some(16),
            file_size: Some(1000),
            seconds: Some(1),
        };
        let found = low(&tight);
        assert_eq!(found.len(), 5);
        assert_eq!(found[0].level, Level::Problem);
        for (finding, value) in
            found.iter().zip(["64 MiB", "2 processes", "16 files", "1000 bytes", "1 s"])
        {
            assert!(finding.seen.contains(value), "{}", finding.seen);
            assert!(finding.cure.as_ref().is_some_and(|cure| cure.starts_with("ulimit")));
        }
        assert_eq!(
            low(&Limits { memory: Some(256 << 20), ..Limits::default() })[0].level,
            Level::Warning
        );
    }

    #[test]
    fn a_misspelt_setting_is_told_what_is_meant() {
        let variables = [("CGI2WSGI_VNEV", "x"), ("CGI2WSGI_VENV", "y"), ("PATH", "z")];
        let findings = misspelt(&variables.into_iter().collect());
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].cure.as_deref(), Some("CGI2WSGI_VENV"));
    }
}
