//! What to do about an exception that newcomers meet. The log's line ends with it, and `cgi2wsgi check` shows it: both
//! get it from here. Looks at what is known of the exception and at the file system; runs nothing.
//!
//! - [`code`]: code that is wrong, or of another version of Python;
//! - [`modules`]: modules and names that cannot be imported;
//! - [`django`]: a project's settings, keys and tables;
//! - [`surroundings`]: files, rights, variables, limits and libraries of the system;
//! - [`tables`]: modules that have been renamed, and packages that have another name than their module.

mod code;
mod django;
mod modules;
mod surroundings;
mod tables;

use std::path::{Path, PathBuf};

use crate::handoff::{Application, Source};

/// Code that runs a server, asks or exits belongs below this line.
const GUARD: &str = "if __name__ == \"__main__\":";

/// What is known of an exception. What it does not have is empty.
#[derive(Debug, Clone, Default)]
pub struct Raised {
    /// The names of its type and of the types that this is derived from, its own first.
    pub types: Vec<String>,
    /// The module that defines its type.
    pub module: String,
    /// `str()` of it.
    pub text: String,
    /// The attribute `name` of an `ImportError`.
    pub name: Option<String>,
    /// The attribute `filename` of an `OSError` or `SyntaxError`.
    pub filename: Option<String>,
    /// The attribute `path` of an `ImportError`.
    pub path: Option<String>,
    /// The line of a `SyntaxError`.
    pub source: Option<String>,
    /// The key of a `KeyError`.
    pub key: Option<String>,
    /// The number of an `OSError`.
    pub errno: Option<i32>,
    /// The traceback, from where it was raised outwards.
    pub frames: Vec<Frame>,
    /// The exception that it was raised from, or in whose handling.
    pub cause: Option<Box<Raised>>,
}

/// A line of a traceback.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The file, or `<frozen NAME>`.
    pub file: PathBuf,
    /// The function.
    pub function: String,
}

/// The Python in which it was raised.
pub trait Python {
    /// Such as 3 and 11.
    fn version(&self) -> (u8, u8);
    /// `sys.executable`.
    fn executable(&self) -> String;
    /// The current directory of its process.
    fn here(&self) -> PathBuf;
    /// A variable of its process.
    fn variable(&self, name: &str) -> Option<String>;
    /// Whether a module of this name is a part of Python.
    fn includes(&self, module: &str) -> bool;
    /// The file of a module that has been imported.
    fn file_of(&self, module: &str) -> Option<PathBuf>;
    /// The version of an installed package.
    fn version_of(&self, package: &str) -> Option<String>;
}

/// What an exception means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// The cause.
    pub why: String,
    /// What to do, as the end of a sentence; may be empty.
    pub advice: String,
    /// The same as a command that can be copied, if there is one.
    pub command: Option<String>,
}

impl Remedy {
    fn new(why: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { why: why.into(), advice: advice.into(), command: None }
    }

    fn command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// Both parts, as one sentence.
    pub fn sentence(&self) -> String {
        let separator = if self.advice.is_empty() { "" } else { ": " };
        format!("{}{separator}{}", self.why, self.advice)
    }
}

/// What to do; None if the exception says all there is to say. `is_import`: it was raised while the application was
/// imported.
pub fn remedy(
    raised: &Raised,
    application: &Application,
    is_import: bool,
    python: &dyn Python,
) -> Option<Remedy> {
    let case = Case { raised, application, is_import, python };
    let own = case
        .of_name()
        .or_else(|| case.of_syntax())
        .or_else(|| case.of_settings())
        .or_else(|| case.of_shadow())
        .or_else(|| case.of_circle())
        .or_else(|| case.of_version())
        .or_else(|| case.of_import())
        .or_else(|| case.of_system())
        .or_else(|| case.of_variable())
        .or_else(|| case.of_keyboard())
        .or_else(|| case.of_server())
        .or_else(|| case.of_tables())
        .or_else(|| case.of_access())
        .or_else(|| case.of_room())
        .or_else(|| case.of_pythonpath());
    own.or_else(|| {
        // Django tells of a missing driver in an exception of its own.
        let from = raised.cause.as_deref().filter(|_| raised.is("ImproperlyConfigured"))?;
        let mut remedy = remedy(from, application, is_import, python)?;
        remedy.why = format!("because of {}: {}; {}", from.kind(), from.text, remedy.why);
        Some(remedy)
    })
}

/// Django's `wsgi.py` beside what was given as the application: its settings, its URLs, its package.
pub fn wsgi_beside(application: &Application) -> Option<PathBuf> {
    let meant = match &application.source {
        Source::File(file) => file.with_file_name("wsgi.py"),
        Source::Module(name) => {
            let place = application.directory.join(name.replace('.', "/"));
            let place = if place.is_dir() { place } else { place.parent()?.to_owned() };
            place.join("wsgi.py")
        }
    };
    let is_given = application.source == Source::File(meant.clone());
    (!is_given && meant.is_file()).then_some(meant)
}

/// A word of a command, quoted if a shell needs that to take it as one word.
pub fn word(text: impl AsRef<Path>) -> String {
    let text = text.as_ref().to_string_lossy();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

impl Raised {
    fn is(&self, name: &str) -> bool {
        self.types.iter().any(|it| it == name)
    }

    fn kind(&self) -> &str {
        self.types.first().map_or("?", String::as_str)
    }
}

struct Case<'c> {
    raised: &'c Raised,
    application: &'c Application,
    is_import: bool,
    python: &'c dyn Python,
}

impl Case<'_> {
    fn is(&self, name: &str) -> bool {
        self.raised.is(name)
    }

    fn text(&self) -> &str {
        &self.raised.text
    }

    /// `3.11`
    fn version(&self) -> String {
        let (major, minor) = self.python.version();
        format!("{major}.{minor}")
    }

    fn pip(&self) -> String {
        match &self.application.venv {
            Some(venv) => format!("{}/bin/python -m pip", venv.display()),
            None => format!("{} -m pip", self.python.executable()),
        }
    }

    /// The directories that the site's own modules are in.
    fn import_directories(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.application.directory).chain(&self.application.import_directories)
    }

    /// APP without the callable.
    fn name(&self) -> String {
        match &self.application.source {
            Source::File(file) => file.display().to_string(),
            Source::Module(name) => name.clone(),
        }
    }
}

/// The names of a directory's entries, at most 2,000 of them, in order.
fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().take(2000);
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests;
