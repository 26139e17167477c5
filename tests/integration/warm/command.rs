//! Requests with `--warm` in a private directory of a test's own, and `cgi2wsgi warm` as a person runs it there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::harness::command::{CGI, Output, run};
use crate::harness::process::{PATIENCE, until};
use crate::harness::stage::Stage;

/// A private directory; its zygotes end with it.
pub(crate) struct Warm<'s> {
    pub(crate) stage: &'s Stage,
    pub(crate) place: PathBuf,
}

impl<'s> Warm<'s> {
    pub(crate) fn new(stage: &'s Stage, name: &str) -> Result<Self> {
        Ok(Self { stage, place: stage.workplace(name)? })
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.stage.command(&self.stage.path("bin/cgi2wsgi"));
        command
            .args(arguments.iter().map(|argument| self.stage.resolve(argument)))
            .env("TMPDIR", &self.place)
            .env("CGI2WSGI_VENV", self.stage.python_env())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A server's request to `application`.
    pub(crate) fn request(&self, application: &str) -> Command {
        let mut command = self.command(&[application]);
        command.envs(CGI).env("CGI2WSGI_WARM", "1");
        command
    }

    /// Makes a request, which must be answered; returns its standard error.
    pub(crate) fn asks(&self, application: &str) -> Result<String> {
        let output = run(self.stage, self.request(application))?;
        let (status, body) = output.ends(0)?.response()?;
        ensure!(status == 200, "{status} {body}: {}", output.stderr);
        Ok(output.stderr)
    }

    pub(crate) fn verb(&self, arguments: &[&str]) -> Result<Output> {
        let arguments: Vec<&str> = ["warm"].iter().chain(arguments).copied().collect();
        run(self.stage, self.command(&arguments))
    }

    /// The output of a verb that succeeds.
    pub(crate) fn shows(&self, arguments: &[&str]) -> Result<String> {
        let output = self.verb(arguments)?;
        output.ends(0)?;
        String::from_utf8(output.stdout).context("the output is not UTF-8")
    }

    /// The rows of `warm status`, and the remarks under them.
    pub(crate) fn rows(&self) -> Result<Vec<Row>> {
        let output = self.verb(&["status"])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut rows: Vec<Row> = Vec::new();
        for line in text.lines().skip(1) {
            match line.strip_prefix("  ") {
                Some(remark) => rows.last_mut().context("no row")?.remarks.push(remark.to_owned()),
                None => rows.push(Row::parse(line).with_context(|| format!("{line:?}"))?),
            }
        }
        Ok(rows)
    }

    /// The only row, once it is as expected: the zygote writes its status once a second.
    pub(crate) fn row_when(&self, what: &str, is_so: impl Fn(&Row) -> bool) -> Result<Row> {
        let mut seen = String::new();
        until(PATIENCE, what, || {
            let mut rows = self.rows()?;
            seen = format!("{rows:?}");
            Ok(rows.pop().filter(|row| rows.is_empty() && is_so(row)))
        })
        .with_context(|| seen)
    }

    /// Waits until an application has had `requests` requests.
    pub(crate) fn until_requests(&self, application: &str, requests: u64) -> Result<()> {
        until(PATIENCE, "the number of requests", || {
            let rows = self.rows()?;
            let mut rows = rows.iter().filter(|row| row.application == application);
            Ok(rows.any(|row| row.requests == requests).then_some(()))
        })
    }

    /// The private directory, which the first request makes.
    pub(crate) fn directory(&self) -> PathBuf {
        self.place.join(format!("cgi2wsgi-{}", self.stage.user.uid))
    }
}

impl Drop for Warm<'_> {
    fn drop(&mut self) {
        // Exit status 1 if the test has stopped them all.
        let _ = self.verb(&["stop", "--all"]);
    }
}

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) application: String,
    pub(crate) pid: u32,
    pub(crate) requests: u64,
    pub(crate) waiting: usize,
    pub(crate) busy: usize,
    pub(crate) restarts: u64,
    pub(crate) why: String,
    pub(crate) remarks: Vec<String>,
}

impl Row {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Age and memory have units.
        let [application, pid, _, _, _, _, "MiB", requests, waiting, busy, restarts, why @ ..] =
            words.as_slice()
        else {
            return None;
        };
        Some(Self {
            application: (*application).to_owned(),
            pid: pid.parse().ok()?,
            requests: requests.parse().ok()?,
            waiting: waiting.parse().ok()?,
            busy: busy.parse().ok()?,
            restarts: restarts.parse().ok()?,
            why: why.join(" "),
            remarks: Vec::new(),
        })
    }
}

/// Whether the process exists and is no zombie.
pub(crate) fn is_there(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

pub(crate) fn children(pid: u32) -> Result<Vec<u32>> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    listed.split_whitespace().map(|pid| pid.parse().context("no number")).collect()
}

/// `hello.py`, copied to where the test may edit it.
pub(crate) fn hello(stage: &Stage, place: &Path, name: &str) -> Result<String> {
    let file = place.join(name);
    fs::copy(stage.path("fixtures/hello.py"), &file).context("no copy")?;
    Ok(file.display().to_string())
}
