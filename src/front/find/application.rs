//! The forms of `APP`, and what lies around an application: its directory and its package. Looks at
//! the file system; imports nothing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::Access;

use super::way::{Obstacle, names_in, obstacle, obstacle_to_enter, with_cure};
use crate::did_you_mean;
use crate::front::settings::Settings;
use crate::front::users::this_user;
use crate::handoff::application::{is_archive, package_root};
use crate::handoff::{Application, Callable, Source};

/// Finds the application that the settings name. Its interpreter is found later.
pub fn find(settings: &Settings, app: &OsStr) -> Result<Application> {
    let here = std::env::current_dir().context(
        "the current directory cannot be found: give --chdir, or start in one that exists",
    )?;
    let base = match &settings.chdir {
        Some(given) => {
            existing_directory(&here.join(given).components().collect::<PathBuf>(), "--chdir")?
        }
        None => here,
    };
    let (source, callable) = parse(app, &base)
        .map_err(|error| with_base(error, app, &base, settings.chdir.is_some()))?;
    if let Source::File(file) = &source {
        is_an_application(file)?;
    }
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
        let path = base.join(given);
        if is_archive(&path) {
            import_directories.push(path);
        } else {
            import_directories.push(existing_directory(&path, "--pythonpath")?);
        }
    }
    import_directories.extend(root.filter(|root| *root != directory));
    Ok(Application { source, callable, directory, import_directories, venv: None })
}

/// Parses `APP`. If it is the path of a file that exists, it means this file, whatever it looks like.
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

/// Whether this was meant as a file.
fn looks_like_a_file(text: &OsStr) -> bool {
    // `mysite.wsgi` is as often a Django module as a file.
    let bytes = text.as_bytes();
    bytes.contains(&b'/')
        || [b".py".as_slice(), b".pyz", b".cgi"].iter().any(|suffix| bytes.ends_with(suffix))
}

/// Adds to the error what a relative name is relative to: under a server, no person has chosen this directory.
fn with_base(error: anyhow::Error, app: &OsStr, base: &Path, is_chosen: bool) -> anyhow::Error {
    if is_chosen || !looks_like_a_file(app) || Path::new(app).is_absolute() {
        return error;
    }
    anyhow::anyhow!(
        "{error} ({app:?} is relative to {}, the current directory of this process: give the \
         absolute path, or --chdir)",
        base.display()
    )
}

/// Refuses files that are often mistaken for the application.
fn is_an_application(file: &Path) -> Result<()> {
    ensure!(
        rustix::fs::access(file, Access::READ_OK).is_ok(),
        "the application {} cannot be read by {}: chmod a+r {0}",
        file.display(),
        this_user()
    );
    if file.file_name() == Some(OsStr::new("manage.py"))
        && std::fs::read(file).is_ok_and(|text| contains(&text, b"execute_from_command_line"))
    {
        let directory = file.parent().unwrap_or(Path::new("/"));
        let wsgi = usual_files(directory).into_iter().find(|name| name.ends_with("/wsgi.py"));
        let wsgi = wsgi.unwrap_or_else(|| "PROJECT/wsgi.py".into());
        bail!(
            "{} is Django's command line, not an application: give {}",
            file.display(),
            directory.join(wsgi).display()
        );
    }
    Ok(())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Files in a directory whose names are usual for an application.
fn usual_files(directory: &Path) -> Vec<String> {
    const USUAL: [&str; 6] =
        ["app.py", "wsgi.py", "application.py", "main.py", "passenger_wsgi.py", "index.py"];
    let names = names_in(directory);
    let is_usual = |name: &str| {
        USUAL.contains(&name) || Path::new(name).extension() == Some(OsStr::new("wsgi"))
    };
    let own = names.iter().filter(|name| is_usual(name)).cloned();
    // Django's `wsgi.py` is in the package of its project.
    let below = names.iter().map(|name| format!("{name}/wsgi.py"));
    own.chain(below).filter(|name| directory.join(name).is_file()).take(4).collect()
}

fn no_such_file(file: &Path, app: &OsStr) -> anyhow::Error {
    let directory = file.parent().unwrap_or(Path::new("/"));
    if file.is_dir() {
        let there: Vec<String> =
            usual_files(file).iter().map(|name| file.join(name).display().to_string()).collect();
        let there = match there.as_slice() {
            [] => String::new(),
            there => format!(", such as {}", there.join(" or ")),
        };
        return anyhow::anyhow!("the application {app:?} is a directory: name a file in it{there}");
    }
    match obstacle(file) {
        Some(Obstacle::Absent(_)) => {}
        Some(obstacle @ Obstacle::Missing(_)) => {
            return anyhow::anyhow!(
                "no application {app:?}: there is no directory {}: {obstacle}",
                directory.display()
            );
        }
        Some(obstacle) => return anyhow::anyhow!("no application {app:?}: {obstacle}"),
        None => return anyhow::anyhow!("the application {app:?} is not a regular file"),
    }
    let names = names_in(directory);
    let wanted = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let meant = did_you_mean::question(&wanted, names.iter().map(String::as_str));
    let usual = usual_files(directory);
    let there = match usual.as_slice() {
        [] if meant.is_empty() => ": give the path of the file that has the application".to_owned(),
        there if meant.is_empty() => format!("; it has {}", there.join(", ")),
        _ => String::new(),
    };
    anyhow::anyhow!(
        "no application {app:?}: {} has no file {wanted:?}{meant}{there}",
        directory.display()
    )
}

fn existing_directory(path: &Path, option: &str) -> Result<PathBuf> {
    match obstacle_to_enter(path) {
        None => Ok(path.to_owned()),
        Some(Obstacle::File(file)) if file == path => bail!(
            "{option} {} is a file: give the directory {}",
            path.display(),
            path.parent().unwrap_or(Path::new("/")).display()
        ),
        Some(obstacle @ Obstacle::Closed(_)) => bail!("{option} {}: {obstacle}", path.display()),
        Some(obstacle) => bail!(
            "{option} {} does not exist: {}",
            path.display(),
            with_cure(&obstacle.to_string(), "give a directory that exists")
        ),
    }
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

    #[test]
    fn an_archive_is_told_by_its_first_bytes() {
        let site = site();
        let file = site.path().join("x.pyz");
        for (bytes, expected) in [
            (b"PK\x03\x04rest".as_slice(), true),
            (b"#!/usr/bin/cgi2wsgi\nPK\x03\x04", true),
            (b"PK\x05\x06", true),
            (b"#!/usr/bin/cgi2wsgi\nimport PK\n", false),
            (b"PK", false),
            (b"", false),
        ] {
            fs::write(&file, bytes).expect("a file");
            assert_eq!(is_archive(&file), expected, "{}", bytes.escape_ascii());
        }
        assert!(!is_archive(site.path()));
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
}
