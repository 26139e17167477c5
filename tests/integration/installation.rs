//! Where the executables, the application and its virtual environment are found, and what is said when one of them
//! is not, does not fit, or cannot be read (P10).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::command_line::{CGI, Output, Test, bridge, run, trials_of};
use crate::stage::{Stage, copy_executable};
use crate::world::World;

const TESTS: [(&str, Test); 13] = [
    ("cgi2wsgi-python is found in ../libexec/cgi2wsgi", libexec),
    ("a virtual environment's version picks the executable", version_picks),
    ("a missing cgi2wsgi-python is named, with a whole 500", missing),
    ("a virtual environment of another version is named with both versions", mismatched),
    ("executables of two builds do not run together", two_builds),
    ("cgi2wsgi-python started by a server runs nothing", alone),
    ("P10: a libpython that the user cannot read is named with its place", unreadable_python),
    ("a virtual environment beside the application is found", venv_beside),
    ("a virtual environment beside the application's package is found", venv_beside_package),
    ("the virtual environment that is active in the shell is used", venv_active),
    ("a file in a package is imported as part of it", file_in_package),
    ("options on the #! line and through env -S are read", interpreter_line),
    ("RFC 5: a script named nph- writes a whole HTTP response", non_parsed_header),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("installation", &TESTS, world)
}

/// A new place with `bin/cgi2wsgi` in it, and `cgi2wsgi-python` as `companion`, if anywhere.
fn installed(stage: &Stage, name: &str, companion: Option<&str>) -> Result<PathBuf> {
    let place = stage.workplace(name)?;
    let copy = |from: &str, to: &str| -> Result<()> {
        let to = place.join(to);
        fs::create_dir_all(to.parent().context("no directory")?).context("no directory")?;
        copy_executable(&stage.path(from), &to)
    };
    copy("bin/cgi2wsgi", "bin/cgi2wsgi")?;
    if let Some(companion) = companion {
        copy("bin/cgi2wsgi-python", companion)?;
    }
    Ok(place)
}

/// A request of hello.py to the `cgi2wsgi` in `place`, from a server that says nothing of a virtual environment.
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

fn greets(output: &Output) -> Result<()> {
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200 && body == "Hello, world!\n", "{status} {body}");
    Ok(())
}

/// A whole 500 for the visitor, exit status 2, and `texts` in the log.
fn refuses(output: &Output, texts: &[&str]) -> Result<()> {
    let (status, body) = output.ends(2)?.response()?;
    ensure!(status == 500 && body == crate::cases::FAILED, "{status} {body}");
    texts.iter().try_for_each(|text| output.says(text).map(drop))
}

/// The `pyvenv.cfg` of the tests' environment, with another version.
fn venv_of_version(stage: &Stage, place: &Path, version: &str) -> Result<String> {
    let venv = place.join("venv-of-another");
    fs::create_dir_all(&venv).context("no directory")?;
    let configuration = fs::read_to_string(stage.python_env().join("pyvenv.cfg"))?;
    let lines: Vec<String> = configuration
        .lines()
        .map(|line| match line.split_once('=') {
            Some((name, _)) if name.trim() == "version" => format!("version = {version}"),
            _ => line.to_owned(),
        })
        .collect();
    fs::write(venv.join("pyvenv.cfg"), lines.join("\n")).context("no pyvenv.cfg")?;
    Ok(venv.display().to_string())
}

/// Major and minor version of the tests' Python.
fn version(stage: &Stage) -> Result<String> {
    let output = Command::new(stage.path("bin/cgi2wsgi-python")).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split("(Python ").nth(1).and_then(|rest| rest.trim().strip_suffix(')'));
    version.map(str::to_owned).with_context(|| format!("--version says {text:?}"))
}

fn libexec(stage: &Stage) -> Result<()> {
    let place = installed(stage, "libexec", Some("libexec/cgi2wsgi/cgi2wsgi-python"))?;
    greets(&hello(stage, &place, &[])?)
}

fn version_picks(stage: &Stage) -> Result<()> {
    let version = version(stage)?;
    let companion = format!("bin/cgi2wsgi-python{version}");
    let place = installed(stage, "version-picks", Some(&companion))?;
    // Another one without a version must not be taken: it would say something else.
    fs::write(place.join("bin/cgi2wsgi-python"), "#!/bin/sh\nexit 9\n")?;
    fs::set_permissions(place.join("bin/cgi2wsgi-python"), fs::Permissions::from_mode(0o755))?;
    let venv = stage.python_env().display().to_string();
    greets(&hello(stage, &place, &[("CGI2WSGI_VENV", &venv)])?)
}

fn missing(stage: &Stage) -> Result<()> {
    let place = installed(stage, "missing", None)?;
    let output = hello(stage, &place, &[])?;
    refuses(&output, &["cgi2wsgi-python is installed neither in", "libexec/cgi2wsgi"])?;
    let venv = venv_of_version(stage, &place, "3.99.1")?;
    let output = hello(stage, &place, &[("CGI2WSGI_VENV", &venv)])?;
    refuses(&output, &["cgi2wsgi-python3.99"])
}

fn mismatched(stage: &Stage) -> Result<()> {
    let place = installed(stage, "mismatched", Some("bin/cgi2wsgi-python"))?;
    let venv = venv_of_version(stage, &place, "3.99.1")?;
    let output = hello(stage, &place, &[("CGI2WSGI_VENV", &venv)])?;
    refuses(&output, &["is for Python 3.99", &format!("embeds {}", version(stage)?)])
}

fn two_builds(stage: &Stage) -> Result<()> {
    let mut command = stage.command(&stage.path("bin/cgi2wsgi-python"));
    command.env("CGI2WSGI_HANDOFF", "16:cgi2wsgi 0.0.0 1");
    refuses(&run(stage, piped(command, &[]))?, &["install both from one build"])
}

fn alone(stage: &Stage) -> Result<()> {
    let mut command = stage.command(&stage.path("bin/cgi2wsgi-python"));
    // What a visitor can bring: words of the query, and headers.
    command.arg(stage.path("fixtures/hello.py")).env("HTTP_CGI2WSGI_HANDOFF", "x");
    refuses(&run(stage, piped(command, &[]))?, &["started by cgi2wsgi"])
}

/// A copy of libpython, in a directory that only its owner may enter, for an executable that needs that copy.
fn unreadable_python(stage: &Stage) -> Result<()> {
    let companion = Path::new("bin/cgi2wsgi-python");
    let place = installed(stage, "unreadable-python", companion.to_str())?;
    let tool = |program: &str, arguments: &[&str]| -> Result<String> {
        let output = Command::new(program).args(arguments).output();
        let output = output.with_context(|| format!("there is no {program}"))?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {arguments:?}: {error}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let executable = place.join(companion).display().to_string();
    let needed = tool("patchelf", &["--print-needed", &executable])?;
    let library =
        needed.lines().find(|name| name.starts_with("libpython")).context(needed.clone())?;
    let directory = tool("patchelf", &["--print-rpath", &executable])?;
    let private = place.join("private");
    fs::create_dir(&private)?;
    let copy = "libpython-of-somebody.so.1";
    fs::copy(Path::new(directory.trim()).join(library), private.join(copy))?;
    tool("patchelf", &["--replace-needed", library, copy, &executable])?;
    tool("patchelf", &["--set-rpath", &private.display().to_string(), &executable])?;

    greets(&hello(stage, &place, &[])?)?;
    // The tests' user may own what it made; nobody may enter a directory of mode 0.
    fs::set_permissions(&private, fs::Permissions::from_mode(0o000))?;
    let output = hello(stage, &place, &[]);
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700))?;
    let expected = [copy, "cannot read", &private.display().to_string(), "PYO3_PYTHON="];
    refuses(&output?, &expected)
}

/// Runs an application that names its environment, and expects the tests' one by its link at `venv`.
fn names_venv(stage: &Stage, app: &Path, venv: &Path, variables: &[(&str, &str)]) -> Result<()> {
    fs::write(
        app,
        "import sys\nimport django\n\n\ndef application(environ, start_response):\n    \
         start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
         return [sys.prefix.encode()]\n",
    )?;
    let mut command = stage.command(&stage.bridge());
    command.arg(app);
    let output = run(stage, piped(command, variables))?;
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200 && Path::new(&body) == venv, "{status} {body}, not {}", venv.display());
    Ok(())
}

fn venv_beside(stage: &Stage) -> Result<()> {
    for name in [".venv", "venv"] {
        let place = stage.workplace(&format!("beside-{name}"))?;
        symlink(stage.python_env(), place.join(name))?;
        names_venv(stage, &place.join("app.py"), &place.join(name), &[])?;
    }
    Ok(())
}

fn venv_beside_package(stage: &Stage) -> Result<()> {
    let place = stage.workplace("beside-package")?;
    symlink(stage.python_env(), place.join(".venv"))?;
    fs::create_dir(place.join("site_package"))?;
    fs::write(place.join("site_package/__init__.py"), "")?;
    names_venv(stage, &place.join("site_package/wsgi.py"), &place.join(".venv"), &[])
}

fn venv_active(stage: &Stage) -> Result<()> {
    let place = stage.workplace("active")?;
    let venv = stage.python_env().display().to_string();
    names_venv(stage, &place.join("app.py"), stage.python_env(), &[("VIRTUAL_ENV", &venv)])
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
    let body = "import sys\n\n\ndef application(environ, start_response):\n    \
                raise LookupError(sys.path[1])\n";
    for (name, line) in [
        ("plain.cgi", format!("#!{bridge} --debug  --pythonpath /usr/share\n")),
        ("env.cgi", format!("#!/usr/bin/env -S {bridge} --debug --pythonpath /usr/share\n")),
    ] {
        let script = stage.script(name, &format!("{line}{body}"))?;
        // The words of the query stand behind the script, and are no options.
        let mut command = stage.command(&script);
        command.args(["--timeout", "soon"]).env("QUERY_STRING", "--timeout+soon");
        let output = run(stage, piped(command, &[]))?;
        let (status, body) = output.ends(1)?.response()?;
        ensure!(status == 500 && body.contains("LookupError: /usr/share"), "{name}: {body}");
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
