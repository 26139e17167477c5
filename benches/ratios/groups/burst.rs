//! Many requests at one moment, after a silence.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Bench;
use crate::groups::crowd::slowest;
use crate::report::{Of, Section};
use crate::sampling::Series;
use crate::stage::{DJANGO, Stage};
use crate::subject::{Program, Sample, Subject};
use crate::terminal;

/// How long no request comes before a burst.
const SILENCE: Duration = Duration::from_secs(60);

/// Requests at one moment.
const COUNT: usize = 50;
const BURSTS: usize = 5;

const WARM: &str = "slowest of 50 after a minute of silence: warm Django";
const COLD: &str = "slowest of 50 after a minute of silence: cold Django";

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let stage = &bench.stage;
    // Each burst has a zygote of its own, so that one minute of silence serves all bursts.
    for number in 0..bench.rounds(BURSTS) {
        stage.private_directory(&place(number))?;
        warm(stage, number).run().context("the first request of a zygote")?;
    }
    terminal::progress(&format!("   {} s of silence", SILENCE.as_secs()));
    thread::sleep(SILENCE);
    let cold = stage.ping(stage.cgi2wsgi(COLD, &DJANGO));
    let mut ours = Series { name: WARM.to_owned(), samples: Vec::new() };
    let mut peer = Series { name: COLD.to_owned(), samples: Vec::new() };
    for number in 0..bench.rounds(BURSTS) {
        let mut turns = [(&mut ours, warm(stage, number)), (&mut peer, cold.clone())];
        if number % 2 == 1 {
            turns.reverse();
        }
        for (series, program) in turns {
            let seconds = slowest(&program, COUNT).with_context(|| series.name.clone())?;
            series.samples.push(Sample { seconds, peak: None });
        }
        terminal::progress(&format!("   burst {} of {}", number + 1, bench.rounds(BURSTS)));
    }
    let mut section = Section {
        title: "A burst",
        about: format!(
            "{COUNT} requests for the small view of the Django site begin at the same moment, and the time is that of \
             the slowest one. Warm, without `--warm-request`, each burst has a separate zygote, which had no request for a \
             minute or longer."
        ),
        series: vec![ours, peer],
        ..Section::default()
    };
    section.compare(Of::Medians, WARM, COLD, "")?;
    section.tabulate();
    Ok(section)
}

fn warm(stage: &Stage, number: usize) -> Program {
    let program = stage.warm(stage.ping(stage.cgi2wsgi(WARM, &DJANGO)));
    program.env("TMPDIR", stage.path(&place(number)))
}

/// A directory for each, since zygotes of one directory know of each other.
fn place(number: usize) -> String {
    format!("burst-{number}")
}
