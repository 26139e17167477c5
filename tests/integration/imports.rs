//! The bridge makes imports faster without changing their results: the same script reports on modules of every kind
//! under plain Python and under cgi2wsgi.

use std::fs;
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
    (
        "Python's own import system stays in place where a function of it is not the known one",
        other_importlib,
    ),
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

/// An application that answers with the kind of `FileFinder.find_spec`: a function is Python's own.
const KIND: &str = "import _frozen_importlib_external as external\nimport beside\n\n\n\
     def application(environ, start_response):\n    \
     start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
     return [type(external.FileFinder.__dict__['find_spec']).__name__.encode()]\n";

/// In a newer Python any of these may have another name or other parameters.
fn other_importlib(stage: &Stage) -> Result<()> {
    let place = stage.workplace("other-importlib")?;
    fs::write(place.join("app.py"), KIND)?;
    fs::write(place.join("beside.py"), "")?;
    let ask = |customized: &str| -> Result<String> {
        fs::write(place.join("sitecustomize.py"), customized)?;
        let mut command = bridge(stage, &[&place.join("app.py").display().to_string()], &CGI);
        // Without bytecode: two texts of one size within a second would share it.
        command.env("PYTHONPATH", &place).env("PYTHONDONTWRITEBYTECODE", "1");
        let output = run(stage, command)?;
        let (status, body) = output.ends(0)?.response()?;
        ensure!(status == 200 && output.stderr.is_empty(), "{status} {body} {}", output.stderr);
        Ok(body)
    };
    let known = ask("")?;
    ensure!(known != "function", "the known import system was not replaced");
    for (owner, name) in [
        ("external.FileFinder", "_get_spec"),
        ("external.FileFinder", "_fill_cache"),
        ("external.FileFinder", "find_spec"),
        ("external.SourceFileLoader", "path_stats"),
        ("external.SourceLoader", "get_code"),
        ("external", "cache_from_source"),
        ("external", "spec_from_file_location"),
    ] {
        let kind = ask(&format!(
            "import _frozen_importlib_external as external\noriginal = {owner}.{name}\n\
             def renamed(*arguments, **named):\n    return original(*arguments, **named)\n\
             {owner}.{name} = renamed\n"
        ))
        .with_context(|| name)?;
        ensure!(kind == "function", "with another {name}, find_spec is a {kind}");
    }
    Ok(())
}
