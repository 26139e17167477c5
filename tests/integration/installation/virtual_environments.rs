//! Which virtual environment an application gets when none is named.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{installed, piped};
use crate::harness::command::run;
use crate::harness::stage::Stage;

/// Runs an application that answers with its environment's path, and expects `venv`, a link to the tests' environment.
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

pub(super) fn venv_beside(stage: &Stage) -> Result<()> {
    for name in [".venv", "venv"] {
        let place = stage.workplace(&format!("beside-{name}"))?;
        symlink(stage.python_env(), place.join(name))?;
        names_venv(stage, &place.join("app.py"), &place.join(name), &[])?;
    }
    Ok(())
}

pub(super) fn venv_beside_package(stage: &Stage) -> Result<()> {
    let place = stage.workplace("beside-package")?;
    symlink(stage.python_env(), place.join(".venv"))?;
    fs::create_dir(place.join("site_package"))?;
    fs::write(place.join("site_package/__init__.py"), "")?;
    names_venv(stage, &place.join("site_package/wsgi.py"), &place.join(".venv"), &[])
}

pub(super) fn venv_active(stage: &Stage) -> Result<()> {
    let place = stage.workplace("active")?;
    let venv = stage.python_env().display().to_string();
    names_venv(stage, &place.join("app.py"), stage.python_env(), &[("VIRTUAL_ENV", &venv)])
}

/// The files are where `venv/bin/pip install` puts them.
pub(super) fn venv_of_front(stage: &Stage) -> Result<()> {
    let prefix = installed(stage, "venv-of-front", Some("lib/cgi2wsgi"))?;
    for entry in ["pyvenv.cfg", "lib/python3", "bin/python"] {
        let from = stage.python_env().join(entry);
        let is_packages = entry.starts_with("lib");
        let from = if is_packages { lib_of(stage)? } else { from };
        let to = if is_packages {
            prefix.join("lib").join(from.file_name().context("a name")?)
        } else {
            prefix.join(entry)
        };
        symlink(from, to)?;
    }
    let app = prefix.join("app.py");
    fs::write(
        &app,
        "import sys\nimport django\n\n\ndef application(environ, start_response):\n    \
         start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
         return [sys.prefix.encode()]\n",
    )?;
    let mut command = stage.command(&prefix.join("bin/cgi2wsgi"));
    command.arg(&app);
    let output = run(stage, piped(command, &[]))?;
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200 && Path::new(&body) == prefix, "{status} {body}");
    Ok(())
}

/// `lib/python3.X` of the tests' environment.
fn lib_of(stage: &Stage) -> Result<PathBuf> {
    let mut entries = fs::read_dir(stage.python_env().join("lib"))?.flatten();
    Ok(entries.next().context("an environment without a library")?.path())
}
