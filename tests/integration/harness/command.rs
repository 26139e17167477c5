//! The executable as a command: how it is started without a server, what it wrote, and how it ended.

use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::http::Head;
use crate::harness::process::{AtParentDeath, End, PATIENCE, Running};
use crate::harness::stage::Stage;
use crate::harness::table::failed;
use crate::harness::world::World;

pub(crate) type Test = fn(&Stage) -> Result<()>;

/// A trial for each test that needs the stage and no server.
pub(crate) fn trials_of(
    group: &str,
    tests: &[(&'static str, Test)],
    world: &Arc<World>,
) -> Vec<Trial> {
    let trial = |(name, test): &(&str, Test)| {
        let (world, test) = (Arc::clone(world), *test);
        Trial::test(format!("{group}::{name}"), move || {
            world.stage().and_then(test).map_err(|error| failed(&error))
        })
    };
    tests.iter().map(trial).collect()
}

/// What a program wrote, and how it ended.
pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) end: End,
}

impl Output {
    pub(crate) fn ends(&self, code: i32) -> Result<&Self> {
        let expected = End::Code(code);
        ensure!(self.end == expected, "{:?}, not {expected:?}; it said: {}", self.end, self.stderr);
        Ok(self)
    }

    pub(crate) fn says(&self, text: &str) -> Result<&Self> {
        ensure!(self.stderr.contains(text), "stderr has no {text:?}: {:?}", self.stderr);
        Ok(self)
    }

    /// The status of the CGI response, and its body.
    pub(crate) fn response(&self) -> Result<(u16, String)> {
        let (head, length) = Head::of_cgi(&self.stdout)?
            .with_context(|| format!("no whole head; stderr: {}", self.stderr))?;
        Ok((head.status, String::from_utf8_lossy(&self.stdout[length..]).into_owned()))
    }
}

/// `cgi2wsgi` with these arguments and variables, stdin from /dev/null and pipes for the rest.
pub(crate) fn bridge(stage: &Stage, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = stage.command(&stage.bridge());
    command
        .args(arguments.iter().map(|argument| stage.resolve(argument)))
        .envs(variables.iter().copied())
        .env("CGI2WSGI_VENV", stage.python_env())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The variables that mark a CGI request.
pub(crate) const CGI: [(&str, &str); 3] =
    [("GATEWAY_INTERFACE", "CGI/1.1"), ("REQUEST_METHOD", "GET"), ("SERVER_PROTOCOL", "HTTP/1.1")];

pub(crate) fn run(stage: &Stage, command: Command) -> Result<Output> {
    let running = Running::start(command, &stage.user, AtParentDeath::Kill)?;
    collect(running)
}

pub(crate) fn collect(mut running: Running) -> Result<Output> {
    let stderr = running.child().stderr.take().context("no pipe for stderr")?;
    let said = std::thread::spawn(move || read_all(stderr));
    let stdout = running.child().stdout.take().map(read_all).transpose()?;
    let end = running.wait(PATIENCE)?;
    let said = said.join().map_err(|_| anyhow::anyhow!("the reader of stderr panicked"))??;
    let stderr = String::from_utf8_lossy(&said).into_owned();
    Ok(Output { stdout: stdout.unwrap_or_default(), stderr, end })
}

/// Reads to the end, but never waits longer than a test may.
pub(crate) fn read_all(mut pipe: impl std::io::Read + AsFd) -> Result<Vec<u8>> {
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        crate::harness::process::wait_readable(pipe.as_fd(), deadline)?;
        match pipe.read(&mut piece).context("cannot read a pipe")? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}
