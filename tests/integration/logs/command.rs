//! `--log` where no server is needed: its file, its format, errors in either, and what must not delay it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;

use super::Entry;
use crate::harness::command::{CGI, Output, Test, bridge, run, trials_of};
use crate::harness::process::kill;
use crate::harness::stage::Stage;
use crate::harness::world::World;
use crate::warm::site::{Site, is_gone};

const TESTS: &[(&str, Test)] = &[
    ("--log-format json: an entry is one object on one line, whatever a visitor sends", json),
    ("--log: a wrong set-up and a missing application are logged", wrong_set_up),
    ("--log: a refusal, a deadline and a Python that does not start are logged", refusals),
    (
        "--log: a file that cannot be written is one line of warning, and the request is answered",
        not_written,
    ),
    ("--log-size: a large log is renamed to FILE.1", rotated),
    ("P3: --log: a process that keeps standard error open does not delay the request", left_behind),
    (
        "--log: ten megabytes of lines reach standard error, and the log keeps their beginning and end",
        many_lines,
    ),
    ("--log: entries of requests at the same time do not mix, cold and warm", at_the_same_time),
    (
        "--log: what a zygote's import writes is in the entry of the request that started it",
        import_of_a_zygote,
    ),
];

pub(super) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("logs", TESTS, world)
}

/// A test's own directory, and the log in it.
fn place(stage: &Stage, name: &str) -> Result<(PathBuf, String)> {
    let directory = stage.workplace(&format!("log-{name}"))?;
    let log = directory.join("log").display().to_string();
    Ok((directory, log))
}

/// A request as a server makes it.
fn ask(stage: &Stage, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Output> {
    run(stage, command(stage, arguments, variables))
}

fn command(stage: &Stage, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = bridge(stage, arguments, &CGI);
    command.envs(variables.iter().copied());
    command
}

fn entry(log: &str, wanted: &str) -> Result<Entry> {
    Entry::find(Path::new(log), wanted)
}

fn json(stage: &Stage) -> Result<()> {
    let (_, log) = place(stage, "json")?;
    let options = ["--log", &log, "--log-format", "json", "{applications}/logged.py"];
    let uri = "/raises\"\x1b[2J\u{202e}\n?token=x";
    let output = ask(stage, &options, &[("PATH_INFO", "/raises"), ("REQUEST_URI", uri)])?;
    output.ends(1)?;
    let text = fs::read_to_string(&log).context("no log")?;
    ensure!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
    ensure!(!text.contains(['\x1b', '\u{202e}']), "{text:?}");
    let entry: Value = serde_json::from_str(&text)?;
    ensure!(entry["url"] == "/raises\"\x1b[2J\u{202e}\n?token=***", "{entry}");
    ensure!(entry["status"] == 500 && entry["whole"] == true, "{entry}");
    ensure!(entry["method"] == "GET" && entry["milliseconds"].as_f64() > Some(0.0), "{entry}");
    ensure!(
        entry["application"].as_str().is_some_and(|name| name.ends_with("/logged.py")),
        "{entry}"
    );
    let number = entry["request"].as_str().context("no number")?;
    output.says(&format!("request {number}]"))?;
    let lines = entry["lines"].as_array().context("no lines")?;
    // The line has no label, which would repeat the entry's data.
    let reason = "cgi2wsgi: error: the application raised RuntimeError: on purpose (answered 500)";
    ensure!(lines.iter().any(|line| line == reason), "{lines:?}");
    Ok(())
}

fn wrong_set_up(stage: &Stage) -> Result<()> {
    let (_, log) = place(stage, "set-up")?;
    for (words, variables, line) in [
        (&["--timeout", "soon"][..], &[][..], "--timeout"),
        (&[], &[("CGI2WSGI_MOUNT", "x")], "CGI2WSGI_MOUNT"),
        (&["--unknown-option"], &[], "--unknown-option"),
    ] {
        let mut variables = variables.to_vec();
        let uri = format!("/{}", line.trim_start_matches('-').replace(' ', "-"));
        variables.extend([("CGI2WSGI_LOG", log.as_str()), ("REQUEST_URI", &uri)]);
        let words: Vec<_> = words.iter().copied().chain(["{fixtures}/hello.py"]).collect();
        ask(stage, &words, &variables)?.ends(2)?;
        let entry = entry(&log, &format!("\"GET {uri}\" 500 "))?;
        ensure!(entry.lines.iter().any(|found| found.contains(line)), "{entry:?}");
    }
    let missing = ["--log", &log, "{fixtures}/helo.py"];
    ask(stage, &missing, &[("REQUEST_URI", "/missing")])?.ends(2)?;
    let entry = entry(&log, "\"GET /missing\" 500 ")?;
    ensure!(entry.lines.iter().any(|line| line.contains("did you mean hello.py")), "{entry:?}");
    Ok(())
}

fn refusals(stage: &Stage) -> Result<()> {
    let (_, log) = place(stage, "refusals")?;
    let large = ["--log", &log, "--max-body", "5", "{fixtures}/hello.py"];
    ask(stage, &large, &[("CONTENT_LENGTH", "6"), ("REQUEST_URI", "/large")])?.ends(1)?;
    let found = entry(&log, "\"GET /large\" 413 ")?;
    ensure!(found.lines.iter().any(|line| line.contains("allows 5")), "{found:?}");
    let hangs = ["--log", &log, "--timeout", "1", "{fixtures}/failures/infinite_loop.py"];
    ask(stage, &hangs, &[("REQUEST_URI", "/hangs")])?.ends(1)?;
    let found = entry(&log, "\"GET /hangs\" 504 ")?;
    for expected in ["infinite_loop.py\", line", "longer than --timeout allows"] {
        ensure!(found.lines.iter().any(|line| line.contains(expected)), "{expected}: {found:?}");
    }
    let mut command = command(stage, &["--log", &log, "{fixtures}/hello.py"], &[]);
    command.env("REQUEST_URI", "/home").env("PYTHONHOME", "/nonexistent");
    run(stage, command)?.ends(2)?;
    let found = entry(&log, "\"GET /home\" 500 ")?;
    ensure!(found.lines.iter().any(|line| line.contains("PYTHONHOME is set")), "{found:?}");
    // Python itself wrote this line.
    ensure!(found.lines.iter().any(|line| line.contains("init_fs_encoding")), "{found:?}");
    Ok(())
}

fn not_written(stage: &Stage) -> Result<()> {
    let (directory, log) = place(stage, "not-written")?;
    fs::write(directory.join("other"), "as it was")?;
    symlink(directory.join("other"), directory.join("link"))?;
    let open = directory.join("open");
    fs::create_dir(&open)?;
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777))?;
    let inside = |name: &str| directory.join(name).display().to_string();
    for (file, reason) in [
        (inside("link"), "is a symbolic link"),
        (inside("open/log"), "others can write to the directory"),
        (inside("missing/log"), "cannot be opened"),
        ("/log-of-a-test".to_owned(), "cannot be written by user"),
    ] {
        let output = ask(stage, &["--log", &file, "{fixtures}/hello.py"], &[])?;
        let (status, _) = output.ends(0)?.response()?;
        ensure!(status == 200, "{status}");
        output.says("--log: the request is not in the log: ")?.says(reason)?;
        ensure!(output.stderr.lines().count() == 1, "{}", output.stderr);
    }
    ensure!(fs::read_to_string(directory.join("other"))? == "as it was", "written through a link");
    ensure!(
        !Path::new(&log).exists() && fs::read_dir(&open)?.count() == 0,
        "something was written"
    );
    Ok(())
}

fn rotated(stage: &Stage) -> Result<()> {
    let (directory, log) = place(stage, "rotated")?;
    let options = ["--log", &log, "--log-size", "1", "{fixtures}/hello.py"];
    for number in ["/first", "/second", "/third"] {
        ask(stage, &options, &[("REQUEST_URI", number)])?.ends(0)?;
    }
    let text = |name: &str| fs::read_to_string(directory.join(name));
    ensure!(text("log")?.contains("/third") && text("log.1")?.contains("/second"), "not rotated");
    ensure!(fs::read_dir(&directory)?.count() == 2, "more than two files");
    let mode = fs::metadata(&log)?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    Ok(())
}

fn left_behind(stage: &Stage) -> Result<()> {
    let (directory, log) = place(stage, "left-behind")?;
    let application = directory.join("app.py");
    fs::write(
        &application,
        "import subprocess\n\
         def application(environ, start_response):\n    \
             child = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n    \
             child.returncode = 0\n    \
             start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
             return [str(child.pid).encode()]\n",
    )?;
    let options = ["--log", &log, &application.display().to_string()];
    let output = ask(stage, &options, &[("REQUEST_URI", "/left")])?;
    let (_, child) = output.ends(0)?.response()?;
    let child: i32 = child.parse()?;
    let lives = !is_gone(child);
    kill(child, libc::SIGKILL)?;
    ensure!(lives, "the request waited for it");
    entry(&log, "\"GET /left\" 200 ").map(drop)
}

fn many_lines(stage: &Stage) -> Result<()> {
    let (directory, log) = place(stage, "many-lines")?;
    let application = directory.join("app.py");
    fs::write(
        &application,
        "import sys\n\
         def application(environ, start_response):\n    \
             for number in range(100_000):\n        \
                 sys.stderr.write('%d %s\\n' % (number, 'x' * 100))\n    \
             raise RuntimeError('the end')\n",
    )?;
    let options = ["--log", &log, &application.display().to_string()];
    let output = ask(stage, &options, &[("REQUEST_URI", "/many")])?;
    let numbers = output.ends(1)?.stderr.lines().filter(|line| line.ends_with("xxx"));
    let numbers = numbers.map(|line| line.split(' ').next().unwrap_or_default().parse());
    ensure!(numbers.eq((0..100_000).map(Ok::<u32, _>)), "standard error lacks lines");
    output.says("RuntimeError: the end")?;
    let found = entry(&log, "\"GET /many\" 500 ")?;
    ensure!(
        found.lines.first().is_some_and(|line| line.starts_with("0 xxx")),
        "the entry lacks the first line"
    );
    ensure!(
        found.lines.last().is_some_and(|line| line.contains("the end (answered 500)")),
        "the entry lacks the last line"
    );
    ensure!(
        found.lines.iter().any(|line| line.ends_with("which are not kept)")),
        "the entry does not say how much was left out"
    );
    ensure!(fs::metadata(&log)?.len() < 1 << 20, "the log is too large");
    Ok(())
}

fn at_the_same_time(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let log = site.path("log").display().to_string();
    let temporary = site.path("t").display().to_string();
    let logged = "{applications}/logged.py";
    for (name, warm) in [("cold", false), ("warm", true)] {
        let mut options = vec!["--log", &log];
        options.extend(warm.then_some("--warm"));
        options.push(logged);
        std::thread::scope(|scope| {
            let requests: Vec<_> = (0..12)
                .map(|number| {
                    let (options, uri) = (&options, format!("/{name}-{number}"));
                    let temporary = temporary.as_str();
                    scope.spawn(move || {
                        let variables = [("REQUEST_URI", uri.as_str()), ("TMPDIR", temporary)];
                        ask(stage, options, &variables)?.ends(0).map(drop)
                    })
                })
                .collect();
            requests.into_iter().try_for_each(|request| {
                request.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?
            })
        })?;
        for number in 0..12 {
            let found = entry(&log, &format!("\"GET /{name}-{number}\" 200 8 "))?;
            // Python flushes what was printed when it exits.
            let expected = ["a line of \\u{1b}[31mthe application", "printed by /"];
            ensure!(found.lines == expected, "{found:?}");
        }
    }
    // Each first line is followed by the lines of its own entry.
    let text = fs::read_to_string(&log)?;
    let lines: Vec<_> = text.lines().collect();
    ensure!(lines.len() == 24 * 3, "{} lines", lines.len());
    for entry in lines.chunks(3) {
        let number = |line: &str| line.split(' ').nth(1).map(str::to_owned);
        ensure!(entry.iter().all(|line| number(line) == number(entry[0])), "mixed: {entry:#?}");
    }
    site.ends_clean()
}

fn import_of_a_zygote(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("said.py", "print('said by the import')\nfrom app import application\n")?;
    let log = site.path("log").display().to_string();
    let (application, temporary) = (site.path("said.py"), site.path("t").display().to_string());
    let options = ["--warm", "--log", &log, &application.display().to_string()];
    for uri in ["/first", "/second"] {
        let variables = [("REQUEST_URI", uri), ("TMPDIR", &temporary), ("QUERY_STRING", "id=x")];
        ask(stage, &options, &variables)?.ends(0)?;
    }
    let of = |uri: &str| entry(&log, &format!("\"GET {uri}\" 200 "));
    ensure!(of("/first")?.lines == ["said by the import"], "{:?}", of("/first")?);
    ensure!(of("/second")?.lines.is_empty(), "{:?}", of("/second")?);
    site.ends_clean()
}
