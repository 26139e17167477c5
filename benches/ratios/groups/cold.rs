//! Processes that answer one request: hello, Flask and Django, and the floor for every CGI program.

use std::path::Path;

use anyhow::Result;

use crate::Bench;
use crate::packages::PHP_CGI;
use crate::report::{Of, Section};
use crate::sampling::{interleave, programs};
use crate::stage::{Application, DJANGO, FLASK, HELLO, Stage};
use crate::subject::{Output, Program};

const ROUNDS: usize = 40;

/// For processes that take a millisecond, which other processes disturb more.
const SHORT_ROUNDS: usize = 600;

pub(crate) fn prepare(_: &Bench) -> Result<()> {
    PHP_CGI.program().map(drop)
}

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let stage = &bench.stage;
    let php_cgi = PHP_CGI.program()?;
    let short = [
        stage.floor("C program"),
        stage.static_floor("C program, static"),
        stage.front_alone("the front alone, refusing"),
    ];
    let flask = |program: Program| stage.with_site(program).output(Output::Read("</html>"));
    let django = |program: Program| stage.with_site(program).output(Output::Read("Ada"));
    let long = [
        stage.program("python -c pass", &stage.python()).arg("-c").arg("pass"),
        stage.cgi2wsgi("cold hello", &HELLO).greets(),
        stage.cgihandler("CGIHandler hello", &HELLO)?.greets(),
        php(stage, "php-cgi hello", &php_cgi),
        php(stage, "php-cgi -n hello", &php_cgi).arg("-n"),
        importing(stage, "python, importing Flask", &FLASK),
        flask(stage.cgi2wsgi("cold Flask", &FLASK)),
        flask(stage.cgihandler("CGIHandler Flask", &FLASK)?),
        importing(stage, "python, importing Django", &DJANGO),
        django(stage.cgi2wsgi("cold Django", &DJANGO)),
        django(stage.cgihandler("CGIHandler Django", &DJANGO)?),
    ];
    let mut series = interleave(&programs(&short), bench.rounds(SHORT_ROUNDS))?;
    series.extend(interleave(&programs(&long), bench.rounds(ROUNDS))?);
    let mut section = Section {
        title: "One request, one process",
        about: "Each runs once in every round, in turns. The time is from the start of the process to the last byte \
                of its answer and its end. The front and one of the C programs are linked statically. php-cgi is \
                Debian's: with the modules that its package switches on, and with none (`-n`). Peak memory is that of \
                the largest process: of cgi2wsgi's the worker's."
            .to_owned(),
        series,
        ..Section::default()
    };
    for peer in ["CGIHandler hello", "php-cgi hello", "php-cgi -n hello"] {
        let start = section.share("python -c pass", peer)?;
        let held_back = format!(
            "Starting the interpreter, `python -c pass`, takes {start} of the peer's time."
        );
        section.compare(Of::Medians, "cold hello", peer, &held_back)?;
    }
    let front = section.share("the front alone, refusing", "python -c pass")?;
    let held_back = format!("The front alone takes {front} of the peer's time.");
    section.compare(Of::Medians, "cold hello", "python -c pass", &held_back)?;
    for name in ["Flask", "Django"] {
        let (ours, peer) = (format!("cold {name}"), format!("CGIHandler {name}"));
        let import = section.share(&format!("python, importing {name}"), &peer)?;
        let held_back = format!(
            "Starting `python` and importing the application, without a request, takes {import} of the peer's time."
        );
        section.compare(Of::Medians, &ours, &peer, &held_back)?;
    }
    let (ours, peer) = ("the front alone, refusing", "C program, static");
    section.compare(Of::Medians, ours, peer, "")?;
    section.compare(Of::Medians, ours, "C program", "")?;
    section.tabulate();
    Ok(section)
}

/// The greeting in PHP, as Apache's `Action` starts it.
fn php(stage: &Stage, name: &str, executable: &Path) -> Program {
    let script = stage.path("programs/hello.php");
    let program = stage.program(name, executable).env("REDIRECT_STATUS", "200");
    program.env("SCRIPT_FILENAME", script).greets()
}

/// `python` that imports an application and does nothing else.
fn importing(stage: &Stage, name: &str, application: &Application) -> Program {
    let import = format!("import {}", application.module);
    let python = stage.program(name, &stage.python());
    let python = python.env("PYTHONPATH", stage.path(application.directory));
    stage.with_site(python.arg("-c").arg(import))
}
