//! Warm start: requests that a zygote's child answers, without a server, and their memory.

use std::io::Write as _;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};

use crate::Bench;
use crate::figures::{fine, mebibytes};
use crate::processes::{self, AT_REST, Process, memory};
use crate::report::{Of, Section, Value, Verdict};
use crate::sampling::{interleave, programs};
use crate::stage::{DJANGO, HELLO, PING, Stage};
use crate::statistics::Ratio;
use crate::subject::Program;

const ROUNDS: usize = 300;
const SLOW_ROUNDS: usize = 30;

const WARM: &str = "warm Django";
const WITHOUT: &str = "warm Django without --warm-request";

/// Processes at a time, whose memory is added up.
const CONCURRENT: usize = 20;

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let stage = &bench.stage;
    // First, because other zygotes would share pages with these processes.
    let memory = concurrent(stage)?;
    let django = |name: &str| stage.warm(stage.ping(stage.cgi2wsgi(name, &DJANGO)));
    let short = [
        stage.floor("C program"),
        stage.front_alone("the front alone"),
        stage.warm(stage.cgi2wsgi("warm hello", &HELLO)).greets(),
        django(WARM).env("CGI2WSGI_WARM_REQUEST", PING),
        django(WITHOUT),
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
    let held_back =
        format!("The front alone, with nothing behind it, takes {front} of the peer's time.");
    section.compare(Of::Medians, "warm hello", "C program", &held_back)?;
    let hello = section.share("warm hello", WARM)?;
    let held_back = format!(
        "A warm hello takes {hello} of the peer's time; the rest is Django's first request, which each child repeats."
    );
    section.compare(Of::Medians, WITHOUT, WARM, &held_back)?;
    let peer = "CGIHandler Django, a small view";
    let hello = section.share("warm hello", peer)?;
    let held_back = format!("A warm hello takes {hello} of the peer's time.");
    section.compare(Of::Medians, WARM, peer, &held_back)?;
    section.compare(Of::Medians, WITHOUT, peer, "")?;
    section.verdicts.extend(memory);
    section.tabulate();
    Ok(section)
}

/// The memory of simultaneous requests together: warm, with the zygote and the waiting children, and cold.
fn concurrent(stage: &Stage) -> Result<Vec<Verdict>> {
    let front = stage.path("bin/cgi2wsgi");
    let waiting = stage
        .with_site(stage.cgi2wsgi("waiting", &DJANGO))
        .env("REQUEST_METHOD", "POST")
        .env("PATH_INFO", "/api/digest")
        .env("CONTENT_TYPE", "text/plain")
        .env("CONTENT_LENGTH", "5");
    let warm = stage.warm(waiting.clone());
    let (asked, without) = (warm.clone().env("CGI2WSGI_WARM_REQUEST", PING), warm);
    let cold = with_waiting(waiting, "cold", 0, |found| memory(found))?;
    let mut verdicts = Vec::new();
    for (name, program) in [(WARM, asked), (WITHOUT, without)] {
        let (all, fronts, workers) = with_waiting(program, name, AT_REST, |found| {
            let fronts: Vec<_> = found.iter().filter(|process| process.runs(&front)).collect();
            (memory(found), memory(fronts.iter().copied()), found.len() - fronts.len())
        })?;
        #[expect(clippy::cast_precision_loss, reason = "some dozens")]
        let each = (all - fronts) / workers as f64;
        let held_back = format!(
            "Of the peer's {}, the fronts take {}, and each of the {workers} processes of the zygote {} with its share \
             of what they have in common.",
            mebibytes(cold),
            fine(fronts / cold),
            mebibytes(each)
        );
        let what =
            format!("memory (PSS) of {CONCURRENT} requests: {name}, with the zygote / cold Django");
        let value = Value::Ratio(Ratio::exactly(all / cold));
        verdicts.push(Verdict::new(what, value, 1, &held_back));
    }
    Ok(verdicts)
}

/// Calls `look` with the processes of requests that all wait for their bodies, and with at least `others` more.
fn with_waiting<T>(
    program: Program,
    kind: &str,
    others: usize,
    look: impl FnOnce(&[Process]) -> T,
) -> Result<T> {
    let program = program.env("KEPT_WAITING", kind);
    let mut children = Vec::new();
    for _ in 0..CONCURRENT {
        let mut command = program.command()?;
        children.push(command.stdin(Stdio::piped()).spawn().context("cannot start it")?);
    }
    // Each is a front and a worker.
    let least = 2 * CONCURRENT + others;
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
