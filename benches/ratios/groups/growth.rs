//! How the time of a request grows: with modules, with headers, with bodies.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use crate::Bench;
use crate::figures::time;
use crate::groups::bodies::{DOWNLOAD, Large, UPLOAD, upload};
use crate::report::{Section, Table};
use crate::sampling::{Series, interleave, programs};
use crate::stage::{Application, Stage};
use crate::statistics::ratio;
use crate::subject::{Output, Program};

const ROUNDS: usize = 30;

const MODULES: [usize; 4] = [0, 50, 500, 2000];
const HEADERS: [usize; 4] = [0, 10, 100, 1000];
const BODIES: [(u64, &str); 5] = [
    (1 << 10, "1 KiB"),
    (64 << 10, "64 KiB"),
    (1 << 20, "1 MiB"),
    (16 << 20, "16 MiB"),
    (64 << 20, "64 MiB"),
];

const HEADERS_APPLICATION: Application =
    Application { directory: "programs", module: "headers", callable: "application" };

/// The same request under cgi2wsgi and under `CGIHandler`, with the amount that grows.
struct Step {
    amount: String,
    pair: [Program; 2],
}

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let stage = &bench.stage;
    let rounds = bench.rounds(ROUNDS);
    let files: Vec<Large> =
        BODIES.iter().map(|(size, _)| Large::new(*size)).collect::<Result<_>>()?;
    let bodies = || BODIES.iter().map(|(_, name)| (*name).to_owned()).zip(&files);

    let modules = MODULES.map(|count| {
        let directory = synthetic_modules(stage, count)?;
        let application =
            Application { directory, module: "site_of_modules", callable: "application" };
        step(stage, count.to_string(), &application, |program| {
            program.output(Output::Read("modules are imported"))
        })
    });
    let response_headers = HEADERS.map(|count| {
        step(stage, count.to_string(), &HEADERS_APPLICATION, |program| {
            program.env("BENCH_HEADERS", count.to_string()).output(Output::Read("request headers"))
        })
    });
    let request_headers = HEADERS.map(|count| {
        step(stage, count.to_string(), &HEADERS_APPLICATION, |program| {
            let start = program.env("BENCH_HEADERS", "0").output(Output::Read("request headers"));
            (0..count).fold(start, |program, number| {
                program.env(format!("HTTP_X_BENCH_{number}"), "the value of a header")
            })
        })
    });
    let downloads = bodies().map(|(name, file)| {
        step(stage, name, &DOWNLOAD, |program| {
            program.env("BENCH_FILE", &file.path).output(Output::Cat)
        })
    });
    let uploads =
        bodies().map(|(name, file)| step(stage, name, &UPLOAD, |program| upload(program, file)));

    let mut section = Section {
        title: "How cost grows",
        about: "The same request with more of one thing at a time, cgi2wsgi and `CGIHandler` in turns. The modules \
                are synthetic, of some twenty lines each, compiled before; bodies are those of the section above."
            .to_owned(),
        ..Section::default()
    };
    let grown: [(&str, Result<Vec<Step>>); 5] = [
        ("modules imported", modules.into_iter().collect()),
        ("response headers", response_headers.into_iter().collect()),
        ("request headers", request_headers.into_iter().collect()),
        ("response body, by file_wrapper", downloads.collect()),
        ("request body", uploads.collect()),
    ];
    for (what, steps) in grown {
        let steps = steps.context(what)?;
        let pairs: Vec<Program> = steps.iter().flat_map(|step| step.pair.clone()).collect();
        let series = interleave(&programs(&pairs), rounds).context(what)?;
        section.tables.push(table(what, &steps, &series));
    }
    Ok(section)
}

fn step(
    stage: &Stage,
    amount: String,
    application: &Application,
    prepare: impl Fn(Program) -> Program,
) -> Result<Step> {
    let ours = stage.cgi2wsgi(&format!("cgi2wsgi, {amount}"), application);
    let theirs = stage.cgihandler(&format!("CGIHandler, {amount}"), application)?;
    Ok(Step { amount, pair: [prepare(ours), prepare(theirs)] })
}

fn table(what: &str, steps: &[Step], series: &[Series]) -> Table {
    let rows = steps.iter().zip(series.chunks_exact(2)).map(|(step, pair)| {
        let ratio = ratio(&pair[0].seconds(), &pair[1].seconds(), 0.5);
        vec![
            step.amount.clone(),
            time(pair[0].median()),
            time(pair[1].median()),
            format!("{:.2}", ratio.value),
            format!("{:.2} to {:.2}", ratio.low, ratio.high),
        ]
    });
    let head = [what, "cgi2wsgi", "CGIHandler", "ratio", "95 % interval"];
    Table { rows: rows.collect(), head: head.map(str::to_owned).to_vec() }
}

/// An application that imports `count` modules, in a directory of the stage.
fn synthetic_modules(stage: &Stage, count: usize) -> Result<&'static str> {
    let inside = match count {
        0 => "modules0",
        50 => "modules50",
        500 => "modules500",
        _ => "modules2000",
    };
    let directory = stage.path(inside);
    fs::create_dir(&directory).context("cannot make a directory")?;
    let mut site = String::new();
    for number in 0..count {
        let name = format!("synthetic_{number:04}");
        writeln!(site, "import {name}")?;
        let text = format!(
            "\"\"\"Module {number}.\"\"\"\n\nimport os\nimport sys\n\nLIMIT = {number}\nNAMES = {{\"a\": 1, \"b\": 2}}\n\n\n\
             class Thing{number}:\n    \"\"\"A class.\"\"\"\n\n    def __init__(self, value):\n        self.value = value\n\n    \
             def doubled(self):\n        return self.value * 2\n\n\n\
             def work(value):\n    return Thing{number}(value).doubled() + LIMIT\n"
        );
        fs::write(directory.join(format!("{name}.py")), text).context("cannot write a module")?;
    }
    write!(
        site,
        "\n\ndef application(environ, start_response):\n    \
         start_response(\"200 OK\", [(\"Content-Type\", \"text/plain\")])\n    \
         return [b\"{count} modules are imported\\n\"]\n"
    )?;
    fs::write(directory.join("site_of_modules.py"), site).context("cannot write a module")?;
    Ok(inside)
}
