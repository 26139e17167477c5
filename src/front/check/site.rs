//! The parts of a site that have been found. All later findings are about them.

use std::path::{Path, PathBuf};

use super::finding::word;
use crate::front::find::python::Interpreter;
use crate::handoff::{Application, Source};

/// An application and the Python that runs it.
pub(super) struct Site {
    pub(super) application: Application,
    pub(super) interpreter: Interpreter,
    /// The version of that Python, such as 3 and 11.
    pub(super) version: (u8, u8),
}

impl Site {
    /// The file or the module: APP without the callable.
    pub(super) fn name(&self) -> String {
        match &self.application.source {
            Source::File(file) => file.display().to_string(),
            Source::Module(name) => name.clone(),
        }
    }

    /// A command that checks another callable.
    pub(super) fn check_of(&self, callable: &str) -> String {
        format!("cgi2wsgi check {}", word(format!("{}:{callable}", self.name())))
    }

    /// A command that installs packages where the application finds them: `pip install` with `what`.
    pub(super) fn pip_install(&self, what: &str) -> String {
        let python = word(&self.interpreter.executable);
        if self.interpreter.venv.is_some() {
            return format!("{python} -m pip install {what}");
        }
        let venv = word(self.application.directory.join(".venv"));
        format!("{python} -m venv {venv} && {venv}/bin/pip install {what}")
    }

    /// Whether a file is the site's own, not part of a package or of Python.
    pub(super) fn owns(&self, file: &str) -> bool {
        let path = Path::new(file);
        let mut directories = std::iter::once(&self.application.directory)
            .chain(&self.application.import_directories);
        let is_of_source = match &self.application.source {
            Source::File(source) => path.starts_with(source) || source.parent() == path.parent(),
            Source::Module(_) => false,
        };
        let is_installed = file.contains("/site-packages/")
            || file.contains("/dist-packages/")
            || path.starts_with("/usr/lib");
        !is_installed && (is_of_source || directories.any(|directory| path.starts_with(directory)))
    }

    /// The directory near the application that contains a module.
    pub(super) fn directory_of(&self, module: &str) -> Option<PathBuf> {
        let top = module.split('.').next().filter(|top| !top.is_empty())?;
        let has = |directory: &PathBuf| {
            directory.join(top).is_dir() || directory.join(format!("{top}.py")).is_file()
        };
        let here = &self.application.directory;
        let above = here.ancestors().skip(1).take(2).filter(|it| it.parent().is_some());
        let below = ["src", "app", "lib", "site"].map(|name| here.join(name));
        above.map(Path::to_owned).chain(below).find(has)
    }
}
