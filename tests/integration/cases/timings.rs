//! `--timings`: where the time of a request went, in the response and in the log.

use anyhow::{Context, Result, ensure};

use crate::harness::exchange::Answer;
use crate::harness::table::Case;

/// The header's metrics, in their order, each with a duration that is a number.
fn metrics(value: &str) -> Result<Vec<&str>> {
    let metric = |metric| -> Result<&str> {
        let (name, duration) =
            str::trim(metric).split_once(";dur=").context("a metric without a duration")?;
        duration.parse::<f64>().with_context(|| format!("{duration:?} is no number"))?;
        Ok(name)
    };
    value.split(',').map(metric).collect::<Result<_>>().with_context(|| format!("in {value:?}"))
}

fn tells(answer: &Answer, phases: &[&str]) -> Result<()> {
    let value = answer.head.one("Server-Timing").context("not one Server-Timing header")?;
    let value = std::str::from_utf8(value)?;
    let told = metrics(value)?;
    ensure!(told == phases, "the phases are {told:?}, not {phases:?}");
    Ok(())
}

pub(crate) fn cases() -> Vec<Case> {
    let case = |sentence, application: &str| {
        Case::new("--timings", sentence, application).variable("CGI2WSGI_TIMINGS", "1")
    };
    vec![
        case("a Server-Timing header and the log have the phases of a request", "hello.py")
            .logs("timings: front ")
            .logs(" ms, call to first byte ")
            .drive(|scene, exchange| {
                let answer = exchange.finish()?;
                // For a child of a zygote, the zygote has done the rest before the request.
                let phases: &[_] = if scene.mount.warm {
                    &["front", "call"]
                } else {
                    &["front", "interpreter", "import", "call"]
                };
                tells(answer.status(200)?.body("Hello, world!\n")?, phases)
            }),
        case(
            "the phases of a failed import are in Server-Timing and in the log",
            "failures/raises_on_import.py",
        )
        .logs("timings: front ")
        .goes_cold(super::failures::IMPORT_FAILS)
        .expect(|answer| tells(answer.status(500)?, &["front", "interpreter", "import"])),
        Case::new("--timings", "without --timings there is no Server-Timing header", "hello.py")
            .expect(|answer| answer.status(200)?.no_header("Server-Timing").map(drop)),
    ]
}
