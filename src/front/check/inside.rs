//! Asks the site's own Python: starts it with `inside.py`, which imports the application and writes what it finds as
//! lines of JSON to a separate descriptor. An application can write there too, or end the process: the lines may be
//! incomplete or foreign.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::main_thread::{self, Frame};
use super::trial::{self, Ended};
use crate::cgi::variables::Variables;
use crate::front::find::python::Interpreter;
use crate::front::launch::surroundings;
use crate::handoff::application::is_archive;
use crate::handoff::{Application, Source, signals as numbers};
use crate::listening::listens;
use crate::system;

const INSIDE: &str = include_str!("inside.py");

/// What `inside.py` writes to standard error before it imports anything of the site.
const BEGINS: &str = "cgi2wsgi check: the import begins\n";

/// What it writes there after the import.
const OVER: &str = "cgi2wsgi check: the import is over";

/// How long the interpreter may take in addition to the import.
const START: Duration = Duration::from_secs(10);

/// After how long the check first looks whether the import has started a server.
const LOOK: Duration = Duration::from_secs(2);

/// What was found inside that Python.
pub(super) struct Inside {
    facts: Vec<Value>,
    /// What the application wrote to standard output and to standard error.
    pub(super) output: String,
    pub(super) errors: String,
    pub(super) profile: Vec<Import>,
    pub(super) ended: Ended,
}

/// A module, and how long its own import took, in microseconds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) name: String,
    pub(super) own: u64,
}

impl Inside {
    /// Asks about an application, or about the interpreter alone. An import may take `patience`.
    pub(super) fn ask(
        interpreter: &Interpreter,
        application: Option<&Application>,
        variables: &Variables,
        host: &str,
        patience: Duration,
    ) -> std::io::Result<Self> {
        let mut next = LOOK;
        // An import that runs a server never ends: the traceback of the main thread shows it.
        let mut is_server = |process, took, errors: &[u8]| {
            if took >= next {
                next = took * 2;
                if listens(process) {
                    system::kill(process, numbers::TRACE);
                }
            }
            took >= LOOK
                && main_thread::is_server(&Frame::of_main_thread(&String::from_utf8_lossy(errors)))
        };
        let action = |number| {
            let mut command = command(interpreter, application, variables, host, patience, number);
            let error = command.exec();
            let _ = writeln!(std::io::stderr(), "{error}");
            u8::MAX
        };
        let ended = trial::run_watched(patience + START, action, &mut is_server)?;
        Ok(Self::from_ended(ended))
    }

    fn from_ended(ended: Ended) -> Self {
        let result = String::from_utf8_lossy(&ended.result);
        let facts = result.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
        let (profile, errors) = take_profile(&errors);
        let output = String::from_utf8_lossy(&ended.stdout).into_owned();
        Self { facts, output, errors, profile, ended }
    }

    /// What was found about a subject, if `inside.py` got that far.
    pub(super) fn about(&self, subject: &str) -> Option<&Value> {
        self.all_about(subject).next()
    }

    /// Everything that was found about a subject.
    pub(super) fn all_about(&self, subject: &str) -> impl Iterator<Item = &Value> {
        self.facts.iter().filter(move |facts| facts["about"] == subject)
    }
}

fn command(
    interpreter: &Interpreter,
    application: Option<&Application>,
    variables: &Variables,
    host: &str,
    patience: Duration,
    number: i32,
) -> Command {
    let mut command = Command::new(&interpreter.executable);
    if variables.get("PYTHONUTF8").is_none() {
        command.args(["-X", "utf8"]);
    }
    command.args(["-X", "importtime", "-c", INSIDE]).arg(number.to_string());
    command.arg(patience.as_secs_f64().to_string());
    match application {
        None => command.args(["none", "", "", "0", host, ""]),
        Some(application) => {
            match &application.source {
                Source::Module(name) => command.args(["module", name]),
                Source::File(file) => command.arg(kind_of(file)).arg(file),
            };
            command.arg(&application.callable.attributes);
            command.arg(if application.callable.is_factory { "1" } else { "0" });
            command.arg(host).arg(&application.directory).arg(&application.directory);
            command.args(&application.import_directories).current_dir(&application.directory)
        }
    };
    command.env_clear().envs(surroundings(variables));
    command
}

fn kind_of(file: &Path) -> &'static str {
    let is_source = file.extension().is_some_and(|suffix| suffix == "py");
    if !is_source && is_archive(file) { "archive" } else { "file" }
}

/// The lines of `-X importtime` from the application's import, and everything else on standard error.
fn take_profile(errors: &str) -> (Vec<Import>, String) {
    let begun = errors.split_once(BEGINS).map(|(_, errors)| errors);
    let (mut profile, mut rest) = (Vec::new(), String::new());
    let mut is_import = begun.is_some();
    for line in begun.unwrap_or(errors).lines() {
        if line == OVER {
            is_import = false;
        } else if let Some(columns) = line.strip_prefix("import time:") {
            match import(columns) {
                Some(import) if is_import => profile.push(import),
                None if begun.is_some() => rest += &[line, "\n"].concat(),
                _ => {}
            }
        } else {
            rest += &[line, "\n"].concat();
        }
    }
    (profile, rest)
}

fn import(line: &str) -> Option<Import> {
    let mut columns = line.split('|');
    let own = columns.next()?.trim().parse().ok()?;
    Some(Import { own, name: columns.nth(1)?.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_taken_out_of_what_was_written() {
        let text = "import time: self [us] | cumulative | imported package\n\
                    import time:       100 |        100 | site\n\
                    cgi2wsgi check: the import begins\n\
                    hello\n\
                    import time:        20 |         20 |   json.decoder\n\
                    import time:         5 |         25 | json\nimport time: mine\n\
                    cgi2wsgi check: the import is over\nimport time:         7 |         7 | inspect\n";
        let (profile, rest) = take_profile(text);
        let expected = [("json.decoder", 20), ("json", 5)];
        let expected = expected.map(|(name, own)| Import { name: name.to_owned(), own });
        assert_eq!(profile, expected);
        assert_eq!(rest, "hello\nimport time: mine\n");
        assert_eq!(take_profile("no Python\nimport time: 1 | 1 | x\n").1, "no Python\n");
    }

    #[test]
    fn damaged_and_foreign_lines_are_left_out() {
        let ended = Ended {
            stdout: b"\xff".to_vec(),
            stderr: Vec::new(),
            result: b"{\"about\": \"python\", \"version\": \"3\"}\nrubbish\n{\"about\": \"import\""
                .to_vec(),
            status: None,
            took: Duration::ZERO,
        };
        let inside = Inside::from_ended(ended);
        assert_eq!(inside.about("python").and_then(|facts| facts["version"].as_str()), Some("3"));
        assert!(inside.about("import").is_none());
        assert_eq!(inside.output, "\u{fffd}");
    }
}
