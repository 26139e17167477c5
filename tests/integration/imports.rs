//! The bridge makes imports faster without changing their results: the same script reports on modules of every kind
//! under plain Python and under cgi2wsgi.

use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{CGI, Output, Test, bridge, run, trials_of};
use crate::harness::process::End;
use crate::harness::stage::Stage;
use crate::harness::world::World;

const TESTS: &[(&str, Test)] = &[
    ("modules are found, loaded and refused as by plain Python", |stage| {
        as_python_does(stage, &[])
    }),
    ("modules are loaded as by plain Python with PYTHONPYCACHEPREFIX", |stage| {
        as_python_does(stage, &[("PYTHONPYCACHEPREFIX", "{directory}/elsewhere")])
    }),
    ("modules are loaded as by plain Python with PYTHONOPTIMIZE", |stage| {
        as_python_does(stage, &[("PYTHONOPTIMIZE", "1")])
    }),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("imports", TESTS, world)
}

/// Compares the two reports. Both use the same directory, which each makes anew: the reports contain its path.
fn as_python_does(stage: &Stage, variables: &[(&str, &str)]) -> Result<()> {
    let slug = variables.first().map_or("PLAIN", |(name, _)| name);
    let directory = stage.workplace(&format!("imports-{slug}"))?;
    let directory = directory.to_string_lossy();
    let report = |mut command: Command| -> Result<Output> {
        for (name, value) in variables {
            command.env(name, value.replace("{directory}", &directory));
        }
        let output = run(stage, command)?;
        ensure!(output.end == End::Code(0), "no report: {}", output.stderr);
        Ok(output)
    };
    let script = "{applications}/import_report.py";
    let mut python = stage.command(&stage.python());
    python.arg(stage.resolve(script)).arg(&*directory).env("PYTHONUTF8", "1");
    python.stdout(Stdio::piped()).stderr(Stdio::piped());
    let expected = report(python)?.stdout;
    let expected = String::from_utf8(expected).context("a report that is not UTF-8")?;
    ensure!(expected.lines().count() > 40, "a short report:\n{expected}");

    let mut under_cgi = bridge(stage, &[script], &CGI);
    under_cgi.env("DIRECTORY", &*directory);
    let (_, actual) = report(under_cgi)?.response()?;
    for (expected, actual) in expected.lines().zip(actual.lines()) {
        ensure!(expected == actual, "python:   {expected}\ncgi2wsgi: {actual}");
    }
    ensure!(expected == actual, "one report is longer than the other:\n{expected}\n\n{actual}");
    Ok(())
}
