//! Warm start: requests that a zygote's child answers, by themselves and through Apache; and what that takes of memory.

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::Bench;
use crate::cold::{DJANGO, HELLO, STATIC_FLOOR, all, with_site};
use crate::http::Visit;
use crate::process::until;
use crate::report::{Section, Target, Value, Verdict};
use crate::sampling::interleave;
use crate::servers;
use crate::stage::{Application, Stage};
use crate::statistics::Ratio;
use crate::subject::{Output, Program, Sample, Subject};

/// A view that does next to nothing, behind all the middleware of the site.
const PING: &str = "/ping";
const PONG: &str = "pong\n";

const ROUNDS: usize = 200;
const SLOW_ROUNDS: usize = 30;

/// Visitors at a time.
const CLIENTS: usize = 8;
const CROWD_ROUNDS: usize = 8;

/// Processes at a time, whose memory is added up.
const CONCURRENT: usize = 20;

/// The variables that make it warm, with the private directory of this bench.
fn warm_variables(stage: &Stage) -> [(&'static str, String); 3] {
    [
        ("CGI2WSGI_WARM", "1".to_owned()),
        ("CGI2WSGI_WARM_IDLE", "60".to_owned()),
        ("TMPDIR", temporary(stage).display().to_string()),
    ]
}

fn temporary(stage: &Stage) -> PathBuf {
    stage.path("tmp")
}

fn warm(stage: &Stage, program: Program) -> Program {
    let variables = warm_variables(stage);
    variables.iter().fold(program, |program, (name, value)| program.env(name, value))
}

/// Ends the zygotes when it is dropped.
struct Zygotes(PathBuf);

impl Drop for Zygotes {
    fn drop(&mut self) {
        let mine = format!("TMPDIR={}", self.0.display());
        for process in processes().into_iter().filter(|process| process.has_variable(&mine)) {
            process.end();
        }
    }
}

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let stage = &bench.stage;
    let directory = temporary(stage);
    fs::create_dir(&directory).context("cannot make a directory")?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777))
        .context("cannot open a directory to all")?;
    let _zygotes = Zygotes(directory);

    let floor = |name, file| stage.program(name, &stage.path(file));
    let hello = Output::Read("Hello, world!\n");
    let ping = |program: Program| {
        with_site(stage, program).env("PATH_INFO", PING).output(Output::Read(PONG))
    };
    let django = |name: &str| warm(stage, ping(stage.cgi2wsgi(name, &DJANGO)));
    let short = [
        floor("C program", "bin/floor").output(hello.clone()),
        floor(STATIC_FLOOR, "bin/floor-static").output(hello.clone()),
        warm(stage, stage.cgi2wsgi("warm hello", &HELLO)).output(hello),
        django("warm Django").env("CGI2WSGI_WARM_REQUEST", PING),
        django("warm Django without --warm-request"),
    ];
    let long = [
        ping(stage.cgi2wsgi("cold Django, a small view", &DJANGO)),
        ping(stage.cgihandler("CGIHandler Django, a small view", &DJANGO)?),
    ];
    let mut series = interleave(&all(&short), bench.rounds(ROUNDS))?;
    series.extend(interleave(&all(&long), bench.rounds(SLOW_ROUNDS))?);

    let apache = servers::apache(stage, "warm", &sites(stage)?)?;
    let visit = |name: &str, path: &str, expected| Visit::new(name, apache.port, path, expected);
    let one = [
        visit("mod_cgid: a C program", "/floor", "Hello, world!\n"),
        visit("mod_cgid: warm Django", "/warm/ping", PONG),
    ];
    let subjects: Vec<&dyn Subject> = one.iter().map(|visit| visit as _).collect();
    series.extend(interleave(&subjects, bench.rounds(ROUNDS))?);
    let crowds = [
        Crowd::new("8 clients: warm Django, each request", &one[1], 400),
        Crowd::new(
            "8 clients: CGIHandler Django, each request",
            &visit("mod_cgid: CGIHandler Django", "/cgihandler/ping", PONG),
            40,
        ),
    ];
    let subjects: Vec<&dyn Subject> = crowds.iter().map(|crowd| crowd as _).collect();
    series.extend(interleave(&subjects, bench.rounds(CROWD_ROUNDS))?);
    drop(apache);

    let mut section = Section {
        title: "Warm",
        about: "With `--warm` a zygote has imported the application, and forks a child for each request. Django \
                answers a view that returns a few bytes, behind the site's middleware; `--warm-request` has it answer \
                that once before the first fork. Zygotes run before the first round."
            .to_owned(),
        series,
        ..Section::default()
    };
    let unknown = "What takes it was not looked into.";
    section.compare("warm hello", "C program", Target::AtMost(2.0), unknown)?;
    section.compare("warm hello", STATIC_FLOOR, Target::None, "")?;
    let peer = "CGIHandler Django, a small view";
    section.compare("warm Django", peer, Target::AtMost(1.0 / 60.0), unknown)?;
    section.compare("warm Django without --warm-request", peer, Target::None, "")?;
    let (ours, peer) = ("mod_cgid: warm Django", "mod_cgid: a C program");
    section.compare(ours, peer, Target::AtMost(4.0), unknown)?;
    let (ours, peer) =
        ("8 clients: warm Django, each request", "8 clients: CGIHandler Django, each request");
    let held_back = "Of the processors' time 30 % goes into copying the pages that a request writes to, 16 % into fork and \
                     the end of a process, 11 % each into Apache and the front, and 17 % into Python (`perf`).";
    section.compare(ours, peer, Target::AtMost(1.0 / 40.0), held_back)?;
    section.verdicts.push(memory(stage)?);
    section.tabulate();
    Ok(section)
}

/// The C program, Django warm, and Django under `CGIHandler`.
fn sites(stage: &Stage) -> Result<String> {
    let Application { directory, module, callable } = DJANGO;
    let script = stage.path("cgihandler-django");
    let text = format!(
        "#!{}\nimport sys\nsys.path.insert(0, {:?})\nfrom wsgiref.handlers import CGIHandler\n\
         from {module} import {callable}\nCGIHandler().run({callable})\n",
        stage.python().display(),
        stage.path(directory).display(),
    );
    fs::write(&script, text).context("cannot write a script")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).context("no script")?;
    let mut sites = String::new();
    for (mount, program) in [
        ("/floor", stage.path("bin/floor")),
        ("/warm", stage.path("bin/cgi2wsgi")),
        ("/cgihandler", script),
    ] {
        writeln!(sites, "Define MOUNT {mount}")?;
        writeln!(sites, "Define CGI2WSGI \"{}\"", program.display())?;
        writeln!(sites, "Include \"{}\"", stage.path("apache/site.conf").display())?;
        writeln!(sites, "<Location {mount}>")?;
        let mut set =
            |variable: &str, value: &str| writeln!(sites, "    SetEnv {variable} \"{value}\"");
        set("CGI2WSGI_APP", &format!("{module}:{callable}"))?;
        set("CGI2WSGI_CHDIR", &stage.path(directory).display().to_string())?;
        set("CGI2WSGI_VENV", &stage.python_env().display().to_string())?;
        set("CGI2WSGI_WARM_REQUEST", PING)?;
        for (variable, value) in warm_variables(stage) {
            set(variable, &value)?;
        }
        for (variable, value) in stage.site_variables() {
            set(variable, &value.display().to_string())?;
        }
        writeln!(sites, "</Location>")?;
    }
    Ok(sites)
}

/// Some visitors who come again and again. A sample is the time that one request takes of all of theirs.
struct Crowd {
    name: String,
    visit: Visit,
    requests: usize,
}

impl Crowd {
    fn new(name: &str, visit: &Visit, requests: usize) -> Self {
        Self { name: name.to_owned(), visit: visit.clone(), requests }
    }
}

impl Subject for Crowd {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self) -> Result<Sample> {
        let each = self.requests / CLIENTS;
        let start = Instant::now();
        thread::scope(|scope| {
            let visitors: Vec<_> = (0..CLIENTS)
                .map(|_| scope.spawn(|| (0..each).try_for_each(|_| self.visit.run().map(drop))))
                .collect();
            visitors.into_iter().try_for_each(|visitor| {
                visitor.join().map_err(|_| anyhow::anyhow!("a visitor panicked"))?
            })
        })?;
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        let seconds = start.elapsed().as_secs_f64() / (each * CLIENTS) as f64;
        Ok(Sample { seconds, peak: None })
    }
}

/// What requests that are all under way take together, as the kernel shares it out (PSS): warm, with the zygote, and
/// cold.
fn memory(stage: &Stage) -> Result<Verdict> {
    let waiting = |warm_start: bool| -> Result<f64> {
        let program = with_site(stage, stage.cgi2wsgi("waiting", &DJANGO))
            .env("REQUEST_METHOD", "POST")
            .env("PATH_INFO", "/api/digest")
            .env("CONTENT_TYPE", "text/plain")
            .env("CONTENT_LENGTH", "5")
            .env("KEPT_WAITING", if warm_start { "warm" } else { "cold" });
        let program = if warm_start { warm(stage, program) } else { program };
        let mut children = Vec::new();
        for _ in 0..CONCURRENT {
            let mut command = program.command()?;
            children.push(command.stdin(Stdio::piped()).spawn().context("cannot start it")?);
        }
        let mark = format!("KEPT_WAITING={}", if warm_start { "warm" } else { "cold" });
        // A request is a front and a worker; warm, there is the zygote too.
        let least = 2 * CONCURRENT + usize::from(warm_start);
        let found = settled(&mark, least)?;
        let bytes: u64 = found.iter().map(|process| process.memory().unwrap_or_default()).sum();
        for child in children {
            answer(child)?;
        }
        #[expect(clippy::cast_precision_loss, reason = "megabytes")]
        let bytes = bytes as f64;
        Ok(bytes)
    };
    let value = waiting(true)? / waiting(false)?;
    Ok(Verdict {
        what: format!("memory (PSS) of {CONCURRENT} warm Django requests and the zygote / cold"),
        value: Value::Ratio(Ratio { value, low: value, high: value }),
        target: Target::AtMost(0.35),
        rounds: 1,
        held_back: "What takes it was not looked into.".to_owned(),
    })
}

fn answer(mut child: Child) -> Result<()> {
    child.stdin.take().context("no pipe")?.write_all(b"12345").context("cannot send the body")?;
    let output = child.wait_with_output().context("cannot wait for it")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(text.contains("\"bytes\": 5"), "it answered {text:?}");
    Ok(())
}

/// The processes with a variable, once there are enough and none of them does anything any more.
fn settled(mark: &str, least: usize) -> Result<Vec<Process>> {
    let before = Cell::new(u64::MAX);
    until(Duration::from_secs(60), "processes that all wait", || {
        let found: Vec<_> =
            processes().into_iter().filter(|process| process.has_variable(mark)).collect();
        let worked: u64 = found.iter().map(|process| process.ticks().unwrap_or_default()).sum();
        let same = before.replace(worked) == worked;
        thread::sleep(Duration::from_millis(300));
        Ok((same && found.len() >= least).then_some(found))
    })
}

struct Process(PathBuf);

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_number = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok())
    };
    entries.map(|entry| entry.path()).filter(is_number).map(Process).collect()
}

impl Process {
    fn file(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(Path::join(&self.0, name)).ok()
    }

    fn has_variable(&self, wanted: &str) -> bool {
        let environment = self.file("environ").unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    }

    /// How long it has worked, in clock ticks.
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

    fn end(&self) {
        let number = self.0.file_name().unwrap_or_default();
        // It may be gone already.
        let _ = Command::new("kill").arg(number).stderr(Stdio::null()).status();
    }
}
