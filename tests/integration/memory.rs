//! Memory use does not grow with the body: the peak of a process that moves 256 MiB is compared with the peak of one
//! that runs hello.py.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{CGI, Test, bridge, run, trials_of};
use crate::harness::process::{AtParentDeath, End, PATIENCE, Running};
use crate::harness::stage::Stage;
use crate::harness::world::World;
use crate::warm::site::Site;

const SIZE: u64 = 256 << 20;

/// How many bytes more than hello.py a process may use: buffers and a spool's first MiB.
const MORE: u64 = 6 << 20;

const TESTS: &[(&str, Test)] = &[
    ("memory does not grow with an upload that is read in pieces", upload),
    ("memory does not grow with a chunked upload, which is spooled", chunked_upload),
    ("memory does not grow with a download by wsgi.file_wrapper", download),
    ("memory does not grow with a stream of chunks", stream),
    ("memory is bounded in a stream whose chunks leave garbage in cycles", stream_of_cycles),
    ("memory is bounded in an import that makes garbage in cycles", import_of_cycles),
    ("Python's collector has its usual settings, or the application's", collector),
    ("a zygote's child takes no huge page for a few objects", few_objects),
    ("malloc's heap has huge pages after a large import, unless the operator has set malloc", heap),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("memory", TESTS, world)
}

/// Runs a fixture and returns its peak memory, and how many bytes it answered.
fn peak(stage: &Stage, fixture: &str, prepare: impl FnOnce(&mut Command)) -> Result<(u64, u64)> {
    // As in the table: a file with a leading slash is in `applications/`, not in `fixtures/`.
    let placed = match fixture.strip_prefix('/') {
        Some(own) => format!("{{applications}}/{own}"),
        None => format!("{{fixtures}}/{fixture}"),
    };
    // The process writes its own peak to this file when it ends.
    let report = stage.workplace("memory")?.join(fixture.replace('/', "-"));
    let mut command = stage.command(&stage.bridge());
    command
        .arg(stage.path("applications/peak_memory.py"))
        .env("FIXTURE", stage.resolve(&placed))
        .env("REPORT", &report)
        .envs(CGI)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    prepare(&mut command);
    let mut running = Running::start(command, &stage.user, AtParentDeath::Kill)?;
    let mut stdout = running.child().stdout.take().context("no pipe for stdout")?;
    let (mut piece, mut answered) = (vec![0; 1 << 20], 0);
    loop {
        match stdout.read(&mut piece).context("cannot read the answer")? {
            0 => break,
            count => answered += count as u64,
        }
    }
    let end = running.wait(PATIENCE)?;
    ensure!(end == End::Code(0), "{fixture} ended with {end:?}");
    let text = fs::read_to_string(&report).context("no report")?;
    let kilobytes: u64 = text.trim().parse().with_context(|| format!("the report is {text:?}"))?;
    Ok((kilobytes << 10, answered))
}

fn is_flat(stage: &Stage, moved: (u64, u64), least_answer: u64) -> Result<()> {
    is_within(MORE, stage, moved, least_answer)
}

fn is_within(more: u64, stage: &Stage, moved: (u64, u64), least_answer: u64) -> Result<()> {
    let (greeting, _) = peak(stage, "hello.py", |_| {})?;
    let (peak, answered) = moved;
    ensure!(answered >= least_answer, "only {answered} bytes were answered");
    ensure!(
        peak <= greeting + more,
        "a peak of {} KiB, and a greeting has {}",
        peak >> 10,
        greeting >> 10
    );
    Ok(())
}

/// A sparse file of [`SIZE`] zeros.
fn large_file(directory: &Path) -> Result<File> {
    let path = directory.join("large");
    File::create(&path).and_then(|file| file.set_len(SIZE)).context("no large file")?;
    File::open(&path).context("no large file")
}

fn upload(stage: &Stage) -> Result<()> {
    let body = large_file(&stage.workplace("memory-upload")?)?;
    let moved = peak(stage, "upload.py", |command| {
        command.env("REQUEST_METHOD", "POST").env("CONTENT_LENGTH", SIZE.to_string()).stdin(body);
    })?;
    is_flat(stage, moved, 64)
}

fn chunked_upload(stage: &Stage) -> Result<()> {
    let body = large_file(&stage.workplace("memory-chunked")?)?;
    let moved = peak(stage, "upload.py", |command| {
        command.env("REQUEST_METHOD", "POST").env("HTTP_TRANSFER_ENCODING", "chunked").stdin(body);
    })?;
    is_flat(stage, moved, 64)
}

fn download(stage: &Stage) -> Result<()> {
    let directory = stage.workplace("memory-download")?;
    large_file(&directory)?;
    let moved = peak(stage, "download.py", |command| {
        command.env("DOWNLOAD", directory.join("large"));
    })?;
    is_flat(stage, moved, SIZE)
}

fn stream(stage: &Stage) -> Result<()> {
    let directory = stage.workplace("memory-stream")?;
    let moved = peak(stage, "close_marker.py", |command| {
        command
            .env("QUERY_STRING", format!("big={}", SIZE >> 16))
            .env("MARKER", directory.join("marker"));
    })?;
    is_flat(stage, moved, SIZE)
}

/// The collector's threshold is 700 objects, and each chunk leaves five: it runs every 140 chunks.
fn stream_of_cycles(stage: &Stage) -> Result<()> {
    let moved = peak(stage, "/cycles.py", |command| {
        command.env("QUERY_STRING", (SIZE >> 16).to_string());
    })?;
    is_within(32 << 20, stage, moved, SIZE)
}

/// Three million cycles would take 240 MiB; those that await the collector take a tenth.
fn import_of_cycles(stage: &Stage) -> Result<()> {
    let moved = peak(stage, "/cycles.py", |command| {
        command.env("MADE_ON_IMPORT", "3000000");
    })?;
    is_within(64 << 20, stage, moved, 0)
}

fn collector(stage: &Stage) -> Result<()> {
    let told = |threshold: Option<&str>| -> Result<String> {
        let mut command = bridge(stage, &["{applications}/cycles.py"], &CGI);
        command.env("PATH_INFO", "/state").envs(threshold.map(|value| ("THRESHOLD", value)));
        Ok(run(stage, command)?.ends(0)?.response()?.1)
    };
    let usual = told(None)?;
    ensure!(usual == "(True, (700, 10, 10), True)", "by default it is {usual}");
    let chosen = told(Some("123"))?;
    ensure!(chosen == "(True, (123, 5, 5), True)", "the application's choice became {chosen}");
    Ok(())
}

/// Whether a child needs a new region of 2 MiB depends on where the import has ended: the objects of these three take
/// 0.7 MiB more than each other's, so that at least one of the requests needs one.
fn few_objects(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let application = stage.path("applications/private_memory.py");
    for filler in ["60000", "67300", "74600"] {
        for round in 0..3 {
            let mut command = site.command_of(&stage.bridge(), &application, "");
            command.env("FILLER", filler).env("CGI2WSGI_VENV", stage.python_env());
            let output = run(stage, command)?;
            let (_, grown) = output.ends(0)?.response()?;
            let grown: u64 = grown.parse().with_context(|| grown.clone())?;
            ensure!(output.stderr.is_empty(), "{}", output.stderr);
            // Pages that were touched ahead do not count.
            ensure!(grown < 1700, "{filler}, round {round}: {grown} KiB");
        }
    }
    site.ends_clean()
}

fn heap(stage: &Stage) -> Result<()> {
    for (name, value, is_huge) in [
        ("UNRELATED", "1", "True"),
        ("MALLOC_MMAP_THRESHOLD_", "65536", "False"),
        ("MALLOC_TRIM_THRESHOLD_", "65536", "False"),
    ] {
        let mut command = bridge(stage, &["{applications}/heap.py"], &CGI);
        command.env(name, value);
        let (_, said) = run(stage, command)?.ends(0)?.response()?;
        // A kernel without huge pages cannot be asked for them.
        let is_huge = if said.ends_with("kernel True") { is_huge } else { "False" };
        ensure!(
            said.starts_with(&format!("right True, huge {is_huge}, ")),
            "with {name}={value}: {said}"
        );
    }
    Ok(())
}
