//! `cgi2wsgi warm`, and `--warm-memory`: what a person sees of zygotes, and how to stop them. Each test has a private
//! directory of its own, and stops what it has started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{Output, Test, collect, run, trials_of};
use crate::harness::process::{AtParentDeath, PATIENCE, Running, User, until};
use crate::harness::stage::Stage;
use crate::harness::world::World;
use crate::warm::command::{Warm, children, hello, is_there};

const TESTS: &[(&str, Test)] = &[
    ("where there is no zygote, the user and the directories are named", none),
    ("status shows requests, and restarts with their reasons", status),
    ("the next zygote reports that the one before was killed", killed),
    ("stop ends the zygote of the named application, and no other", stop),
    ("stop does not interrupt a request that has begun", stop_busy),
    ("a process that has got a zygote's old number is not stopped", stranger),
    ("what an import writes goes to the request that caused it and to the log", import_words),
    ("an application with threads makes normal starts, and the reason is shown", threads),
    ("a large log is renamed, and a new log is begun", rotation),
    ("beyond --warm-memory requests wait in line", ceiling),
    ("root sees and stops the zygotes of all users, wherever they are", root),
    ("W8: where /proc is not mounted, status and stop say so", no_processes),
    ("a mistake in the command line is exit status 2", mistakes),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("verbs", TESTS, world)
}

fn none(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "w-none")?;
    let place = warm.directory().display().to_string();
    for arguments in
        [&["status"][..], &["stop", "--all"], &["stop", "{fixtures}/hello.py"], &["log"]]
    {
        let output = warm.verb(arguments)?;
        output.ends(1)?.says("no zygote runs for user ")?.says(&place)?;
        ensure!(output.stdout.is_empty() && !output.stderr.contains('\x1b'), "{}", output.stderr);
    }
    ensure!(!warm.directory().exists(), "looking has made {place}");
    Ok(())
}

fn status(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "w-status")?;
    let application = hello(stage, &warm.place, "site.py")?;
    for _ in 0..3 {
        warm.asks(&application)?;
    }
    let row = warm.row_when("three requests", |row| row.requests == 3 && row.busy == 0)?;
    ensure!((&row.application, row.waiting) == (&application, 2), "{row:?}");
    // An edit at the moment of the import, such as this copy, counts as an edit after it.
    let before = row.restarts;
    ensure!(before <= 1 && (before == 1 || row.why == "-") && row.remarks.is_empty(), "{row:?}");

    fs::write(&application, fs::read(&application)?).context("no edit")?;
    warm.asks(&application)?;
    let row = warm.row_when("a restart", |row| row.restarts > before && row.requests == 1)?;
    ensure!(row.restarts == before + 1 && row.why.contains("changed"), "{row:?}");
    Ok(())
}

fn killed(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "w-killed")?;
    warm.asks("{fixtures}/hello.py")?;
    let before = warm.row_when("a zygote", |row| row.requests == 1)?;
    let mut kill = stage.command(Path::new("/bin/sh"));
    kill.args(["-c", "kill -KILL \"$0\"", &before.pid.to_string()]).stderr(Stdio::piped());
    run(stage, kill)?.ends(0)?;
    until(PATIENCE, "its end", || Ok((!is_there(before.pid)).then_some(())))?;
    warm.verb(&["status"])?.ends(1)?;
    warm.asks("{fixtures}/hello.py")?;
    let after = warm.row_when("another", |row| row.requests == 1)?;
    ensure!(after.why == "the one before was killed" && after.restarts == 1, "{after:?}");
    Ok(())
}

fn stop(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "w-stop")?;
    let (one, other) =
        (hello(stage, &warm.place, "one.py")?, hello(stage, &warm.place, "other.py")?);
    warm.asks(&one)?;
    warm.asks(&other)?;
    let rows = warm.rows()?;
    ensure!(rows.len() == 2 && rows[0].application == one, "{rows:?}");
    let waiting = children(rows[0].pid)?;
    ensure!(!waiting.is_empty(), "no child waits");

    warm.verb(&["stop", "/nowhere/third.py"])?.ends(1)?.says(&one)?.says(&other)?;
    let said = warm.shows(&["stop", "--chdir", &warm.place.display().to_string(), "one.py"])?;
    ensure!(said.starts_with(&format!("stopped {one} (pid {}, ", rows[0].pid)), "{said}");
    ensure!(!is_there(rows[0].pid), "the zygote still runs");
    until(PATIENCE, "the end of its children", || {
        Ok((!waiting.iter().any(|pid| is_there(*pid))).then_some(()))
    })?;
    let rows = warm.rows()?;
    ensure!(rows.len() == 1 && rows[0].application == other, "{rows:?}");
    warm.asks(&one)?;
    let said = warm.shows(&["stop", "--all"])?;
    ensure!(said.contains(&one) && said.contains(&other), "{said}");
    warm.verb(&["status"])?.ends(1).map(drop)
}

/// A request of `large_when_asked.py` that has begun, and the file that lets it end.
struct Held {
    running: Running,
    gate: PathBuf,
}

impl Held {
    fn start(warm: &Warm<'_>, mebibytes: u32, variables: &[(&str, &str)]) -> Result<Self> {
        let gate = warm.place.join(format!("gate-{mebibytes}"));
        let mut command = warm.request("{applications}/large_when_asked.py");
        command
            .env("QUERY_STRING", mebibytes.to_string())
            .env("HTTP_GATE", &gate)
            .env("MARKER", warm.place.join("marker"))
            .envs(variables.iter().copied());
        let running = Running::start(command, &warm.stage.user, AtParentDeath::Kill)?;
        Ok(Self { running, gate })
    }

    /// Starts one, and waits until it has begun.
    fn begun(warm: &Warm<'_>, mebibytes: u32, variables: &[(&str, &str)]) -> Result<Self> {
        let held = Self::start(warm, mebibytes, variables)?;
        let line = format!("begins with {mebibytes}\n");
        until(PATIENCE, "the request", || Ok(marker(warm).contains(&line).then_some(())))?;
        Ok(held)
    }

    fn finish(self) -> Result<()> {
        fs::write(&self.gate, "").context("no gate")?;
        let (status, body) = collect(self.running)?.ends(0)?.response()?;
        ensure!(status == 200 && body == "done\n", "{status} {body}");
        Ok(())
    }
}

fn marker(warm: &Warm<'_>) -> String {
    fs::read_to_string(warm.place.join("marker")).unwrap_or_default()
}

fn stop_busy(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "w-busy")?;
    let held = Held::begun(&warm, 1, &[])?;
    warm.row_when("a busy child", |row| row.busy == 1)?;
    let said = warm.shows(&["stop", "--all"])?;
    ensure!(said.contains("; 1 request that has begun will be finished)"), "{said}");
    warm.verb(&["status"])?.ends(1)?;
    held.finish()
}

fn stranger(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "w-stranger")?;
    warm.asks("{fixtures}/hello.py")?;
    let row = warm.row_when("a zygote", |row| row.requests == 1)?;
    warm.shows(&["stop", "--all"])?;
    let mut command = stage.command(Path::new("/bin/sleep"));
    command.arg("1000");
    let mut stranger = Running::start(command, &stage.user, AtParentDeath::Kill)?;
    let number = stranger.child().id();
    for entry in fs::read_dir(warm.directory())?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "status") {
            let text = fs::read_to_string(&path)?;
            let old = format!("\npid: {}\n", row.pid);
            ensure!(text.contains(&old), "{text}");
            fs::write(&path, text.replace(&old, &format!("\npid: {number}\n")))?;
        }
    }
    warm.verb(&["stop", "--all"])?.ends(1)?;
    ensure!(stranger.ended()?.is_none(), "the other process was stopped");
    Ok(())
}

fn import_words(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "w-words")?;
    let application = "{applications}/import_words.py";
    let (first, second) = (warm.asks(application)?, warm.asks(application)?);
    for words in ["printed at import\n", "complained at import\n"] {
        ensure!(first.matches(words).count() == 1, "the first request said {first:?}");
        ensure!(!second.contains(words), "the second request said {second:?}");
    }
    let shown = stage.resolve(application);
    let log = warm.shows(&["log"])?;
    for text in
        ["starts: the first request", "complained at import", "printed at import", "is ready"]
    {
        let ending = format!(" {shown}: {text}");
        let lines = log.lines().filter(|line| line.ends_with(&ending) && line.starts_with("20"));
        ensure!(lines.count() == 1, "no line, or more than one, ends with {ending:?}:\n{log}");
    }
    let last = warm.shows(&["log", "-n", "1"])?;
    ensure!(log.ends_with(&last) && last.lines().count() == 1, "{last:?}");
    let path = warm.shows(&["log", "--path"])?;
    ensure!(fs::read_to_string(path.trim_end())?.starts_with("20"), "{path}");
    Ok(())
}

fn threads(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "w-threads")?;
    let said = warm.asks("{applications}/import_thread.py")?;
    let reason = "has started 1 thread(s) while it was imported";
    ensure!(said.contains(reason), "standard error has {said:?}");
    let row = warm.row_when("the zygote", |row| !row.remarks.is_empty())?;
    let remark = row.remarks.join("\n");
    ensure!(
        remark.contains("every request makes a normal (cold) start: ") && remark.contains(reason),
        "{remark}"
    );
    // The zygote ends on SIGTERM, though no Python code runs in it.
    let said = warm.shows(&["stop", "--all"])?;
    ensure!(said.starts_with("stopped "), "stop said {said:?}");
    Ok(())
}

fn rotation(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "w-rotation")?;
    warm.asks("{fixtures}/hello.py")?;
    warm.row_when("a zygote", |row| row.requests == 1)?;
    let log = warm.directory().join("warm.log");
    let old = fs::read_to_string(&log)?;
    fs::write(&log, format!("{old}{}\n", "x".repeat(1 << 20)))?;
    warm.shows(&["stop", "--all"])?;
    ensure!(fs::metadata(&log)?.len() < 1000, "the log was not begun anew");
    let all = warm.shows(&["log"])?;
    ensure!(
        all.starts_with(&old) && all.contains("xxxx\n20"),
        "warm log does not show the old lines"
    );
    ensure!(all.trim_end().ends_with("stopped by SIGTERM"), "the last line is not the stop");
    Ok(())
}

fn ceiling(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "w-memory")?;
    let variables = [("CGI2WSGI_WARM_MEMORY", "64M")];
    let large = Held::begun(&warm, 96, &variables)?;
    let row = warm.row_when("that no child waits", |row| row.busy == 1 && row.waiting == 0)?;
    ensure!(row.remarks.iter().any(|remark| remark.contains("allows 64 MiB")), "{row:?}");

    let mut small = Held::start(&warm, 1, &variables)?;
    let front = small.running.child().id();
    until(PATIENCE, "that the next request is in line", || {
        let open = fs::read_dir(format!("/proc/{front}/fd"))?.flatten();
        let mut targets = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        Ok(targets.any(|target| target.to_string_lossy().starts_with("socket:")).then_some(()))
    })?;
    fs::write(&small.gate, "").context("no gate")?;
    large.finish()?;
    small.finish()?;
    let order = marker(&warm);
    ensure!(order == "begins with 96\nends with 96\nbegins with 1\nends with 1\n", "{order}");
    let row = warm.row_when("that children wait again", |row| row.waiting == 2)?;
    ensure!(row.remarks.is_empty(), "{row:?}");
    let log = warm.shows(&["log"])?;
    ensure!(log.matches("--warm-memory allows 64 MiB").count() == 1, "{log}");
    Ok(())
}

/// A service with `PrivateTmp` has a temporary directory that no other process sees. Root looks from a directory of its
/// own; where the tests do not run as root, its user sees what it may.
fn root(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "w-root")?;
    let shared = hello(stage, &warm.place, "shared.py")?;
    let private = hello(stage, &warm.place, "private.py")?;
    warm.asks(&shared)?;
    let is_root = User::current().uid == 0;
    if is_root {
        let hidden = stage.workplace("w-hidden")?;
        let script = "mount -t tmpfs -o mode=1777 none \"$TMPDIR\" && exec \"$@\"";
        let front = warm.request(&private);
        let mut command = stage.command(Path::new("unshare"));
        command.args(["-m", "sh", "-c", script, "sh", "setpriv", "--clear-groups"]);
        command.arg(format!("--reuid={}", stage.user.uid));
        command.arg(format!("--regid={}", stage.user.gid));
        command.arg(front.get_program()).args(front.get_args());
        for (name, value) in front.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.env("TMPDIR", &hidden).stdout(Stdio::piped()).stderr(Stdio::piped());
        let running = Running::start(command, &User::current(), AtParentDeath::Kill)?;
        let (status, _) = collect(running)?.ends(0)?.response()?;
        ensure!(status == 200, "{status}");
        ensure!(
            fs::read_dir(&hidden)?.next().is_none(),
            "the request did not use the hidden directory"
        );
    }
    let seer = if is_root { User::current() } else { stage.user.clone() };
    let ask = |arguments: &[&str]| -> Result<Output> {
        let mut command = warm.command(arguments);
        if is_root {
            command.env_remove("TMPDIR");
        }
        collect(Running::start(command, &seer, AtParentDeath::Kill)?)
    };
    let applications = if is_root { vec![&shared, &private] } else { vec![&shared] };
    for application in applications {
        let table = ask(&["warm", "status"])?;
        let table = String::from_utf8_lossy(&table.ends(0)?.stdout).into_owned();
        let rows = || table.lines().filter(|line| line.starts_with(application.as_str()));
        ensure!(rows().count() == 1, "{table}");
        ensure!(!is_root || !rows().any(|row| row.contains(" root ")), "{table}");
        let log = ask(&["warm", "log"])?;
        let log = String::from_utf8_lossy(&log.ends(0)?.stdout).into_owned();
        ensure!(log.contains(&format!("{application}: is ready")), "{log}");
        let is_labelled =
            |line: &str| line.split(": ").next().is_some_and(|user| !user.contains(' '));
        ensure!(!is_root || log.lines().all(is_labelled), "a line has no user: {log}");
        let stopped = ask(&["warm", "stop", application])?;
        let stopped = String::from_utf8_lossy(&stopped.ends(0)?.stdout).into_owned();
        ensure!(stopped.starts_with(&format!("stopped {application} ")), "{stopped}");
        ask(&["warm", "stop", application])?.ends(1)?;
    }
    Ok(())
}

fn mistakes(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "w-mistakes")?;
    warm.verb(&["stop"])?.ends(2)?.says("--all")?;
    warm.verb(&["stop", "--all", "app.py"])?.ends(2)?.says("cannot be used with")?;
    warm.verb(&["stauts"])?.ends(2)?.says("status")?;
    fs::write(warm.directory(), "").context("no file")?;
    warm.verb(&["status"])?.ends(1)?.says("is no directory that this user can enter").map(drop)
}

fn no_processes(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "w-proc")?;
    let application = hello(stage, &warm.place, "site.py")?;
    warm.asks(&application)?;
    let pid = warm.row_when("a zygote", |_| true)?.pid;
    let verb = |words: &[&str]| -> Result<Output> {
        let front = warm.command(&["warm"]);
        let mut command = stage.command(Path::new("unshare"));
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
        command.arg("mount -t tmpfs none /proc && exec \"$@\"").arg("sh").arg(front.get_program());
        command.args(front.get_args()).args(words).env("TMPDIR", &warm.place);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        run(stage, command)
    };
    for words in [&["status"][..], &["stop", "--all"], &["stop", &application]] {
        let output = verb(words)?;
        output.ends(2)?.says("no process can be seen")?.says("is /proc mounted?")?;
        ensure!(output.stdout.is_empty(), "{words:?}: {:?}", output.stdout);
    }
    ensure!(is_there(pid), "the zygote was stopped");
    Ok(())
}
