//! What is measured: something that can be run again and again, and says how long it took.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

/// What hello and the C programs answer.
pub(crate) const GREETING: &str = "Hello, world!\n";

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    /// The most memory that the process, or one that it waited for, had resident, in bytes.
    pub(crate) peak: Option<u64>,
}

pub(crate) trait Subject {
    fn name(&self) -> &str;

    /// Runs once, and fails unless the answer is the expected one.
    fn run(&self) -> Result<Sample>;
}

/// Where the request body comes from.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Empty,
    /// A pipe that `cat FILE` writes, as a server would.
    Piped(PathBuf),
}

/// Where the response goes.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// A pipe that the bench reads; the text must be in the first bytes of it.
    Read(&'static str),
    /// A pipe that `cat` reads, and drops. [`Program::count`] checks once how many bytes come.
    Cat,
}

/// A program that answers one request.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    name: String,
    executable: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    input: Input,
    output: Output,
    directory: PathBuf,
    errors: PathBuf,
    exit: i32,
}

/// How much of an answer is looked at.
const HEAD: usize = 64 << 10;

impl Program {
    /// `errors` is the file that standard error goes to.
    pub(crate) fn new(name: &str, program: &Path, directory: &Path, errors: &Path) -> Self {
        Self {
            name: name.to_owned(),
            executable: program.to_owned(),
            arguments: Vec::new(),
            variables: Vec::new(),
            input: Input::Empty,
            output: Output::Read(""),
            directory: directory.to_owned(),
            errors: errors.to_owned(),
            exit: 0,
        }
    }

    /// The same under another name.
    pub(crate) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The expected exit status.
    pub(crate) fn exits(mut self, exit: i32) -> Self {
        self.exit = exit;
        self
    }

    pub(crate) fn input(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    pub(crate) fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Expected to answer the greeting.
    pub(crate) fn greets(self) -> Self {
        self.output(Output::Read(GREETING))
    }

    pub(crate) fn command(&self) -> Result<Command> {
        let errors = std::fs::File::options().create(true).append(true).open(&self.errors);
        let mut command = Command::new(&self.executable);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors.context("cannot write the log of standard error")?);
        Ok(command)
    }

    pub(crate) fn title(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_read_by_cat(&self) -> bool {
        matches!(self.output, Output::Cat)
    }

    /// How many bytes it answers, head included.
    pub(crate) fn count(&self) -> Result<u64> {
        self.read_with(|pipe| io::copy(pipe, &mut io::sink()))
    }

    /// What it answers, head included.
    pub(crate) fn answer(&self) -> Result<Vec<u8>> {
        self.read_with(|pipe| {
            let mut answer = Vec::new();
            pipe.read_to_end(&mut answer).map(|_| answer)
        })
    }

    fn read_with<T>(&self, read: impl FnOnce(&mut ChildStdout) -> io::Result<T>) -> Result<T> {
        let (feeder, mut child) = self.start(&mut self.command()?)?;
        let mut stdout = child.stdout.take().context("no pipe")?;
        let outcome = read(&mut stdout).context("cannot read the answer")?;
        self.finish(feeder, &child)?;
        Ok(outcome)
    }

    fn start(&self, command: &mut Command) -> Result<(Option<Child>, Child)> {
        let feeder = match &self.input {
            Input::Empty => None,
            Input::Piped(file) => {
                let mut feeder = cat(Some(file))
                    .stdout(Stdio::piped())
                    .spawn()
                    .context("cannot start cat for the request body")?;
                let pipe = feeder.stdout.take().context("no pipe")?;
                command.stdin(pipe);
                Some(feeder)
            }
        };
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.executable.display()))?;
        // The feeder notices by its pipe that the program has ended: no other process may hold the other end.
        command.stdin(Stdio::null());
        Ok((feeder, child))
    }

    /// Waits for the processes; returns the program's peak.
    fn finish(&self, feeder: Option<Child>, child: &Child) -> Result<u64> {
        let peak = wait(child, self.exit)
            .with_context(|| format!("{}: see {}", self.name, self.errors.display()))?;
        if let Some(mut feeder) = feeder {
            feeder.wait().context("cannot wait for cat")?;
        }
        Ok(peak)
    }
}

impl Subject for Program {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self) -> Result<Sample> {
        let mut command = self.command()?;
        let mut reader = cat(None);
        let mut answer = Vec::with_capacity(HEAD);
        let start = Instant::now();
        let (feeder, mut child) = self.start(&mut command)?;
        let stdout = child.stdout.take().context("no pipe")?;
        match self.output {
            Output::Read(_) => read(stdout, &mut answer).context("cannot read the answer")?,
            Output::Cat => {
                let status = reader.stdin(OwnedFd::from(stdout)).status();
                ensure!(status.context("cannot start cat")?.success(), "cat failed");
            }
        }
        let peak = self.finish(feeder, &child)?;
        let seconds = start.elapsed().as_secs_f64();
        if let Output::Read(expected) = self.output {
            let text = String::from_utf8_lossy(&answer);
            ensure!(
                text.contains(expected),
                "{} answered {text:?}, and {expected:?} was expected; see {}",
                self.name,
                self.errors.display()
            );
        }
        Ok(Sample { seconds, peak: Some(peak) })
    }
}

/// `cat`, whose output goes to `/dev/null` unless the caller changes that.
fn cat(file: Option<&Path>) -> Command {
    let mut command = Command::new("cat");
    command.args(file).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Reads to the end and keeps the first bytes.
fn read(mut pipe: impl Read, answer: &mut Vec<u8>) -> io::Result<()> {
    pipe.by_ref().take(HEAD as u64).read_to_end(answer)?;
    io::copy(&mut pipe, &mut io::sink())?;
    Ok(())
}

/// Waits for a process that is expected to end with `exit`; returns the peak of its resident memory, in bytes.
///
/// The kernel also counts what a process had before `exec`, when it was a copy of the bench: the peak is its own as
/// long as the bench is smaller, which [`crate::memory`] checks.
fn wait(child: &Child, exit: i32) -> Result<u64> {
    let pid = libc::pid_t::try_from(child.id()).context("a process number")?;
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    loop {
        // SAFETY: both pointers are to writable memory of the right size. The child was not waited for before, and
        // dropping a `Child` waits for nothing.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) };
        if waited == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error).context("cannot wait for it");
        }
    }
    if !libc::WIFEXITED(status) || libc::WEXITSTATUS(status) != exit {
        bail!("it ended with the status {status:#x}, not {exit}");
    }
    // SAFETY: all zeroes are a valid rusage, and the kernel has filled it.
    let kibibytes = unsafe { usage.assume_init() }.ru_maxrss;
    Ok(u64::try_from(kibibytes).unwrap_or_default() << 10)
}
