//! Processes that answer one request: hello, Flask and Django, and what no CGI program can go below.

use anyhow::Result;

use crate::Bench;
use crate::report::{Section, Target};
use crate::sampling::interleave;
use crate::stage::{Application, Stage};
use crate::subject::{Output, Program, Subject};

pub(crate) const HELLO: Application =
    Application { directory: "fixtures", module: "hello", callable: "application" };
pub(crate) const FLASK: Application =
    Application { directory: "fixtures/flask_site", module: "app", callable: "app" };
pub(crate) const DJANGO: Application = Application {
    directory: "fixtures/django_site",
    module: "mysite.wsgi",
    callable: "application",
};

/// The C program as the front is: linked statically.
pub(crate) const STATIC_FLOOR: &str = "C program, static";

const ROUNDS: usize = 60;

/// Of processes that take a millisecond, which other processes disturb more.
const SHORT_ROUNDS: usize = 600;

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let stage = &bench.stage;
    let hello = Output::Read("Hello, world!\n");
    let refused = stage.cgi2wsgi("the front alone, refusing", &HELLO).env("CONTENT_LENGTH", "many");
    let short = [
        stage.program("C program", &stage.path("bin/floor")).output(hello.clone()),
        stage.program(STATIC_FLOOR, &stage.path("bin/floor-static")).output(hello.clone()),
        refused.exits(1).output(Output::Read("Status: 400 ")),
    ];
    let importing = |name: &str, application: &Application| {
        let import = format!("import {}", application.module);
        let python = stage.program(&format!("python, importing {name}"), &stage.python());
        let python = python.env("PYTHONPATH", stage.path(application.directory));
        with_site(stage, python.arg("-c").arg(import))
    };
    let programs = [
        stage.program("python -c pass", &stage.python()).arg("-c").arg("pass"),
        stage.cgi2wsgi("cold hello", &HELLO).output(hello.clone()),
        stage.cgihandler("CGIHandler hello", &HELLO)?.output(hello),
        importing("Flask", &FLASK),
        with_site(stage, stage.cgi2wsgi("cold Flask", &FLASK)).output(Output::Read("</html>")),
        with_site(stage, stage.cgihandler("CGIHandler Flask", &FLASK)?)
            .output(Output::Read("</html>")),
        importing("Django", &DJANGO),
        with_site(stage, stage.cgi2wsgi("cold Django", &DJANGO)).output(Output::Read("Ada")),
        with_site(stage, stage.cgihandler("CGIHandler Django", &DJANGO)?)
            .output(Output::Read("Ada")),
    ];
    let mut series = interleave(&all(&short), bench.rounds(SHORT_ROUNDS))?;
    series.extend(interleave(&all(&programs), bench.rounds(ROUNDS))?);
    let mut section = Section {
        title: "One request, one process",
        about: "Each runs once in every round, in turns. The time is from the start of the process to the last byte \
                of its answer and its end. The front and one of the C programs are linked statically. Peak memory is that \
                of the largest process: of cgi2wsgi's the worker's."
            .to_owned(),
        series,
        ..Section::default()
    };
    let start = section.share("python -c pass", "CGIHandler hello")?;
    let held_back = format!("To start the interpreter, `python -c pass`, is {start} of the peer.");
    section.compare("cold hello", "CGIHandler hello", Target::AtMost(0.60), &held_back)?;
    section.compare(
        "cold hello",
        "python -c pass",
        Target::AtMost(1.02),
        "What takes it was not looked into.",
    )?;
    for (name, target) in [("Flask", 0.70), ("Django", 0.64)] {
        let (ours, peer) = (format!("cold {name}"), format!("CGIHandler {name}"));
        let import = section.share(&format!("python, importing {name}"), &peer)?;
        let held_back = format!(
            "To start `python` and import the application, without a request, is {import} of the peer."
        );
        section.compare(&ours, &peer, Target::AtMost(target), &held_back)?;
    }
    section.compare(
        "the front alone, refusing",
        STATIC_FLOOR,
        Target::AtMost(1.25),
        "What takes it was not looked into.",
    )?;
    section.compare("the front alone, refusing", "C program", Target::None, "")?;
    section.tabulate();
    Ok(section)
}

/// Programs as subjects.
pub(crate) fn all(programs: &[Program]) -> Vec<&dyn Subject> {
    programs.iter().map(|program| program as _).collect()
}

/// The variables that the Flask and the Django site look at.
pub(crate) fn with_site(stage: &Stage, program: Program) -> Program {
    stage.site_variables().iter().fold(program, |program, (name, value)| program.env(name, value))
}
