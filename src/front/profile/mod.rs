//! `cgi2wsgi profile APP [URL]`: where the time of a cold request goes. Runs the request a few times as a server would,
//! lets Python time its imports (`-X importtime`), and shows the median run as a table and a flame graph.
//!
//! Nothing is measured inside the application: what the call does is one number.

mod flame;
mod imports;
mod table;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use self::imports::{Import, Imports};
use super::answer;
use super::cli::{ProfileArgs, RequestArgs};
use super::exit::{FAILED, MISCONFIGURED};
use super::plan::{Failure, Plan};
use super::request::build;
use crate::cgi::variables::Variables;
use crate::report;
use crate::system::{self, Fork};
use crate::timings::Moment;

/// The variable that makes Python write how long each import takes.
const PYTHON_TIMES_IMPORTS: &str = "PYTHONPROFILEIMPORTTIME";

/// One run of the request.
struct Run {
    /// The phases in their order, by name.
    phases: Vec<(String, Duration)>,
    /// What was imported in each of them.
    imports: Vec<(String, Vec<Import>)>,
    /// The status of the response.
    status: u16,
}

impl Run {
    fn total(&self) -> Duration {
        self.phases.iter().map(|(_, took)| *took).sum()
    }

    fn imported_in(&self, phase: &str) -> &[Import] {
        let found = self.imports.iter().find(|(name, _)| name == phase);
        found.map_or(&[], |(_, imports)| imports)
    }
}

/// Profiles a request. `environment` is that of this process.
pub fn run(arguments: ProfileArgs, environment: Variables) -> ExitCode {
    match try_run(arguments, environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

fn try_run(mut arguments: ProfileArgs, environment: Variables) -> Result<(), Failure> {
    let runs = number(arguments.runs.as_deref(), "--runs", 3)?;
    let lines = number(arguments.lines.as_deref(), "-n", 15)?;
    let mut options = std::mem::take(&mut arguments.options);
    options.timings = true;
    let request = RequestArgs { url: arguments.url.clone(), ..RequestArgs::default() };
    let (mut variables, _) = build::request(&request, environment)?;
    // The profile is that of a cold request.
    variables.set("CGI2WSGI_WARM", "0");
    options.warm = false;
    variables.set(PYTHON_TIMES_IMPORTS, "1");
    let make = || {
        let program = OsStr::new("cgi2wsgi");
        let began = Moment::now();
        Plan::make(Some(arguments.app.clone()), options.clone(), &variables, program, began)
            .map(|plan| (plan, began))
    };
    // The first run reads everything from the disk, and may compile what it imports.
    let mut measured = Vec::new();
    for index in 0..=runs {
        let (plan, began) = make()?;
        let run = measure(&plan, &variables, began, index == 0)?;
        if index > 0 {
            measured.push(run);
        }
    }
    measured.sort_by_key(Run::total);
    let middle = measured.swap_remove(measured.len() / 2);
    let (plan, _) = make()?;
    let title = table::Title {
        url: &arguments.url,
        application: &plan.service.application.shown(),
        runs,
        lines,
    };
    let shown = table::table(&middle, &title);
    io::stdout().write_all(shown.as_bytes()).context("the table cannot be written")?;
    if let Some(path) = arguments.svg {
        let path = PathBuf::from(path);
        let svg = flame::svg(&middle, &title)?;
        std::fs::write(&path, svg).with_context(|| format!("--svg {}", path.display()))?;
        report::plain(&format!("the flame graph is in {}: open it in a browser", path.display()));
    }
    Ok(())
}

fn number(given: Option<&OsStr>, name: &str, usual: usize) -> Result<usize> {
    let Some(given) = given else { return Ok(usual) };
    let parsed = given.to_str().and_then(|text| text.parse().ok());
    parsed
        .filter(|number| (1..=1000).contains(number))
        .with_context(|| format!("{name} {given:?} is not a number from 1 to 1000"))
}

/// Runs the request in a process of its own. Shows what it writes to standard error if `is_shown`.
fn measure(plan: &Plan, variables: &Variables, began: Moment, is_shown: bool) -> Result<Run> {
    let mut response = tempfile::tempfile().context("no temporary file for the response")?;
    let (errors, its_errors) = io::pipe().context("no pipe")?;
    let child = match system::fork().context("no process for the request can be forked")? {
        Fork::Parent(child) => child,
        Fork::Child => {
            drop(errors);
            let set = || -> io::Result<()> {
                dup2_stdin(File::open("/dev/null")?)?;
                dup2_stdout(&response)?;
                dup2_stderr(&its_errors)?;
                Ok(())
            };
            let is_set = set();
            drop(its_errors);
            let code = is_set.map_or(FAILED, |()| answer::run(plan, variables));
            std::process::exit(code.into())
        }
    };
    drop(its_errors);
    let mut imports = Imports::default();
    let mut reader = BufReader::new(errors);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).context("the process of the request")? == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        let is_taken =
            imports.take(&text, began.elapsed()) || text.starts_with("cgi2wsgi: timings:");
        if !is_taken && is_shown {
            let _ = io::stderr().write_all(&line);
        }
    }
    let ended = system::wait_for(child).context("the process of the request is gone")?;
    let mut bytes = Vec::new();
    response.rewind().and_then(|()| response.read_to_end(&mut bytes)).context("the response")?;
    if bytes.is_empty() || ended.code() == Some(MISCONFIGURED.into()) {
        bail!("there is no response to profile: the reason is above");
    }
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let phases = phases(&head);
    ensure!(
        !phases.is_empty(),
        "the response has no timings: it does not come from the application"
    );
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    Ok(Run { imports: imports.in_phases(&phases), phases, status })
}

/// The phases in the Server-Timing header of this program.
fn phases(head: &str) -> Vec<(String, Duration)> {
    let line = head.lines().find_map(|line| line.strip_prefix("Server-Timing: "));
    let metrics = line.unwrap_or_default().split(", ");
    metrics
        .filter_map(|metric| {
            let (name, milliseconds) = metric.split_once(";dur=")?;
            let milliseconds: f64 = milliseconds.parse().ok()?;
            Some((name.to_owned(), Duration::try_from_secs_f64(milliseconds / 1e3).ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_those_of_the_header() {
        let head = "Status: 200 OK\r\nServer-Timing: front;dur=1.500, call;dur=20.000\r\nX: y";
        let expected = [("front", 1_500), ("call", 20_000)];
        let expected = expected.map(|(name, us)| (name.to_owned(), Duration::from_micros(us)));
        assert_eq!(phases(head), expected);
        assert_eq!(phases("Status: 200 OK"), []);
    }
}
