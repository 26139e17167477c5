//! Which Python runs the application: the first that exists, in an order that the site decides.
//!
//! This module looks at files only. Python itself reports, when it is started, whether it is of the right kind.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::Access;

use super::this_executable;
use super::way::{is_noexec, obstacle, obstacle_to_enter, with_cure};
use crate::cgi::variables::Variables;
use crate::front::settings::Settings;
use crate::front::users::this_user;
use crate::handoff::application::package_root;
use crate::handoff::{Application, Source};

/// An interpreter, and the virtual environment (PEP 405) that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// The executable to start.
    pub executable: PathBuf,
    /// The directory with `pyvenv.cfg`.
    pub venv: Option<PathBuf>,
}

/// The interpreter for `application`.
pub fn find(
    settings: &Settings,
    application: &Application,
    variables: &Variables,
) -> Result<Interpreter> {
    if let Some(given) = given(settings, variables)? {
        return Ok(given);
    }
    let root = match &application.source {
        Source::File(file) => package_root(file),
        Source::Module(_) => None,
    };
    for directory in [Some(application.directory.clone()), root].into_iter().flatten() {
        for name in [".venv", "venv"] {
            if let Some(interpreter) = venv_in(&directory.join(name))? {
                return checked(interpreter);
            }
        }
    }
    of_surroundings(variables)
}

/// The interpreter for an application that has no virtual environment of its own.
pub fn without_application(settings: &Settings, variables: &Variables) -> Result<Interpreter> {
    match given(settings, variables)? {
        Some(given) => Ok(given),
        None => of_surroundings(variables),
    }
}

/// What `--python` or `--venv` says.
fn given(settings: &Settings, variables: &Variables) -> Result<Option<Interpreter>> {
    if let Some(given) = &settings.python {
        return named(given, variables).map(Some);
    }
    let Some(given) = &settings.venv else { return Ok(None) };
    let directory = std::env::current_dir().unwrap_or_default();
    let directory = settings.chdir.as_ref().map_or(directory.clone(), |to| directory.join(to));
    let directory = directory.join(given);
    if let Some(obstacle) = obstacle_to_enter(&directory) {
        bail!("--venv {given:?} is not a virtual environment: {obstacle}");
    }
    match venv_in(&directory)? {
        Some(interpreter) => checked(interpreter).map(Some),
        None => bail!("--venv {given:?} is not a virtual environment: {}", why_no_venv(&directory)),
    }
}

/// The interpreter of the shell, of this executable's installation or of the system.
fn of_surroundings(variables: &Variables) -> Result<Interpreter> {
    if let Some(active) = variables.get_os("VIRTUAL_ENV")
        && let Some(interpreter) = venv_in(Path::new(active))?
    {
        return checked(interpreter);
    }
    if let Some(interpreter) = venv_of_this_executable() {
        return checked(interpreter);
    }
    let usual = Path::new("/usr/bin/python3");
    let found =
        in_path("python3", variables).or_else(|| is_executable(usual).then(|| usual.into()));
    match found {
        Some(executable) => Ok(Interpreter { venv: venv_around(&executable), executable }),
        None => bail!(
            "there is no Python: neither python3 in PATH ({}) nor /usr/bin/python3 can be executed by \
             {}: install python3, or name one with --python",
            variables.get_os("PATH").unwrap_or(OsStr::new("which is not set")).display(),
            this_user()
        ),
    }
}

/// `--python EXE`: a path, or a name that is looked for in PATH.
fn named(given: &Path, variables: &Variables) -> Result<Interpreter> {
    let executable = if given.as_os_str().as_bytes().contains(&b'/') {
        std::path::absolute(given).with_context(|| format!("--python {given:?}"))?
    } else {
        let name = given.to_str().unwrap_or_default();
        in_path(name, variables).with_context(|| {
            format!(
                "--python {given:?} is not in PATH ({}): give the path of a Python executable",
                variables.get_os("PATH").unwrap_or(OsStr::new("which is not set")).display()
            )
        })?
    };
    ensure!(
        !executable.is_dir(),
        "--python {given:?} is a directory: give the path of the executable in it, such as \
         {:?}, or use --venv for a virtual environment",
        executable.join("bin/python")
    );
    checked(Interpreter { venv: venv_around(&executable), executable })
}

/// The virtual environment in `directory`, if there is one.
fn venv_in(directory: &Path) -> Result<Option<Interpreter>> {
    let configuration = directory.join("pyvenv.cfg");
    match std::fs::metadata(&configuration) {
        Ok(_) => Ok(Some(Interpreter {
            executable: directory.join("bin/python"),
            venv: Some(directory.to_owned()),
        })),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => bail!(
            "the virtual environment {} cannot be used: {}, or name another Python with --python",
            directory.display(),
            obstacle(&configuration).map_or_else(|| error.to_string(), |it| it.to_string())
        ),
        Err(_) => Ok(None),
    }
}

/// What `directory` is instead of a virtual environment, and what to give.
fn why_no_venv(directory: &Path) -> String {
    let shown = directory.display();
    let inside = [".venv", "venv", "env"].map(|name| directory.join(name));
    if let Some(inside) = inside.iter().find(|inside| inside.join("pyvenv.cfg").is_file()) {
        return format!("{shown} has no pyvenv.cfg; did you mean {}?", inside.display());
    }
    if let Some(around) = directory.ancestors().find(|at| at.join("pyvenv.cfg").is_file()) {
        return format!("{shown} has no pyvenv.cfg; did you mean {}?", around.display());
    }
    let python = directory.join("bin/python");
    if is_executable(&python) {
        return format!(
            "{shown} has no pyvenv.cfg, but it has a Python: give --python {}",
            python.display()
        );
    }
    format!("{shown} has no pyvenv.cfg: make one with python3 -m venv {shown}")
}

/// The virtual environment whose `bin` contains `executable`.
fn venv_around(executable: &Path) -> Option<PathBuf> {
    let directory = executable.parent()?.parent()?;
    directory.join("pyvenv.cfg").is_file().then(|| directory.to_owned())
}

/// The virtual environment that this executable is installed in, unless it was made for this executable alone.
fn venv_of_this_executable() -> Option<Interpreter> {
    let directory = venv_around(&this_executable()?)?;
    holds_more_than_cgi2wsgi(&directory)
        .then(|| Interpreter { executable: directory.join("bin/python"), venv: Some(directory) })
}

/// Whether `venv` has packages other than those that `python -m venv` and `pipx` put into every environment.
fn holds_more_than_cgi2wsgi(venv: &Path) -> bool {
    const ALWAYS_THERE: [&str; 9] = [
        "cgi2wsgi",
        "pip",
        "setuptools",
        "wheel",
        "pkg_resources",
        "_distutils_hack",
        "distutils-precedence",
        "_virtualenv",
        "__pycache__",
    ];
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    let packages = entries(&venv.join("lib"))
        .flat_map(|library| entries(&library.path().join("site-packages")))
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut others = packages.filter(|name| {
        !ALWAYS_THERE.iter().any(|known| {
            name.strip_prefix(known)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
        })
    });
    others.next().is_some()
}

/// What to do where the given Python does not exist.
fn usual_python() -> &'static str {
    if is_executable(Path::new("/usr/bin/python3")) {
        "give the path of a Python, such as --python /usr/bin/python3"
    } else {
        "install python3, or give the path of a Python with --python"
    }
}

/// Checks that the Python can be executed: a virtual environment outlives the Python that it was made with.
fn checked(interpreter: Interpreter) -> Result<Interpreter> {
    let executable = &interpreter.executable;
    let remake = || match &interpreter.venv {
        Some(venv) => format!(
            ": make the virtual environment again (python3 -m venv --clear {}) and install the site's \
             packages again",
            venv.display()
        ),
        None => String::new(),
    };
    if let Err(error) = std::fs::metadata(executable) {
        match std::fs::read_link(executable) {
            Ok(target) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "the Python {} is gone: it is a link to {}, which does not exist{}",
                executable.display(),
                target.display(),
                remake()
            ),
            _ if error.kind() == std::io::ErrorKind::NotFound => {
                let cure = match obstacle(executable).filter(|_| interpreter.venv.is_none()) {
                    Some(obstacle) => {
                        format!(": {}", with_cure(&obstacle.to_string(), usual_python()))
                    }
                    None => remake(),
                };
                bail!("there is no Python {}{cure}", executable.display())
            }
            _ => bail!(
                "the Python {} cannot be reached: {}",
                executable.display(),
                obstacle(executable).map_or_else(|| error.to_string(), |it| it.to_string())
            ),
        }
    }
    if is_executable(executable) {
        return Ok(interpreter);
    }
    ensure!(
        !is_noexec(executable),
        "the Python {} is on a file system that is mounted noexec, where nothing can be run: use one \
         elsewhere, such as /usr/bin/python3 (--python), or have it mounted with exec",
        executable.display()
    );
    bail!(
        "the Python {} cannot be executed by {}: chmod a+rx it and the directories on the way to it, \
         or use one that everybody can run, such as /usr/bin/python3 (--python)",
        executable.display(),
        this_user()
    )
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

/// Looks for `name` in the absolute directories of PATH: the current directory is no deliberate choice.
fn in_path(name: &str, variables: &Variables) -> Option<PathBuf> {
    let path = variables.get_os("PATH")?;
    std::env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|candidate| is_executable(candidate))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_environment_that_was_made_for_this_program_alone_does_not_count() {
        let venv = tempfile::tempdir().expect("a directory");
        let packages = venv.path().join("lib/python3.11/site-packages");
        fs::create_dir_all(&packages).expect("made");
        for name in
            ["cgi2wsgi", "cgi2wsgi-1.0.dist-info", "pip", "pip-23.2.dist-info", "_virtualenv.py"]
        {
            fs::write(packages.join(name), "").expect("written");
        }
        assert!(!holds_more_than_cgi2wsgi(venv.path()));
        fs::write(packages.join("pipeline"), "").expect("written");
        assert!(holds_more_than_cgi2wsgi(venv.path()));
    }

    #[test]
    fn path_is_searched_in_order_and_never_relatively() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = format!(".:bin::{}:/bin:/usr/bin", directory.path().display());
        let variables = [("PATH", path.as_str())].into_iter().collect();
        assert!(in_path("sh", &variables).is_some_and(|found| found.is_absolute()));
        assert_eq!(in_path("nothing-of-that-name", &variables), None);
        assert_eq!(in_path("sh", &Variables::default()), None);
    }
}
