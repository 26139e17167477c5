//! Files, objects and threads that outlive the response end as they do under Python's `CGIHandler` (P8), cold and warm.
//! `applications/alive_at_exit/alive.py` defines the kinds; `docs/alive-at-exit.md` is generated from them.

mod end_of_response;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{CGI, Output, Test, run, trials_of};
use crate::harness::process::{PATIENCE, until};
use crate::harness::stage::{Stage, is_other_bridge};
use crate::harness::world::World;
use crate::warm::site::Site;

const TESTS: &[(&str, Test)] = &[
    ("P8: what is alive at exit is finalized as under CGIHandler, cold and warm", table),
    ("P8: a finalizer that hangs is ended by --timeout, and the response is whole", hangs),
    ("P8: what a finalizer writes to standard output is in the log", prints),
    (
        "P8: the last byte of a known length is sent after everything alive has been finalized",
        end_of_response::counted,
    ),
    (
        "P8: a server that sees the end of a response has nothing of the front's to wait for",
        end_of_response::ends_with_its_process,
    ),
    ("P8: PYTHONINSPECT does not make the end of Python interactive", inspects),
    ("P8: Python is torn down for a file of lxml's, and not for its trees and parsers", spares),
    (
        "P8: with --warm, Python is torn down for an array of numpy's, and not for its numbers",
        counts,
    ),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    if is_other_bridge() { Vec::new() } else { trials_of("alive-at-exit", TESTS, world) }
}

/// (kind, when, reason): the kinds that differ under `--warm`, and why that is right.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("process_pool", "import", STARTS_THREADS),
    ("thread_pool", "import", STARTS_THREADS),
    // If the thread has already ended when the zygote checks, a child answers as CGIHandler does.
    ("thread_leaves", "import", STARTS_THREADS),
    // A normal start imports again, after the zygote's import has ended: what an import makes is made twice.
    ("subprocess_pipe", "import", "an import that leaves a pipe open: answered by a normal start"),
    ("sqlite_transaction", "import", LEAVES_DATABASE),
    ("sqlite_wal", "import", LEAVES_DATABASE),
    ("sqlite_cursor", "import", LEAVES_DATABASE),
];

const LEAVES_DATABASE: &str = "an import that leaves a database open: answered by a normal start";
const STARTS_THREADS: &str = "an import that starts threads: answered by a normal start";

/// The applications, copied to where the unprivileged user can read them.
struct Applications<'s> {
    stage: &'s Stage,
    directory: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Reference,
    Cold,
    Warm,
}

/// What a run leaves: files, and lines in the log.
#[derive(Debug, PartialEq)]
struct Effect {
    files: String,
    said: String,
}

impl<'s> Applications<'s> {
    fn new(stage: &'s Stage, name: &str) -> Result<Self> {
        let directory = stage.workplace(&format!("alive-{name}"))?;
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration");
        for name in ["alive.py", "describe.py", "noted.c"] {
            let from = sources.join("applications/alive_at_exit").join(name);
            fs::copy(from, directory.join(name)).context(name)?;
        }
        fs::copy(sources.join("cgihandler.py"), directory.join("cgihandler.py"))?;
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([directory.join("noted.abi3.so"), directory.join("noted.c")])
            .status()
            .context("no cc")?;
        ensure!(compiled.success(), "cc failed");
        Ok(Self { stage, directory })
    }

    /// The command that runs a kind; `out` is the directory for what it leaves.
    fn command(&self, way: Way, kind: &str, when: &str, out: &Path) -> Command {
        let mut command = match way {
            Way::Reference => {
                let mut command = self.stage.command(&self.stage.python());
                command.args(["-X", "utf8"]).arg(self.directory.join("cgihandler.py"));
                command
            }
            Way::Cold | Way::Warm => self.stage.command(&self.stage.bridge()),
        };
        if way == Way::Warm {
            command.arg("--warm");
        }
        command
            .envs(CGI)
            .envs([("SERVER_NAME", "localhost"), ("SERVER_PORT", "80"), ("PATH_INFO", "/")])
            .env("CGI2WSGI_APP", "alive:application")
            .env("CGI2WSGI_CHDIR", &self.directory)
            .env("CGI2WSGI_VENV", self.stage.python_env())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs([("KIND", kind), ("WHEN", when)])
            .env("OUT", out)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a kind, and reads its effects as soon as the response has ended.
    fn run(&self, way: Way, kind: &str, when: &str) -> Result<Effect> {
        let place = self.place(&format!("{kind}-{when}-{way:?}"))?;
        let (out, seen) = (place.join("out"), place.join("seen"));
        let mut command = self.command(way, kind, when, &out);
        let site = (way == Way::Warm).then(|| Site::new(self.stage, &[])).transpose()?;
        if let Some(site) = &site {
            command.env("TMPDIR", site.path("t"));
        }
        let output = run(self.stage, command)?;
        ensure!(output.response()? == (200, "answered\n".to_owned()), "{:?}", output.stdout);
        let is_cold = output.stderr.contains("falling back to a normal");
        ensure!(!is_cold || when == "import", "the request was answered cold: {}", output.stderr);
        let mut said = output.stderr;
        if way == Way::Warm && when == "request" {
            fs::rename(&out, &seen)?;
        }
        if let Some(site) = site {
            // What the import has made ends with the zygote.
            site.ends_clean()?;
            said += &site.log();
        }
        if !seen.exists() {
            if kind == "subprocess_pipe" {
                until(PATIENCE, "the subprocess", || Ok(out.join("done").exists().then_some(())))?;
            }
            fs::rename(&out, &seen)?;
        }
        let mut describe = self.stage.command(&self.stage.python());
        describe.arg(self.directory.join("describe.py")).arg(&seen).stdout(Stdio::piped());
        let described = describe.stderr(Stdio::inherit()).output()?;
        ensure!(described.status.success(), "describe.py failed");
        let lines = said.lines().filter(|line| !is_of_zygote(line) && !is_source(line));
        Ok(Effect {
            files: String::from_utf8(described.stdout)?,
            said: lines.map(normal).collect::<Vec<_>>().join("\n"),
        })
    }

    /// A directory in which the user can write, with an empty `out`.
    fn place(&self, name: &str) -> Result<PathBuf> {
        let place = self.stage.workplace(&format!("alive-{name}"))?;
        for path in [&place, &place.join("out")] {
            fs::create_dir_all(path)?;
            chown(path, Some(self.stage.user.uid), Some(self.stage.user.gid))?;
        }
        Ok(place)
    }

    fn compare(&self, kind: &str, when: &str) -> Result<()> {
        let right = self.run(Way::Reference, kind, when).context("CGIHandler")?;
        for way in [Way::Cold, Way::Warm] {
            if way == Way::Warm && is_different(kind, when).is_some() {
                continue;
            }
            let effect = self.run(way, kind, when).with_context(|| format!("{way:?}"))?;
            ensure!(effect == right, "{way:?}: {effect:?}\n    CGIHandler: {right:?}");
        }
        Ok(())
    }
}

fn is_different(kind: &str, when: &str) -> Option<&'static str> {
    DIFFERENT.iter().find(|(k, w, _)| (*k, *w) == (kind, when)).map(|(_, _, why)| *why)
}

/// Whether a line of a log is about a zygote, not from the application: `2026-11-26T16:08:30Z 24047 ...`.
fn is_of_zygote(line: &str) -> bool {
    line.contains("falling back to a normal") || line.as_bytes().get(19) == Some(&b'Z')
}

/// A traceback's line of source text. At the end of Python there is no `open` to read it with; a zygote's child may
/// finalize earlier, and then shows it.
fn is_source(line: &str) -> bool {
    line.starts_with("    ")
}

/// A line of a log without addresses, which differ from process to process.
fn normal(line: &str) -> String {
    let mut words = line.split("0x");
    let mut text = words.next().unwrap_or_default().to_owned();
    for word in words {
        text += "0x";
        text += word.trim_start_matches(|letter: char| letter.is_ascii_hexdigit());
    }
    text
}

/// The kinds that `alive.py` defines, with their titles.
fn kinds() -> Result<Vec<(String, String)>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/integration/applications/alive_at_exit/alive.py");
    let text = fs::read_to_string(source)?;
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("def ").and_then(|rest| rest.strip_suffix("():")) else {
            continue;
        };
        let title = lines.next().unwrap_or_default().trim().trim_matches('"');
        if !title.ends_with("no row.") {
            found.push((name.to_owned(), title.to_owned()));
        }
    }
    Ok(found)
}

const HEAD: &str = "# What is alive at exit

Nothing that an application did is lost. What is alive when it has answered ends as it does under Python's own
`wsgiref.handlers.CGIHandler`, before the response ends: files are flushed, archives and databases are complete,
`__del__` and the `finally` of a waiting generator have run, temporary files are gone. If another non-daemon thread
lives, the response ends first. A client that counts the bytes of a `Content-Length` sees that too: the last byte of a
response whose length is known is sent when all of it has ended, where CGIHandler sends it before.

Each row is an application that leaves something alive, made while it is imported or at the request. It is run by
CGIHandler and by cgi2wsgi, without and with `--warm`, under one Python; files and the log are compared. With `--warm`,
what the import has made ends with the zygote, and what the request has made with the request.

This page is made by the tests (`REGENERATE=1 tests/run alive-at-exit`).

| what is alive | made | as under CGIHandler | with `--warm` |
| --- | --- | --- | --- |
";

fn table(stage: &Stage) -> Result<()> {
    let applications = Applications::new(stage, "table")?;
    let kinds = kinds()?;
    ensure!(kinds.len() >= 35, "only {} kinds", kinds.len());
    let rows = kinds.iter().flat_map(|(kind, title)| {
        ["import", "request"].map(|when| (kind.as_str(), title.as_str(), when))
    });
    let mut page = HEAD.to_owned();
    for (kind, title, when) in rows.clone() {
        let warm = is_different(kind, when).unwrap_or("✓");
        writeln!(page, "| {title} | {when} | ✓ | {warm} |")?;
    }
    let rows = Mutex::new(rows);
    let faults = Mutex::new(String::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = rows.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((kind, _, when)) = next else { return };
                    if let Err(error) = applications.compare(kind, when) {
                        let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
                        let _ = writeln!(faults, "{kind} ({when}): {error:#}");
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(faults.is_empty(), "{faults}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/alive-at-exit.md");
    if std::env::var_os("REGENERATE").is_some() {
        return Ok(fs::write(path, page)?);
    }
    if fs::read_to_string(path).unwrap_or_default() != page {
        bail!("docs/alive-at-exit.md is stale: REGENERATE=1 tests/run alive-at-exit");
    }
    Ok(())
}

/// Runs a kind at the request, cold and warm.
fn each(
    stage: &Stage,
    kind: &str,
    with: impl Fn(&mut Command),
    check: impl Fn(&Output) -> Result<()>,
) -> Result<()> {
    let applications = Applications::new(stage, kind)?;
    for way in [Way::Cold, Way::Warm] {
        let place = applications.place(&format!("{kind}-{way:?}"))?;
        let site = Site::new(stage, &[])?;
        let mut command = applications.command(way, kind, "request", &place.join("out"));
        command.env("TMPDIR", site.path("t"));
        with(&mut command);
        let output = run(stage, command)?;
        let whole = (200, "answered\n".to_owned());
        ensure!(output.ends(0)?.response()? == whole, "{way:?}: {:?}", output.stdout);
        check(&output).with_context(|| format!("{way:?}: {}", output.stderr))?;
        site.ends_clean()?;
    }
    Ok(())
}

fn hangs(stage: &Stage) -> Result<()> {
    let timeout = |command: &mut Command| {
        command.env("CGI2WSGI_TIMEOUT", "3");
    };
    each(stage, "hangs", timeout, |output| {
        output.says("did not end within --timeout, 3 s: killed")?;
        output.says("in __del__").map(drop)
    })
}

fn prints(stage: &Stage) -> Result<()> {
    each(stage, "prints", |_| (), |output| output.says("printed at the end").map(drop))
}

fn inspects(stage: &Stage) -> Result<()> {
    let inspect = |command: &mut Command| {
        command.env("PYTHONINSPECT", "1");
    };
    each(stage, "finalizer", inspect, |output| {
        ensure!(output.stderr.is_empty(), "standard error has: {}", output.stderr);
        Ok(())
    })
}

/// What Python says with PYTHONVERBOSE when it is torn down.
const TORN_DOWN: &str = "# cleanup[";

fn counts(stage: &Stage) -> Result<()> {
    let applications = Applications::new(stage, "numpy")?;
    for (kind, is_torn_down) in [("numpy_array", true), ("numpy_numbers", false)] {
        let place = applications.place(&format!("{kind}-verbose"))?;
        let site = Site::new(stage, &[])?;
        for _ in 0..2 {
            let mut command = applications.command(Way::Warm, kind, "request", &place.join("out"));
            command.env("TMPDIR", site.path("t")).env("PYTHONVERBOSE", "1");
            let output = run(stage, command)?;
            ensure!(output.ends(0)?.response()?.0 == 200, "{kind}: {:?}", output.stdout);
            ensure!(!output.stderr.contains("falling back"), "{kind}: {}", output.stderr);
            ensure!(output.stderr.contains(TORN_DOWN) == is_torn_down, "{kind}: {}", output.stderr);
        }
        site.ends_clean()?;
    }
    Ok(())
}

fn spares(stage: &Stage) -> Result<()> {
    let verbose = |command: &mut Command| {
        command.env("PYTHONVERBOSE", "1");
    };
    each(stage, "lxml_file", verbose, |output| output.says(TORN_DOWN).map(drop))?;
    each(stage, "lxml_memory", verbose, |output| {
        ensure!(output.stderr.contains("import 'lxml.etree'"), "PYTHONVERBOSE has no effect");
        ensure!(!output.stderr.contains(TORN_DOWN), "Python was torn down");
        Ok(())
    })
}
