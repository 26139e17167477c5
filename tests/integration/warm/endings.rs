//! How a request ends whose child leaves no word: the front ends in the same way, as a cold process would, and answers
//! where there is no answer yet.

use anyhow::{Context, Result, ensure};

use crate::command_line::{Output, Test, collect};
use crate::process::{End, kill};
use crate::stage::Stage;
use crate::warm::site::{Site, wait_gone};

pub(crate) const TESTS: [(&str, Test); 5] = [
    ("a child that ends before the head: a whole 500, its exit status, and never again", before),
    ("a child that ends after the head: the response ends there, and so its exit status", after),
    ("a zygote that is replaced stays for what it has forked, and tells how that ends", replaced),
    ("a child that ends when its zygote was stopped: a whole 500, exit status 1", stopped),
    ("fronts do not wait for the children of others", others),
];

/// What an application does, how the front ends, and what that says.
const ENDS: [(&str, End, &str); 5] = [
    ("exit:7", End::Code(7), "ended itself with status 7"),
    ("exit:0", End::Code(0), "ended itself with status 0"),
    ("signal:9", End::Signal(libc::SIGKILL), "was killed by signal 9"),
    ("signal:10", End::Signal(libc::SIGUSR1), "was killed by signal 10"),
    ("signal:64", End::Signal(64), "was killed by signal 64"),
];

fn before(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    // The first one starts the zygote, and the others find it.
    for (round, (how, end, said)) in ENDS.into_iter().enumerate() {
        let output = site.ask(&format!("id=x{round}&do=end&how={how}"))?;
        failed(&output, end, said).with_context(|| how)?;
        ensure!(site.runs(&format!("x{round}")) == 1, "{:?}", site.lines("runs"));
        site.body("id=next")?;
    }
    ensure!(site.starts() == 1, "{}", site.log());
    Ok(())
}

fn failed(output: &Output, end: End, said: &str) -> Result<()> {
    ensure!(output.end == end, "{:?}; {}", output.end, output.stderr);
    let (status, body) = output
        .says(&format!("the process of this request {said} before it answered"))?
        .response()?;
    ensure!(status == 500 && body == crate::cases::FAILED, "{status} {body}");
    Ok(())
}

fn after(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("go", "")?;
    for (round, (how, end, said)) in ENDS.into_iter().enumerate() {
        let output = site.ask(&format!("id=x{round}&do=stream&how={how}"))?;
        cut_off(&output, end, said).with_context(|| how)?;
        ensure!(site.runs(&format!("x{round}")) == 1, "{:?}", site.lines("runs"));
        site.body("id=next")?;
    }
    Ok(())
}

fn cut_off(output: &Output, end: End, said: &str) -> Result<()> {
    ensure!(output.end == end, "{:?}; {}", output.end, output.stderr);
    let (status, body) = output.response()?;
    ensure!(status == 200 && body == "begun\n", "{status} {body}");
    match end {
        // An application that leaves like that means it, as when it is cold.
        End::Code(_) => ensure!(output.stderr.is_empty(), "{}", output.stderr),
        End::Signal(_) => drop(output.says(&format!("{said}: the response ends there"))?),
    }
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
    ensure!(site.body("id=next")? == "next 1 h22 1\n", "an old answer");
    ensure!(site.zygotes().len() == 2, "{:?}; {}", site.zygotes(), site.log());
    ensure!(site.placed(".socket").len() == 1, "two sockets");
    site.write("go", "")?;
    let (_, end, said) = ENDS[2];
    cut_off(&collect(killed)?, end, said)?;
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
    let child = site.wait_children(1)?[0];
    kill(child, libc::SIGKILL)?;
    failed(&collect(running)?, End::Code(1), "was killed")
}

/// A child is forked while the zygote holds the connections of others, and outlives it.
fn others(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &["--warm-spare", "1"])?;
    site.body("id=first")?;
    let child = site.wait_children(1)?[0];
    let early = site.begin("id=x&do=wait")?;
    site.wait_lines("waiting", 1)?;
    let late = site.begin("id=y&do=stream")?;
    site.wait_lines("streaming", 1)?;
    let zygote = site.zygote()?;
    kill(zygote, libc::SIGKILL)?;
    wait_gone(zygote)?;
    kill(child, libc::SIGKILL)?;
    failed(&collect(early)?, End::Code(1), "was killed")?;
    site.write("go", "")?;
    collect(late)?.ends(0).map(drop)
}
