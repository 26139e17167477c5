//! The zygote also watches what the import looked for and did not find: the next request sees what another import
//! would see. Each application runs where the kernel reports changes, and where it does not. `modules`, `files` and
//! `databases` have cases of an application and one change, `unseen` those that are documented as not seen; tests with
//! more steps are here.

mod databases;
mod files;
mod modules;
mod unseen;

use std::fs;
use std::os::unix::fs::chown;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{Test, collect, run, trials_of};
use crate::harness::process::{AtParentDeath, Running};
use crate::harness::stage::Stage;
use crate::harness::table::failed;
use crate::harness::world::World;
use crate::warm::polling::Fronts;
use crate::warm::site::{Site, good};

/// An application, and a change while its zygote runs.
struct Case {
    name: &'static str,
    /// The files beside the application.
    files: &'static [(&'static str, &'static str)],
    /// Sets SETTING, which is the response.
    code: &'static str,
    before: &'static str,
    change: fn(&Site<'_>) -> Result<()>,
    after: &'static str,
}

/// Executes SQL in a database of the site, as the site's user and in a separate process.
fn execute(site: &Site<'_>, database: &str, statements: &str) -> Result<()> {
    let code = "import sqlite3, sys\nbase = sqlite3.connect(sys.argv[1])\n\
                base.executescript(sys.argv[2])\nbase.close()\n";
    let mut python = site.stage.command(&site.stage.python());
    python.args(["-c", code]).arg(site.path(database)).arg(statements).stderr(Stdio::piped());
    run(site.stage, python)?.ends(0).map(drop)
}

/// Writes the files and the application of a case.
fn make(site: &Site<'_>, case: &Case) -> Result<()> {
    for (name, text) in case.files {
        let directory = site.path(name);
        let directory = directory.parent().context("no directory")?;
        fs::create_dir_all(directory)?;
        let user = &site.stage.user;
        chown(directory, Some(user.uid), Some(user.gid))?;
        site.write(name, text)?;
    }
    write(site, case.code)
}

fn write(site: &Site<'_>, code: &str) -> Result<()> {
    let text = format!(
        "import pathlib\nHERE = pathlib.Path(__file__).parent\n{code}\n\
         def application(environ, start_response):\n    if SETTING is None:\n        \
         return _django(environ, start_response)\n    \
         start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [str(SETTING).encode()]\n"
    );
    site.write("site.py", &text)
}

fn ask(site: &Site<'_>, variables: &[(&str, &str)]) -> Result<String> {
    let mut command = site.command_of(&site.stage.bridge(), &site.path("site.py"), "id=x");
    command.envs(variables.iter().copied());
    let output = run(site.stage, command)?;
    ensure!(output.stderr.is_empty(), "standard error has: {}", output.stderr);
    good(&output)
}

fn says(site: &Site<'_>, expected: &str) -> Result<()> {
    let body = ask(site, &[])?;
    ensure!(body == expected, "{body:?}, not {expected:?}; {}", site.log());
    Ok(())
}

fn has_started(site: &Site<'_>, zygotes: usize) -> Result<()> {
    ensure!(site.starts() == zygotes, "not {zygotes} starts: {}", site.log());
    Ok(())
}

/// The next request sees the change, and no request before or after it starts another zygote.
fn told(stage: &Stage, case: &Case) -> Result<()> {
    let site = Site::new(stage, &["--venv", &stage.python_env().to_string_lossy()])?;
    make(&site, case)?;
    for _ in 0..3 {
        says(&site, case.before)?;
    }
    has_started(&site, 1)?;
    (case.change)(&site)?;
    for _ in 0..3 {
        says(&site, case.after)?;
    }
    has_started(&site, 2)?;
    site.ends_clean()
}

/// The same without reports of the kernel: requests see the change a second later.
fn polled(stage: &Stage, case: &Case) -> Result<()> {
    let site = Site::new(stage, &["--venv", &stage.python_env().to_string_lossy()])?;
    make(&site, case)?;
    let mut fronts = Fronts::limited(&site, "instances", 0)?;
    fronts.application = site.path("site.py");
    for _ in 0..2 {
        fronts.says(case.before)?;
    }
    (case.change)(&site)?;
    fronts.comes_to_say(case.before, case.after)?;
    fronts.end()
}

const OTHERS: &[(&str, Test)] = &[
    ("W4: what requests write beside the application restarts nothing", unrelated),
    ("W4: what --warm-request lists restarts nothing", rehearsed),
    (
        "W4: changes of rows that the import has not read, and mere reading, restart nothing",
        other_rows,
    ),
    ("W4: what appears during the import is seen", during_import),
    ("W4: a file that the import looks for and then makes itself is no change", own),
    ("W4: an optional module that appears is seen under PYTHONOPTIMIZE", optimized),
    ("W4: a package that appears in two steps is seen", two_steps),
    (
        "W4: an import that lists thousands of directories leads to normal starts, and the log has their number",
        too_many,
    ),
    (
        "W4: in WAL mode a table that is added to a database of which no row was read is seen when it leaves the log",
        unseen::new_table,
    ),
];

/// The import looks for files in every way; requests write a log, a journal, temporary files and bytecode.
fn unrelated(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    write(
        &site,
        "import glob, importlib.metadata, os, pkgutil, sqlite3, sys, tempfile\n\
         try:\n    import local_settings\nexcept ImportError:\n    pass\n\
         try:\n    open(HERE / 'config.ini')\nexcept FileNotFoundError:\n    pass\n\
         os.path.exists(HERE / 'maintenance')\nlist(pkgutil.iter_modules([str(HERE)]))\n\
         list(importlib.metadata.distributions())\n\
         with sqlite3.connect(HERE / 'db.sqlite3') as base:\n    \
         base.execute('CREATE TABLE IF NOT EXISTS t (x)')\n    \
         base.execute('PRAGMA table_info(t)').fetchall()\nbase.close()\n\
         class Setting:\n    def __str__(self):\n        \
         base = sqlite3.connect(HERE / 'db.sqlite3')\n        \
         base.execute('CREATE TABLE IF NOT EXISTS t (x)')\n        base.execute('INSERT INTO t VALUES (1)')\n        \
         base.commit()\n        base.close()\n        \
         open(HERE / 'app.log', 'a').write('line\\n')\n        \
         tempfile.NamedTemporaryFile(dir=HERE).close()\n        \
         open(HERE / f'upload-{os.getpid()}', 'w').close()\n        \
         os.makedirs(HERE / '__pycache__', exist_ok=True)\n        \
         open(HERE / '__pycache__' / f'{os.getpid()}.pyc', 'w').close()\n        return 'right'\nSETTING = Setting()\n",
    )?;
    for _ in 0..20 {
        says(&site, "right")?;
    }
    let made = fs::read_dir(&site.directory)?.flatten();
    let uploads = made.filter(|entry| entry.file_name().to_string_lossy().starts_with("upload-"));
    ensure!(uploads.count() == 20, "the requests have written nothing");
    has_started(&site, 1)
}

/// Each request lists anew what `--warm-request` listed; the template that it loaded stays in memory.
fn rehearsed(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &["--warm-request", "/"])?;
    fs::create_dir(site.path("uploads"))?;
    execute(&site, "base.sqlite3", "CREATE TABLE t (x)")?;
    write(
        &site,
        "import functools, os, sqlite3\n@functools.cache\ndef template():\n    try:\n        \
         return open(HERE / 'page.html').read()\n    except FileNotFoundError:\n        return 'plain'\n\
         class Setting:\n    def __str__(self):\n        \
         with sqlite3.connect(HERE / 'base.sqlite3') as base:\n            \
         rows = base.execute('SELECT x FROM t').fetchall()\n        base.close()\n        \
         return f\"{template()} {len(os.listdir(HERE / 'uploads'))} {len(rows)}\"\nSETTING = Setting()\n",
    )?;
    says(&site, "plain 0 0")?;
    site.write("uploads/one", "")?;
    execute(&site, "base.sqlite3", "INSERT INTO t VALUES (1)")?;
    says(&site, "plain 1 1")?;
    has_started(&site, 1)?;
    site.write("page.html", "page")?;
    says(&site, "page 1 1")?;
    has_started(&site, 2)
}

fn during_import(stage: &Stage) -> Result<()> {
    let ways: &[(&str, &str, &str)] = &[
        (
            "try:\n    from extra import SETTING\nexcept ImportError:\n    SETTING = 'none'\n",
            "extra.py",
            "SETTING = 1\n",
        ),
        ("import os\nSETTING = len(os.listdir(HERE / 'd'))\n", "d/one", ""),
        ("SETTING = int((HERE / 'flag').exists())\n", "flag", ""),
    ];
    for &(code, name, text) in ways {
        let site = Site::new(stage, &[])?;
        fs::create_dir(site.path("d"))?;
        let wait = "import time\nopen(HERE / 'importing', 'a').write('line\\n')\n\
                    while not (HERE / 'go').exists():\n    time.sleep(0.005)\n";
        write(&site, &format!("{code}{wait}"))?;
        let command = site.command_of(&stage.bridge(), &site.path("site.py"), "id=x");
        let first = Running::start(command, &stage.user, AtParentDeath::Kill)?;
        site.wait_lines("importing", 1)?;
        site.write(name, text)?;
        site.write("go", "")?;
        let body = good(&collect(first)?)?;
        ensure!(body == "1", "{name}: {body}; {}", site.log());
        says(&site, "1")?;
    }
    Ok(())
}

fn own(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    write(
        &site,
        "import os, sqlite3\nif not (HERE / 'data').exists():\n    (HERE / 'data').mkdir()\n    \
         (HERE / 'data' / 'made').write_text('1')\nos.listdir(HERE / 'data')\n\
         if not os.path.exists(HERE / 'link'):\n    os.symlink('data', HERE / 'link')\n\
         (HERE / 'data' / f'{os.getpid()}').write_text('')\nSETTING = 'made'\n",
    )?;
    for _ in 0..5 {
        says(&site, "made")?;
    }
    has_started(&site, 1)
}

fn other_rows(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    write(
        &site,
        "import sqlite3\nfor name, mode in ('ahead', 'WAL'), ('plain', 'DELETE'), ('unread', 'WAL'):\n    \
         base = sqlite3.connect(HERE / f'{name}.sqlite3')\n    base.execute(f'PRAGMA journal_mode={mode}')\n    \
         with base:\n        base.execute('CREATE TABLE IF NOT EXISTS t (x)')\n        \
         base.execute('PRAGMA table_info(t)').fetchall()\n    if name != 'unread':\n        \
         SETTING = len(base.execute('SELECT x FROM t').fetchall())\n    base.close()\n",
    )?;
    let query = "SELECT x FROM t; PRAGMA user_version";
    for _ in 0..2 {
        says(&site, "0")?;
        execute(&site, "ahead.sqlite3", query)?;
        execute(&site, "plain.sqlite3", query)?;
        execute(&site, "unread.sqlite3", "INSERT INTO t VALUES (1)")?;
    }
    says(&site, "0")?;
    has_started(&site, 1)?;
    site.ends_clean()
}

fn optimized(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    write(
        &site,
        "import importlib\ntry:\n    SETTING = importlib.import_module('extra').SETTING\n\
         except ImportError:\n    SETTING = 'none'\nassert False\n",
    )?;
    let says = |expected: &str| -> Result<()> {
        let body = ask(&site, &[("PYTHONOPTIMIZE", "1")])?;
        ensure!(body == expected, "{body:?}, not {expected:?}; {}", site.log());
        Ok(())
    };
    says("none")?;
    says("none")?;
    site.write("extra.py", "SETTING = 'extra'\n")?;
    says("extra")?;
    says("extra")?;
    has_started(&site, 2)
}

fn two_steps(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    write(
        &site,
        "try:\n    from extra.inner import SETTING\nexcept ImportError:\n    SETTING = 'none'\n",
    )?;
    says(&site, "none")?;
    fs::create_dir(site.path("extra"))?;
    says(&site, "none")?;
    site.write("extra/inner.py", "SETTING = 'of a namespace'\n")?;
    says(&site, "of a namespace")?;
    site.write("extra/__init__.py", "raise ImportError\n")?;
    says(&site, "none")?;
    has_started(&site, 4)
}

fn too_many(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let tree = site.path("tree");
    for number in 0..8200 {
        fs::create_dir_all(tree.join(number.to_string()))?;
    }
    write(&site, "import os\nSETTING = len(list(os.walk(HERE / 'tree')))\n")?;
    let command = site.command_of(&stage.bridge(), &site.path("site.py"), "id=x");
    let output = run(stage, command)?;
    output
        .says("falling back to a normal (cold) start")?
        .says("directories, and no more than 8192")?;
    ensure!(good(&output)? == "8201", "{:?}", output.response()?);
    Ok(())
}

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let trial_of = |case: &'static Case, end: &str, test: fn(&Stage, &Case) -> Result<()>| {
        let world = Arc::clone(world);
        Trial::test(format!("warm::absent::W4: {}{end}", case.name), move || {
            world.stage().and_then(|stage| test(stage, case)).map_err(|error| failed(&error))
        })
    };
    let mut trials = trials_of("warm::absent", OTHERS, world);
    for case in [modules::CASES, files::CASES, databases::CASES].into_iter().flatten() {
        trials.push(trial_of(case, "", told));
        trials.push(trial_of(case, ", without reports from the kernel", polled));
    }
    for case in unseen::CASES {
        trials.push(trial_of(
            case,
            " are not seen before the application is touched",
            unseen::not_told,
        ));
    }
    trials
}
