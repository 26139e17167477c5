//! What a signal to the front, from a server (R13) or from a terminal, does to the worker and the application when the
//! request has its own worker. `warm/steps.rs` tests the same with a zygote's child.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{CGI, Test, collect, trials_of};
use crate::harness::process::{AtParentDeath, End, PATIENCE, Running, kill, until};
use crate::harness::stage::Stage;
use crate::harness::world::World;
use crate::warm::site::{Site, wait_gone};

const TESTS: &[(&str, Test)] = &[
    (
        "R13: SIGTERM to the front raises SystemExit once in the application, and close() runs",
        terminated,
    ),
    (
        "R13: SIGHUP to the front raises SystemExit once in the application, and close() runs",
        hung_up,
    ),
    (
        "R13: SIGKILL to the front raises SystemExit once in the application, and close() runs",
        killed,
    ),
    ("a worker that ignores SIGTERM ends soon after its front", stubborn),
    ("an application's own handler of SIGTERM is called once", own_handler),
    (
        "the front has one thread, and the worker is started without the request's variables",
        one_thread,
    ),
    ("Ctrl-C at a terminal interrupts the application, and SIGINT ends the front", control_c),
    ("Ctrl-Z at a terminal stops front and worker", control_z),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("signals", TESTS, world)
}

const APPLICATION: &str = r#"
import os, signal, time
HERE = os.path.dirname(os.path.abspath(__file__))

def note(name, text):
    with open(os.path.join(HERE, name), "a") as lines:
        lines.write(f"{text}\n")

class Body:
    def __iter__(self):
        yield b"begun\n"
        try:
            note("streaming", os.getpid())
            while True:
                time.sleep(0.01)
        except BaseException as error:
            note("raised", type(error).__name__)
            # A second one would be raised here.
            time.sleep(0.5)
            raise

    def close(self):
        # Or here.
        time.sleep(0.2)
        note("closed", os.getpid())

def application(environ, start_response):
    how = environ["QUERY_STRING"]
    if how == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif how == "handler":
        signal.signal(signal.SIGTERM, lambda *_: note("handled", "once"))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body()
"#;

fn site(stage: &Stage) -> Result<Site<'_>> {
    let site = Site::new(stage, &[])?;
    site.write("app.py", APPLICATION)?;
    Ok(site)
}

/// Starts a request with its own worker. Returns the front, and the worker's process ID.
fn begin(site: &Site<'_>, query: &str) -> Result<(Running, i32)> {
    let mut command = site.stage.command(&site.stage.bridge());
    command.arg(site.path("app.py")).envs(CGI).env("QUERY_STRING", query);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = Running::start(command, &site.stage.user, AtParentDeath::Kill)?;
    site.wait_lines("streaming", 1)?;
    Ok((running, site.lines("streaming")[0].parse()?))
}

fn ends_by(stage: &Stage, signal: i32) -> Result<()> {
    let site = site(stage)?;
    let (running, worker) = begin(&site, "")?;
    running.signal(signal)?;
    wait_gone(worker)?;
    ensure!(site.lines("raised") == ["SystemExit"], "{:?}", site.lines("raised"));
    ensure!(site.lines("closed") == [worker.to_string()], "close() was not called");
    if signal != libc::SIGKILL {
        let output = collect(running)?;
        output.ends(1)?.says("response truncated")?;
    }
    Ok(())
}

fn terminated(stage: &Stage) -> Result<()> {
    ends_by(stage, libc::SIGTERM)
}

fn hung_up(stage: &Stage) -> Result<()> {
    ends_by(stage, libc::SIGHUP)
}

fn killed(stage: &Stage) -> Result<()> {
    ends_by(stage, libc::SIGKILL)
}

fn stubborn(stage: &Stage) -> Result<()> {
    let site = site(stage)?;
    let (running, worker) = begin(&site, "stubborn")?;
    let began = Instant::now();
    running.signal(libc::SIGKILL)?;
    wait_gone(worker)?;
    ensure!(began.elapsed() > Duration::from_secs(4), "it ended after {:?}", began.elapsed());
    Ok(())
}

fn own_handler(stage: &Stage) -> Result<()> {
    let site = site(stage)?;
    let (running, worker) = begin(&site, "handler")?;
    running.signal(libc::SIGTERM)?;
    site.wait_lines("handled", 1)?;
    running.signal(libc::SIGTERM)?;
    site.wait_lines("handled", 2)?;
    kill(worker, libc::SIGKILL)?;
    collect(running)?.ends(1)?.says("signal 9")?;
    ensure!(site.lines("handled").len() <= 4, "{:?}", site.lines("handled"));
    Ok(())
}

fn one_thread(stage: &Stage) -> Result<()> {
    let site = site(stage)?;
    let (running, worker) = begin(&site, "secret-of-the-request")?;
    let threads = fs::read_dir(format!("/proc/{}/task", running.id()))?.count();
    ensure!(threads == 1, "{threads} threads");
    let environ = fs::read(format!("/proc/{worker}/environ"))?;
    let environ = String::from_utf8_lossy(&environ).into_owned();
    ensure!(environ.contains("PATH="), "{environ:?}");
    for of_request in ["secret", "REQUEST_METHOD", "GATEWAY_INTERFACE", "QUERY_STRING"] {
        ensure!(!environ.contains(of_request), "{of_request} in {environ:?}");
    }
    running.signal(libc::SIGTERM)?;
    collect(running).map(drop)
}

/// Runs the program at its own terminal. Bytes written to standard input are typed at that terminal.
fn at_terminal(site: &Site<'_>, before: &str, after: &str) -> Result<Running> {
    let mut command = site.stage.command(Path::new("script"));
    let (bridge, application) = (site.stage.bridge(), site.path("app.py"));
    let asked = format!("{before}{} {}{after}", bridge.display(), application.display());
    command.args(["-qefc", &asked, "/dev/null"]).env("SHELL", "/bin/bash");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::start(command, &site.stage.user, AtParentDeath::Kill)
}

fn types(running: &mut Running, key: u8) -> Result<()> {
    let keyboard = running.child().stdin.as_mut().context("no keyboard")?;
    Ok(keyboard.write_all(&[key])?)
}

fn control_c(stage: &Stage) -> Result<()> {
    let site = site(stage)?;
    let mut running = at_terminal(&site, "exec ", "")?;
    site.wait_lines("streaming", 1)?;
    let worker: i32 = site.lines("streaming")[0].parse()?;
    types(&mut running, 3)?;
    wait_gone(worker)?;
    let output = collect(running)?;
    // As a shell reports a program that died of SIGINT.
    ensure!(output.end == End::Code(128 + libc::SIGINT), "{:?}", output.end);
    ensure!(site.lines("raised") == ["KeyboardInterrupt"], "{:?}", site.lines("raised"));
    ensure!(site.lines("closed").len() == 1, "close() was not called");
    Ok(())
}

fn state(pid: i32) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn control_z(stage: &Stage) -> Result<()> {
    let site = site(stage)?;
    // A shell with job control: without it a stopped process group could not be continued.
    let mut running = at_terminal(&site, "set -m; ", "; sleep 60")?;
    site.wait_lines("streaming", 1)?;
    let worker: i32 = site.lines("streaming")[0].parse()?;
    let (_, front) = state(worker).context("no worker")?;
    types(&mut running, 26)?;
    until(PATIENCE, "both to stop", || {
        let stopped = [worker, front]
            .map(state)
            .iter()
            .all(|state| state.is_some_and(|(letter, _)| letter == 'T'));
        Ok(stopped.then_some(()))
    })?;
    kill(front, libc::SIGKILL)?;
    kill(worker, libc::SIGKILL)?;
    wait_gone(worker)?;
    running.signal(libc::SIGTERM)?;
    collect(running).map(drop)
}
