//! Request bodies that no server would deliver within a test: slow ones, and ones too large to store (B4, B10).

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{CGI, Test, bridge, collect, run, trials_of};
use crate::harness::process::{AtParentDeath, Running};
use crate::harness::stage::Stage;
use crate::harness::world::World;
use crate::warm::site::Site;

const TESTS: &[(&str, Test)] = &[
    (
        "B10: a visitor who sends a byte now and then cannot hold the program for longer than --timeout",
        trickle,
    ),
    (
        "B10: a zygote's child is free when its response is written, even if the body has not arrived",
        busy_visitor,
    ),
    ("B4: a chunked body without disk space is a 507, and the log names the directory", no_room),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("body", TESTS, world)
}

/// A request whose body is announced but does not arrive.
fn upload(mut command: Command) -> Command {
    command.env("REQUEST_METHOD", "POST").env("CONTENT_LENGTH", "1000000").stdin(Stdio::piped());
    command
}

fn trickle(stage: &Stage) -> Result<()> {
    for refused in [false, true] {
        let mut command = bridge(stage, &["--timeout", "2", "{fixtures}/hello.py"], &CGI);
        if refused {
            command.env("CGI2WSGI_MAX_BODY", "10");
        }
        let mut running = Running::start(upload(command), &stage.user, AtParentDeath::Kill)?;
        let mut stdin = running.child().stdin.take().context("no pipe")?;
        let is_over = Arc::new(AtomicBool::new(false));
        let visitor = std::thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                while !is_over.load(SeqCst) {
                    // Fails once the program has ended.
                    let _ = stdin.write_all(b"x");
                    // The visitor is slow: that is what is tested.
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        });
        let output = collect(running);
        is_over.store(true, SeqCst);
        visitor.join().map_err(|_| anyhow::anyhow!("the visitor panicked"))?;
        let (status, _) = output?.response()?;
        ensure!(status == if refused { 413 } else { 200 }, "{status}");
    }
    Ok(())
}

fn busy_visitor(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &["--warm-max", "1"])?;
    site.body("id=first")?;
    let command = upload(site.command("id=slow"));
    let mut slow = Running::start(command, &stage.user, AtParentDeath::Kill)?;
    let stdin = slow.child().stdin.take().context("no pipe")?;
    // The front still waits for the body, so its standard error stays open.
    let stdout = slow.child().stdout.take().context("no pipe")?;
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut std::io::BufReader::new(stdout), &mut answer)?;
    ensure!(answer.contains("slow 1 h1 1"), "{answer}");
    for number in 0..3 {
        site.body(&format!("id=w{number}"))?;
    }
    ensure!(slow.child().try_wait()?.is_none(), "the front has ended before the body came");
    drop(stdin);
    collect(slow)?.ends(0)?;
    site.ends_clean()
}

fn no_room(stage: &Stage) -> Result<()> {
    let directory = stage.workplace("no-room")?;
    let body = directory.join("body");
    fs::write(&body, vec![b'x'; 3 << 20])?;
    let mut command = stage.command("/bin/sh".as_ref());
    command
        .args(["-c", "ulimit -f 1000; exec \"$@\" < \"$BODY\"", "sh"])
        .arg(stage.bridge())
        .arg(stage.path("fixtures/upload.py"))
        .envs(CGI)
        .env("CGI2WSGI_VENV", stage.python_env())
        .env("REQUEST_METHOD", "POST")
        .env("HTTP_TRANSFER_ENCODING", "chunked")
        .env("TMPDIR", &directory)
        .env("BODY", &body)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = run(stage, command)?;
    let (status, _) = output.ends(1)?.response()?;
    ensure!(status == 507, "{status}");
    output.says(&directory.display().to_string())?.says("ulimit -f").map(drop)
}
