//! `cgi2wsgi profile`: the table, and the flame graph, through the built executables.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{Test, run, trials_of};
use crate::harness::stage::Stage;
use crate::harness::world::World;
use crate::messages::pages::screenshot;

const TESTS: &[(&str, Test)] = &[
    ("the phases and the slowest imports are shown, with what each imports", table),
    ("a flame graph has every module, and Chromium draws it", flame_graph),
    ("a slow import and a slow call are distinguished", told_apart),
    ("an application that fails is profiled, and a missing one is exit status 2", failures),
    ("what the application prints is shown once", output),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("profile", TESTS, world)
}

fn profile(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = stage.command(&stage.bridge());
    command
        .args(["profile", "--runs", "1"])
        .args(arguments.iter().map(|argument| stage.resolve(argument)))
        .env("CGI2WSGI_VENV", stage.python_env())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn shown(stage: &Stage, arguments: &[&str]) -> Result<String> {
    let output = run(stage, profile(stage, arguments))?;
    String::from_utf8(output.ends(0)?.stdout.clone()).context("the table is not UTF-8")
}

fn table(stage: &Stage) -> Result<()> {
    let text = shown(stage, &["{fixtures}/hello.py", "/", "-n", "3"])?;
    for part in [
        "GET / of ",
        ", status 200",
        "Python's start  ",
        "import of the application",
        "call, to the first byte",
    ] {
        ensure!(text.contains(part), "no {part:?} in\n{text}");
    }
    let (_, modules) =
        text.split_once("  own ms  with what it imports  module\n").context("no modules")?;
    let own: Vec<f64> =
        modules.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    ensure!(own.len() == 3 && own.is_sorted_by(|one, other| one >= other), "{modules}");
    Ok(())
}

fn flame_graph(stage: &Stage) -> Result<()> {
    let file = stage.workplace("profile")?.join("flame.svg");
    let shown_file = file.display().to_string();
    let arguments =
        ["--chdir", "{fixtures}/django_site", "mysite.wsgi", "/login/", "--svg", &shown_file];
    let output = run(stage, profile(stage, &arguments))?;
    output.ends(0)?.says("open it in a browser")?;
    let svg = fs::read_to_string(&file).context("no flame graph")?;
    for module in ["mysite.wsgi (", "django.core.handlers.wsgi (", "import of the application ("] {
        ensure!(svg.contains(&format!("<title>{module}")), "no {module}");
    }
    screenshot(stage, "flame", &svg, "svg")
}

/// The application sleeps so long that its times stand out on a busy machine too.
fn told_apart(stage: &Stage) -> Result<()> {
    let directory = stage.workplace("profile-slow")?;
    fs::write(directory.join("slow_at_import.py"), "import time\n\ntime.sleep(0.5)\n")?;
    fs::write(directory.join("slow_in_call.py"), "import time\n\ntime.sleep(0.5)\n")?;
    fs::write(
        directory.join("app.py"),
        "import slow_at_import\n\n\ndef application(environ, start_response):\n    import slow_in_call\n    \
         start_response('200 OK', [])\n    return [b'x']\n",
    )?;
    let file = directory.join("flame.svg").display().to_string();
    let application = directory.join("app.py").display().to_string();
    let text = shown(stage, &[&application, "--svg", &file])?;
    let (_, modules) = text.split_once("imports  module\n").context("no modules")?;
    let first: Vec<&str> =
        modules.lines().take(2).filter_map(|line| line.split_whitespace().last()).collect();
    ensure!(first.contains(&"slow_at_import") && first.contains(&"slow_in_call"), "{text}");
    let phase = |name: &str| {
        let line = text.lines().find(|line| line.contains(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    for name in ["import of the application  ", "call, to the first byte  "] {
        ensure!(phase(name).is_some_and(|took| took >= 500.0), "{name} in\n{text}");
    }
    Ok(())
}

fn failures(stage: &Stage) -> Result<()> {
    let output = run(stage, profile(stage, &["{fixtures}/failures/raises_before.py"]))?;
    output.ends(0)?.says("failed before start_response")?;
    ensure!(String::from_utf8_lossy(&output.stdout).contains("status 500"), "{:?}", output.stdout);
    let output = run(stage, profile(stage, &["{fixtures}/helo.py"]))?;
    output.ends(2)?.says("did you mean hello.py")?;
    let output = run(stage, profile(stage, &["{fixtures}/hello.py:nope"]))?;
    output.ends(2)?.says("has no \"nope\"")?.says("the reason is above")?;
    let output = run(stage, profile(stage, &["{fixtures}/hello.py", "-n", "many"]))?;
    output.ends(2)?.says("-n \"many\" is not a number from 1 to 1000").map(drop)
}

fn output(stage: &Stage) -> Result<()> {
    let directory = stage.workplace("profile-output")?;
    fs::write(
        directory.join("app.py"),
        "import sys\n\nprint('a line of the import', file=sys.stderr)\n\n\ndef application(environ, \
         start_response):\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [b'x']\n",
    )?;
    let application = directory.join("app.py").display().to_string();
    let output = run(stage, profile(stage, &[&application]))?;
    ensure!(output.ends(0)?.stderr == "a line of the import\n", "{:?}", output.stderr);
    Ok(())
}
