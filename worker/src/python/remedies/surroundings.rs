//! Remedies where the code is right and something around it is not: an older Python, another version of a package, a
//! system library, a variable, a locale, a keyboard.

use std::path::PathBuf;

use pyo3::exceptions::{
    PyEOFError, PyImportError, PyKeyError, PyModuleNotFoundError, PyOSError, PySyntaxError,
};
use pyo3::types::PyAnyMethods;

use super::Case;

impl Case<'_, '_> {
    /// Newer syntax in an older Python, and files that are not UTF-8.
    pub(super) fn of_syntax(&self) -> Option<String> {
        if !self.is::<PySyntaxError>() {
            return None;
        }
        let text = self.text();
        if text.contains("codec can't decode") || text.contains("Non-UTF-8 code") {
            return Some(
                "the file is not UTF-8: save it as UTF-8, or name its encoding in its first line, # -*- coding: \
                 latin-1 -*-"
                    .to_owned(),
            );
        }
        let minor = minor_of_syntax(self.attribute("text")?.trim())?;
        let (major, ours) = self.version();
        ((major, ours) < (3, minor)).then(|| {
            format!(
                "this is syntax of Python 3.{minor}, and the application runs with {major}.{ours} ({}): name a \
                 newer one with --python, or make the virtual environment with it",
                self.executable()
            )
        })
    }

    /// Modules of the application that import each other.
    pub(super) fn of_circle(&self) -> Option<String> {
        let text = self.text();
        let is_circular = text.contains("circular import") && self.is::<PyImportError>();
        is_circular.then(|| {
            let module = text.split("partially initialized module '").nth(1);
            let module = module.and_then(|rest| rest.split('\'').next()).unwrap_or("a module");
            format!(
                "{module} is imported again by a module that it imports: move what both need into a third \
                 module, or move the import into the function that needs it"
            )
        })
    }

    /// A package of another version than the code was written for.
    pub(super) fn of_version(&self) -> Option<String> {
        if !self.is::<PyImportError>() {
            return None;
        }
        let text = self.text();
        let (name, place) = if self.is::<PyModuleNotFoundError>() {
            let name = self.attribute("name")?;
            // If its extension module is there, but for another Python, its name is no package to install.
            if let Some(file) = self.extension_of(&name) {
                let (major, minor) = self.version();
                return Some(format!(
                    "{} is for another Python than this one, {major}.{minor}: install its package again with {}",
                    file.display(),
                    self.pip()
                ));
            }
            let place = self.file_of(name.split('.').next().filter(|first| *first != name)?)?;
            (name, place)
        } else if text.starts_with("cannot import name") {
            (self.attribute("name")?, self.attribute("path")?)
        } else {
            return None;
        };
        let package = name.split('.').next().unwrap_or_default();
        let is_installed = place.contains("/site-packages/") || place.contains("/dist-packages/");
        is_installed.then(|| {
            let metadata = self.py.import("importlib.metadata");
            let version = metadata.and_then(|it| it.call_method1("version", (package,))?.extract());
            let version: String = version.unwrap_or_default();
            let shown = if version.is_empty() { String::new() } else { format!(" {version}") };
            format!(
                "the installed {package}{shown} does not have it: the code was written for another version; {} \
                 install '{package}==...', or change the code",
                self.pip()
            )
        })
    }

    fn file_of(&self, module: &str) -> Option<String> {
        let modules = self.py.import("sys").and_then(|sys| sys.getattr("modules")).ok()?;
        modules.get_item(module).and_then(|it| it.getattr("__file__")?.extract()).ok()
    }

    /// A file that would be this module in another Python.
    fn extension_of(&self, module: &str) -> Option<PathBuf> {
        let path = module.replace('.', "/");
        let (package, last) = path.rsplit_once('/').unwrap_or(("", &path));
        let mut places = vec![self.application.directory.clone()];
        places.extend(self.application.import_directories.iter().cloned());
        places.extend(self.application.venv.iter().flat_map(|venv| {
            let libraries = std::fs::read_dir(venv.join("lib")).into_iter().flatten().flatten();
            libraries.map(|library| library.path().join("site-packages"))
        }));
        let start = format!("{last}.cpython-");
        let files = places.into_iter().flat_map(|place| {
            std::fs::read_dir(place.join(package)).into_iter().flatten().flatten()
        });
        let mut names = files.map(|file| file.path());
        names.find(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&start) && file.extension() == Some("so".as_ref())
        })
    }

    /// A library of the system, or a locale.
    pub(super) fn of_system(&self) -> Option<String> {
        let text = self.text();
        let is_library = text.contains("cannot open shared object file")
            && (self.is::<PyImportError>() || self.is::<PyOSError>());
        if is_library {
            let library = text.split(':').next().unwrap_or_default();
            return Some(format!(
                "the system library {library} is missing: install the package that has it (Debian: apt-file \
                 search {library}), or name its directory in LD_LIBRARY_PATH in the server's configuration"
            ));
        }
        (text == "unsupported locale setting").then(|| {
            "this machine does not have that locale: locale -a lists those that exist (Debian: dpkg-reconfigure \
             locales), and C.UTF-8 is always there"
                .to_owned()
        })
    }

    /// A variable that a shell has and a server's process has not, or input from a keyboard.
    pub(super) fn of_shell(&self) -> Option<String> {
        let frames = self.frames();
        let (file, function) = frames.first()?;
        let is_environ = function == "__getitem__"
            && (file.ends_with("os.py") || file.as_os_str() == "<frozen os>");
        if self.is::<PyKeyError>() && is_environ {
            let name = self.error.value(self.py).getattr("args").and_then(|it| it.get_item(0));
            let name: String = name.and_then(|name| name.extract()).ok()?;
            return Some(format!(
                "the environment variable {name} is not set: a server passes on only what its configuration \
                 sets (Apache: SetEnv {name} \
                 ..., nginx: fastcgi_param), not the variables of a shell"
            ));
        }
        (self.is::<PyEOFError>() && self.is_import && self.text().contains("reading a line")).then(|| {
            "it asks for input while it is imported, and a server gives none: put the code that asks below if \
             __name__ == \"__main__\":"
                .to_owned()
        })
    }
}

/// The version 3.x that a line needs, by its syntax.
fn minor_of_syntax(line: &str) -> Option<u8> {
    let has_parameters = |keyword: &str| {
        let rest = line.strip_prefix(keyword)?;
        let name = rest.trim_start_matches(|c: char| c == '_' || c.is_alphanumeric());
        (name.starts_with('[') && name.len() < rest.len()).then_some(12)
    };
    has_parameters("def ")
        .or_else(|| has_parameters("async def "))
        .or_else(|| has_parameters("class "))
        .or_else(|| (line.starts_with("type ") && line.contains('=')).then_some(12))
        .or_else(|| line.starts_with("except*").then_some(11))
        .or_else(|| (line.starts_with("match ") && line.ends_with(':')).then_some(10))
}
