//! What docs/warm.md says is not seen: rows of `SQLite` databases that the import reads in an unusual way, until the
//! application is touched.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result};

use super::{Case, execute, has_started, make, says};
use crate::harness::command::run;
use crate::harness::stage::Stage;
use crate::warm::site::Site;

/// Applications that do not see the change. `after` is what they say when they have been touched.
pub(super) const CASES: &[Case] = &[
    Case {
        name: "rows that are read while the application has an authorizer of its own",
        files: &[],
        code: "import sqlite3\nbase = sqlite3.connect(HERE / 'base.sqlite3')\nwith base:\n    \
               base.execute('CREATE TABLE IF NOT EXISTS setting (value)')\n\
               base.set_authorizer(lambda *asked: sqlite3.SQLITE_OK)\n\
               SETTING = base.execute('SELECT count(*) FROM setting').fetchone()[0]\nbase.close()\n",
        before: "0",
        change: insert,
        after: "1",
    },
    Case {
        name: "rows that Connection.backup copies",
        files: &[],
        code: "import sqlite3\nbase, copy = sqlite3.connect(HERE / 'base.sqlite3'), sqlite3.connect(':memory:')\n\
               with base:\n    base.execute('CREATE TABLE IF NOT EXISTS setting (value)')\nbase.backup(copy)\n\
               SETTING = copy.execute('SELECT count(*) FROM setting').fetchone()[0]\nbase.close()\ncopy.close()\n",
        before: "0",
        change: insert,
        after: "1",
    },
    Case {
        name: "rows of a database whose name is a parameter of ATTACH",
        files: &[],
        code: "import sqlite3\nwith sqlite3.connect(':memory:') as base:\n    \
               base.execute('ATTACH ? AS other', [str(HERE / 'base.sqlite3')])\n    \
               base.execute('CREATE TABLE IF NOT EXISTS other.setting (value)')\n\
               SETTING = base.execute('SELECT count(*) FROM other.setting').fetchone()[0]\nbase.close()\n",
        before: "0",
        change: insert,
        after: "1",
    },
];

fn insert(site: &Site<'_>) -> Result<()> {
    execute(site, "base.sqlite3", "INSERT INTO setting VALUES ('stored')")
}

/// The change is not seen, and starts no other zygote; touched, the application sees it.
pub(super) fn not_told(stage: &Stage, case: &Case) -> Result<()> {
    let site = Site::new(stage, &[])?;
    make(&site, case)?;
    says(&site, case.before)?;
    (case.change)(&site)?;
    for _ in 0..2 {
        says(&site, case.before).context("the change is seen: docs/warm.md says it is not")?;
    }
    has_started(&site, 1)?;
    let text = fs::read_to_string(site.path("site.py"))?;
    site.write("site.py", &text)?;
    says(&site, case.after)?;
    has_started(&site, 2)?;
    site.ends_clean()
}

/// In WAL mode a table is first in the log alone.
pub(super) fn new_table(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    super::write(
        &site,
        "import sqlite3\nbase = sqlite3.connect(HERE / 'base.sqlite3')\nbase.execute('PRAGMA journal_mode=WAL')\n\
         with base:\n    base.execute('CREATE TABLE IF NOT EXISTS one (x)')\n\
         SETTING = len(base.execute('PRAGMA table_info(two)').fetchall())\nbase.close()\n",
    )?;
    says(&site, "0")?;
    let code = "import os, sqlite3, sys\nbase = sqlite3.connect(sys.argv[1])\nwith base:\n    \
                base.execute('CREATE TABLE two (x)')\nos._exit(0)\n";
    let mut python = site.stage.command(&site.stage.python());
    python.args(["-c", code]).arg(site.path("base.sqlite3")).stderr(Stdio::piped());
    run(site.stage, python)?.ends(0)?;
    says(&site, "0").context("the table is seen: docs/warm.md says it is not")?;
    execute(&site, "base.sqlite3", "PRAGMA wal_checkpoint")?;
    says(&site, "1")?;
    site.ends_clean()
}
