//! An application that cannot be warm delays no request: the refusal holds, and no request waits for the next zygote to
//! try.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use serde_json::Value;

use crate::harness::command::{CGI, Test, collect, run};
use crate::harness::process::{PATIENCE, kill, until};
use crate::harness::stage::Stage;
use crate::warm::site::{Site, good};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("W6: a refusal stands as long as there are requests", stands),
    ("W6: after a change requests start normally until the new zygote is ready", change),
    (
        "W6: a zygote that dies while no request waits for it is not started again by each request",
        dies,
    ),
    (
        "W6: an application that refuses is imported once for the request that it was started for",
        once,
    ),
    (
        "W6: a file that an import left open for writing is the first request's own, and its end is too",
        own_end,
    ),
    (
        "W6: a normal start after a change during the import waits for the end of what the import holds",
        changed,
    ),
    ("W6: the log says how the process ended that refuses and answers", known_end),
    (
        "W6: a front that left before its application refused has its place taken by normal starts",
        left,
    ),
    ("W6: a lock that an import with a thread holds is free for normal starts", held),
    (
        "W1: a store that the import reads and locks keeps every write of requests, and no request waits for an import",
        store,
    ),
    ("W6: an import that fails is tried again, and no request waits for the new trial", fails),
    (
        "W6: edits during a rest are answered by normal starts, and a zygote serves after a minute",
        rests,
    ),
];

/// Code that starts a thread while it is imported.
const THREAD: &str =
    "import threading\nthreading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()\n";

/// Whether the importing process has a request already, as in a normal start.
const HAS_REQUEST: &str = "'REQUEST_METHOD' in os.environ";

/// A site whose zygote has refused.
fn refused<'s>(stage: &'s Stage, options: &[&str]) -> Result<Site<'s>> {
    let site = Site::new(stage, options)?;
    site.write("import.py", THREAD)?;
    let output = site.ask("id=first")?;
    output.says("cannot be forked safely")?;
    good(&output)?;
    Ok(site)
}

fn stands(stage: &Stage) -> Result<()> {
    const IDLE: Duration = Duration::from_secs(4);
    let site = refused(stage, &["--warm-idle", "4"])?;
    let zygote = site.zygote()?;
    let began = Instant::now();
    let mut last = began;
    while began.elapsed() < IDLE + Duration::from_secs(2) {
        site.body("id=again")?;
        ensure!(last.elapsed() < IDLE, "requests are so slow that the zygote is idle");
        last = Instant::now();
        // Requests that are closer than --warm-idle keep the zygote.
        until(PATIENCE, "half a second", || {
            Ok((last.elapsed() >= Duration::from_millis(500)).then_some(()))
        })?;
    }
    ensure!(site.zygote()? == zygote && site.starts() == 1, "{}", site.log());
    // Without requests the zygote ends.
    until(PATIENCE, "the end", || Ok(site.processes().is_empty().then_some(())))?;
    ensure!(site.log().contains("no request for 4 s"), "{}", site.log());
    // Later requests do not wait for the next zygote.
    site.write("import.py", &format!("{THREAD}if not ({HAS_REQUEST}):\n    wait_for('go')\n"))?;
    site.body("id=x")?;
    site.write("go", "")?;
    until(PATIENCE, "a refusal", || {
        Ok((site.log().matches("makes a normal (cold) start").count() == 2).then_some(()))
    })?;
    site.ask("id=y")?.says("cannot be forked safely")?;
    site.ends_clean()
}

/// The first request has what a normal start would give it, without a second import, and the zygote that refuses the
/// next ones is another process.
fn once(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("import.py", THREAD)?;
    let mut cold = site.stage.command(&site.stage.bridge());
    cold.arg(site.path("app.py")).envs(CGI).env("QUERY_STRING", "do=facts");
    cold.env("TMPDIR", site.path("t")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let cold: Value = serde_json::from_str(&good(&run(stage, cold)?)?)?;
    let first = site.ask("do=facts")?;
    ensure!(first.says("cannot be forked safely")?.stderr.lines().count() == 1, "{}", first.stderr);
    let first: Value = serde_json::from_str(&good(&first)?)?;
    for fact in ["environ", "cwd", "umask", "signals", "mask", "nofile", "seen", "stdin"] {
        ensure!(first[fact] == cold[fact], "{fact}: {}, and not {}", first[fact], cold[fact]);
    }
    let imports = site.lines("imports");
    let answered: i32 = imports.get(1).context("no second import")?.parse()?;
    ensure!(imports.len() == 2 && first["pid"] == answered, "{imports:?}: {first}");
    ensure!(site.zygote()? != answered, "the zygote has a request");
    ensure!(site.log().contains("makes a normal (cold) start"), "{}", site.log());
    site.verb(&["status"])?.ends(0)?;
    site.body("id=second")?;
    ensure!(site.lines("imports").len() == 3 && site.starts() == 1, "{}", site.log());
    site.ends_clean()
}

/// Two files that are open for writing, an exit handler, and an object with a finalizer.
const LEAVES_ALL: &str = r#"
import atexit

class Finalized:
    def __del__(self, pid=os.getpid, file=os.open(HERE / "finalized", os.O_WRONLY | os.O_CREAT), write=os.write):
        write(file, b"%d\n" % pid())

FINALIZED = Finalized()
atexit.register(note, "exits", os.getpid())
APPENDED, WRITTEN = open(HERE / "appended", "a+"), open(HERE / "written", "w")
APPENDED.write("kept\n")
WRITTEN.write("kept")
"#;

fn own_end(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("import.py", LEAVES_ALL)?;
    let output = site.ask("id=first")?;
    good(output.says("the import left ")?)?;
    let imports = site.lines("imports");
    for name in ["exits", "finalized"] {
        ensure!(site.lines(name) == imports, "{name}: {:?}, not {imports:?}", site.lines(name));
    }
    for name in ["appended", "written"] {
        ensure!(site.lines(name) == ["kept"], "{name}: {:?}", site.lines(name));
    }
    site.ends_clean()
}

fn known_end(stage: &Stage) -> Result<()> {
    for (how, said) in [("signal:9", "was killed by signal 9"), ("exit:7", "exit status 7")] {
        let site = Site::new(stage, &[])?;
        site.write("import.py", THREAD)?;
        let output = site.ask(&format!("id=first&do=end&how={how}"))?;
        output.says("cannot be forked safely")?.says(said)?.says("(answered 500)")?;
        ensure!(output.response()?.0 == 500 && site.runs("first") == 1, "{}", output.stderr);
        site.body("id=second")?;
        site.ends_clean()?;
    }
    Ok(())
}

/// The import takes a lock that the next import needs, and ends slowly.
fn changed(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let code = "import atexit, fcntl\nLOCK = open(HERE / 'lock', 'w')\n\
                fcntl.flock(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)\natexit.register(time.sleep, 0.5)\n";
    let waits = format!("if not ({HAS_REQUEST}):\n    note('importing', 1)\n    wait_for('go')\n");
    site.write("import.py", &format!("{code}{waits}"))?;
    let first = site.begin("id=first")?;
    site.wait_lines("importing", 1)?;
    site.write("helper.py", "VERSION = 'edited'\n")?;
    site.write("go", "")?;
    let output = collect(first)?;
    ensure!(good(&output)? == "first 1 edited 1\n", "{}", output.stderr);
    ensure!(site.runs("first") == 1, "{:?}", site.lines("runs"));
    site.ends_clean()
}

fn left(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write(
        "import.py",
        &format!(
            "{THREAD}note('importing', os.getpid())\nif not ({HAS_REQUEST}):\n    wait_for('go')\n"
        ),
    )?;
    let first = site.begin("id=first")?;
    site.wait_lines("importing", 1)?;
    let second = site.begin("id=second")?;
    first.signal(libc::SIGKILL)?;
    collect(first)?;
    site.write("go", "")?;
    let output = collect(second)?;
    good(&output)?;
    ensure!(site.runs("first") == 0 && site.runs("second") == 1, "{:?}", site.lines("runs"));
    ensure!(site.starts() == 1, "{}", site.log());
    good(&site.ask("id=third")?)?;
    site.ends_clean()
}

fn change(stage: &Stage) -> Result<()> {
    let site = refused(stage, &["--timeout", "60"])?;
    let code = format!(
        "if not ({HAS_REQUEST}):\n    note('importing', os.getpid())\n    wait_for('go')\n"
    );
    site.write("import.py", &code)?;
    for number in 0..4 {
        let body = site.body(&format!("id=r{number}"))?;
        ensure!(body == format!("r{number} 1 h1 1\n"), "{body}");
        site.wait_lines("importing", 1)?;
    }
    ensure!(site.lines("importing").len() == 1 && site.starts() == 2, "{}", site.log());
    let imports = site.lines("imports").len();
    site.write("go", "")?;
    until(PATIENCE, "a zygote", || Ok(site.log().contains("is ready").then_some(())))?;
    site.wait_spare(2)?;
    site.body("id=warm")?;
    ensure!(
        site.lines("imports").len() == imports,
        "the request imported the application: {}",
        site.log()
    );
    ensure!(site.placed(".trial").is_empty(), "{:?}", site.placed(".trial"));
    site.ends_clean()
}

fn dies(stage: &Stage) -> Result<()> {
    let site = refused(stage, &[])?;
    let code = format!(
        "if not ({HAS_REQUEST}):\n    note('importing', os.getpid())\n    wait_for('go')\n"
    );
    site.write("import.py", &code)?;
    site.body("id=x")?;
    site.wait_lines("importing", 1)?;
    // The zygote that refused may not have ended yet.
    let importing: i32 = site.lines("importing")[0].parse()?;
    kill(importing, libc::SIGKILL)?;
    until(PATIENCE, "its end", || Ok(site.processes().is_empty().then_some(())))?;
    for _ in 0..3 {
        site.body("id=y")?;
    }
    ensure!(site.lines("importing").len() == 1 && site.starts() == 2, "{}", site.log());
    Ok(())
}

/// A thread may be using what the import holds: it is free when the request that the import was for is over.
fn held(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let lock = "import fcntl\nLOCK = open(HERE / 'lock', 'w')\nfcntl.flock(LOCK, fcntl.LOCK_EX)\n";
    site.write("import.py", &format!("{THREAD}{lock}"))?;
    let first = site.ask("id=r0")?;
    good(first.says("cannot be forked safely")?)?;
    for number in 1..=3 {
        let body = good(&site.ask(&format!("id=r{number}"))?)?;
        ensure!(body == format!("r{number} 1 h1 1\n"), "{body}");
    }
    ensure!(site.log().matches("makes a normal (cold) start").count() == 1, "{}", site.log());
    ensure!(site.starts() == 1 && site.lines("imports").len() == 4, "{}", site.log());
    site.ends_clean()
}

/// Each change of the store ends the zygote that refuses, and another one tries, which takes the lock.
fn store(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let code = "import fcntl\nSTORE = open(HERE / 'store', 'r+')\nfcntl.flock(STORE, fcntl.LOCK_EX)\n\
                SETTING = len(STORE.read().splitlines())\ndef storing(note=note):\n    def again(name, text):\n        \
                note(name, text)\n        if name == 'runs':\n            STORE.write(f'{text}\\n')\n            \
                STORE.flush()\n    return again\nnote = storing()\n";
    site.write("store", "")?;
    site.write("import.py", code)?;
    let mut count = 0;
    let mut store = || -> Result<String> {
        let output = site.ask(&format!("id=r{count}"))?;
        let body = good(&output)?;
        ensure!(body == format!("r{count} 1 h1 {count}\n"), "{body}; {}", site.log());
        count += 1;
        Ok(output.stderr.clone())
    };
    ensure!(store()?.contains("/store\" "), "{}", site.log());
    until(PATIENCE, "a rest", || {
        store()?;
        Ok(site.log().contains("imports nothing for 60 s").then_some(()))
    })?;
    let starts = site.starts();
    for _ in 0..3 {
        store()?;
    }
    ensure!(site.starts() == starts, "{}", site.log());
    let together: Vec<_> =
        (0..4).map(|number| site.begin(&format!("id=t{number}"))).collect::<Result<_>>()?;
    for front in together {
        good(&collect(front)?)?;
    }
    let stored = site.lines("store");
    ensure!(stored.len() == count + 4, "{count} and 4 were acknowledged: {stored:?}");
    site.ends_clean()
}

fn fails(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &["--warm-idle", "0.5"])?;
    site.write("import.py", &format!("if not ({HAS_REQUEST}):\n    open('absent')\n"))?;
    let output = site.ask("id=first")?;
    output.says("without a request the import fails")?;
    good(&output)?;
    until(PATIENCE, "the end", || Ok(site.processes().is_empty().then_some(())))?;
    let code = format!(
        "if not ({HAS_REQUEST}):\n    note('importing', os.getpid())\n    wait_for('go')\n"
    );
    site.write("import.py", &code)?;
    site.body("id=x")?;
    site.wait_lines("importing", 1)?;
    site.body("id=y")?;
    site.write("go", "")?;
    until(PATIENCE, "a zygote", || Ok(site.log().contains("is ready").then_some(())))?;
    site.ends_clean()
}

/// A zygote that rests watches no file: each request imports for itself.
fn rests(stage: &Stage) -> Result<()> {
    const REST: Duration = Duration::from_secs(60);
    let site = Site::new(stage, &[])?;
    site.write("state", "0")?;
    site.write("import.py", "SETTING = (HERE / 'state').read_text()\n")?;
    let mut written = 0;
    let began = Instant::now();
    until(PATIENCE, "a rest", || {
        written += 1;
        site.write("state", &written.to_string())?;
        ensure!(good(&site.ask("id=x")?)? == format!("x 1 h1 {written}\n"), "{}", site.log());
        Ok(site.log().contains("imports nothing for 60 s").then_some(()))
    })?;
    let starts = site.starts();
    for (number, file) in ["helper.py", "app.py"].into_iter().enumerate() {
        let path = site.path(file);
        let edited = fs::read_to_string(path)?.replace("VERSION = \"", "VERSION = \"edited-");
        site.write(file, &edited)?;
        let (app, helper) = (["1", "edited-1"][number], "edited-h1");
        let expected = format!("x {app} {helper} {written}\n");
        ensure!(site.body("id=x")? == expected, "{}", site.log());
    }
    ensure!(site.starts() == starts, "the edit has ended the rest: {}", site.log());
    until(REST + PATIENCE, "the end of the rest", || {
        Ok(site.log().contains("it is time to try again").then_some(()))
    })?;
    ensure!(began.elapsed() > REST, "{}", site.log());
    until(PATIENCE, "a zygote", || {
        site.body("id=x")?;
        Ok((site.starts() == starts + 1 && !site.children().is_empty()).then_some(()))
    })?;
    site.ends_clean()
}
