//! The forms of `APP`, and what lies around an application: the directory it
//! stands in, its package, its virtual environment. Looks at the file system;
//! imports nothing.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::settings::Settings;
use crate::similar;

/// Where the application's code is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, absolute.
    File(PathBuf),
    /// A module, by its dotted name.
    Module(String),
}

/// What in the module is the application.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callable {
    /// Dotted attributes; empty for `application` or `app`, whichever is there.
    pub attributes: String,
    /// Whether they name a factory, which is called without arguments.
    pub is_factory: bool,
}

/// An application and its surroundings, all paths absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its code.
    pub source: Source,
    /// What is called.
    pub callable: Callable,
    /// Where it is imported; the first import directory.
    pub directory: PathBuf,
    /// Further import directories.
    pub import_directories: Vec<PathBuf>,
    /// Its virtual environment.
    pub venv: Option<Venv>,
}

/// A virtual environment (PEP 405).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Venv {
    /// The directory with `pyvenv.cfg`.
    pub directory: PathBuf,
    /// Major and minor version of its Python, where `pyvenv.cfg` says it.
    pub version: Option<(u8, u8)>,
}

impl Application {
    /// Finds the application that the settings name. `active_venv` is the one
    /// that a shell has activated, for where no other is given or found.
    pub fn find(settings: &Settings, app: &OsStr, active_venv: Option<&OsStr>) -> Result<Self> {
        let here = std::env::current_dir().context(
            "the current directory cannot be found: give --chdir, or start in one that exists",
        )?;
        let base = match &settings.chdir {
            Some(given) => existing_directory(&here.join(given), "--chdir")?,
            None => here,
        };
        let (source, callable) = parse(app, &base)?;
        let directory = match (&settings.chdir, &source) {
            (None, Source::File(file)) => file.parent().unwrap_or(&base).to_owned(),
            _ => base.clone(),
        };
        let root = match &source {
            Source::File(file) => package_root(file),
            Source::Module(_) => None,
        };

        let mut import_directories = Vec::new();
        for given in &settings.pythonpath {
            import_directories.push(existing_directory(&base.join(given), "--pythonpath")?);
        }
        import_directories.extend(root.clone().filter(|root| *root != directory));

        let venv = match &settings.venv {
            Some(given) => Some(Venv::read(&base.join(given))?.with_context(|| {
                format!(
                    "--venv {given:?} is not a virtual environment: {:?} has no pyvenv.cfg",
                    base.join(given)
                )
            })?),
            None => found_venv([Some(directory.as_path()), root.as_deref()], active_venv)?,
        };
        Ok(Self { source, callable, directory, import_directories, venv })
    }
}

/// Takes `APP` apart. A file that exists is a file, whatever it looks like.
fn parse(app: &OsStr, base: &Path) -> Result<(Source, Callable)> {
    // Components, so that no `.` stays in `__file__`.
    let file_at = |path: &OsStr| base.join(path).components().collect::<PathBuf>();
    let whole = file_at(app);
    if whole.is_file() {
        return Ok((Source::File(whole), Callable::default()));
    }
    let bytes = app.as_bytes();
    let colon = bytes.iter().rposition(|byte| *byte == b':');
    let (before, after) = match colon {
        Some(at) => (OsStr::from_bytes(&bytes[..at]), Some(&bytes[at + 1..])),
        None => (app, None),
    };
    let file = file_at(before);
    let callable = || match after {
        Some(text) => parse_callable(text, app),
        None => Ok(Callable::default()),
    };
    if colon.is_some() && file.is_file() {
        return Ok((Source::File(file), callable()?));
    }
    if looks_like_a_file(before) {
        return Err(no_such_file(&file, app));
    }
    match before.to_str().filter(|name| is_dotted_name(name)) {
        Some(name) => Ok((Source::Module(name.to_owned()), callable()?)),
        None => bail!(
            "{app:?} is neither a file nor a module: give package.module:callable, or the path of \
             a file"
        ),
    }
}

fn parse_callable(text: &[u8], app: &OsStr) -> Result<Callable> {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let (attributes, is_factory) = match text.strip_suffix("()") {
        Some(attributes) => (attributes, true),
        None => (text, false),
    };
    if text.ends_with(')') && !is_factory {
        let name = text.split('(').next().unwrap_or_default();
        bail!("{app:?}: a factory is called without arguments: write {name}()");
    }
    ensure!(
        is_dotted_name(attributes),
        "{app:?}: {text:?} is not the name of a callable, such as application, site.app or \
         create_app()"
    );
    Ok(Callable { attributes: attributes.to_owned(), is_factory })
}

fn is_dotted_name(text: &str) -> bool {
    text.split('.').all(|name| {
        name.chars().all(|c| c == '_' || c.is_alphanumeric())
            && name.starts_with(|c: char| !c.is_numeric())
    })
}

/// Whether somebody who wrote this meant a file.
fn looks_like_a_file(text: &OsStr) -> bool {
    // `mysite.wsgi` is Django's module as often as a file.
    let bytes = text.as_bytes();
    bytes.contains(&b'/')
        || [b".py".as_slice(), b".cgi"].iter().any(|suffix| bytes.ends_with(suffix))
}

fn no_such_file(file: &Path, app: &OsStr) -> anyhow::Error {
    let directory = file.parent().unwrap_or(Path::new("/"));
    let Ok(entries) = std::fs::read_dir(directory) else {
        return anyhow::anyhow!("no application {app:?}: there is no directory {directory:?}");
    };
    if file.is_dir() {
        return anyhow::anyhow!("the application {app:?} is a directory: name a file in it");
    }
    let names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let wanted = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let meant = similar::question(&wanted, names.iter().map(String::as_str));
    anyhow::anyhow!("no application {app:?}: {directory:?} has no file {wanted:?}{meant}")
}

fn existing_directory(path: &Path, option: &str) -> Result<PathBuf> {
    ensure!(path.is_dir(), "{option} {path:?} is not a directory that this user can enter");
    Ok(path.to_owned())
}

/// The directory that holds the outermost package of `file`, if it lies in one.
pub fn package_root(file: &Path) -> Option<PathBuf> {
    let mut directory = file.parent()?;
    let mut root = None;
    while directory.join("__init__.py").is_file() {
        directory = directory.parent()?;
        root = Some(directory.to_owned());
    }
    root
}

/// `.venv` or `venv` beside the application, else the shell's.
fn found_venv(directories: [Option<&Path>; 2], active: Option<&OsStr>) -> Result<Option<Venv>> {
    for directory in directories.into_iter().flatten() {
        for name in [".venv", "venv"] {
            if let Some(venv) = Venv::read(&directory.join(name))? {
                return Ok(Some(venv));
            }
        }
    }
    active.map_or(Ok(None), |directory| Venv::read(Path::new(directory)))
}

impl Venv {
    /// The virtual environment in `directory`, if there is one.
    fn read(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join("pyvenv.cfg");
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                Ok(Some(Self { directory: directory.to_owned(), version: version_of(&text) }))
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(error).with_context(|| format!("{path:?} cannot be read by this user"))
            }
            Err(_) => Ok(None),
        }
    }

    /// Its Python, which tells the interpreter where it is.
    pub fn python(&self) -> OsString {
        self.directory.join("bin/python").into()
    }
}

/// `version = 3.11.2` of venv, `version_info = 3.11.2.final.0` of virtualenv
/// and uv.
fn version_of(configuration: &str) -> Option<(u8, u8)> {
    configuration.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        if !matches!(name.trim(), "version" | "version_info") {
            return None;
        }
        let mut numbers = value.trim().split('.').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn site() -> tempfile::TempDir {
        let site = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(site.path().join("shop/web")).expect("directories");
        for file in [
            "app.py",
            "site.wsgi",
            "odd",
            "a:b",
            "shop/__init__.py",
            "shop/web/__init__.py",
            "shop/web/wsgi.py",
        ] {
            fs::write(site.path().join(file), "").expect("a file");
        }
        site
    }

    fn parsed(app: &str) -> Result<(Source, Callable), String> {
        let site = site();
        let relative = |source| match source {
            Source::File(file) => Source::File(
                file.strip_prefix(site.path()).expect("it lies in the site").to_owned(),
            ),
            module @ Source::Module(_) => module,
        };
        parse(OsStr::new(app), site.path())
            .map(|(source, callable)| (relative(source), callable))
            .map_err(|error| error.to_string())
    }

    type Parsed = (Source, Callable);

    fn file(path: &str, attributes: &str, is_factory: bool) -> Parsed {
        (Source::File(path.into()), Callable { attributes: attributes.into(), is_factory })
    }

    fn module(name: &str, attributes: &str, is_factory: bool) -> Parsed {
        (Source::Module(name.into()), Callable { attributes: attributes.into(), is_factory })
    }

    #[test]
    fn every_form_of_app_is_understood() {
        assert_eq!(parsed("app.py"), Ok(file("app.py", "", false)));
        assert_eq!(parsed("app.py:site.main"), Ok(file("app.py", "site.main", false)));
        assert_eq!(parsed("site.wsgi"), Ok(file("site.wsgi", "", false)));
        assert_eq!(parsed("odd"), Ok(file("odd", "", false)));
        assert_eq!(parsed("a:b"), Ok(file("a:b", "", false)));
        assert_eq!(parsed("odd:make()"), Ok(file("odd", "make", true)));
        assert_eq!(parsed("shop.web"), Ok(module("shop.web", "", false)));
        assert_eq!(parsed("shop.web:app"), Ok(module("shop.web", "app", false)));
        assert_eq!(parsed("shop.wsgi"), Ok(module("shop.wsgi", "", false)));
        assert_eq!(parsed("shop:create_app()"), Ok(module("shop", "create_app", true)));
    }

    #[test]
    fn what_is_no_application_is_said_with_what_is_there() {
        let message = |app| parsed(app).expect_err("it is wrong");
        assert!(message("ap.py").contains("did you mean app.py?"));
        assert!(message("missing/app.py").contains("no directory"));
        assert!(message("./shop").contains("is a directory"));
        assert!(message("app.py:make(1)").contains("write make()"));
        assert!(message("app.py:").contains("not the name of a callable"));
        assert!(message("app.py:1x").contains("not the name of a callable"));
        assert!(message("a b").contains("neither a file nor a module"));
        assert!(message("").contains("neither a file nor a module"));
        assert!(message("os;system").contains("neither a file nor a module"));
    }

    #[test]
    fn the_root_of_a_package_is_outside_all_of_its_packages() {
        let site = site();
        let root = package_root(&site.path().join("shop/web/wsgi.py"));
        assert_eq!(root.as_deref(), Some(site.path()));
        assert_eq!(package_root(&site.path().join("app.py")), None);
    }

    #[test]
    fn versions_are_read_from_every_tools_pyvenv_cfg() {
        assert_eq!(version_of("home = /usr/bin\nversion = 3.11.2\n"), Some((3, 11)));
        assert_eq!(version_of("version_info = 3.12.1.final.0\n"), Some((3, 12)));
        assert_eq!(version_of("version_info=3.13"), Some((3, 13)));
        assert_eq!(version_of("home = /usr/bin\n"), None);
    }
}
