//! What to do about an uncaught exception, if it is one that newcomers meet: the end of the line in the log. Looks at
//! the exception, at the file system and at what is imported; runs nothing.

mod surroundings;

use std::path::{Path, PathBuf};

use cgi2wsgi::handoff::{Application, Source};
use pyo3::exceptions::{
    PyAttributeError, PyFileNotFoundError, PyImportError, PyModuleNotFoundError, PyNameError,
    PyOSError, PyPermissionError, PySyntaxError, PySystemExit,
};
use pyo3::prelude::*;

/// Modules that only Python 2 has, and what they are called now.
const OF_PYTHON_2: [(&str, &str); 16] = [
    ("BaseHTTPServer", "http.server"),
    ("ConfigParser", "configparser"),
    ("Cookie", "http.cookies"),
    ("HTMLParser", "html.parser"),
    ("Queue", "queue"),
    ("SimpleHTTPServer", "http.server"),
    ("SocketServer", "socketserver"),
    ("StringIO", "io"),
    ("__builtin__", "builtins"),
    ("cPickle", "pickle"),
    ("cStringIO", "io"),
    ("commands", "subprocess"),
    ("httplib", "http.client"),
    ("md5", "hashlib"),
    ("urllib2", "urllib.request"),
    ("urlparse", "urllib.parse"),
];

/// Names that only Python 2 has built in.
const NAMES_OF_PYTHON_2: [&str; 9] = [
    "basestring",
    "execfile",
    "file",
    "long",
    "raw_input",
    "reduce",
    "unichr",
    "unicode",
    "xrange",
];

/// What Python 3 says about the syntax of Python 2.
const SYNTAX_OF_PYTHON_2: [&str; 4] = [
    "Missing parentheses in call to 'print'",
    "Missing parentheses in call to 'exec'",
    "multiple exception types must be parenthesized",
    "leading zeros in decimal integer literals",
];

/// Packages that have another name than the module that is imported.
const PACKAGES: [(&str, &str); 18] = [
    ("Crypto", "pycryptodome"),
    ("MySQLdb", "mysqlclient"),
    ("OpenSSL", "pyOpenSSL"),
    ("PIL", "Pillow"),
    ("bs4", "beautifulsoup4"),
    ("corsheaders", "django-cors-headers"),
    ("cv2", "opencv-python-headless"),
    ("dateutil", "python-dateutil"),
    ("dotenv", "python-dotenv"),
    ("environ", "django-environ"),
    ("flask_login", "Flask-Login"),
    ("flask_sqlalchemy", "Flask-SQLAlchemy"),
    ("jwt", "PyJWT"),
    ("psycopg2", "psycopg2-binary"),
    ("rest_framework", "djangorestframework"),
    ("serial", "pyserial"),
    ("sklearn", "scikit-learn"),
    ("yaml", "PyYAML"),
];

/// What to do, with the words that join it to a sentence; None if the exception says all there is to say.
pub(crate) fn remedy(
    py: Python<'_>,
    error: &PyErr,
    application: &Application,
    is_import: bool,
) -> Option<String> {
    let case = Case { py, error, application, is_import };
    case.of_name()
        .or_else(|| case.of_syntax())
        .or_else(|| case.of_shadow())
        .or_else(|| case.of_circle())
        .or_else(|| case.of_version())
        .or_else(|| case.of_import())
        .or_else(|| case.of_system())
        .or_else(|| case.of_shell())
        .or_else(|| case.of_server())
        .or_else(|| case.of_access())
        .or_else(|| case.of_pythonpath())
        .map(|text| format!("; {text}"))
}

struct Case<'c, 'py> {
    py: Python<'py>,
    error: &'c PyErr,
    application: &'c Application,
    is_import: bool,
}

impl Case<'_, '_> {
    fn text(&self) -> String {
        self.error.value(self.py).to_string()
    }

    fn attribute(&self, name: &str) -> Option<String> {
        self.error.value(self.py).getattr(name).ok()?.extract().ok()
    }

    fn is<T: pyo3::PyTypeInfo>(&self) -> bool {
        self.error.is_instance_of::<T>(self.py)
    }

    fn version(&self) -> (u8, u8) {
        let version = self.py.version_info();
        (version.major, version.minor)
    }

    /// The files and functions of the traceback, from where the exception was raised outwards.
    fn frames(&self) -> Vec<(PathBuf, String)> {
        let mut frames = Vec::new();
        let mut next = self.error.traceback(self.py).map(Bound::into_any);
        while let Some(traceback) = next.filter(|it| !it.is_none()) {
            let code = traceback.getattr("tb_frame").and_then(|frame| frame.getattr("f_code"));
            if let Ok(code) = code {
                let text = |name| code.getattr(name).and_then(|it| it.extract::<String>());
                if let (Ok(file), Ok(function)) = (text("co_filename"), text("co_name")) {
                    frames.push((file.into(), function));
                }
            }
            next = traceback.getattr("tb_next").ok();
        }
        frames.reverse();
        frames
    }

    /// Code of Python 2.
    fn of_name(&self) -> Option<String> {
        const PORT: &str = "cgi2wsgi runs Python 3.9 and newer, and the code must be ported (2to3)";
        let text = self.text();
        if self.is::<PyModuleNotFoundError>() {
            let missing = self.attribute("name")?;
            let (_, now) = OF_PYTHON_2.iter().find(|(name, _)| *name == missing)?;
            return Some(format!("it is a module of Python 2, in Python 3 {now}: {PORT}"));
        }
        if self.is::<PySyntaxError>() && SYNTAX_OF_PYTHON_2.iter().any(|part| text.contains(part)) {
            return Some(format!("this is code of Python 2: {PORT}"));
        }
        if self.is::<PyNameError>() {
            let name = text.split('\'').nth(1)?;
            let is_old = NAMES_OF_PYTHON_2.contains(&name);
            return is_old.then(|| format!("{name} is a name of Python 2: {PORT}"));
        }
        None
    }

    /// A file of the application that hides a module which the application, or a library, means.
    fn of_shadow(&self) -> Option<String> {
        if !(self.is::<PyImportError>() || self.is::<PyAttributeError>()) {
            return None;
        }
        let text = self.text();
        let name = if self.is::<PyAttributeError>() {
            text.split("module '").nth(1)?.split('\'').next()?.to_owned()
        } else {
            self.attribute("name").or_else(|| {
                Some(text.split('\'').nth(1)?.to_owned())
                    .filter(|_| text.contains("is not a package"))
            })?
        };
        let first = name.split('.').next()?;
        // A module whose import failed is not in `sys.modules`.
        let modules = self.py.import("sys").and_then(|sys| sys.getattr("modules")).ok()?;
        let imported = modules.get_item(first).and_then(|it| it.getattr("__file__")?.extract());
        let of_frame = || {
            let mut frames = self.frames().into_iter().map(|(file, _)| file);
            frames.find(|file| file.file_stem().is_some_and(|stem| stem == first))
        };
        let file: PathBuf = imported.ok().or_else(of_frame)?;
        let own = [&self.application.directory];
        let is_own = own
            .into_iter()
            .chain(&self.application.import_directories)
            .any(|directory| file.parent() == Some(directory));
        // If another file imports it back, that is a circular import within the application.
        let imports_itself = text.contains("partially initialized module")
            && self.frames().first().is_some_and(|(innermost, _)| *innermost == file);
        let is_meant_otherwise =
            self.is_of_python(first) || imports_itself || text.contains("is not a package");
        (is_own && is_meant_otherwise).then(|| {
            format!(
                "{} hides the module {first} that is imported: give the file another name",
                file.display()
            )
        })
    }

    /// Whether Python itself has a module of that name.
    fn is_of_python(&self, name: &str) -> bool {
        let names = self.py.import("sys").and_then(|sys| sys.getattr("stdlib_module_names")).ok();
        names.is_some_and(|names| names.contains(name).unwrap_or(false))
    }

    /// A module or a name that cannot be imported.
    fn of_import(&self) -> Option<String> {
        let text = self.text();
        if text.contains("attempted relative import") {
            return Some(
                "the file is not in a package, because there is no __init__.py beside it or APP names it as a \
                 single file: write an absolute import, or give --chdir with the directory around the \
                 package and APP as package.module"
                    .to_owned(),
            );
        }
        if self.is::<PyModuleNotFoundError>() {
            return Some(self.missing_module(&self.attribute("name")?));
        }
        let is_extension = [
            "undefined symbol",
            "wrong ELF class",
            "invalid ELF header",
            "file too short",
            "version `",
        ]
        .iter()
        .any(|part| text.contains(part));
        (self.is::<PyImportError>() && is_extension).then(|| {
            let (major, minor) = self.version();
            format!(
                "an extension module was built for another Python or system than this one, Python \
                 {major}.{minor}: install the package again with {}",
                self.pip()
            )
        })
    }

    fn missing_module(&self, name: &str) -> String {
        let first = name.split('.').next().unwrap_or(name);
        // The module is there, but in no import directory.
        let directory = &self.application.directory;
        let around = directory.ancestors().skip(1).take(2).find(|directory| {
            directory.join(format!("{first}.py")).is_file()
                || directory.join(first).join("__init__.py").is_file()
        });
        if let Some(around) = around {
            return format!(
                "{first} is in {}, which is not an import directory: give --pythonpath {0}",
                around.display()
            );
        }
        let package = PACKAGES.iter().find(|(module, _)| *module == first);
        let package = package.map_or(first, |(_, package)| package);
        let (major, minor) = self.version();
        let Some(venv) = &self.application.venv else {
            return format!(
                "no virtual environment is in use, and Python {major}.{minor} ({}) does not have it: \
                 give the virtual environment that has it with --venv, or put .venv into {}",
                self.executable(),
                directory.display()
            );
        };
        let library = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let other = name.strip_prefix("python")?.to_owned();
            let has = |file: &str| entry.path().join("site-packages").join(file).exists();
            let it_is = has(first) || has(&format!("{first}.py"));
            (it_is && other != format!("{major}.{minor}")).then_some(other)
        };
        let mut entries = std::fs::read_dir(venv.join("lib")).into_iter().flatten().flatten();
        if let Some(other) = entries.find_map(library) {
            return format!(
                "the virtual environment {} has it for Python {other}, and its Python is {major}.{minor} now: \
                 make it again (python3 -m venv --clear {0}) and install the site's packages again",
                venv.display()
            );
        }
        format!(
            "its packages come from the virtual environment {}: is it installed there? {} install \
             {package}",
            venv.display(),
            self.pip()
        )
    }

    fn executable(&self) -> String {
        let sys = self.py.import("sys");
        sys.and_then(|sys| sys.getattr("executable")?.extract()).unwrap_or_default()
    }

    fn pip(&self) -> String {
        match &self.application.venv {
            Some(venv) => format!("{}/bin/python -m pip", venv.display()),
            None => format!("{} -m pip", self.executable()),
        }
    }

    /// A program for the command line, or with a server of its own, that acts while it is imported.
    fn of_server(&self) -> Option<String> {
        if !self.is_import {
            return None;
        }
        let frames = self.frames();
        let is_server = frames.iter().any(|(_, function)| {
            ["serve_forever", "server_bind", "run_simple", "runserver"].contains(&function.as_str())
        });
        if is_server {
            return Some(
                "the application starts a server of its own while it is imported: put that call, such \
                 as app.run(), below if __name__ == \"__main__\":"
                    .to_owned(),
            );
        }
        self.is::<PySystemExit>().then(|| {
            "it ends the program while it is imported: put the code for the command line below if __name__ == \
             \"__main__\":"
                .to_owned()
        })
    }

    /// A file that this user may not use, or that is looked for elsewhere.
    fn of_access(&self) -> Option<String> {
        let user = rustix::process::geteuid().as_raw();
        let text = self.text();
        let file = self.attribute("filename");
        if self.is::<PyPermissionError>() {
            let file = file?;
            if Path::new(&file).extension() == Some("py".as_ref()) {
                return Some(format!(
                    "this process runs as user {user}, who must be able to read it: chmod a+r {file}"
                ));
            }
            let directory = Path::new(&file).parent().filter(|it| !it.as_os_str().is_empty());
            let directory =
                directory.map_or_else(String::new, |it| format!(" and {}", it.display()));
            return Some(format!(
                "this process runs as user {user}: give that user the right to {file}{directory}, or let the \
                 application use another place"
            ));
        }
        if self.is::<PyFileNotFoundError>() {
            let file = file.filter(|file| !file.starts_with('/'))?;
            let here = std::env::current_dir().ok()?;
            return Some(format!(
                "{file} is relative to the current directory, {}: write the path from __file__, or give \
                 --chdir",
                here.display()
            ));
        }
        let is_database = text.contains("unable to open database file")
            || text.contains("attempt to write a readonly database");
        if is_database {
            return Some(format!(
                "SQLite needs to write to the database file and to the directory that it is in, as user \
                 {user}; a relative path begins at {}",
                std::env::current_dir().ok()?.display()
            ));
        }
        let is_full = matches!(self.errno(), Some(libc::ENOSPC | libc::EDQUOT));
        (self.is::<PyOSError>() && is_full).then(|| {
            let place = match file {
                Some(file) => format!("the file system of {file} is full"),
                None => "a file system is full (the traceback shows which file)".to_owned(),
            };
            format!("{place}: make room there")
        })
    }

    fn errno(&self) -> Option<i32> {
        self.error.value(self.py).getattr("errno").ok()?.extract().ok()
    }

    /// Modules of another Python in PYTHONPATH.
    fn of_pythonpath(&self) -> Option<String> {
        let given = std::env::var_os("PYTHONPATH")?;
        let own = |path: &Path| match &self.application.source {
            Source::File(file) => path == file,
            Source::Module(_) => false,
        };
        let syntax = self.attribute("filename").map(PathBuf::from);
        let file = syntax.or_else(|| self.frames().into_iter().next().map(|(file, _)| file))?;
        let directory = std::env::split_paths(&given)
            .find(|directory| !directory.as_os_str().is_empty() && file.starts_with(directory))?;
        let (major, minor) = self.version();
        (!own(&file)).then(|| {
            format!(
                "{} is imported from PYTHONPATH, {}: unset it if its modules are those of another Python than \
                 this one, {major}.{minor}",
                file.display(),
                directory.display()
            )
        })
    }
}
