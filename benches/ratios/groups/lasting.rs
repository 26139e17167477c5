//! Whether requests become slower or larger with their number: one zygote, and very many of them in a row.

use anyhow::{Context, Result};

use crate::Bench;
use crate::figures::mebibytes;
use crate::processes::{self, AT_REST, memory};
use crate::report::{Of, Section, Value, Verdict};
use crate::sampling::Series;
use crate::stage::{DJANGO, PING};
use crate::statistics::Ratio;
use crate::subject::Subject;
use crate::terminal;

const REQUESTS: usize = 10_000;
const PART: usize = 100;

const NAME: &str = "10,000 warm Django in a row";

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let stage = &bench.stage;
    let count = bench.rounds(REQUESTS);
    let program = stage.warm(stage.ping(stage.cgi2wsgi(NAME, &DJANGO)));
    let program = program.env("CGI2WSGI_WARM_REQUEST", PING).env("LASTING", "1");
    let at_rest = || Ok::<_, anyhow::Error>(memory(&processes::settled("LASTING=1", AT_REST)?));
    program.run().context("the first request of a zygote")?;
    at_rest()?;
    let run = |part: usize| -> Result<Vec<_>> { (0..part).map(|_| program.run()).collect() };
    let first = run(PART)?;
    let memory_first = at_rest()?;
    run(count - 2 * PART)?;
    let last = run(PART)?;
    let memory_last = at_rest()?;
    terminal::progress(&format!("   {count} requests"));
    let series = |part: &str, samples| Series { name: format!("{NAME}: {part}"), samples };
    let mut section = Section {
        title: "Many in a row",
        about: format!(
            "One zygote answers one request after the other, of the Django site's small view. Its memory and that of the \
             children that wait is {} after the first {PART} requests, and {} after the last.",
            mebibytes(memory_first),
            mebibytes(memory_last)
        ),
        series: vec![series("first 100", first), series("last 100", last)],
        ..Section::default()
    };
    section.compare(
        Of::Medians,
        &section.series[1].name.clone(),
        &section.series[0].name.clone(),
        "",
    )?;
    let grown = Value::Ratio(Ratio::exactly(memory_last / memory_first));
    let what = format!("{NAME}: memory (PSS) after the last / after the first 100");
    section.verdicts.push(Verdict::new(what, grown, 1, ""));
    section.tabulate();
    Ok(section)
}
