//! Where the worker, the application, its Python and its virtual environment are found, and the message when one of
//! them is missing, does not fit, or cannot be used (P10).

mod one_file;
mod virtual_environments;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{CGI, Output, Test, bridge, run, trials_of};
use crate::harness::exchange::is_page;
use crate::harness::stage::{Stage, copy_executable, join_parts};
use crate::harness::world::World;

use self::one_file::{
    damaged_one_file, one_file, replaced_one_file, unfilled_one_file, untold_one_file,
};
use self::virtual_environments::{venv_active, venv_beside, venv_beside_package, venv_of_front};

const TESTS: &[(&str, Test)] = &[
    ("the worker is found in ../lib/cgi2wsgi", in_lib),
    ("the worker is found in the packages of the front's prefix", in_site_packages),
    ("a missing worker is a whole 500, and the log names its build", missing),
    ("a worker of another build is not used, whatever its name is", other_build),
    ("a damaged worker is reported with Python's message", damaged),
    ("a worker for another processor is reported as such", other_processor),
    ("a worker that others can write to is not loaded", writable_by_others),
    (
        "one file that carries its worker answers under any name, and leaves nothing behind",
        one_file,
    ),
    (
        "one file with a worker of another build, or with part of a worker, is refused with the reason",
        damaged_one_file,
    ),
    ("one file: where its worker cannot be copied to memory, a file is loaded", unfilled_one_file),
    (
        "one file: Python loads nothing before it is told that the worker is complete",
        untold_one_file,
    ),
    ("one file: a zygote ends when the file that started it is replaced", replaced_one_file),
    ("--version shows the build, the worker and the Python", version),
    ("--python names the interpreter by its path and by its name in PATH", python_option),
    ("--python: a program that is no Python is a whole 500, and the log says why", no_python),
    ("a Python older than 3.9 is refused with its version", old_python),
    ("a wrapper script can be used as the Python", wrapper_script),
    ("a virtual environment whose Python is gone is named with the cure", python_gone),
    ("P10: a Python that the user cannot execute is named with the user", python_forbidden),
    ("without PATH the system's Python is used", system_python),
    ("P6: a PYTHONHOME that prevents Python's start is named", python_home),
    ("a virtual environment beside the application is found", venv_beside),
    ("a virtual environment beside the application's package is found", venv_beside_package),
    ("the virtual environment that is active in the shell is used", venv_active),
    ("the virtual environment that cgi2wsgi is installed in is used", venv_of_front),
    ("a file in a package is imported as a part of the package", file_in_package),
    ("options on the #! line and through env -S are read", interpreter_line),
    ("RFC 5: a script named nph- writes a whole HTTP response", non_parsed_header),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("installation", TESTS, world)
}

/// A new directory with `bin/cgi2wsgi` in it, and the worker in the directory `worker`, if one is given.
fn installed(stage: &Stage, name: &str, worker: Option<&str>) -> Result<PathBuf> {
    let prefix = stage.workplace(name)?;
    let copy = |from: &str, to: PathBuf| -> Result<()> {
        fs::create_dir_all(to.parent().context("no directory")?).context("no directory")?;
        copy_executable(&stage.path(from), &to)
    };
    copy("bin/cgi2wsgi", prefix.join("bin/cgi2wsgi"))?;
    if let Some(directory) = worker {
        let worker = Stage::worker_name()?;
        copy(&format!("bin/{worker}"), prefix.join(directory).join(worker))?;
    }
    Ok(prefix)
}

/// Runs hello.py by the `cgi2wsgi` in `place`, for a server that names no virtual environment.
fn hello(stage: &Stage, place: &Path, variables: &[(&str, &str)]) -> Result<Output> {
    let mut command = stage.command(&place.join("bin/cgi2wsgi"));
    command.arg(stage.path("fixtures/hello.py"));
    run(stage, piped(command, variables))
}

fn piped(mut command: Command, variables: &[(&str, &str)]) -> Command {
    command.envs(CGI).envs(variables.iter().copied());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn at_a_shell(mut command: Command) -> Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn greets(output: &Output) -> Result<()> {
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200 && body == "Hello, world!\n", "{status} {body}");
    Ok(())
}

/// A whole 500 for the visitor, exit status 2, and `texts` in the log.
fn refuses(output: &Output, texts: &[&str]) -> Result<()> {
    let (status, body) = output.ends(2)?.response()?;
    ensure!(status == 500 && is_page(&body, crate::cases::FAILED), "{status} {body}");
    texts.iter().try_for_each(|text| output.says(text).map(drop))
}

fn in_lib(stage: &Stage) -> Result<()> {
    let prefix = installed(stage, "in-lib", Some("lib/cgi2wsgi"))?;
    greets(&hello(stage, &prefix, &[])?)
}

fn in_site_packages(stage: &Stage) -> Result<()> {
    let packages = "lib/python3.99/site-packages/cgi2wsgi";
    let prefix = installed(stage, "in-site-packages", Some(packages))?;
    greets(&hello(stage, &prefix, &[])?)
}

fn missing(stage: &Stage) -> Result<()> {
    let prefix = installed(stage, "missing", None)?;
    let bin = prefix.join("bin").display().to_string();
    let output = hello(stage, &prefix, &[])?;
    refuses(&output, &[&Stage::worker_name()?, "is neither in", &bin, "from the same build"])?;
    // A worker of another build beside the front is not used.
    let other = prefix.join("bin/cgi2wsgi_worker-0123456789abcdef.so");
    copy_executable(&stage.path("bin").join(Stage::worker_name()?), &other)?;
    refuses(&hello(stage, &prefix, &[])?, &["is neither in"])?;
    // Nor is a worker in a directory of PATH or LD_LIBRARY_PATH.
    let place = stage.path("bin").display().to_string();
    let variables = [("PATH", place.as_str()), ("LD_LIBRARY_PATH", &place)];
    refuses(&hello(stage, &prefix, &variables)?, &["is neither in"])
}

/// Changes the identity of the build inside the worker's file.
fn other_build(stage: &Stage) -> Result<()> {
    let prefix = installed(stage, "other-build", Some("bin"))?;
    let name = Stage::worker_name()?;
    let build = name.trim_start_matches("cgi2wsgi_worker-").trim_end_matches(".so").as_bytes();
    let worker = prefix.join("bin").join(&name);
    let mut bytes = fs::read(&worker)?;
    let places: Vec<usize> =
        (0..bytes.len() - build.len()).filter(|at| bytes[*at..].starts_with(build)).collect();
    ensure!(!places.is_empty(), "the worker does not carry its build");
    for at in places {
        bytes[at..at + build.len()].copy_from_slice(b"0123456789abcdef");
    }
    fs::write(&worker, bytes)?;
    refuses(&hello(stage, &prefix, &[])?, &["0123456789abcdef", "from the same build"])
}

fn damaged(stage: &Stage) -> Result<()> {
    let prefix = installed(stage, "damaged", Some("bin"))?;
    let worker = prefix.join("bin").join(Stage::worker_name()?);
    let whole = fs::read(&worker)?;
    for length in [0, 64] {
        fs::write(&worker, &whole[..length])?;
        let output = hello(stage, &prefix, &[])?;
        refuses(&output, &["cannot load the worker"])?;
        // Which of the two glibc says depends on an earlier error.
        let words = ["file too short", "cannot read file data"];
        ensure!(words.iter().any(|words| output.stderr.contains(words)), "{}", output.stderr);
    }
    // The loader reads beyond the end of the file, and the system kills Python.
    fs::write(&worker, &whole[..1000])?;
    refuses(&hello(stage, &prefix, &[])?, &["does not start", "before it had loaded the worker"])?;
    fs::write(&worker, vec![b'x'; 5000])?;
    refuses(&hello(stage, &prefix, &[])?, &["cannot load the worker", "invalid ELF header"])
}

/// Marks the worker's file as one for IBM's mainframes (`e_machine` of the ELF header).
fn other_processor(stage: &Stage) -> Result<()> {
    let prefix = installed(stage, "other-processor", Some("bin"))?;
    let worker = prefix.join("bin").join(Stage::worker_name()?);
    let mut bytes = fs::read(&worker)?;
    bytes[18..20].copy_from_slice(&22_u16.to_ne_bytes());
    fs::write(&worker, bytes)?;
    let is_for = format!("this cgi2wsgi is for {}, and that Python is not", std::env::consts::ARCH);
    refuses(&hello(stage, &prefix, &[])?, &["cannot load the worker", &is_for, "pip install ."])
}

fn version(stage: &Stage) -> Result<()> {
    let say = |place: &Path, variables: &[(&str, &str)]| -> Result<String> {
        let mut command = stage.command(place);
        command.arg("--version").envs(variables.iter().copied());
        let output = run(stage, at_a_shell(command))?;
        Ok(String::from_utf8_lossy(&output.ends(0)?.stdout).into_owned())
    };
    let says = |text: &str, line: &str| -> Result<()> {
        ensure!(text.lines().any(|found| found.starts_with(line)), "no {line:?} in:\n{text}");
        Ok(())
    };
    let venv = stage.python_env().display().to_string();
    let text = say(&stage.bridge(), &[("CGI2WSGI_VENV", &venv)])?;
    says(&text, concat!("cgi2wsgi ", env!("CARGO_PKG_VERSION")))?;
    says(&text, &format!("build: {}", Stage::build()?))?;
    let worker = stage.path("bin").canonicalize()?.join(Stage::worker_name()?);
    says(&text, &format!("worker: {}", worker.display()))?;
    says(&text, &format!("python: {venv}/bin/python"))?;
    let place = stage.workplace("version")?.join("index.cgi");
    join_parts(stage, &place, &Stage::build()?, 0)?;
    says(&say(&place, &[])?, "worker: in ")?;
    let prefix = installed(stage, "version/missing", None)?;
    let text = say(&prefix.join("bin/cgi2wsgi"), &[("CGI2WSGI_PYTHON", "/nowhere/python3")])?;
    says(&text, "no worker: the worker of this build")?;
    says(&text, "no python: there is no Python /nowhere/python3")
}

fn writable_by_others(stage: &Stage) -> Result<()> {
    let prefix = installed(stage, "writable-by-others", Some("bin"))?;
    let worker = prefix.join("bin").join(Stage::worker_name()?);
    fs::set_permissions(&worker, fs::Permissions::from_mode(0o757))?;
    refuses(&hello(stage, &prefix, &[])?, &["can be written to by others", "chmod go-w"])?;
    fs::set_permissions(&worker, fs::Permissions::from_mode(0o755))?;
    greets(&hello(stage, &prefix, &[])?)
}

/// An executable script in the stage.
fn script(stage: &Stage, name: &str, text: &str) -> Result<String> {
    Ok(stage.script(name, text)?.display().to_string())
}

fn with_python(stage: &Stage, python: &str) -> Result<Output> {
    let mut command = stage.command(&stage.bridge());
    command.args(["--python", python]).arg(stage.path("fixtures/hello.py"));
    run(stage, piped(command, &[]))
}

fn python_option(stage: &Stage) -> Result<()> {
    greets(&with_python(stage, &stage.python().display().to_string())?)?;
    greets(&with_python(stage, "python3")?)?;
    refuses(&with_python(stage, "python-of-nobody")?, &["python-of-nobody", "is not in PATH"])?;
    refuses(&with_python(stage, "/nowhere/python3")?, &["there is no Python /nowhere/python3"])?;
    let venv = stage.python_env().display().to_string();
    refuses(&with_python(stage, &venv)?, &["is a directory", "--venv"])
}

fn no_python(stage: &Stage) -> Result<()> {
    let says = script(stage, "says.sh", "#!/bin/sh\necho hello >&2\nexit 3\n")?;
    refuses(&with_python(stage, &says)?, &["hello", "does not start", "exit status 3"])?;
    let killed = script(stage, "killed.sh", "#!/bin/sh\nkill -9 $$\n")?;
    refuses(&with_python(stage, &killed)?, &["does not start", "signal 9"])?;
    let nothing = script(stage, "nothing.sh", "#!/nowhere/sh\n")?;
    refuses(&with_python(stage, &nothing)?, &["cannot be started"])?;
    // It writes to the connection what no worker reports, and stays.
    let python = stage.python().display().to_string();
    let text = format!(
        "#!{python}\nimport os, sys, time\nos.write(int(sys.argv[-3]), b'noise')\ntime.sleep(60)\n"
    );
    let noise = script(stage, "noise.py", &text)?;
    refuses(&with_python(stage, &noise)?, &["does not start"])?;
    let hangs = script(stage, "hangs.sh", "#!/bin/sh\nexec sleep 60\n")?;
    let mut command = stage.command(&stage.bridge());
    command.args(["--python", &hangs, "--timeout", "0.5"]).arg(stage.path("fixtures/hello.py"));
    let output = run(stage, piped(command, &[]))?;
    let (status, _) = output.ends(1)?.response()?;
    ensure!(status == 504, "{status}");
    output.says("was not started within --timeout, 0.5 s").map(drop)
}

/// What the site runs at the start changes the version that this Python states.
fn old_python(stage: &Stage) -> Result<()> {
    let place = stage.workplace("old-python")?;
    fs::write(place.join("sitecustomize.py"), "import sys\nsys.version_info = (3, 8, 18)\n")?;
    let path = place.display().to_string();
    let prefix = installed(stage, "old-python/prefix", Some("bin"))?;
    let expected = ["it is Python 3.8.18", "needs CPython 3.9 or newer", "--python"];
    refuses(&hello(stage, &prefix, &[("PYTHONPATH", &path)])?, &expected)?;
    join_parts(stage, &place.join("index.cgi"), &Stage::build()?, 0)?;
    let mut command = stage.command(&place.join("index.cgi"));
    command.arg(stage.path("fixtures/hello.py"));
    refuses(&run(stage, piped(command, &[("PYTHONPATH", &path)]))?, &expected)
}

fn wrapper_script(stage: &Stage) -> Result<()> {
    let python = stage.python().display().to_string();
    let wrapper = script(stage, "wrapper.sh", &format!("#!/bin/sh\nexec {python} \"$@\"\n"))?;
    greets(&with_python(stage, &wrapper)?)?;
    // A wrapper that does not exec, but runs Python as a child with its arguments.
    let stays = script(stage, "stays.sh", &format!("#!/bin/sh\n{python} \"$@\"\n"))?;
    greets(&with_python(stage, &stays)?)
}

fn python_gone(stage: &Stage) -> Result<()> {
    let place = stage.workplace("python-gone")?;
    fs::create_dir_all(place.join("venv/bin"))?;
    fs::write(place.join("venv/pyvenv.cfg"), "home = /nowhere/bin\n")?;
    symlink("/nowhere/bin/python3", place.join("venv/bin/python"))?;
    fs::copy(stage.path("fixtures/hello.py"), place.join("hello.py"))?;
    let mut command = stage.command(&stage.bridge());
    command.arg(place.join("hello.py"));
    let expected = ["is gone", "/nowhere/bin/python3", "-m venv --clear"];
    refuses(&run(stage, piped(command, &[]))?, &expected)
}

/// No user but root may enter a directory of mode 0.
fn python_forbidden(stage: &Stage) -> Result<()> {
    let place = stage.workplace("python-forbidden")?;
    let private = place.join("private");
    fs::create_dir(&private)?;
    let python = private.join("python3");
    symlink(stage.python(), &python)?;
    fs::set_permissions(&private, fs::Permissions::from_mode(0o000))?;
    let output = with_python(stage, &python.display().to_string());
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700))?;
    refuses(&output?, &[&python.display().to_string(), "may not enter the directory"])?;
    let plain = place.join("plain");
    fs::write(&plain, "no executable")?;
    refuses(&with_python(stage, &plain.display().to_string())?, &["cannot be executed by user"])
}

fn system_python(stage: &Stage) -> Result<()> {
    let mut command = stage.command(&stage.bridge());
    command.arg(stage.path("fixtures/hello.py"));
    command.env_remove("PATH");
    greets(&run(stage, piped(command, &[]))?)
}

fn python_home(stage: &Stage) -> Result<()> {
    let prefix = installed(stage, "python-home", Some("bin"))?;
    let output = hello(stage, &prefix, &[("PYTHONHOME", "/nowhere")])?;
    refuses(&output, &["does not start", "PYTHONHOME is set, to \"/nowhere\""])
}

fn file_in_package(stage: &Stage) -> Result<()> {
    let output = run(stage, bridge(stage, &["{fixtures}/package_site/shop/wsgi.py"], &CGI))?;
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200 && body == "shop at /\n", "{status} {body}");
    Ok(())
}

/// A script that shows `sys.path` and fails, so that `--debug` and `--pythonpath` can be seen.
fn interpreter_line(stage: &Stage) -> Result<()> {
    let bridge = stage.bridge().display().to_string();
    let body_of = "import sys\n\n\ndef application(environ, start_response):\n    \
                raise LookupError(sys.path[1])\n";
    for (name, line) in [
        ("plain.cgi", format!("#!{bridge} --debug  --pythonpath /usr/share\n")),
        ("env.cgi", format!("#!/usr/bin/env -S {bridge} --debug --pythonpath /usr/share\n")),
    ] {
        let script = stage.script(name, &format!("{line}{body_of}"))?;
        // The words of the query come after the script, and are not options.
        let mut command = stage.command(&script);
        command.args(["--timeout", "soon"]).env("QUERY_STRING", "--timeout+soon");
        let output = run(stage, piped(command, &[]))?;
        let (status, body) = output.ends(1)?.response()?;
        ensure!(status == 500 && body.contains("LookupError: /usr/share"), "{name}: {body}");
        // Apache's suexec starts a script by its name in the current directory.
        let elsewhere = format!("{} --chdir /usr/share\n{body_of}", line.trim_end());
        let name = format!("suexec-{name}");
        let script = stage.script(&name, &elsewhere)?;
        let mut command = stage.command(&Path::new(".").join(&name));
        command.current_dir(script.parent().context("no directory")?);
        let output = run(stage, piped(command, &[]))?;
        let (status, body) = output.ends(1)?.response()?;
        ensure!(status == 500 && body.contains("LookupError"), "{name}: {body}");
    }
    Ok(())
}

fn non_parsed_header(stage: &Stage) -> Result<()> {
    let line = format!("#!{}\n", stage.bridge().display());
    let hello = fs::read_to_string(stage.path("fixtures/hello.py"))?;
    let script = stage.script("nph-hello.cgi", &format!("{line}{hello}"))?;
    let mut option = stage.command(&stage.bridge());
    option.arg("--nph").arg(stage.path("fixtures/hello.py"));
    for command in [stage.command(&script), option] {
        let output = run(stage, piped(command, &[]))?;
        let text = String::from_utf8_lossy(&output.ends(0)?.stdout).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").context("no head")?;
        ensure!(body == "Hello, world!\n", "{text}");
        ensure!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        ensure!(head.contains("\r\nDate: ") && head.contains("\r\nConnection: close"), "{text}");
    }
    Ok(())
}
