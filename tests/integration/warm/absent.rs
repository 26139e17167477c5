//! What was not there at import is watched as what was: whatever another import would see, the next request sees. Each
//! application runs where the kernel tells of changes, and where it does not.

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

/// An application, and what comes while its zygote runs.
struct Case {
    name: &'static str,
    /// What is there besides the application.
    files: &'static [(&'static str, &'static str)],
    /// Sets SETTING, which is the response.
    code: &'static str,
    before: &'static str,
    change: fn(&Site<'_>) -> Result<()>,
    after: &'static str,
}

const CASES: &[Case] = &[
    Case {
        name: "an optional module that appears is imported",
        files: &[],
        code: "try:\n    from local_settings import SETTING\nexcept ImportError:\n    SETTING = 'none'\n",
        before: "none",
        change: |site| site.write("local_settings.py", "SETTING = 'local'\n"),
        after: "local",
    },
    Case {
        name: "the optional module of a package, with *, is imported when it appears",
        files: &[(
            "conf/__init__.py",
            "SETTING = 'default'\ntry:\n    from .local import *\nexcept ImportError:\n    pass\n",
        )],
        code: "from conf import SETTING\n",
        before: "default",
        change: |site| site.write("conf/local.py", "SETTING = 'local'\n"),
        after: "local",
    },
    Case {
        name: "a module that importlib did not find is imported when it appears, as a package too",
        files: &[],
        code: "import importlib, importlib.util\nif importlib.util.find_spec('extra'):\n    \
               SETTING = importlib.import_module('extra').SETTING\nelse:\n    SETTING = 'none'\n",
        before: "none",
        change: |site| {
            fs::create_dir(site.path("new"))?;
            site.write("new/__init__.py", "SETTING = 'package'\n")?;
            Ok(fs::rename(site.path("new"), site.path("extra"))?)
        },
        after: "package",
    },
    Case {
        name: "a package without __init__.py gets one",
        files: &[("extra/data.txt", "")],
        code: "import extra\nSETTING = getattr(extra, 'SETTING', 'namespace')\n",
        before: "namespace",
        change: |site| site.write("extra/__init__.py", "SETTING = 'package'\n"),
        after: "package",
    },
    Case {
        name: "a module that appears before another of its name is imported in its place",
        files: &[("library/extra.py", "SETTING = 'library'\n")],
        code: "import sys\nsys.path.append(str(HERE / 'library'))\nfrom extra import SETTING\n",
        before: "library",
        change: |site| site.write("extra.py", "SETTING = 'own'\n"),
        after: "own",
    },
    Case {
        name: "a directory of modules that appears is searched",
        files: &[],
        code: "import sys\nsys.path.insert(0, str(HERE / 'later' / 'library'))\ntry:\n    \
               from extra import SETTING\nexcept ImportError:\n    SETTING = 'none'\n",
        before: "none",
        change: |site| {
            fs::create_dir_all(site.path("new/library"))?;
            site.write("new/library/extra.py", "SETTING = 'library'\n")?;
            Ok(fs::rename(site.path("new"), site.path("later"))?)
        },
        after: "library",
    },
    Case {
        name: "an optional configuration file that appears is read",
        files: &[],
        code: "try:\n    SETTING = open(HERE / 'config.ini').read()\nexcept FileNotFoundError:\n    \
               SETTING = 'none'\n",
        before: "none",
        change: |site| site.write("config.ini", "configured"),
        after: "configured",
    },
    Case {
        name: "the second file that configparser looks for is read when it appears",
        files: &[("default.ini", "[site]\nsetting = default\n")],
        code: "import configparser\nparser = configparser.ConfigParser()\n\
               parser.read([HERE / 'default.ini', HERE / 'local.ini'])\nSETTING = parser['site']['setting']\n",
        before: "default",
        change: |site| site.write("local.ini", "[site]\nsetting = local\n"),
        after: "local",
    },
    Case {
        name: "a file is read when it appears in a directory that was not there",
        files: &[],
        code: "try:\n    SETTING = open(HERE / 'etc/site/config.ini').read()\nexcept FileNotFoundError:\n    \
               SETTING = 'none'\n",
        before: "none",
        change: |site| {
            fs::create_dir_all(site.path("new/site"))?;
            site.write("new/site/config.ini", "configured")?;
            Ok(fs::rename(site.path("new"), site.path("etc"))?)
        },
        after: "configured",
    },
    Case {
        name: "what a symbolic link leads to is read when it appears",
        files: &[],
        code: "try:\n    SETTING = open(HERE / 'config.ini').read()\nexcept FileNotFoundError:\n    \
               SETTING = 'none'\n(HERE / 'config.ini').is_symlink() or (HERE / 'config.ini').symlink_to('target')\n",
        before: "none",
        change: |site| site.write("target", "configured"),
        after: "configured",
    },
    Case {
        name: "a file that appears in a directory that was listed is seen",
        files: &[("plugins/one", "")],
        code: "import os\nSETTING = ' '.join(sorted(os.listdir(HERE / 'plugins')))\n",
        before: "one",
        change: |site| site.write("plugins/two", ""),
        after: "one two",
    },
    Case {
        name: "a file that goes from a directory that was scanned is seen",
        files: &[("plugins/one", ""), ("plugins/two", "")],
        code: "import os\nSETTING = ' '.join(sorted(entry.name for entry in os.scandir(HERE / 'plugins')))\n",
        before: "one two",
        change: |site| Ok(fs::remove_file(site.path("plugins/two"))?),
        after: "one",
    },
    Case {
        name: "a file that comes to match a pattern of glob is seen",
        files: &[("conf.d/one.ini", "1")],
        code: "import glob\nSETTING = ' '.join(open(name).read() for name in sorted(glob.glob(str(HERE / '*.d/*.ini'))))\n",
        before: "1",
        change: |site| site.write("conf.d/two.ini", "2"),
        after: "1 2",
    },
    Case {
        name: "a file that comes to match a pattern of pathlib is seen, in another directory too",
        files: &[("conf/one/site.ini", "1"), ("conf/two/data.txt", "")],
        code: "SETTING = ' '.join(file.read_text() for file in sorted(HERE.glob('conf/*/site.ini')))\n",
        before: "1",
        change: |site| site.write("conf/two/site.ini", "2"),
        after: "1 2",
    },
    Case {
        name: "a module that pkgutil comes to find is seen",
        files: &[("plugins/one.py", ""), ("plugins/__init__.py", "")],
        code: "import pkgutil, plugins\nSETTING = ' '.join(module.name for module in pkgutil.iter_modules(plugins.__path__))\n",
        before: "one",
        change: |site| site.write("plugins/two.py", ""),
        after: "one two",
    },
    Case {
        name: "a directory that was to be listed is seen to come",
        files: &[],
        code: "import os\ntry:\n    SETTING = ' '.join(os.listdir(HERE / 'plugins'))\nexcept FileNotFoundError:\n    \
               SETTING = 'none'\n",
        before: "none",
        change: |site| {
            fs::create_dir(site.path("new"))?;
            site.write("new/one", "")?;
            Ok(fs::rename(site.path("new"), site.path("plugins"))?)
        },
        after: "one",
    },
    Case {
        name: "a distribution that importlib.metadata comes to find is seen",
        files: &[],
        code: "import importlib.metadata as metadata\ntry:\n    SETTING = metadata.version('extra-of-site')\n\
               except metadata.PackageNotFoundError:\n    SETTING = 'none'\n",
        before: "none",
        change: |site| {
            fs::create_dir(site.path("new"))?;
            site.write("new/METADATA", "Name: extra-of-site\nVersion: 1.5\n")?;
            Ok(fs::rename(site.path("new"), site.path("extra_of_site-1.5.dist-info"))?)
        },
        after: "1.5",
    },
    Case {
        name: "a file that exists() was asked for is seen to come",
        files: &[],
        code: "import os.path\nSETTING = os.path.exists(os.path.join(HERE, 'maintenance'))\n",
        before: "False",
        change: |site| site.write("maintenance", ""),
        after: "True",
    },
    Case {
        name: "a file that exists() was asked for is seen to go",
        files: &[("maintenance", "")],
        code: "SETTING = (HERE / 'maintenance').exists()\n",
        before: "True",
        change: |site| Ok(fs::remove_file(site.path("maintenance"))?),
        after: "False",
    },
    Case {
        name: "what os.stat, os.access, isdir and a relative name did not find is seen to come",
        files: &[],
        code: "import os\nos.chdir(HERE)\ndef has(name):\n    try:\n        return bool(os.stat(name, dir_fd=None))\n    \
               except OSError:\n        return False\n\
               SETTING = [has(b'one'), os.access('two', os.R_OK), os.path.isdir('three')]\n",
        before: "[False, False, False]",
        change: |site| {
            fs::create_dir(site.path("new"))?;
            for name in ["one", "two"] {
                site.write(&format!("new/{name}"), "")?;
            }
            for name in ["one", "two"] {
                fs::rename(site.path("new").join(name), site.path(name))?;
            }
            Ok(fs::rename(site.path("new"), site.path("three"))?)
        },
        after: "[True, True, True]",
    },
    Case {
        name: "a file that was opened r+ is seen to change",
        files: &[("state", "1")],
        code: "with open(HERE / 'state', 'r+') as state:\n    SETTING = state.read()\n",
        before: "1",
        change: |site| site.write("state", "22"),
        after: "22",
    },
    Case {
        name: "a file that was opened a+ is seen to change",
        files: &[("state", "1")],
        code: "with open(HERE / 'state', 'a+') as state:\n    state.seek(0)\n    SETTING = state.read()\n",
        before: "1",
        change: |site| site.write("state", "22"),
        after: "22",
    },
    Case {
        name: "a name that is relative to a directory's descriptor is seen to come, and to change",
        files: &[("conf/there", "1")],
        code: "import os\ndirectory = os.open(HERE / 'conf', os.O_RDONLY)\ndef read(name):\n    try:\n        \
               file = os.open(name, os.O_RDONLY, dir_fd=directory)\n    except FileNotFoundError:\n        return 'none'\n    \
               with open(file) as text:\n        return text.read()\n\
               SETTING = read('there') + ' ' + read('absent')\nos.close(directory)\n",
        before: "1 none",
        change: |site| {
            site.write("conf/absent", "2")?;
            site.write("conf/there", "11")
        },
        after: "11 2",
    },
    Case {
        name: "a table that a database gets is seen",
        files: &[],
        code: "import sqlite3\nbase = sqlite3.connect(f'file:{HERE}/base%2Esqlite3', uri=True)\nwith base:\n    \
               base.execute('CREATE TABLE IF NOT EXISTS one (x)')\n\
               SETTING = len(base.execute('SELECT name FROM sqlite_master').fetchall())\nbase.close()\n",
        before: "1",
        change: |site| execute(site, "base.sqlite3", "CREATE TABLE two (x)"),
        after: "2",
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
        name: "a shelf that the import reads is seen to change",
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
    Case {
        name: "a settings module of Django that is optional is imported when it appears",
        files: &[
            (
                "mysite/settings.py",
                "SECRET_KEY = 'secret'\nALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'mysite.urls'\nGREETING = 'default'\n\
             try:\n    from .local_settings import *\nexcept ImportError:\n    pass\n",
            ),
            (
                "mysite/urls.py",
                "from django.conf import settings\nfrom django.http import HttpResponse\nfrom django.urls import path\n\
             urlpatterns = [path('', lambda request: HttpResponse(settings.GREETING))]\n",
            ),
            ("mysite/__init__.py", ""),
        ],
        code: "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'mysite.settings'\n\
               from django.core.wsgi import get_wsgi_application\n_django = get_wsgi_application()\nSETTING = None\n",
        before: "default",
        change: |site| site.write("mysite/local_settings.py", "GREETING = 'local'\n"),
        after: "local",
    },
];

/// Executes SQL in a database of the site's, as its user and in a process of its own.
fn execute(site: &Site<'_>, database: &str, statements: &str) -> Result<()> {
    let code = "import sqlite3, sys\nbase = sqlite3.connect(sys.argv[1])\n\
                base.executescript(sys.argv[2])\nbase.close()\n";
    let mut python = site.stage.command(&site.stage.python());
    python.args(["-c", code]).arg(site.path(database)).arg(statements).stderr(Stdio::piped());
    run(site.stage, python)?.ends(0).map(drop)
}

/// The application of a case.
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
    ensure!(output.stderr.is_empty(), "it complains: {}", output.stderr);
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

/// The next request sees it, and neither those before nor those after start another zygote.
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

/// The same a second later.
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
    ("W4: what comes while the application is imported is seen", during_import),
    ("W4: what an import makes itself, and looked for before, is no change", own),
    ("W4: an optional module that appears is seen by a Python with -O too", optimized),
    ("W4: a package that appears in two steps is seen", two_steps),
    (
        "W4: an import that looks into thousands of directories is answered cold, with the number",
        too_many,
    ),
];

/// The import asks in every way; then come a log, a journal, temporary files and bytecode.
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

/// What `--warm-request` lists is asked anew by each request; the template that it loads stays.
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
    let ways: [(&str, &str, &str); 3] = [
        (
            "try:\n    from extra import SETTING\nexcept ImportError:\n    SETTING = 'none'\n",
            "extra.py",
            "SETTING = 1\n",
        ),
        ("import os\nSETTING = len(os.listdir(HERE / 'd'))\n", "d/one", ""),
        ("SETTING = int((HERE / 'flag').exists())\n", "flag", ""),
    ];
    for (code, name, text) in ways {
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
    for case in CASES {
        trials.push(trial_of(case, "", told));
        trials.push(trial_of(case, ", where the kernel does not tell", polled));
    }
    trials
}
