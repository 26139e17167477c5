//! Requests whose child ends without a reply: if nothing was sent yet, the front answers; the log says how the child
//! ended.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::harness::command::{Output, Test, collect, run};
use crate::harness::exchange::is_page;
use crate::harness::process::kill;
use crate::harness::stage::Stage;
use crate::warm::site::{Site, good, wait_gone};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("a child that ends before the head: a whole 500, and the request is not run again", before),
    (
        "a child that ends after the head: the response is truncated, and the log says how it ended",
        after,
    ),
    ("a replaced zygote stays until its children have ended, and reports how they ended", replaced),
    ("a child that ends when its zygote was stopped: a whole 500, exit status 1", stopped),
    ("fronts do not wait for the children of others", others),
    (
        "W9: where process 1 reaps nothing, a stopped zygote is a zombie, and none of its children is",
        unreaped,
    ),
    ("W8: ps shows that processes are a zygote and its children, and of which application", titles),
    ("W8: a Python that sees no /proc has no titles, and makes normal starts", untitled),
];

/// How an application ends, and what the log says.
const ENDS: &[(&str, &str)] = &[
    ("exit:7", "ended itself with exit status 7"),
    ("exit:0", "ended itself with exit status 0"),
    ("signal:9", "was killed by signal 9, SIGKILL"),
    ("signal:10", "was killed by signal 10, SIGUSR1"),
    ("signal:64", "was killed by signal 64"),
];

fn before(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    // The first request starts the zygote, and the others find it.
    for (round, (how, said)) in ENDS.iter().enumerate() {
        let output = site.ask(&format!("id=x{round}&do=end&how={how}"))?;
        failed(&output, said).with_context(|| how)?;
        ensure!(site.runs(&format!("x{round}")) == 1, "{:?}", site.lines("runs"));
        site.body("id=next")?;
    }
    ensure!(site.starts() == 1, "{}", site.log());
    Ok(())
}

fn failed(output: &Output, said: &str) -> Result<()> {
    let output = output.ends(1)?.says(&format!("the application's process {said}"))?;
    let (status, body) = output.says("before it answered")?.response()?;
    ensure!(status == 500 && is_page(&body, crate::cases::FAILED), "{status} {body}");
    Ok(())
}

fn after(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("go", "")?;
    for (round, (how, said)) in ENDS.iter().enumerate() {
        let output = site.ask(&format!("id=x{round}&do=stream&how={how}"))?;
        cut_off(&output, said).with_context(|| how)?;
        ensure!(site.runs(&format!("x{round}")) == 1, "{:?}", site.lines("runs"));
        site.body("id=next")?;
    }
    Ok(())
}

fn cut_off(output: &Output, said: &str) -> Result<()> {
    let output = output.ends(1)?.says(&format!("the application's process {said}"))?;
    let (status, body) = output.says("response truncated")?.response()?;
    ensure!(status == 200 && body == "begun\n", "{status} {body}");
    Ok(())
}

fn replaced(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.body("id=first")?;
    let old = site.zygote()?;
    let killed = site.begin("id=x&do=stream&how=signal:9")?;
    let whole = site.begin("id=y&do=stream")?;
    site.wait_lines("streaming", 2)?;
    site.write("helper.py", "VERSION = \"h22\"\n")?;
    ensure!(
        site.body("id=next")? == "next 1 h22 1\n",
        "the next request was answered by the old code"
    );
    ensure!(site.zygotes().len() == 2, "{:?}; {}", site.zygotes(), site.log());
    ensure!(site.placed(".socket").len() == 1, "there is not one socket");
    site.write("go", "")?;
    cut_off(&collect(killed)?, ENDS[2].1)?;
    let (status, body) = collect(whole)?.ends(0)?.response()?;
    ensure!(status == 200 && body == "begun\nended 1\n", "{status} {body}");
    wait_gone(old)?;
    ensure!(site.body("id=last")? == "last 1 h22 1\n", "another answer");
    site.ends_clean()
}

fn stopped(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.body("id=first")?;
    let zygote = site.zygote()?;
    let running = site.begin("id=x&do=wait")?;
    site.wait_lines("waiting", 1)?;
    kill(zygote, libc::SIGTERM)?;
    wait_gone(zygote)?;
    let child = site.wait_children(1, 0)?[0];
    kill(child, libc::SIGKILL)?;
    failed(&collect(running)?, "ended in an unknown way")
}

/// A child that was forked while the zygote held the connections of other children outlives the zygote.
fn others(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &["--warm-spare", "1"])?;
    site.body("id=first")?;
    let child = site.wait_spare(1)?[0];
    let early = site.begin("id=x&do=wait")?;
    site.wait_lines("waiting", 1)?;
    let late = site.begin("id=y&do=stream")?;
    site.wait_lines("streaming", 1)?;
    let zygote = site.zygote()?;
    kill(zygote, libc::SIGKILL)?;
    wait_gone(zygote)?;
    kill(child, libc::SIGKILL)?;
    failed(&collect(early)?, "ended in an unknown way")?;
    site.write("go", "")?;
    collect(late)?.ends(0).map(drop)
}

/// Process 1 of a namespace, which does not reap: it makes requests, stops the zygote, and prints how many processes
/// were left to it.
const INIT: &str = r#"
import os, subprocess, sys, time

def zombies():
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = open(f"/proc/{pid}/stat").read().rsplit(") ", 1)[1].split()
        except OSError:
            continue
        found[int(pid)] = fields[0], int(fields[1])
    return found

bridge, words = sys.argv[1], sys.argv[2:]
for _ in range(3):
    subprocess.run([bridge, *words], check=True, stdout=subprocess.DEVNULL)
before = [pid for pid, (state, parent) in zombies().items() if parent == 1 and state != "Z"]
stopped = {key: value for key, value in os.environ.items() if key == "TMPDIR"}
subprocess.run([bridge, "warm", "stop", "--all"], check=True, env=stopped, stdout=subprocess.DEVNULL)
until = time.monotonic() + 30
while any(state != "Z" for pid, (state, _) in zombies().items() if pid != 1):
    if time.monotonic() > until:
        sys.exit(f"these still run: {zombies()}")
    time.sleep(0.01)
print(len(before), len(zombies()) - 1)
"#;

fn unreaped(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("init.py", INIT)?;
    let front = site.command("id=a");
    let mut command = site.copy_of(&front, Path::new("unshare"));
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]);
    command.arg(stage.python()).arg(site.path("init.py")).arg(front.get_program());
    command.args(front.get_args());
    let output = run(stage, command)?;
    output.ends(0)?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(told.trim() == "1 1", "zygotes, and zombies at the end: {told} {}", output.stderr);
    Ok(())
}

fn titles(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.body("id=a")?;
    let (zygote, children) = (site.zygote()?, site.wait_spare(2)?);
    let application = site.path("app.py");
    let shown = |pid: i32| -> Result<String> {
        // As ps shows it, with spaces for NULs.
        let arguments = fs::read(format!("/proc/{pid}/cmdline"))?;
        Ok(String::from_utf8_lossy(&arguments).trim_end_matches('\0').to_owned())
    };
    let expected = format!("cgi2wsgi: zygote of {}", application.display());
    ensure!(shown(zygote)? == expected, "{}", shown(zygote)?);
    for child in children {
        let expected = format!("cgi2wsgi: child of zygote {zygote}, of {}", application.display());
        ensure!(shown(child)? == expected, "{}", shown(child)?);
    }
    let running = site.begin("id=x&do=stream")?;
    site.wait_lines("streaming", 1)?;
    let of_request: i32 = site.lines("streaming")[0].parse()?;
    ensure!(shown(of_request)?.contains("\0-c\0"), "{}", shown(of_request)?);
    site.write("go", "")?;
    collect(running)?.ends(0).map(drop)
}

/// The Python of the site sees no /proc: neither can a title be written, nor can be seen what the import left open.
fn untitled(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let python = site.path("python");
    fs::write(
        &python,
        format!(
            "#!/bin/sh\nexec unshare --user --map-root-user --mount sh -c 'mount -t tmpfs none /proc && \
             exec \"$@\"' sh {} \"$@\"\n",
            stage.python().display()
        ),
    )?;
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755))?;
    for number in 0..2 {
        let mut command = site.command("id=x");
        command.env("CGI2WSGI_PYTHON", &python);
        let output = run(stage, command)?;
        if number == 0 {
            output.says("falling back to a normal (cold) start")?.says("is /proc mounted?")?;
        }
        ensure!(good(&output)? == "x 1 h1 1\n", "{:?}", output.response()?);
    }
    site.ends_clean()
}
