//! Fresh code: the first request after a change is answered by the changed files, and nothing else starts another
//! zygote.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::harness::command::{Test, collect, run};
use crate::harness::exchange::is_page;
use crate::harness::process::{AtParentDeath, PATIENCE, Running, until};
use crate::harness::stage::{Stage, copy_executable};
use crate::warm::site::{Site, good, wait_gone};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("50 first requests at once start one zygote, which imports once", thundering_start),
    ("an edit is seen by the next request, however an editor writes", edits),
    ("a touch of the application and the removal of a module are seen", touch_and_removal),
    ("a change of a file that the import has read is seen", settings),
    ("a change of pyvenv.cfg and a new package are seen", environment),
    ("a change of an archive of modules is seen", archive),
    (
        "a file that requests write and the import reads is named as the reason of restarts",
        state_file,
    ),
    ("W6: a file that ends one zygote after another leads to normal starts, with the cure", churn),
    ("W6: a change of a file that --warm-ignore names restarts nothing", ignored_file),
    ("W7: a request at a shell is answered warm with --warm", at_a_shell),
    ("a release that a symbolic link or a moved directory puts in place is seen", releases),
    ("a syntax error is a 500 with the error in the log, until it is corrected", syntax_error),
    ("an edit during the import is seen", edit_during_import),
    ("what requests write beside the code starts no other zygote", unrelated_files),
    ("what an import itself writes is no change", own_files),
    ("a replaced zygote finishes its requests; a replaced worker's file is seen", replaced),
];

fn thundering_start(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let fronts: Vec<_> =
        (0..50).map(|number| site.begin(&format!("id=r{number}"))).collect::<Result<_>>()?;
    for (number, front) in fronts.into_iter().enumerate() {
        let body = good(&collect(front)?)?;
        ensure!(body == format!("r{number} 1 h1 1\n"), "{body}");
    }
    ensure!(site.lines("imports").len() == 1, "{} imports", site.lines("imports").len());
    ensure!(site.starts() == 1, "{}", site.log());
    ensure!(site.lines("runs").len() == 50, "{:?}", site.lines("runs"));
    site.ends_clean()
}

fn says(site: &Site<'_>, expected: &str) -> Result<()> {
    let body = site.body("id=x")?;
    ensure!(body == format!("x {expected}\n"), "{body:?}, not {expected}; {}", site.log());
    Ok(())
}

fn application(site: &Site<'_>, version: &str) -> Result<String> {
    let text = fs::read_to_string(site.stage.path("applications/warm.py"))?;
    ensure!(text.matches("VERSION = \"1\"").count() == 1, "no VERSION in it");
    Ok(text.replace("VERSION = \"1\"", &format!("VERSION = \"{version}\"")))
}

/// Gives a file of the site another text.
type Change = fn(&Site<'_>, &str, &str) -> Result<()>;

fn edits(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    says(&site, "1 h1 1")?;
    // Python recognises stale bytecode by the source's time, in seconds, and size: no two versions have the same size.
    let mut version = "1".to_owned();
    for name in ["app.py", "helper.py"] {
        let how: &[Change] = &[
            // In place.
            |site, name, text| site.write(name, text),
            // By rename, as editors do.
            |site, name, text| {
                site.write("new", text)?;
                Ok(fs::rename(site.path("new"), site.path(name))?)
            },
            // Removed and made again, as git does.
            |site, name, text| {
                fs::remove_file(site.path(name))?;
                site.write(name, text)
            },
            // Moved away, with a backup left, and written anew.
            |site, name, text| {
                fs::rename(site.path(name), site.path("backup~"))?;
                site.write(name, text)
            },
        ];
        for change in how {
            version += "1";
            let (text, expected) = if name == "app.py" {
                (application(&site, &version)?, format!("{version} h1 1"))
            } else {
                (format!("VERSION = \"h{version}\"\n"), format!("11111 h{version} 1"))
            };
            change(&site, name, &text)?;
            says(&site, &expected).with_context(|| format!("{name}, change {version}"))?;
            let zygote = site.zygote_of_now()?;
            says(&site, &expected)?;
            ensure!(site.zygote_of_now()? == zygote, "another zygote: {}", site.log());
        }
    }
    Ok(())
}

fn touch_and_removal(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    says(&site, "1 h1 1")?;
    let zygote = site.zygote()?;
    let touched = Command::new("touch").arg(site.path("app.py")).status()?;
    ensure!(touched.success(), "touch failed");
    says(&site, "1 h1 1")?;
    ensure!(site.zygote_of_now()? != zygote, "the same zygote: {}", site.log());
    fs::remove_file(site.path("helper.py"))?;
    let output = site.ask("id=y")?;
    let (status, _) = output.ends(1)?.says("No module named 'helper'")?.response()?;
    ensure!(status == 500, "{status}");
    site.write("helper.py", "VERSION = \"again\"\n")?;
    says(&site, "1 again 1")
}

fn settings(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    says(&site, "1 h1 1")?;
    site.write("settings.json", "2")?;
    says(&site, "1 h1 2")?;
    site.write("new", "3")?;
    fs::rename(site.path("new"), site.path("settings.json"))?;
    says(&site, "1 h1 3")
}

/// Imports a package that is not installed yet.
pub(crate) const IMPORT_EXTRA: &str = "try:\n    import extra\nexcept ImportError:\n    SETTING = 'none'\n\
                                       else:\n    SETTING = extra.WHAT\n";

/// Makes a virtual environment beside the application, with the tests' packages and one more directory. Returns both
/// paths.
pub(crate) fn make_venv(site: &Site<'_>) -> Result<(PathBuf, PathBuf)> {
    let (stage, venv) = (site.stage, site.path("venv"));
    let version = fs::read_dir(stage.python_env().join("lib"))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| name.starts_with("python"))
        .context("no library")?;
    let packages = venv.join("lib").join(&version).join("site-packages");
    fs::create_dir_all(&packages)?;
    fs::create_dir(venv.join("bin"))?;
    symlink(stage.python_env().join("bin/python"), venv.join("bin/python"))?;
    fs::copy(stage.python_env().join("pyvenv.cfg"), venv.join("pyvenv.cfg"))?;
    Ok((venv, packages))
}

fn environment(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let (venv, packages) = make_venv(&site)?;
    site.write("import.py", IMPORT_EXTRA)?;
    says(&site, "1 h1 none")?;
    let zygote = site.zygote()?;
    fs::write(packages.join("extra.py"), "WHAT = 'extra'\n")?;
    says(&site, "1 h1 extra")?;
    let second = site.zygote_of_now()?;
    ensure!(second != zygote, "the same zygote");
    let configuration = fs::read_to_string(venv.join("pyvenv.cfg"))?;
    fs::write(venv.join("pyvenv.cfg"), format!("{configuration}\n"))?;
    says(&site, "1 h1 extra")?;
    ensure!(site.zygote_of_now()? != second, "the same zygote");
    Ok(())
}

fn archive(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let packed = site.path("packed.zip");
    let pack = |version: &str| -> Result<()> {
        let code = "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], 'w') as archive:\n    \
                    archive.writestr('package/__init__.py', '')\n    \
                    archive.writestr('package/inner.py', f'VERSION = {sys.argv[2]!r}\\n')\n";
        let mut python = stage.command(&stage.python());
        python.args(["-c", code]).arg(&packed).arg(version).stderr(Stdio::piped());
        run(stage, python)?.ends(0).map(drop)
    };
    pack("packed")?;
    let import = format!(
        "sys.path.insert(0, {packed:?})\nimport package.inner\nSETTING = package.inner.VERSION\n"
    );
    site.write("import.py", &import)?;
    says(&site, "1 h1 packed")?;
    says(&site, "1 h1 packed")?;
    pack("packed again")?;
    says(&site, "1 h1 packed again")?;
    fs::rename(&packed, site.path("old.zip"))?;
    pack("packed anew")?;
    says(&site, "1 h1 packed anew")?;
    ensure!(site.starts() == 3, "{}", site.log());
    ensure!(site.log().contains("packed.zip changed"), "{}", site.log());
    Ok(())
}

/// An application whose import reads what each request writes.
fn site_with_state<'s>(stage: &'s Stage, options: &[&str]) -> Result<Site<'s>> {
    let site = Site::new(stage, options)?;
    let code = "STATE = HERE / 'state.json'\nSETTING = json.loads(STATE.read_text())\n\
                def counted(note=note):\n    def again(name, text):\n        note(name, text)\n        \
                STATE.write_text(json.dumps(SETTING + 1))\n    return again\nnote = counted()\n";
    site.write("import.py", code)?;
    site.write("state.json", "1")?;
    Ok(site)
}

/// A zygote for each request takes longer than a normal start: after some zygotes requests start normally, and a
/// message says why.
fn churn(stage: &Stage) -> Result<()> {
    let site = site_with_state(stage, &["--warm-idle", "5"])?;
    end_four_zygotes(&site)?;
    let rests = |number: usize| -> Result<()> {
        let output = site.ask("id=x")?;
        let said = output.says("falling back to a normal (cold) start: the import reads ")?;
        said.says("/state.json, which has changed")?.says("give --warm-ignore /")?;
        let body = good(&output)?;
        ensure!(body == format!("x 1 h1 {number}\n"), "{body}; {}", site.log());
        Ok(())
    };
    rests(5)?;
    let zygote = site.zygote_of_now()?;
    for number in 6..=7 {
        says(&site, &format!("1 h1 {number}"))?;
    }
    ensure!(site.starts() == 5 && site.zygote()? == zygote, "{}", site.log());
    until(PATIENCE, "the end of the rest", || Ok(site.processes().is_empty().then_some(())))?;
    // An import that no request waits for finds out whether a zygote would be of use again.
    let code = fs::read_to_string(site.path("import.py"))?;
    let waits =
        "if 'REQUEST_METHOD' not in os.environ:\n    note('importing', 1)\n    wait_for('go')\n";
    site.write("import.py", &format!("{waits}{code}"))?;
    says(&site, "1 h1 8")?;
    site.wait_lines("importing", 1)?;
    site.write("state.json", "9")?;
    site.write("go", "")?;
    until(PATIENCE, "the end of the trial", || {
        let has_been_ready = site.log().matches("is ready").count() == 5;
        Ok((has_been_ready && site.processes().is_empty()).then_some(()))
    })?;
    rests(9)
}

fn at_a_shell(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    for number in 1..=2 {
        let mut command = stage.command(&stage.bridge());
        command.args(["request", "--warm"]).arg(site.path("app.py"));
        command.arg(format!("/?id=r{number}")).env("TMPDIR", site.path("t"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = run(stage, command)?;
        let body = String::from_utf8_lossy(&output.ends(0)?.stdout).into_owned();
        ensure!(body == format!("r{number} 1 h1 1\n"), "{body}; {}", output.stderr);
        ensure!(output.stderr.is_empty(), "standard error has: {}", output.stderr);
    }
    site.zygote()?;
    ensure!(site.lines("imports").len() == 1, "{:?}; {}", site.lines("imports"), site.log());
    site.ends_clean()
}

/// The operator has named the file whose changes do not matter.
fn ignored_file(stage: &Stage) -> Result<()> {
    let site = site_with_state(stage, &[])?;
    for _ in 0..8 {
        let mut command = site.command("id=x");
        command.env("CGI2WSGI_WARM_IGNORE", site.path("state.json"));
        let output = run(stage, command)?;
        ensure!(output.stderr.is_empty(), "standard error has: {}", output.stderr);
        let body = good(&output)?;
        ensure!(body == "x 1 h1 1\n", "{body}; {}", site.log());
    }
    ensure!(
        fs::read_to_string(site.path("state.json"))? == "2",
        "no request has written state.json"
    );
    ensure!(site.starts() == 1, "{}", site.log());
    site.ends_clean()
}

/// The answers are right, but slow: a message names the file.
/// Four requests, each of which ends its zygote.
fn end_four_zygotes(site: &Site<'_>) -> Result<()> {
    for number in 1..=4 {
        says(site, &format!("1 h1 {number}"))?;
        // It has told why before the next one is started.
        until(PATIENCE, "the end", || Ok(site.processes().is_empty().then_some(())))?;
    }
    ensure!(site.starts() == 4, "{}", site.log());
    Ok(())
}

fn state_file(stage: &Stage) -> Result<()> {
    let site = site_with_state(stage, &[])?;
    end_four_zygotes(&site)?;
    // No zygote is left alive.
    until(PATIENCE, "the end", || Ok(site.verb(&["status"])?.ends(1).is_ok().then_some(())))?;
    site.verb(&["status"])?
        .ends(1)?
        .says("/app.py: the last ended ")?
        .says(" and 3 restart(s): /")?
        .says("/state.json changed\n")?;
    let kept = fs::read_to_string(site.placed(".status").pop().context("no status")?)?;
    let reasons = kept.lines().filter(|line| line.starts_with("restarted: "));
    let named = reasons.filter(|line| line.ends_with("/state.json changed")).count();
    ensure!(named == 3, "of three restarts {named} are named: {kept}");
    Ok(())
}

/// Directories named 1, 2 and 3, whose applications answer with that name.
pub(crate) fn make_releases(site: &Site<'_>) -> Result<()> {
    for release in ["1", "2", "3"] {
        let directory = site.path(release);
        fs::create_dir(&directory)?;
        let code = format!(
            "def application(environ, start_response):\n    \
             start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [b'release {release}']\n"
        );
        fs::write(directory.join("site.py"), code)?;
    }
    Ok(())
}

fn releases(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    make_releases(&site)?;
    let ask = |expected: &str| -> Result<()> {
        let application = site.path("current/site.py");
        let command = site.command_of(&stage.bridge(), &application, "id=x");
        let body = good(&run(stage, command)?)?;
        ensure!(body == format!("release {expected}"), "{body}, not {expected}; {}", site.log());
        Ok(())
    };
    symlink("1", site.path("current"))?;
    ask("1")?;
    ask("1")?;
    symlink(site.path("2"), site.path("next"))?;
    fs::rename(site.path("next"), site.path("current"))?;
    ask("2")?;
    // The directory that the link leads to is moved, and another takes its place.
    fs::rename(site.path("2"), site.path("old"))?;
    fs::rename(site.path("3"), site.path("2"))?;
    ask("3")
}

fn syntax_error(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    says(&site, "1 h1 1")?;
    site.write("helper.py", "VERSION = \n")?;
    for _ in 0..3 {
        let output = site.ask("id=y")?;
        let (status, body) = output.ends(1)?.says("SyntaxError")?.response()?;
        ensure!(status == 500 && is_page(&body, crate::cases::FAILED), "{status} {body}");
    }
    ensure!(site.runs("y") == 0, "the request was run");
    site.write("helper.py", "VERSION = 'mended'\n")?;
    says(&site, "1 mended 1")?;
    site.zygote_of_now()?;
    says(&site, "1 mended 1")
}

fn edit_during_import(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("import.py", "note('importing', os.getpid())\nwait_for('go')\n")?;
    let first = site.begin("id=x")?;
    site.wait_lines("importing", 1)?;
    // helper.py has been read, and is watched only after the import.
    site.write("helper.py", "VERSION = 'edited'\n")?;
    site.write("go", "")?;
    let output = collect(first)?;
    let body = good(&output)?;
    ensure!(body == "x 1 edited 1\n", "{body}");
    ensure!(site.runs("x") == 1, "{:?}", site.lines("runs"));
    says(&site, "1 edited 1")
}

fn unrelated_files(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let code = "import sqlite3\nDATABASE = sqlite3.connect(HERE / 'db.sqlite3')\n\
                DATABASE.execute('CREATE TABLE t (x)')\nDATABASE.close()\n\
                import logging\nlogging.basicConfig(filename=HERE / 'app.log')\n\
                def helped(note=note):\n    def again(name, text):\n        note(name, text)\n        \
                base = sqlite3.connect(HERE / 'db.sqlite3')\n        \
                base.execute('INSERT INTO t VALUES (1)')\n        base.commit()\n        base.close()\n        \
                logging.error('%s', text)\n    return again\nnote = helped()\n";
    site.write("import.py", code)?;
    says(&site, "1 h1 1")?;
    for _ in 0..10 {
        says(&site, "1 h1 1")?;
    }
    ensure!(site.lines("app.log").len() == 11, "{:?}", site.lines("app.log"));
    ensure!(site.starts() == 1, "{}", site.log());
    Ok(())
}

fn own_files(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let code = "(HERE / 'made.json').write_text('{}')\n(HERE / 'made.json').read_text()\n\
                (HERE / 'new').write_text('{}')\nos.replace(HERE / 'new', HERE / 'moved.json')\n\
                open(os.fsencode(HERE / 'moved.json')).close()\n";
    site.write("import.py", code)?;
    for _ in 0..5 {
        says(&site, "1 h1 1")?;
    }
    ensure!(site.starts() == 1, "{}", site.log());
    // The files that the import has made are watched all the same.
    site.write("moved.json", "{\"a\": 1}")?;
    says(&site, "1 h1 1")?;
    ensure!(site.starts() == 2, "{}", site.log());
    Ok(())
}

fn replaced(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let bin = site.path("bin");
    fs::create_dir(&bin)?;
    let worker = Stage::worker_name()?;
    for name in ["cgi2wsgi", &worker] {
        copy_executable(&stage.path("bin").join(name), &bin.join(name))?;
    }
    let ask = |query: &str| -> Result<Running> {
        let command = site.command_of(&bin.join("cgi2wsgi"), &site.path("app.py"), query);
        Running::start(command, &stage.user, AtParentDeath::Kill)
    };
    good(&collect(ask("id=x")?)?)?;
    let zygote = site.zygote()?;
    let streaming = ask("id=s&do=stream")?;
    site.wait_lines("streaming", 1)?;
    site.write("app.py", &application(&site, "two")?)?;
    let body = good(&collect(ask("id=x")?)?)?;
    ensure!(body == "x two h1 1\n", "{body}");
    site.write("go", "")?;
    let body = good(&collect(streaming)?)?;
    ensure!(body == "begun\nended 1\n", "{body}");
    wait_gone(zygote)?;

    let second = site.zygote_of_now()?;
    copy_executable(&bin.join(&worker), &bin.join("new"))?;
    fs::rename(bin.join("new"), bin.join(&worker))?;
    good(&collect(ask("id=x")?)?)?;
    wait_gone(second)?;
    until(PATIENCE, "one zygote", || Ok((site.zygotes().len() == 1).then_some(())))?;
    site.ends_clean()
}
