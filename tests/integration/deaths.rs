//! Each way in which the process that runs the application can end, at each step of a request, cold and warm: what the
//! visitor gets, the exit status, and what the log says (P9).

use std::fs;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{CGI, Output, Test, run, trials_of};
use crate::harness::exchange::is_page;
use crate::harness::stage::Stage;
use crate::harness::world::World;
use crate::warm::site::Site;

const TESTS: &[(&str, Test)] = &[
    (
        "P9: before the worker is loaded: a whole 500 or 504, and the log says how it ended",
        at_start,
    ),
    (
        "P9: before the head, cold: a whole 500 or 504, and the log says how it ended",
        cold_before_head,
    ),
    (
        "P9: before the head, warm: a whole 500 or 504, and the log says how it ended",
        warm_before_head,
    ),
    ("P9: after the head, cold: the response is cut, and the log says how", cold_after_head),
    ("P9: after the head, warm: the response is cut, and the log says how", warm_after_head),
    ("P9: after the response, cold: it is whole, and the log says how", cold_after_response),
    ("P9: after the response, warm: it is whole, and the log says how", warm_after_response),
    (
        "P11: an application that closes descriptors 3 to 255 is answered as usual",
        closed_low_descriptors,
    ),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("deaths", TESTS, world)
}

/// A way to end, what the log says of it, and whether `--timeout` ends it.
struct Way {
    name: &'static str,
    said: &'static str,
    hangs: bool,
}

const fn ends(name: &'static str, said: &'static str) -> Way {
    Way { name, said, hangs: false }
}

const fn hangs(name: &'static str) -> Way {
    Way { name, said: "--timeout", hangs: true }
}

const WAYS: &[Way] = &[
    ends("exit:0", "ended itself with exit status 0"),
    ends("exit:7", "ended itself with exit status 7"),
    ends("thread:3", "ended itself with exit status 3"),
    ends("signal:9", "was killed by signal 9, SIGKILL"),
    ends("signal:64", "was killed by signal 64"),
    ends("crash", "crashed (signal 11, SIGSEGV)"),
    ends("memory", "crashed (signal 6, SIGABRT)"),
    ends("exec", "ended itself with exit status 0"),
    ends("close", "has closed the descriptors that belong to cgi2wsgi"),
    hangs("hang"),
    hangs("stop"),
    hangs("block"),
];

/// The visitor's line for what takes too long.
const TOO_LONG: &str = "The application took too long to answer.\n";

/// Long enough for a Python to start on a busy machine.
const TIMEOUT: &str = "3";

fn ask(site: &Site<'_>, way: &Way, moment: &str, is_warm: bool) -> Result<Output> {
    let stage = site.stage;
    let mut command = stage.command(&stage.bridge());
    // Without --timeout, a process that hangs would never end.
    if way.hangs {
        command.args(["--timeout", TIMEOUT]);
    }
    if is_warm {
        command.arg("--warm");
    }
    command.arg(site.path("app.py"));
    command.envs(CGI).env("QUERY_STRING", format!("way={}&at={moment}", way.name));
    command.env("TMPDIR", site.path("t")).stdout(Stdio::piped()).stderr(Stdio::piped());
    run(stage, command)
}

fn site(stage: &Stage) -> Result<Site<'_>> {
    let site = Site::new(stage, &[])?;
    site.write("app.py", &fs::read_to_string(stage.path("applications/deaths.py"))?)?;
    Ok(site)
}

fn each(
    stage: &Stage,
    moments: &[&str],
    is_warm: bool,
    check: impl Fn(&Way, &str, &Output) -> Result<()>,
) -> Result<()> {
    let site = site(stage)?;
    for moment in moments {
        for way in WAYS {
            let output = ask(&site, way, moment, is_warm)?;
            check(way, moment, &output)
                .with_context(|| format!("{} at {moment}: {}", way.name, output.stderr))?;
        }
    }
    site.ends_clean()
}

/// The front itself has given a whole answer.
fn is_answered(way: &Way, output: &Output) -> Result<()> {
    let (status, body) = output.ends(1)?.says(way.said)?.response()?;
    let expected = if way.hangs { (504, TOO_LONG) } else { (500, crate::cases::FAILED) };
    ensure!(status == expected.0 && is_page(&body, expected.1), "{status} {body}");
    Ok(())
}

fn at_start(stage: &Stage) -> Result<()> {
    let site = site(stage)?;
    let deaths = fs::read_to_string(site.path("app.py"))?;
    for way in WAYS {
        let text = format!(
            "{deaths}\nquery = {{'way': ['{}'], 'at': ['start']}}\nat('start')\n",
            way.name
        );
        site.write("sitecustomize.py", &text)?;
        let mut command = stage.command(&stage.bridge());
        if way.hangs {
            command.args(["--timeout", TIMEOUT]);
        }
        command.arg(stage.path("fixtures/hello.py")).envs(CGI).env("PYTHONPATH", site.path(""));
        // Two texts of one size within a second would share their bytecode.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = run(stage, command)?;
        let check = || -> Result<()> {
            // A Python that does not start counts as a wrong set-up.
            let exit = if way.hangs { 1 } else { 2 };
            let (status, _) = output.ends(exit)?.response()?;
            ensure!(status == if way.hangs { 504 } else { 500 }, "{status}");
            let said = if way.name == "close" { "does not start" } else { way.said };
            output.says(said).map(drop)
        };
        check().with_context(|| format!("{}: {}", way.name, output.stderr))?;
    }
    Ok(())
}

fn cold_before_head(stage: &Stage) -> Result<()> {
    each(stage, &["import", "call", "before-chunk"], false, |way, _, output| {
        is_answered(way, output)
    })
}

/// Without `import`, which has no request under `--warm`: the zygote fails in it, and then a normal start does.
fn warm_before_head(stage: &Stage) -> Result<()> {
    each(stage, &["call", "before-chunk"], true, |way, _, output| is_answered(way, output))
}

fn is_cut(way: &Way, output: &Output) -> Result<()> {
    let output = output.ends(1)?.says(way.said)?.says("response truncated")?;
    let (status, body) = output.response()?;
    ensure!(status == 200 && body == "begun\n", "{status} {body}");
    Ok(())
}

fn cold_after_head(stage: &Stage) -> Result<()> {
    each(stage, &["chunk"], false, |way, _, output| is_cut(way, output))
}

fn warm_after_head(stage: &Stage) -> Result<()> {
    each(stage, &["chunk"], true, |way, _, output| is_cut(way, output))
}

/// The response is delivered; the log says how the process ended, if it did not end normally.
fn is_whole(way: &Way, output: &Output) -> Result<()> {
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200 && body == "begun\nended\n", "{status} {body}");
    match way.name {
        "exit:0" | "exec" | "close" => Ok(()),
        _ => output.says("after its response")?.says(way.said).map(drop),
    }
}

fn cold_after_response(stage: &Stage) -> Result<()> {
    each(stage, &["atexit"], false, |way, _, output| is_whole(way, output))
}

fn warm_after_response(stage: &Stage) -> Result<()> {
    each(stage, &["atexit"], true, |way, _, output| is_whole(way, output))
}

fn closed_low_descriptors(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write(
        "app.py",
        "import os\n\n\ndef application(environ, start_response):\n    os.closerange(3, 256)\n    \
         start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
         yield environ['wsgi.input'].read()\n    yield b'whole\\n'\n",
    )?;
    for _ in 0..2 {
        ensure!(site.body("id=x")? == "whole\n", "another answer");
    }
    let mut command = stage.command(&stage.bridge());
    command.arg(site.path("app.py")).envs(CGI).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (status, body) = run(stage, command)?.ends(0)?.response()?;
    ensure!(status == 200 && body == "whole\n", "{status} {body}");
    site.ends_clean()
}
