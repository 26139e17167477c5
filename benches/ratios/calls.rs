//! What a request asks of the kernel and of the allocator between the moment when Python is ready and the end of the
//! process. Every system call is named and explained; one that nobody explained is marked.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::Bench;
use crate::allocations::{self, Allocation};
use crate::report::{Section, Table, Target, Value, Verdict};
use crate::stage::{Application, Stage};
use crate::subject::{Output, Program, Subject};

/// `hello.py` with marks.
const MARKED: Application =
    Application { directory: "programs", module: "marked", callable: "application" };

const GREETING: &str = "Hello, world!\n";

/// What is between two marks, as the reader is told.
pub(crate) const PHASES: [(&str, &str); 3] = [
    ("/bench/ready", "to the application's module"),
    ("/bench/module", "to the call"),
    ("/bench/call", "to the end"),
];

/// The last mark.
const ENDS: &str = "/bench/ends";

/// What stands where a reason should.
pub(crate) const UNEXPLAINED: &str = "**unexplained**";

/// Why a call is made: the first rule whose parts are all in the line is the one.
/// A rule names the call and what it is made on, so that a call that is new has none.
const REASONS: [(&[&str], &str); 17] = [
    (&["rt_sigaction(SIGTERM", "NULL, {"], "Which handler has Python set for SIGTERM?"),
    (
        &["rt_sigaction(SIGTERM", "{sa_handler=SIG_IGN"],
        "The response is delivered: from here on SIGTERM interrupts nothing.",
    ),
    (
        &["rt_sigaction(SIGTERM"],
        "SIGTERM becomes an exception, so that `close()` runs: Python's handler, and ours before it.",
    ),
    (
        &["timer_create(", "SIGTERM"],
        "The timer that repeats a SIGTERM which comes at the wrong moment.",
    ),
    (&["openat(", "O_DIRECTORY"], "Import: the directory is listed once."),
    (&["getdents64(", "programs>"], "Import: the directory is listed once."),
    (&["stat", "programs>", "\"\""], "Import: the directory is listed once."),
    (&["close(", "programs>"], "Import: the directory is listed once."),
    (&["stat", "programs\""], "Import: is it a directory, and unchanged since it was listed?"),
    (&["stat", "marked.py\""], "Import: is the source there, and is it what was compiled?"),
    (&["open", "marked.cpython-", "O_RDONLY"], "Import: the compiled module is opened."),
    (&["stat", ".pyc>"], "Import: how large is the compiled module?"),
    (&["ioctl(", ".pyc>", "TCGETS"], "Import: Python's `open` asks whether it is a terminal."),
    (&["lseek(", ".pyc>"], "Import: Python's `open` asks where in the file it stands."),
    (&["read(", ".pyc>"], "Import: the compiled module is read."),
    (&["close(", ".pyc>"], "Import: the compiled module is closed."),
    (&["writev(", "<pipe:", "Status: 200"], "**The response, head and body at once.**"),
];

/// Descriptors that are closed in the end, for which `close` has no more than a name.
const CLOSED: [(&str, &str); 2] = [
    ("<pipe:", "The response is closed: the server has all of it."),
    ("/dev/null", "The request's body, which is empty here, is closed."),
];

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let stage = &bench.stage;
    let shim = stage.compile("allocations", &["-shared", "-fPIC", "-ldl"])?;
    let ours = stage.cgi2wsgi("cgi2wsgi", &MARKED).output(Output::Read(GREETING));
    // Its interpreter is no library that could be watched: the last thing that it runs before it is ready says so.
    let theirs = stage
        .cgihandler("CGIHandler", &MARKED)?
        .env("PYTHONPATH", stage.path("programs/ready"))
        .output(Output::Read(GREETING));
    let calls = system_calls(stage, &ours, &shim)?;
    let peer_calls = system_calls(stage, &theirs, &shim)?;
    let requests = allocated(stage, &ours, &shim, "")?;
    let objects = allocated(stage, &ours, &shim, "malloc")?;
    let peer_requests = allocated(stage, &theirs, &shim, "")?;
    let peer_objects = allocated(stage, &theirs, &shim, "malloc")?;

    let counts = |phase: Option<&str>| -> Vec<String> {
        let of = |all: &[Allocation]| {
            all.iter().filter(|one| phase.is_none_or(|phase| one.phase == phase)).count()
        };
        let made = |all: &[(String, String)]| {
            all.iter().filter(|(of, _)| phase.is_none_or(|phase| of == phase)).count()
        };
        let columns = [
            made(&calls),
            made(&peer_calls),
            of(&requests),
            of(&peer_requests),
            of(&objects),
            of(&peer_objects),
        ];
        columns.iter().map(ToString::to_string).collect()
    };
    let mut rows: Vec<Vec<String>> = PHASES
        .iter()
        .map(|(mark, name)| [vec![(*name).to_owned()], counts(Some(mark))].concat())
        .collect();
    rows.push([vec!["**in all**".to_owned()], counts(None)].concat());
    let head = [
        "",
        "system calls",
        "CGIHandler's",
        "allocations",
        "CGIHandler's",
        "with Python's objects",
        "CGIHandler's",
    ];
    let mut section = Section {
        title: "Between interpreter ready and exit",
        about: "A hello request, counted: system calls by `strace`; allocations by a library that is loaded before \
                the C library's and notes each `malloc`, `calloc` and `realloc`. Python serves small objects from \
                memory that it has; with `PYTHONMALLOC=malloc` they are counted too. The phases are marked by the \
                application."
            .to_owned(),
        tables: vec![Table { head: head.map(str::to_owned).to_vec(), rows }],
        ..Section::default()
    };
    let unexplained =
        calls.iter().filter(|(_, call)| reason(call).starts_with(UNEXPLAINED)).count();
    let counted = [
        ("system calls", calls.len(), peer_calls.len(), unexplained),
        ("allocations", requests.len(), peer_requests.len(), allocations::unexplained(&requests)),
    ];
    for (what, ours, peers, unexplained) in counted {
        section.verdicts.push(Verdict {
            what: format!(
                "{what} of a hello between interpreter ready and exit, of `CGIHandler`'s"
            ),
            value: Value::Count { ours, peers, unexplained },
            target: Target::Explained,
            rounds: 1,
            held_back: "The table of them names those that nobody has explained.".to_owned(),
        });
    }
    section.tables.push(explained_calls(&calls));
    section.tables.push(allocations::explained(&requests));
    Ok(section)
}

/// Phase and line of each call after Python was ready.
fn system_calls(stage: &Stage, program: &Program, shim: &Path) -> Result<Vec<(String, String)>> {
    let trace = stage.path("trace");
    let report = stage.path("allocations");
    let strace = Path::new("strace");
    ensure!(
        std::process::Command::new(strace).arg("-V").output().is_ok(),
        "there is no strace: install it (Debian: apt-get install strace)"
    );
    let preload = format!("LD_PRELOAD={}", shim.display());
    let to = format!("BENCH_REPORT={}", report.display());
    // -y: which file a descriptor is.
    let options = ["-f", "-y", "-s", "200", "-o"].map(std::ffi::OsStr::new);
    let more = ["-E", &preload, "-E", &to].map(std::ffi::OsStr::new);
    let traced =
        program.clone().under(strace, &[&options[..], &[trace.as_os_str()], &more[..]].concat());
    // The first run compiles the module.
    program.run()?;
    traced.run()?;
    let text = fs::read_to_string(&trace).context("strace wrote nothing")?;
    let (mut phase, mut calls) = (None, Vec::new());
    for line in text.lines() {
        let call = line.split_once(' ').map_or(line, |(_, call)| call.trim_start());
        if let Some(mark) = call.split('"').find(|word| word.starts_with("/bench/")) {
            phase = Some(mark.to_owned());
            if mark == ENDS {
                break;
            }
            continue;
        }
        if let Some(phase) = &phase {
            // The page names no place on this machine.
            let call = call.replace(&*stage.path("").to_string_lossy(), "");
            calls.push((phase.clone(), call));
        }
    }
    ensure!(phase.as_deref() == Some(ENDS), "strace saw no mark {ENDS} of {}", program.title());
    Ok(calls)
}

fn allocated(
    stage: &Stage,
    program: &Program,
    shim: &Path,
    python_malloc: &str,
) -> Result<Vec<Allocation>> {
    let report = stage.path("allocations");
    let mut watched = program.clone().env("LD_PRELOAD", shim).env("BENCH_REPORT", &report);
    if !python_malloc.is_empty() {
        watched = watched.env("PYTHONMALLOC", python_malloc);
    }
    watched.run()?;
    let text = fs::read_to_string(&report).context("no report of allocations")?;
    allocations::read(&text, &stage.path("bin/cgi2wsgi-python"))
}

/// The calls in their order, equal neighbours as one row.
fn explained_calls(calls: &[(String, String)]) -> Table {
    let mut rows: Vec<(String, String, usize, String)> = Vec::new();
    for (phase, call) in calls {
        let name = call.split('(').next().unwrap_or_default();
        let reason = reason(call);
        match rows.last_mut() {
            Some((of, last, count, why)) if of == phase && last == name && *why == reason => {
                *count += 1;
            }
            _ => rows.push((phase.clone(), name.to_owned(), 1, reason)),
        }
    }
    let rows = rows.into_iter().map(|(phase, name, count, why)| {
        let place = PHASES.iter().find(|(mark, _)| *mark == phase).map_or("", |(_, name)| name);
        vec![place.to_owned(), format!("`{name}`"), count.to_string(), why]
    });
    let head = ["system calls", "", "times", "why"];
    Table { head: head.map(str::to_owned).to_vec(), rows: rows.collect() }
}

fn reason(call: &str) -> String {
    let found = REASONS.iter().find(|(parts, _)| parts.iter().all(|part| call.contains(part)));
    let closed = CLOSED.iter().filter(|_| call.starts_with("close("));
    let closed = closed.copied().find(|(what, _)| call.contains(what)).map(|(_, why)| why);
    let why = found.map(|(_, why)| *why).or(closed);
    why.map_or_else(|| format!("{UNEXPLAINED}: `{call}`"), str::to_owned)
}
