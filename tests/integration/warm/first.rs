//! The request that a zygote is started for: its child is forked before the zygote has made its heap ready for the
//! others.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::harness::command::{Test, collect};
use crate::harness::process::{PATIENCE, until};
use crate::harness::stage::Stage;
use crate::warm::site::{Site, good};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("P8: what an import left as garbage is finalized once, by the zygote", garbage),
    ("W6: the first request waits for no finalizer of the import, and the next ones do", finalizer),
    ("V4: a zygote that dies after the fork of its first child costs no request anything", dies),
    ("W6: a front that left during the import has its place taken by the next one", left),
    ("W5: a thread that only garbage keeps alive does not prevent warm requests", thread),
    ("W1: a file that only garbage keeps open does not prevent warm requests", file),
    ("the child of the first request shares the objects of the import with the next ones", shares),
];

/// Garbage whose finalizer runs `code` in the zygote, and notes any other process.
fn garbage_that(code: &str) -> String {
    format!(
        "class Finalized:\n    def __init__(self):\n        self.itself = self\n        self.importer = os.getpid()\n    \
         def __del__(self):\n        if os.getpid() != self.importer:\n            note('elsewhere', os.getpid())\n        \
         else:\n            {code}\nFinalized()\n"
    )
}

fn garbage(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("import.py", &garbage_that("note('finalized', os.getpid())"))?;
    for id in ["first", "second", "third"] {
        let body = site.body(&format!("id={id}"))?;
        ensure!(body == format!("{id} 1 h1 1\n"), "{body}");
    }
    let zygote = site.zygote()?.to_string();
    ensure!(site.lines("finalized") == [zygote], "{:?}", site.lines("finalized"));
    ensure!(site.lines("elsewhere").is_empty(), "a child finalizes what the import made");
    ensure!(site.lines("imports").len() == 1, "{}", site.log());
    site.ends_clean()
}

fn finalizer(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("import.py", &garbage_that("note('begun', os.getpid()); wait_for('go')"))?;
    // If it waited, it would wait for `go`.
    ensure!(site.body("id=first")? == "first 1 h1 1\n");
    let next = [site.begin("id=second")?, site.begin("id=third")?];
    site.wait_lines("begun", 1)?;
    site.write("go", "")?;
    for (front, id) in next.into_iter().zip(["second", "third"]) {
        let output = collect(front)?;
        ensure!(good(&output)? == format!("{id} 1 h1 1\n"), "{}", output.stderr);
        ensure!(site.runs(id) == 1, "{id} was run {} times", site.runs(id));
    }
    ensure!(site.starts() == 1, "{}", site.log());
    site.ends_clean()
}

fn dies(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("import.py", &garbage_that("wait_for('waiting'); os.kill(os.getpid(), 9)"))?;
    let first = site.begin("id=first&do=wait")?;
    site.wait_lines("waiting", 1)?;
    until(PATIENCE, "the death of the zygote", || Ok((site.processes().len() == 1).then_some(())))?;
    site.write("go", "")?;
    let output = collect(first)?;
    ensure!(good(&output)? == "first 1 h1 1\n", "{}", output.stderr);
    // The next zygote dies like the first one.
    let output = site.ask("id=second")?;
    ensure!(good(&output)? == "second 1 h1 1\n", "{}", output.stderr);
    for id in ["first", "second"] {
        ensure!(site.runs(id) == 1, "{id} was run {} times", site.runs(id));
    }
    site.ends()
}

fn left(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("import.py", "note('importing', os.getpid())\nwait_for('imported')\n")?;
    let first = site.begin("id=first")?;
    site.wait_lines("importing", 1)?;
    let second = site.begin("id=second")?;
    first.signal(libc::SIGKILL)?;
    site.write("imported", "")?;
    let output = collect(second)?;
    ensure!(good(&output)? == "second 1 h1 1\n", "{}", output.stderr);
    ensure!(site.runs("first") == 0 && site.runs("second") == 1, "{:?}", site.lines("runs"));
    ensure!(site.starts() == 1, "{}", site.log());
    site.ends_clean()
}

fn thread(stage: &Stage) -> Result<()> {
    let code = "import queue, threading\nclass Worker:\n    def __init__(self):\n        self.itself = self\n        \
                self.jobs = queue.SimpleQueue()\n        self.thread = threading.Thread(target=self.jobs.get)\n        \
                self.thread.start()\n    def __del__(self):\n        self.jobs.put(None)\n        self.thread.join()\n\
                Worker()\n";
    stays_warm(stage, code)
}

fn file(stage: &Stage) -> Result<()> {
    let code = "class Holder:\n    def __init__(self):\n        self.itself = self\n        \
                self.file = open(HERE / 'held', 'w')\nHolder()\n";
    stays_warm(stage, code)
}

/// A collection of the import's garbage, while the first request is answered, would write to all of its objects.
fn shares(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    // Twenty megabytes.
    site.write("import.py", "KEPT = [[number] for number in range(150_000)]\n")?;
    let first = site.begin("id=first&do=wait")?;
    site.wait_lines("waiting", 1)?;
    ensure!(site.body("id=second")? == "second 1 h1 1\n");
    // It has its request, and two wait for theirs.
    for child in site.wait_children(3, 2)? {
        let memory = fs::read_to_string(format!("/proc/{child}/smaps_rollup"))?;
        let own = memory.lines().find_map(|line| line.strip_prefix("Private_Dirty:"));
        let own = own.and_then(|rest| rest.trim().strip_suffix(" kB")).context(memory.clone())?;
        ensure!(own.parse::<u64>()? < 8 << 10, "a child has {own} kB of its own");
    }
    site.write("go", "")?;
    ensure!(good(&collect(first)?)? == "first 1 h1 1\n");
    site.ends_clean()
}

/// Two requests are answered by one zygote that imports `code`.
fn stays_warm(stage: &Stage, code: &str) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("import.py", code)?;
    for id in ["first", "second"] {
        ensure!(site.body(&format!("id={id}"))? == format!("{id} 1 h1 1\n"));
    }
    ensure!(site.lines("imports").len() == 1, "{}", site.log());
    site.ends_clean()
}
