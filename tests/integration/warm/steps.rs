//! Never twice, never lost: processes that die at every step of the protocol, and what the visitor gets.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cgi2wsgi::handoff::Reply;

use crate::harness::command::{Output, Test, collect};
use crate::harness::exchange::is_page;
use crate::harness::process::{AtParentDeath, End, PATIENCE, Running, kill, until, wait_readable};
use crate::harness::stage::Stage;
use crate::warm::between::{Between, call_of, hello, say, send_call};
use crate::warm::site::{Site, good, wait_gone};

pub(crate) const TESTS: &[(&str, Test)] = &[
    (
        "a child killed before it has the whole request: the request runs once, in another process",
        child_dies_early,
    ),
    (
        "a zygote killed before a child has the request: the request runs once, in another process",
        zygote_dies_early,
    ),
    (
        "a child killed with the request, before Begun: the request runs once, in another process",
        child_dies_late,
    ),
    ("a child that crashes before the head: a whole 500, and the log has the signal", crash),
    ("a request whose child disappears after Begun is not run again", silent_after_begun),
    ("a zygote killed while a child answers: the answer is whole, the next request works", orphan),
    ("a zygote killed while it imports: the request runs once", killed_import),
    ("R13: SIGTERM to the front of a warm request calls close()", front_terminated),
    ("SIGKILL to the front of a warm request calls close()", front_killed),
    ("a child that ignores SIGTERM ends soon after its front", stubborn),
    ("a front that connects and sends nothing delays no other request for long", silent_fronts),
    (
        "V4: a request behind 2 or 8 silent connections is not delayed, with and without --warm-max",
        silent_in_front,
    ),
    ("V4: silent connections delay no request that the zygote refuses", silent_at_refusal),
    ("random kills under load: no request runs twice or is lost", under_load),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Hello,
    Call,
    Reading,
}

fn child_dies_early(stage: &Stage) -> Result<()> {
    [Before::Hello, Before::Call, Before::Reading]
        .into_iter()
        .try_for_each(|step| dies_at(stage, step, false).with_context(|| format!("{step:?}")))
}

fn zygote_dies_early(stage: &Stage) -> Result<()> {
    [Before::Hello, Before::Call, Before::Reading]
        .into_iter()
        .try_for_each(|step| dies_at(stage, step, true).with_context(|| format!("{step:?}")))
}

/// The front's connection ends at that step, because the zygote or the child is killed.
fn dies_at(stage: &Stage, step: Before, zygote_dies: bool) -> Result<()> {
    let site = Site::new(stage, &["--warm-spare", "1"])?;
    site.body("id=first")?;
    let child = site.wait_spare(1)?[0];
    let victim = if zygote_dies { site.zygote()? } else { child };
    let between = Between::new(&site)?;
    let running = site.begin("id=x")?;
    let front = between.accept()?;
    let to_child = between.connect()?;
    if step != Before::Hello {
        hello(&to_child)?;
        let (call, descriptors) = call_of(&front)?;
        if step == Before::Reading {
            kill(child, libc::SIGSTOP)?;
            send_call(&to_child, &call, &descriptors)?;
        }
    }
    kill(victim, libc::SIGKILL)?;
    wait_gone(victim)?;
    wait_gone(child)?;
    between.step_aside()?;
    drop((front, to_child));
    runs_once(&site, "x", &collect(running)?)
}

/// A whole answer of one execution; the next request works as well.
fn runs_once(site: &Site<'_>, id: &str, output: &Output) -> Result<()> {
    let body = good(output)?;
    ensure!(body.starts_with(&format!("{id} ")), "{body}");
    ensure!(site.runs(id) == 1, "the request was run {} times", site.runs(id));
    site.body("id=next")?;
    ensure!(site.runs("next") == 1 && site.runs("first") <= 1, "{:?}", site.lines("runs"));
    Ok(())
}

fn child_dies_late(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.body("id=first")?;
    let output = site.ask("id=x&do=die-before-begun")?;
    ensure!(site.lines("died").len() == 1, "no child died");
    runs_once(&site, "x", &output)
}

fn crash(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.body("id=first")?;
    let output = site.ask("id=x&do=crash")?;
    let output = output.ends(1)?.says("Segmentation fault")?.says("signal 11, SIGSEGV")?;
    let (status, body) = output.response()?;
    ensure!(status == 500 && is_page(&body, crate::cases::FAILED), "{status} {body}");
    ensure!(site.runs("x") == 1, "{:?}", site.lines("runs"));
    site.body("id=next").map(drop)
}

fn silent_after_begun(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.body("id=first")?;
    for says_head in [false, true] {
        // As long as the process that is named as the child is alive, the front does not answer for it.
        let mut command = stage.command(Path::new("/bin/sleep"));
        command.arg("600");
        let mut child = Running::start(command, &stage.user, AtParentDeath::Kill)?;
        let between = Between::new(&site)?;
        let running = site.begin("id=x")?;
        let front = between.accept()?;
        let (_call, descriptors) = call_of(&front)?;
        say(&front, &Reply::Begun(child.id()))?;
        if says_head {
            say(&front, &Reply::Head)?;
        }
        drop((front, descriptors));
        let output = collect(running)?;
        output.ends(1)?;
        if says_head {
            ensure!(output.stdout.is_empty(), "the front sent a second head");
        } else {
            ensure!(output.response()?.0 == 500, "{:?}", output.response()?);
        }
        ensure!(
            child.wait(PATIENCE)? == End::Signal(libc::SIGKILL),
            "the process that should be killed still runs"
        );
        ensure!(site.runs("x") == 0, "the request was run in another process");
        between.step_aside()?;
        site.body("id=next")?;
    }
    Ok(())
}

fn orphan(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.body("id=first")?;
    let streaming = site.begin("id=x&do=stream")?;
    site.wait_lines("streaming", 1)?;
    let zygote = site.zygote()?;
    kill(zygote, libc::SIGKILL)?;
    wait_gone(zygote)?;
    // The busy child is no zygote: no new front waits for it.
    site.body("id=next")?;
    site.write("go", "")?;
    let body = good(&collect(streaming)?)?;
    ensure!(body == "begun\nended 1\n", "{body}");
    ensure!(site.runs("x") == 1 && site.starts() == 2, "{}", site.log());
    site.ends_clean()
}

fn killed_import(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("import.py", "note('importing', os.getpid())\nwait_for('go')\n")?;
    let running = site.begin("id=x")?;
    site.wait_lines("importing", 1)?;
    kill(site.zygote()?, libc::SIGKILL)?;
    site.write("go", "")?;
    let output = collect(running)?;
    runs_once(&site, "x", &output)
}

fn front_dies(stage: &Stage, signal: i32) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.body("id=first")?;
    let running = site.begin("id=x&do=stream")?;
    site.wait_lines("streaming", 1)?;
    let child: i32 = site.lines("streaming")[0].parse()?;
    let began = Instant::now();
    running.signal(signal)?;
    wait_gone(child)?;
    ensure!(began.elapsed() < Duration::from_secs(4), "it took {:?}", began.elapsed());
    ensure!(site.lines("closed") == [child.to_string()], "close() was not called");
    drop(running);
    site.body("id=next").map(drop)
}

fn front_terminated(stage: &Stage) -> Result<()> {
    front_dies(stage, libc::SIGTERM)
}

fn front_killed(stage: &Stage) -> Result<()> {
    front_dies(stage, libc::SIGKILL)
}

fn stubborn(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &["--warm-spare", "1"])?;
    site.body("id=first")?;
    let child = site.wait_spare(1)?[0];
    let running = site.begin("id=x&do=stubborn")?;
    site.wait_lines("waiting", 1)?;
    running.signal(libc::SIGKILL)?;
    wait_gone(child)?;
    site.body("id=next").map(drop)
}

fn silent_fronts(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &["--warm-spare", "2"])?;
    site.body("id=first")?;
    site.wait_spare(2)?;
    let between = Between::new(&site)?;
    let silent: Vec<_> = (0..2).map(|_| between.connect()).collect::<Result<_>>()?;
    for front in &silent {
        wait_readable(front.as_fd(), Instant::now() + PATIENCE)?;
    }
    between.step_aside()?;
    site.body("id=next")?;
    // A damaged call without descriptors is no call, and ends nothing else.
    let between = Between::new(&site)?;
    let damaged = between.connect()?;
    rustix::io::write(&damaged, &[0xff; 100])?;
    between.step_aside()?;
    site.body("id=last")?;
    drop(silent);
    Ok(())
}

/// Connections that send nothing, or half of a call, and a request behind them: with room for more children it is
/// answered at once; each of the two that `--warm-max 2` allows is held for a quarter of a second at most.
fn silent_in_front(stage: &Stage) -> Result<()> {
    const PREFIX: &[u8] = b"40:half";
    let rounds: &[(&[&str], usize, &[u8], u64)] = &[
        (&[], 2, b"", 200),
        (&[], 8, b"", 200),
        (&[], 8, PREFIX, 200),
        (&["--warm-max", "2"], 2, b"", 500),
        (&["--warm-max", "2"], 8, b"", 1500),
        (&["--warm-max", "2"], 8, PREFIX, 1500),
    ];
    for &(options, count, words, most) in rounds {
        let site = Site::new(stage, options)?;
        site.body("id=first")?;
        let began = Instant::now();
        site.body("id=usual")?;
        let usual = began.elapsed();
        let between = Between::new(&site)?;
        let silent: Vec<_> = (0..count).map(|_| between.connect()).collect::<Result<_>>()?;
        for front in &silent {
            rustix::io::write(front, words)?;
        }
        between.step_aside()?;
        let began = Instant::now();
        site.body("id=next")?;
        let took = began.elapsed().saturating_sub(usual);
        // Other tests run beside this one.
        let allowed = Duration::from_millis(most) + usual * 4;
        ensure!(took < allowed, "{options:?} {count} {words:?}: {took:?} longer, of {allowed:?}");
        ensure!(site.runs("next") == 1, "{:?}", site.lines("runs"));
        drop(silent);
        site.ends_clean()?;
    }
    Ok(())
}

/// A zygote that refuses is one process: a connection that sends nothing does not delay those behind it.
fn silent_at_refusal(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write(
        "import.py",
        "import threading\nthreading.Thread(target=wait_for, args=('go',), daemon=True).start()\n",
    )?;
    good(&site.ask("id=first")?)?;
    let between = Between::new(&site)?;
    let silent: Vec<_> = (0..8).map(|_| between.connect()).collect::<Result<_>>()?;
    between.step_aside()?;
    let began = Instant::now();
    good(&site.ask("id=next")?)?;
    ensure!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
    drop(silent);
    Ok(())
}

fn under_load(stage: &Stage) -> Result<()> {
    const CLIENTS: usize = 8;
    const EACH: usize = 25;
    let site = Site::new(stage, &[])?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let site = &site;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || -> Result<Vec<(String, Output)>> {
                    (0..EACH)
                        .map(|number| {
                            let id = format!("{client}-{number}");
                            let running = site.begin(&format!("id={id}"))?;
                            Ok((id, collect(running)?))
                        })
                        .collect()
                })
            })
            .collect();
        let over = &over;
        let killer = scope.spawn(move || -> Result<usize> {
            let (mut chance, mut kills) = (88_172_645_463_325_252_u64, 0);
            while !over.load(SeqCst) {
                let all = site.processes();
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                if let Some(victim) = all.get(usize::try_from(chance % 64)? % all.len().max(1)) {
                    kill(victim.pid, libc::SIGKILL)?;
                    kills += 1;
                }
            }
            Ok(kills)
        });
        let outputs: Result<Vec<_>> = clients
            .into_iter()
            .map(|client| client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
            .collect();
        over.store(true, SeqCst);
        let kills = killer.join().map_err(|_| anyhow::anyhow!("the killer panicked"))??;
        ensure!(kills > 20, "only {kills} were killed");
        for (id, output) in outputs?.into_iter().flatten() {
            check(site, &id, &output).with_context(|| format!("{id}; {}", output.stderr))?;
        }
        Ok(())
    })?;
    until(PATIENCE, "a request that works", || Ok(site.body("id=next").ok()))?;
    ensure!(
        site.lines("runs").iter().filter(|line| *line != "next").count() > 0,
        "nothing was run"
    );
    Ok(())
}

/// Accepts a whole answer of one execution, an answer that was cut (the front says so), a whole 500, or no answer at
/// all, which servers replace by a 500 of their own.
pub(crate) fn check(site: &Site<'_>, id: &str, output: &Output) -> Result<()> {
    let runs = site.runs(id);
    ensure!(runs <= 1, "the request was run {runs} times");
    if output.stdout.is_empty() {
        ensure!(output.end != End::Code(0), "no answer, but exit status 0");
        return Ok(());
    }
    let (status, body) = output.response()?;
    if status == 200 {
        ensure!(runs == 1, "answered, but not run");
        if output.end != End::Code(0) {
            return output.says("response truncated: headers were already sent").map(drop);
        }
        ensure!(body.starts_with(&format!("{id} ")) && body.ends_with('\n'), "{body:?}");
        return Ok(());
    }
    ensure!(status == 500 && is_page(&body, crate::cases::FAILED), "{status} {body:?}");
    ensure!(output.end != End::Code(0), "a 500, but exit status 0");
    Ok(())
}
