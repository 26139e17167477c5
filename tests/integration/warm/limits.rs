//! How many children there are, and for how long. An application that cannot be forked is served cold, and one line
//! says so.

use std::fs;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cgi2wsgi::handoff::Reply;
use cgi2wsgi::handoff::channel::send_reply;

use crate::harness::command::{Test, collect};
use crate::harness::process::{PATIENCE, kill, until};
use crate::harness::stage::Stage;
use crate::warm::between::{Between, call_of, hello, reply_of, send_call};
use crate::warm::site::{Site, good, wait_gone};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("--warm-idle: the zygote ends, and leaves no process, socket or lock", idle),
    ("--warm-spare N: N children wait", spare),
    ("--warm-max 1: requests are answered one at a time, in their order", max),
    ("requests that wait in line are answered by the edited code", line_and_edit),
    ("threads at import: normal starts, one message, warm after a change", threads),
    ("where no child can be forked: normal starts, one message", no_fork),
    ("children that end at once: normal starts, one message", stillborn),
    ("--timeout during the import: a 504, and the request is not run", timeout_import),
    (
        "--timeout while no child takes the request: a 504, and the request is not run",
        timeout_in_line,
    ),
    ("--timeout includes the time in line; only the rest is left for the response", timeout_left),
    ("SIGTERM during the import ends the zygote", terminated_import),
    ("an import that loops for ever is ended at its time limit", endless),
    ("an import that is blocked in C is ended at its time limit", blocked),
    ("an import that a request waits for may take longer than --warm-idle", awaited),
];

fn idle(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &["--warm-idle", "0.3"])?;
    for round in 1..=2 {
        site.body("id=x")?;
        until(PATIENCE, "an empty place", || {
            let left = site.placed(".socket").len() + site.placed(".lock").len();
            Ok((site.processes().is_empty() && left == 0).then_some(()))
        })?;
        ensure!(site.starts() == round, "{}", site.log());
        ensure!(site.log().contains("no request for 0.3 s"), "{}", site.log());
    }
    Ok(())
}

fn spare(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &["--warm-spare", "5"])?;
    for _ in 0..3 {
        site.body("id=x")?;
        site.wait_spare(5)?;
    }
    Ok(())
}

/// How many connections there are to the site's socket, with those that wait in line.
fn connections(site: &Site<'_>) -> Result<usize> {
    let socket = site.placed(".socket").pop().context("no socket")?;
    let socket = socket.display().to_string();
    let all = fs::read_to_string("/proc/net/unix").context("no list of sockets")?;
    Ok(all.lines().filter(|line| line.ends_with(&socket)).count().saturating_sub(1))
}

fn max(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &["--warm-max", "1"])?;
    site.body("id=first")?;
    until(PATIENCE, "the end of the first", || Ok((connections(&site)? == 0).then_some(())))?;
    let mut fronts = Vec::new();
    for number in 0..5 {
        fronts.push(site.begin(&format!("id=w{number}&do=wait"))?);
        until(PATIENCE, "a front in line", || Ok((connections(&site)? > number).then_some(())))?;
    }
    site.wait_lines("waiting", 1)?;
    ensure!(site.children().len() == 1, "{} children", site.children().len());
    ensure!(site.lines("waiting") == ["w0"], "{:?}", site.lines("waiting"));
    site.write("go", "")?;
    for front in fronts {
        good(&collect(front)?)?;
    }
    let expected: Vec<String> = (0..5).map(|number| format!("w{number}")).collect();
    ensure!(site.lines("waiting") == expected, "{:?}", site.lines("waiting"));
    site.ends_clean()
}

fn line_and_edit(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &["--warm-max", "1"])?;
    site.body("id=first")?;
    until(PATIENCE, "the end of the first", || Ok((connections(&site)? == 0).then_some(())))?;
    let busy = site.begin("id=old&do=stream")?;
    site.wait_lines("streaming", 1)?;
    let mut fronts = Vec::new();
    for number in 0..3 {
        fronts.push(site.begin(&format!("id=w{number}"))?);
        until(
            PATIENCE,
            "a front in line",
            || Ok((connections(&site)? > number + 1).then_some(())),
        )?;
    }
    site.write("helper.py", "VERSION = 'edited'\n")?;
    for (number, front) in fronts.into_iter().enumerate() {
        let body = good(&collect(front)?)?;
        ensure!(body == format!("w{number} 1 edited 1\n"), "{body}");
        ensure!(site.runs(&format!("w{number}")) == 1, "{:?}", site.lines("runs"));
    }
    site.write("go", "")?;
    let body = good(&collect(busy)?)?;
    ensure!(body == "begun\nended 1\n", "{body}");
    Ok(())
}

/// Requests are served cold, and only the first one's log gives the reason.
fn is_cold_and_said_once(site: &Site<'_>, reason: &str) -> Result<()> {
    for round in 0..3 {
        let output = site.ask(&format!("id=r{round}"))?;
        let body = good(&output)?;
        ensure!(body == format!("r{round} 1 h1 1\n"), "{body}");
        ensure!(site.runs(&format!("r{round}")) == 1, "{:?}", site.lines("runs"));
        let lines = output.stderr.lines().count();
        if round == 0 {
            output.says(reason)?;
            ensure!(lines == 1, "{}", output.stderr);
        } else {
            ensure!(lines == 0, "said again: {}", output.stderr);
        }
    }
    ensure!(site.starts() == 1, "{}", site.log());
    Ok(())
}

fn threads(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write(
        "import.py",
        "import threading\nthreading.Thread(target=time.sleep, args=(1e6,), daemon=True, name='poll').start()\n",
    )?;
    is_cold_and_said_once(
        &site,
        "has started 1 thread(s) while it was imported (1 of Python: poll)",
    )?;
    site.write("import.py", "pass\n")?;
    site.body("id=healed")?;
    until(PATIENCE, "a zygote", || Ok(site.log().contains("is ready").then_some(())))?;
    site.body("id=healed")?;
    ensure!(site.starts() == 2, "{}", site.log());
    site.ends_clean()
}

/// A cold request forks nothing, so the limit does not affect it.
fn no_fork(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("import.py", "resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))\n")?;
    is_cold_and_said_once(&site, "no child can be forked")?;
    site.ends_clean()
}

fn stillborn(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("import.py", "os.register_at_fork(after_in_child=lambda: os._exit(3))\n")?;
    is_cold_and_said_once(&site, "children end before they get a request")?;
    site.ends_clean()
}

/// The import of the zygote is given up, and the next one is quick enough.
fn timeout_import(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &["--timeout", "1"])?;
    site.write("import.py", "wait_for('go')\n")?;
    let output = site.ask("id=x")?;
    ensure!(output.ends(1)?.response()?.0 == 504, "{:?}", output.response());
    site.write("go", "")?;
    site.body("id=y")?;
    ensure!(site.runs("x") == 0 && site.runs("y") == 1, "{:?}", site.lines("runs"));
    Ok(())
}

fn timeout_in_line(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &["--timeout", "1", "--warm-spare", "1"])?;
    site.body("id=first")?;
    let child = site.wait_spare(1)?[0];
    kill(child, libc::SIGSTOP)?;
    let began = Instant::now();
    let output = site.ask("id=x")?;
    ensure!(output.ends(1)?.response()?.0 == 504, "{:?}", output.response());
    ensure!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    kill(child, libc::SIGCONT)?;
    site.body("id=next")?;
    ensure!(site.runs("x") == 0, "{:?}", site.lines("runs"));

    // A child that has the request, but has not said `Begun`.
    let between = Between::new(&site)?;
    let running = site.begin("id=y")?;
    let front = between.accept()?;
    let (_call, descriptors) = call_of(&front)?;
    // The response can end only when the test has closed its copies of the descriptors.
    drop(descriptors);
    let output = collect(running)?;
    ensure!(!send_reply(&front, &Reply::Begun(1), None), "a child could begin");
    ensure!(output.ends(1)?.response()?.0 == 504, "{:?}", output.response());
    between.step_aside()?;
    site.body("id=next").map(drop)
}

/// A front waits in line for most of its `--timeout`; the child that then has the request gets only the rest.
fn timeout_left(stage: &Stage) -> Result<()> {
    const TIMEOUT: Duration = Duration::from_secs(4);
    let site = Site::new(stage, &["--timeout", "4"])?;
    site.body("id=first")?;
    let between = Between::new(&site)?;
    let began = Instant::now();
    let running = site.begin("id=x&do=wait")?;
    let front = between.accept()?;
    let to_child = between.connect()?;
    hello(&to_child)?;
    let (call, descriptors) = call_of(&front)?;
    until(PATIENCE, "most of the time", || Ok((began.elapsed() > TIMEOUT * 3 / 4).then_some(())))?;
    send_call(&to_child, &call, &descriptors)?;
    drop(descriptors);
    while let Some((reply, descriptor)) = reply_of(&to_child)? {
        // Until the front has killed the child.
        send_reply(&front, &reply, descriptor.as_ref().map(AsFd::as_fd));
    }
    drop(front);
    let output = collect(running)?;
    let took = began.elapsed();
    let (status, _) = output.ends(1)?.says("took longer than --timeout allows")?.response()?;
    ensure!(status == 504, "{status}");
    ensure!(took < TIMEOUT * 7 / 4, "it took {took:?}");
    between.step_aside()?;
    site.body("id=next").map(drop)
}

fn terminated_import(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("import.py", "note('importing', os.getpid())\nwait_for('go')\n")?;
    let running = site.begin("id=x")?;
    site.wait_lines("importing", 1)?;
    let zygote = site.zygote()?;
    kill(zygote, libc::SIGTERM)?;
    wait_gone(zygote)?;
    site.write("go", "")?;
    good(&collect(running)?)?;
    ensure!(site.runs("x") == 1, "{:?}", site.lines("runs"));
    site.ends_clean()
}

fn endless(stage: &Stage) -> Result<()> {
    is_bounded(stage, "while True:\n    pass\n")
}

fn blocked(stage: &Stage) -> Result<()> {
    is_bounded(stage, "time.sleep(1e6)\n")
}

/// A zygote whose front was killed ends during the import of `code`, and the next zygote says why.
fn is_bounded(stage: &Stage, code: &str) -> Result<()> {
    const WHY: &str = "the import did not end within ";
    let site = Site::new(stage, &["--timeout", "2"])?;
    site.write("import.py", &format!("note('importing', os.getpid())\n{code}"))?;
    let front = site.begin("id=x")?;
    site.wait_lines("importing", 1)?;
    let zygote = site.zygote()?;
    front.signal(libc::SIGKILL)?;
    wait_gone(zygote)?;
    site.verb(&["status"])?.ends(1)?.says(WHY)?;
    site.write("import.py", "pass\n")?;
    site.body("id=y")?;
    ensure!(site.log().contains(&format!("starts: {WHY}")), "{}", site.log());
    let told = site.verb(&["status"])?;
    let status = String::from_utf8_lossy(&told.ends(0)?.stdout);
    ensure!(status.contains(WHY), "{status}");
    ensure!(site.runs("x") == 0 && site.runs("y") == 1, "{:?}", site.lines("runs"));
    ensure!(site.starts() == 2, "{}", site.log());
    site.ends_clean()
}

/// The front that started the zygote is gone; another front waits in line. The import takes longer than `--warm-idle`.
fn awaited(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &["--warm-idle", "0.3"])?;
    let code = "note('importing', os.getpid())\nbegan = time.monotonic()\n\
                while time.monotonic() - began < 1.5:\n    time.sleep(0.01)\n\
                note('late', os.getpid())\nwait_for('go')\n";
    site.write("import.py", code)?;
    let first = site.begin("id=x")?;
    site.wait_lines("importing", 1)?;
    let second = site.begin("id=y")?;
    until(PATIENCE, "a second in line", || Ok((connections(&site)? == 2).then_some(())))?;
    first.signal(libc::SIGKILL)?;
    site.wait_lines("late", 1)?;
    site.write("go", "")?;
    let body = good(&collect(second)?)?;
    ensure!(body == "y 1 h1 1\n", "{body}");
    ensure!(site.runs("x") == 0 && site.runs("y") == 1, "{:?}", site.lines("runs"));
    ensure!(site.starts() == 1, "{}", site.log());
    // The zygote is idle from here on.
    until(PATIENCE, "the end", || Ok(site.processes().is_empty().then_some(())))?;
    ensure!(site.log().contains("no request for 0.3 s"), "{}", site.log());
    site.ends_clean()
}
