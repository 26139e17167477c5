//! Warm start: requests that a zygote's child answers, by themselves, and what that takes of memory.

use std::io::Write as _;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};

use crate::Bench;
use crate::processes::{self, Process, memory};
use crate::report::{Of, Section, Value, Verdict, fine, mebibytes};
use crate::sampling::{interleave, programs};
use crate::stage::{DJANGO, HELLO, PING, Stage};
use crate::statistics::Ratio;

const ROUNDS: usize = 300;
const SLOW_ROUNDS: usize = 30;

/// Processes at a time, whose memory is added up.
const CONCURRENT: usize = 20;

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let stage = &bench.stage;
    // First, for other zygotes would share pages with these processes.
    let memory = concurrent(stage)?;
    let django = |name: &str| stage.warm(stage.ping(stage.cgi2wsgi(name, &DJANGO)));
    let short = [
        stage.floor("C program"),
        stage.front_alone("the front alone"),
        stage.warm(stage.cgi2wsgi("warm hello", &HELLO)).greets(),
        django("warm Django").env("CGI2WSGI_WARM_REQUEST", PING),
        django("warm Django without --warm-request"),
    ];
    let long = [
        stage.ping(stage.cgi2wsgi("cold Django, a small view", &DJANGO)),
        stage.ping(stage.cgihandler("CGIHandler Django, a small view", &DJANGO)?),
    ];
    let mut series = interleave(&programs(&short), bench.rounds(ROUNDS))?;
    series.extend(interleave(&programs(&long), bench.rounds(SLOW_ROUNDS))?);
    let mut section = Section {
        title: "Warm",
        about: "With `--warm` a zygote has imported the application, and forks a child for each request. Django \
                answers a view that returns a few bytes, behind the site's middleware; `--warm-request` has it answer \
                that once before the first fork. Zygotes run before the first round."
            .to_owned(),
        series,
        ..Section::default()
    };
    let front = section.share("the front alone", "C program")?;
    let held_back = format!("The front alone, with nothing behind it, is {front} of the peer.");
    section.compare(Of::Medians, "warm hello", "C program", &held_back)?;
    let hello = section.share("warm hello", "warm Django")?;
    let held_back = format!(
        "A warm hello is {hello} of the peer; the rest is what Django does in its first request, again in each child."
    );
    let without = "warm Django without --warm-request";
    section.compare(Of::Medians, without, "warm Django", &held_back)?;
    let peer = "CGIHandler Django, a small view";
    let hello = section.share("warm hello", peer)?;
    let held_back = format!("A warm hello is {hello} of the peer.");
    section.compare(Of::Medians, "warm Django", peer, &held_back)?;
    section.compare(Of::Medians, without, peer, "")?;
    section.verdicts.push(memory);
    section.tabulate();
    stage.no_fall_back()?;
    Ok(section)
}

/// What requests that are all under way take together: warm, with the zygote and the children that wait, and cold.
fn concurrent(stage: &Stage) -> Result<Verdict> {
    let front = stage.path("bin/cgi2wsgi");
    let (all, fronts, workers) = with_waiting(stage, true, |found| {
        let fronts: Vec<&Process> = found.iter().filter(|process| process.runs(&front)).collect();
        (memory(found), memory(fronts.iter().copied()), found.len() - fronts.len())
    })?;
    let cold = with_waiting(stage, false, |found| memory(found))?;
    let value = all / cold;
    #[expect(clippy::cast_precision_loss, reason = "some dozens")]
    let each = (all - fronts) / workers as f64;
    let held_back = format!(
        "Of the peer's {}, the fronts take {}, and each of the {workers} processes of the zygote {} with its share of \
         what they have in common.",
        mebibytes(cold),
        fine(fronts / cold),
        mebibytes(each)
    );
    let what = format!(
        "memory (PSS) of {CONCURRENT} requests: warm Django, with the zygote / cold Django"
    );
    Ok(Verdict::new(what, Value::Ratio(Ratio::exactly(value)), 1, &held_back))
}

/// Looks at the processes of requests that all wait for their bodies.
fn with_waiting<T>(stage: &Stage, is_warm: bool, look: impl FnOnce(&[Process]) -> T) -> Result<T> {
    let kind = if is_warm { "warm" } else { "cold" };
    let program = stage
        .with_site(stage.cgi2wsgi("waiting", &DJANGO))
        .env("REQUEST_METHOD", "POST")
        .env("PATH_INFO", "/api/digest")
        .env("CONTENT_TYPE", "text/plain")
        .env("CONTENT_LENGTH", "5")
        .env("KEPT_WAITING", kind);
    let program = if is_warm { stage.warm(program) } else { program };
    let mut children = Vec::new();
    for _ in 0..CONCURRENT {
        let mut command = program.command()?;
        children.push(command.stdin(Stdio::piped()).spawn().context("cannot start it")?);
    }
    // A request is a front and a worker; warm, there is the zygote too.
    let least = 2 * CONCURRENT + usize::from(is_warm);
    let seen = look(&processes::settled(&format!("KEPT_WAITING={kind}"), least)?);
    children.into_iter().try_for_each(answer)?;
    Ok(seen)
}

fn answer(mut child: Child) -> Result<()> {
    child.stdin.take().context("no pipe")?.write_all(b"12345").context("cannot send the body")?;
    let output = child.wait_with_output().context("cannot wait for it")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(text.contains("\"bytes\": 5"), "it answered {text:?}");
    Ok(())
}
