//! Databases and shelves that appear or change after the import.

use std::process::Stdio;

use super::{Case, execute};
use crate::harness::command::run;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a table that is added to a database is seen",
        files: &[],
        code: "import sqlite3\nbase = sqlite3.connect(f'file:{HERE}/base%2Esqlite3', uri=True)\nwith base:\n    \
               base.execute('CREATE TABLE IF NOT EXISTS one (x)')\n\
               SETTING = len(base.execute('SELECT name FROM sqlite_master').fetchall())\nbase.close()\n",
        before: "1",
        change: |site| execute(site, "base.sqlite3", "CREATE TABLE two (x)"),
        after: "2",
    },
    Case {
        name: "a row is seen that is added to a table that the import reads",
        files: &[],
        code: "import sqlite3\nbase = sqlite3.connect(HERE / 'base.sqlite3')\nwith base:\n    \
               base.execute('CREATE TABLE IF NOT EXISTS setting (value)')\n\
               SETTING = base.execute('SELECT count(*) FROM setting').fetchone()[0]\nbase.close()\n",
        before: "0",
        change: |site| execute(site, "base.sqlite3", "INSERT INTO setting VALUES ('stored')"),
        after: "1",
    },
    Case {
        name: "a change is seen in an attached database that the application's own class of connections reads",
        files: &[],
        code: "import sqlite3\nwith sqlite3.connect(HERE / 'other.sqlite3') as other:\n    \
               other.execute('CREATE TABLE IF NOT EXISTS setting (value)')\nother.close()\n\
               class Base(sqlite3.Connection):\n    def __init__(self, *arguments, **named):\n        \
               super().__init__(*arguments, **named)\n        self.execute(f\"ATTACH '{HERE}/other.sqlite3' AS other\")\n\
               base = sqlite3.connect(str(HERE / 'base.sqlite3'), factory=Base)\n\
               SETTING = str(base.execute('SELECT value FROM other.setting').fetchall())\nbase.close()\n",
        before: "[]",
        change: |site| execute(site, "other.sqlite3", "INSERT INTO setting VALUES (7)"),
        after: "[(7,)]",
    },
    Case {
        name: "a change is seen that is only in the write-ahead log",
        files: &[],
        code: "import sqlite3\nbase = sqlite3.connect(f'file:{HERE}/base.sqlite3', uri=True)\n\
               base.execute('PRAGMA journal_mode=WAL')\nwith base:\n    \
               base.execute('CREATE TABLE IF NOT EXISTS setting (value)')\n\
               SETTING = str(base.execute('SELECT value FROM setting').fetchall())\nbase.close()\n",
        before: "[]",
        change: |site| {
            let code = "import os, sqlite3, sys\nbase = sqlite3.connect(sys.argv[1])\nwith base:\n    \
                        base.execute(\"INSERT INTO setting VALUES ('ahead')\")\nos._exit(0)\n";
            let mut python = site.stage.command(&site.stage.python());
            python.args(["-c", code]).arg(site.path("base.sqlite3")).stderr(Stdio::piped());
            run(site.stage, python)?.ends(0).map(drop)
        },
        after: "[('ahead',)]",
    },
    Case {
        name: "a database that appears is seen",
        files: &[],
        code: "import sqlite3\ntry:\n    base = sqlite3.connect(f'file:{HERE}/base.sqlite3?mode=ro', uri=True)\n    \
               SETTING = base.execute('SELECT value FROM setting').fetchone()[0]\nexcept sqlite3.OperationalError:\n    \
               SETTING = 'none'\n",
        before: "none",
        change: |site| {
            execute(
                site,
                "base.sqlite3",
                "CREATE TABLE setting (value);\
                                INSERT INTO setting VALUES ('stored')",
            )
        },
        after: "stored",
    },
    Case {
        name: "a change of a shelf that the import reads is seen",
        files: &[],
        code: "import dbm.dumb, shelve\ndef read(flag):\n    with shelve.Shelf(dbm.dumb.open(str(HERE / 'shelf'), flag)) as shelf:\n        \
               return dict(shelf)\ntry:\n    SETTING = read('r').get('value', 'none')\nexcept OSError:\n    SETTING = 'none'\n",
        before: "none",
        change: |site| {
            let code = "import dbm.dumb, shelve, sys\nwith shelve.Shelf(dbm.dumb.open(sys.argv[1], 'c')) as shelf:\n    \
                        shelf['value'] = 'stored'\n";
            let mut python = site.stage.command(&site.stage.python());
            python.args(["-c", code]).arg(site.path("shelf")).stderr(Stdio::piped());
            run(site.stage, python)?.ends(0).map(drop)
        },
        after: "stored",
    },
];
