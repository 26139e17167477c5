//! The Python that would run the application, and its virtual environment: by their files, and by what that Python says
//! about itself.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::finding::{Finding, word};
use super::inside::Inside;
use super::request::last_lines;
use super::user::User;
use super::way;
use crate::cgi::variables::Variables;
use crate::front::find;
use crate::front::find::python::Interpreter;
use crate::front::find::way::{is_noexec, obstacle};
use crate::front::settings::Settings;
use crate::front::supervise::ended;
use crate::handoff::Application;

pub(super) const ABOUT: &str = "python";
const VENV: &str = "venv";

/// The interpreter that a request would use.
pub(super) fn find(
    settings: &Settings,
    application: Option<&Application>,
    variables: &Variables,
    user: &User,
) -> Result<Interpreter, Finding> {
    let found = match application {
        Some(application) => find::python::find(settings, application, variables),
        None => find::python::without_application(settings, variables),
    };
    let interpreter = found.map_err(|error| {
        let text = format!("{error:#}");
        let noexec = || {
            let path = path_in(&text).filter(|path| is_noexec(path))?;
            Some(way::mount_of(path))
        };
        let cure = cure_in(&text).or_else(|| closed(&text, user)).or_else(noexec).or_else(|| {
            let is_missing = text.contains("there is no Python") || text.contains("is not in PATH");
            is_missing.then(|| {
                usable().map(|python| format!("cgi2wsgi check --python {}", word(python)))
            })?
        });
        let cure = cure.or_else(|| {
            text.contains("is not a virtual environment")
                .then(|| settings.venv.as_ref().map(|venv| make_venv(settings, venv)))?
        });
        Finding::problem(ABOUT, text).maybe_cure(cure)
    })?;
    match way::executable(ABOUT, &interpreter.executable, user) {
        Some(finding) => Err(finding),
        None => Ok(interpreter),
    }
}

/// A command for a missing virtual environment: it names one that exists nearby, or makes a new one. The site's
/// relative path begins at `--chdir`; the command is for the shell's current directory.
fn make_venv(settings: &Settings, venv: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let base = settings.chdir.as_ref().map_or_else(|| here.clone(), |to| here.join(to));
    let meant = base.join(venv);
    let near = [here.join(venv), meant.join("venv"), meant.join(".venv")];
    match near.iter().find(|near| near.join("pyvenv.cfg").is_file()) {
        Some(near) => format!("cgi2wsgi check --venv {}", word(near)),
        None => format!("python3 -m venv {}", word(meant)),
    }
}

/// The command that a message has in parentheses.
fn cure_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("(python3 -m venv")?;
    let (command, _) = rest.split_once(')')?;
    Some(format!("python3 -m venv{command}"))
}

/// A command for the directory that keeps this user from the path in a message.
fn closed(text: &str, user: &User) -> Option<String> {
    let path = path_in(text)?;
    way::finding(&obstacle(path)?, ABOUT, path, user).cure
}

/// The first path in a message.
fn path_in(text: &str) -> Option<&Path> {
    text.split([' ', '"']).find(|word| word.starts_with('/')).map(Path::new)
}

/// A Python that can run a worker, if one is in the usual directories.
fn usable() -> Option<PathBuf> {
    let minor = (9..=14).rev();
    let versions = minor.map(|minor| format!("python3.{minor}")).chain(["python3".to_owned()]);
    let mut places = versions
        .flat_map(|name| ["/usr/bin", "/usr/local/bin"].map(|place| Path::new(place).join(&name)));
    places.find(|python| python.is_file())
}

/// The finding for a Python that reported nothing.
pub(super) fn does_not_start(
    inside: &Inside,
    interpreter: &Interpreter,
    variables: &Variables,
) -> Finding {
    let shown = interpreter.executable.display();
    let set = ["PYTHONHOME", "PYTHONPATH"].into_iter().find_map(|name| {
        let value = variables.get_os(name)?;
        Some((name, format!("; {name} is set, to {}", value.display())))
    });
    let (name, set) = set.unzip();
    let seen =
        format!("{shown}: its process {}{}", ended(inside.ended.status), set.unwrap_or_default());
    Finding::problem(ABOUT, seen)
        .maybe_cure(name.map(|name| format!("unset {name}")))
        .detail(last_lines(&inside.errors))
}

/// The version of a Python, such as 3 and 11, by what it says.
pub(super) fn version(inside: &Inside) -> (u8, u8) {
    let facts = inside.about("python").unwrap_or(&Value::Null);
    let number = |index: usize| facts["numbers"][index].as_u64().and_then(|it| it.try_into().ok());
    (number(0).unwrap_or_default(), number(1).unwrap_or_default())
}

/// Judges what a Python says about itself.
pub(super) fn judge(facts: &Value, interpreter: &Interpreter) -> Finding {
    let version = facts["version"].as_str().unwrap_or("?");
    let shown = interpreter.executable.display();
    let kind = facts["kind"].as_str().unwrap_or("cpython");
    let flags = facts["abiflags"].as_str().unwrap_or_default();
    let number = |index: usize| facts["numbers"][index].as_u64().unwrap_or_default();
    let reason = if kind != "cpython" {
        format!("is {kind}, and cgi2wsgi needs CPython")
    } else if (number(0), number(1)) < (3, 9) {
        format!("is Python {version}, and cgi2wsgi needs 3.9 or newer")
    } else if flags.contains('t') {
        format!("is a free-threaded build of Python {version}, and cgi2wsgi needs the usual one")
    } else if flags.contains('d') {
        format!("is a debug build of Python {version}, and cgi2wsgi needs the usual one")
    } else {
        return Finding::fine(ABOUT, format!("{shown} is Python {version}"));
    };
    let cure = match &interpreter.venv {
        Some(venv) => {
            usable().map(|python| format!("{} -m venv --clear {}", word(python), word(venv)))
        }
        None => usable().map(|python| format!("cgi2wsgi check --python {}", word(python))),
    };
    Finding::problem(ABOUT, format!("{shown} {reason}")).maybe_cure(cure)
}

/// Judges the locale, by what Python says about it.
pub(super) fn locale(facts: &Value, variables: &Variables) -> Finding {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| {
        let value = variables.get_os(name)?;
        Some(format!("{name}={}", value.display()))
    });
    let encoding = facts["encoding"].as_str().unwrap_or("?");
    match set {
        Some(set) if facts["no_locale"] == true => {
            let seen = format!(
                "{set} names a locale that is not installed: C libraries and subprocesses use ASCII"
            );
            Finding::warning("locale", seen).cure("export LC_ALL=C.UTF-8")
        }
        _ if !encoding.eq_ignore_ascii_case("utf-8") => {
            let seen = format!("file names are {encoding}: PYTHONUTF8 is off");
            Finding::warning("locale", seen).cure("export PYTHONUTF8=1")
        }
        Some(set) => Finding::fine("locale", format!("{set}, and Python uses UTF-8")),
        None => Finding::fine("locale", "none is set, and Python uses UTF-8"),
    }
}

/// Judges the virtual environment: whether it fits this version of Python, and was not moved.
pub(super) fn venv(interpreter: &Interpreter, facts: &Value) -> Vec<Finding> {
    let Some(venv) = &interpreter.venv else {
        return vec![Finding::fine(VENV, "none: the packages of the Python itself are used")];
    };
    let numbers: Vec<u64> = (0..2).filter_map(|index| facts["numbers"][index].as_u64()).collect();
    let [major, minor] = numbers[..] else { return Vec::new() };
    let shown = venv.display();
    let remake = format!("python{major}.{minor} -m venv --clear {}", word(venv));
    let mut findings = Vec::new();
    let configuration = fs::read_to_string(venv.join("pyvenv.cfg")).unwrap_or_default();
    let made_with =
        value(&configuration, "version").or_else(|| value(&configuration, "version_info"));
    let is_other = |made: &&str| {
        let mut parts = made.split('.').map(|part| part.parse::<u64>().ok());
        (parts.next().flatten(), parts.next().flatten()) != (Some(major), Some(minor))
    };
    let packages = venv.join(format!("lib/python{major}.{minor}/site-packages"));
    if let Some(made) = made_with.filter(is_other) {
        let seen = format!(
            "{shown} was made with Python {made}, and its Python is now {major}.{minor}: its packages are not found"
        );
        findings.push(Finding::problem(VENV, seen).cure(remake.clone()));
    } else if !packages.is_dir() {
        let seen = format!("{shown} has no {}", packages.display());
        findings.push(Finding::problem(VENV, seen).cure(remake.clone()));
    }
    if let Some(old) = moved_from(venv) {
        let seen = format!(
            "{shown} was made at {} and then moved: pip and the other commands in it do not start",
            old.display()
        );
        findings.push(Finding::warning(VENV, seen).cure(remake));
    }
    if findings.is_empty() {
        findings.push(Finding::fine(VENV, format!("{shown}")));
    }
    findings
}

fn value<'c>(configuration: &'c str, name: &str) -> Option<&'c str> {
    let mut pairs = configuration.lines().filter_map(|line| line.split_once('='));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

/// Where an environment was made, if that is elsewhere. `bin/activate` names the place.
fn moved_from(venv: &Path) -> Option<PathBuf> {
    let script = fs::read_to_string(venv.join("bin/activate")).ok()?;
    let made = script.lines().find_map(|line| {
        let line = line.trim().trim_start_matches("export ");
        let value = line.strip_prefix("VIRTUAL_ENV=")?;
        Some(PathBuf::from(value.trim_matches(['"', '\''])))
    })?;
    let is_same = || made.canonicalize().ok() == venv.canonicalize().ok();
    (made.is_absolute() && !is_same()).then_some(made)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Level;
    use super::*;

    fn interpreter(venv: Option<&Path>) -> Interpreter {
        Interpreter { executable: "/v/bin/python".into(), venv: venv.map(Path::to_owned) }
    }

    #[test]
    fn only_a_usual_cpython_from_3_9_on_is_fine() {
        for (version, numbers, kind, flags, expected) in [
            ("3.11.2", [3, 11, 2], "cpython", "", "is Python 3.11.2"),
            ("3.8.1", [3, 8, 1], "cpython", "", "needs 3.9"),
            ("2.7.18", [2, 7, 18], "cpython", "", "needs 3.9"),
            ("3.10.1", [3, 10, 1], "pypy", "", "is pypy"),
            ("3.13.0", [3, 13, 0], "cpython", "t", "free-threaded"),
            ("3.12.0", [3, 12, 0], "cpython", "d", "debug build"),
        ] {
            let facts =
                json!({"version": version, "numbers": numbers, "kind": kind, "abiflags": flags});
            let finding = judge(&facts, &interpreter(None));
            assert!(finding.seen.contains(expected), "{}", finding.seen);
            assert_eq!(finding.level == Level::Fine, version == "3.11.2");
        }
    }

    #[test]
    fn an_environment_of_another_version_and_one_that_was_moved_are_told() {
        let place = tempfile::tempdir().expect("a directory");
        let venv = place.path();
        let packages = venv.join("lib/python3.11/site-packages");
        fs::create_dir_all(&packages).expect("made");
        fs::create_dir(venv.join("bin")).expect("made");
        fs::write(venv.join("pyvenv.cfg"), "home = /usr/bin\nversion = 3.11.2\n").expect("written");
        let facts = json!({"numbers": [3, 11, 2]});
        let of = |facts: &Value| super::venv(&interpreter(Some(venv)), facts);
        assert_eq!(of(&facts)[0].level, Level::Fine);
        let other = of(&json!({"numbers": [3, 12, 0]}));
        assert!(other[0].seen.contains("made with Python 3.11.2"), "{other:?}");
        fs::write(venv.join("bin/activate"), "VIRTUAL_ENV='/elsewhere/venv'\n").expect("written");
        assert!(of(&facts)[0].seen.contains("made at /elsewhere/venv"));
        fs::remove_dir(&packages).expect("it is there");
        assert!(of(&facts)[0].seen.contains("has no"));
    }

    #[test]
    fn the_cure_of_a_message_is_taken_from_it() {
        let text = "the Python x is gone: make it anew (python3 -m venv --clear /v) and";
        assert_eq!(cure_in(text).as_deref(), Some("python3 -m venv --clear /v"));
        assert_eq!(cure_in("nothing"), None);
    }
}
