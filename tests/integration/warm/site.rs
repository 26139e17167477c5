//! A test's own site with `--warm`: its application, its private directory, and its processes.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use anyhow::{Context, Result, ensure};

use crate::harness::command::{CGI, Output, run};
use crate::harness::process::{AtParentDeath, PATIENCE, Running, kill, until};
use crate::harness::stage::Stage;

pub(crate) struct Site<'s> {
    pub(crate) stage: &'s Stage,
    pub(crate) directory: PathBuf,
    options: Vec<String>,
}

/// A process of the site: the zygote, or one of its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    parent: i32,
    session: i32,
}

impl<'s> Site<'s> {
    pub(crate) fn new(stage: &'s Stage, options: &[&str]) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // A short name: a socket's address has 107 bytes.
        let directory = stage.workplace(&format!("w{}", COUNT.fetch_add(1, SeqCst)))?;
        let site = Self { stage, directory, options: options.iter().map(|&o| o.into()).collect() };
        fs::create_dir(site.path("t"))?;
        chown(site.path("t"), Some(stage.user.uid), Some(stage.user.gid))?;
        let application = fs::read_to_string(stage.path("applications/warm.py"))?;
        site.write("app.py", &application)?;
        site.write("helper.py", "VERSION = \"h1\"\n")?;
        site.write("settings.json", "1")?;
        Ok(site)
    }

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.directory.join(inside)
    }

    /// Writes a file in place, as the user of the site.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(chown(&path, Some(self.stage.user.uid), Some(self.stage.user.gid))?)
    }

    /// The private directory.
    pub(crate) fn place(&self) -> PathBuf {
        self.path("t").join(format!("cgi2wsgi-{}", self.stage.user.uid))
    }

    /// The output of `cgi2wsgi warm` for the site.
    pub(crate) fn verb(&self, words: &[&str]) -> Result<Output> {
        let mut command = self.stage.command(&self.stage.bridge());
        command.arg("warm").args(words).env("TMPDIR", self.path("t"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        run(self.stage, command)
    }

    /// A front that asks for `query`.
    pub(crate) fn command(&self, query: &str) -> Command {
        self.command_of(&self.stage.bridge(), &self.path("app.py"), query)
    }

    /// The same with another front and another application.
    pub(crate) fn command_of(&self, bridge: &Path, application: &Path, query: &str) -> Command {
        let mut command = self.stage.command(bridge);
        command
            .args(&self.options)
            .arg("--warm")
            .arg(application)
            .envs(CGI)
            .env("QUERY_STRING", query)
            .env("TMPDIR", self.path("t"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Another program in place of a front, with the same environment and without its arguments.
    pub(crate) fn copy_of(&self, front: &Command, program: &Path) -> Command {
        let mut command = self.stage.command(program);
        for (name, value) in front.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn ask(&self, query: &str) -> Result<Output> {
        run(self.stage, self.command(query))
    }

    /// The body of a good answer, with nothing in the log.
    pub(crate) fn body(&self, query: &str) -> Result<String> {
        let output = self.ask(query)?;
        ensure!(output.stderr.is_empty(), "standard error has: {}", output.stderr);
        good(&output)
    }

    pub(crate) fn begin(&self, query: &str) -> Result<Running> {
        Running::start(self.command(query), &self.stage.user, AtParentDeath::Kill)
    }

    /// The lines of a file that the application writes.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How often the request of this id was run.
    pub(crate) fn runs(&self, id: &str) -> usize {
        self.lines("runs").iter().filter(|line| *line == id).count()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.place().join("warm.log")).unwrap_or_default()
    }

    pub(crate) fn starts(&self) -> usize {
        self.log().lines().filter(|line| line.contains("starts: ")).count()
    }

    /// The files of the private directory whose names end in `suffix`.
    pub(crate) fn placed(&self, suffix: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.place()).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.to_string_lossy().ends_with(suffix)).collect()
    }

    /// The zygotes and their children.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let wanted = format!("TMPDIR={}", self.path("t").display());
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid: i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (before, after) = stat.rsplit_once(')')?;
            let mut fields = after.split_whitespace();
            if before.is_empty() || fields.next() == Some("Z") {
                return None;
            }
            let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let mut variables = environ.split(|byte| *byte == 0);
            let is_warm = variables.clone().any(|one| one.starts_with(b"CGI2WSGI_ZYGOTES="));
            (is_warm && variables.any(|one| one == wanted.as_bytes())).then_some(())?;
            let mut number = || fields.next()?.parse().ok();
            let parent = number()?;
            let _group: i32 = number()?;
            Some(Process { pid, parent, session: number()? })
        })
        .collect()
    }

    pub(crate) fn zygotes(&self) -> Vec<i32> {
        let all = self.processes();
        all.iter().filter(|process| process.pid == process.session).map(|one| one.pid).collect()
    }

    /// The only zygote.
    pub(crate) fn zygote(&self) -> Result<i32> {
        let zygotes = self.zygotes();
        ensure!(zygotes.len() == 1, "{} zygotes; the log: {}", zygotes.len(), self.log());
        Ok(zygotes[0])
    }

    /// The zygote that is left when replaced ones have ended.
    pub(crate) fn zygote_of_now(&self) -> Result<i32> {
        until(PATIENCE, "one zygote", || {
            let zygotes = self.zygotes();
            Ok((zygotes.len() == 1).then(|| zygotes[0]))
        })
    }

    pub(crate) fn children(&self) -> Vec<i32> {
        let all = self.processes();
        all.iter().filter(|process| process.pid != process.session).map(|one| one.pid).collect()
    }

    /// Waits until the living zygote has exactly so many children, and so many of them wait for a request: one that has
    /// had its request may still be ending. Returns them.
    pub(crate) fn wait_children(&self, count: usize, waiting: usize) -> Result<Vec<i32>> {
        let waits = |child: &&i32| {
            let shown = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            shown.starts_with(b"cgi2wsgi: child of zygote ")
        };
        until(PATIENCE, &format!("{count} children, {waiting} that wait"), || {
            let children = self.children();
            let are_there =
                children.len() == count && children.iter().filter(waits).count() == waiting;
            Ok(are_there.then_some(children))
        })
    }

    /// Waits until there are exactly `count` children, and all of them wait for a request. Returns them.
    pub(crate) fn wait_spare(&self, count: usize) -> Result<Vec<i32>> {
        self.wait_children(count, count)
    }

    pub(crate) fn wait_lines(&self, name: &str, count: usize) -> Result<()> {
        until(PATIENCE, &format!("{count} lines in {name}"), || {
            Ok((self.lines(name).len() >= count).then_some(()))
        })
    }

    /// SIGTERM to the zygotes leaves no process.
    pub(crate) fn ends(&self) -> Result<()> {
        for zygote in self.zygotes() {
            kill(zygote, libc::SIGTERM)?;
        }
        until(PATIENCE, "the end of all processes", || {
            Ok(self.processes().is_empty().then_some(()))
        })
    }

    /// SIGTERM to the zygotes leaves no process, socket or lock.
    pub(crate) fn ends_clean(&self) -> Result<()> {
        self.ends()?;
        let left: Vec<PathBuf> =
            [".socket", ".lock"].iter().flat_map(|suffix| self.placed(suffix)).collect();
        ensure!(left.is_empty(), "left behind: {left:?}; the log: {}", self.log());
        Ok(())
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        for process in self.processes() {
            // SIGKILL also ends processes that the test has stopped; others may have ended already.
            let _ = kill(process.pid, libc::SIGKILL);
        }
        let _ = until(PATIENCE, "the end", || Ok(self.processes().is_empty().then_some(())));
    }
}

pub(crate) fn good(output: &Output) -> Result<String> {
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200, "{status} {body}; stderr: {}", output.stderr);
    Ok(body)
}

pub(crate) fn wait_gone(pid: i32) -> Result<()> {
    until(PATIENCE, "the end of a process", || Ok(is_gone(pid).then_some(())))
}

/// Whether a process has ended or is a zombie.
pub(crate) fn is_gone(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}
