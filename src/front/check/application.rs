//! APP: whether there is a file of that name that can be an application; if not, what was probably meant. Python itself
//! looks for modules.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::finding::{Finding, word};
use super::user::User;
use super::way;
use crate::did_you_mean;
use crate::front::find;
use crate::front::find::way::{Obstacle, obstacle};
use crate::front::settings::Settings;
use crate::handoff::Application;
use crate::handoff::application::is_archive;

pub(super) const ABOUT: &str = "application";

/// The size beyond which a file is no application, in bytes.
const LARGEST: u64 = 16 << 20;

/// How many entries of a directory are examined.
const MOST_ENTRIES: usize = 2000;

/// The file that APP names, if it names one, with or without a callable after a colon.
pub(super) fn file_of(app: &OsStr, base: &Path) -> Option<PathBuf> {
    let bytes = app.as_bytes();
    let whole = base.join(app);
    if fs::symlink_metadata(&whole).is_ok() {
        return Some(whole);
    }
    let before = bytes.iter().rposition(|byte| *byte == b':').map(|at| &bytes[..at]);
    let before = before.map(|before| base.join(OsStr::from_bytes(before)));
    if let Some(before) = before.filter(|before| fs::symlink_metadata(before).is_ok()) {
        return Some(before);
    }
    bytes.contains(&b'/').then(|| {
        let end = bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len());
        base.join(OsStr::from_bytes(&bytes[..end]))
    })
}

/// The application, if it can be imported; else what is wrong with it.
pub(super) fn find(settings: &Settings, app: &OsStr, user: &User) -> Result<Application, Finding> {
    let base = base(settings);
    if let Some(file) = file_of(app, &base) {
        match obstacle(&file) {
            None => {
                is_a_file(&file, app)?;
                if let Some(finding) = way::readable(ABOUT, &file, user) {
                    return Err(finding);
                }
                is_python(&file, &beginning(&file))?;
            }
            Some(Obstacle::Absent(_)) => {}
            Some(obstacle) => return Err(way::finding(&obstacle, ABOUT, &file, user)),
        }
    }
    find::application::find(settings, app).map_err(|error| {
        Finding::problem(ABOUT, format!("{error:#}")).maybe_cure(meant(app, &base))
    })
}

/// The directory that relative names are relative to.
pub(super) fn base(settings: &Settings) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    settings.chdir.as_ref().map_or(here.clone(), |to| here.join(to))
}

fn is_a_file(file: &Path, app: &OsStr) -> Result<(), Finding> {
    let Ok(found) = fs::metadata(file) else { return Ok(()) };
    let kind = found.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO (named pipe)"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    let candidates = if kind.is_dir() { candidates(file) } else { Vec::new() };
    let cure = candidates.first().map(|file| format!("cgi2wsgi check {}", word(file)));
    let others = match candidates.as_slice() {
        [] => String::new(),
        all => format!(": it has {}", shown(all)),
    };
    Err(Finding::problem(ABOUT, format!("{} is {what}, not a file{others}", app.display()))
        .maybe_cure(cure))
}

/// The first bytes of any file. Never blocks, although some files in /proc block a reader.
pub(super) fn beginning(file: &Path) -> Vec<u8> {
    beginning_of(file, 4096)
}

/// At most `most` bytes from the beginning of a file.
pub(super) fn beginning_of(file: &Path, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let opened =
        File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(file);
    if let Ok(opened) = opened.and_then(|file| file.metadata().map(|found| (file, found)))
        && opened.1.is_file()
    {
        let _ = opened.0.take(most).read_to_end(&mut bytes);
    }
    bytes
}

/// Refuses a file that is no Python source, by its name, first bytes and size.
fn is_python(file: &Path, beginning: &[u8]) -> Result<(), Finding> {
    let shown = file.display();
    let may_be_archive = beginning.starts_with(b"PK") || beginning.starts_with(b"#!");
    if may_be_archive && is_archive(file) {
        return Ok(());
    }
    if beginning.starts_with(b"\x7fELF") {
        return Err(Finding::problem(
            ABOUT,
            format!("{shown} is an executable (ELF), not Python source"),
        ));
    }
    if file.extension() == Some(OsStr::new("pyc")) {
        return Err(Finding::problem(
            ABOUT,
            format!("{shown} is compiled Python: name the source file"),
        ));
    }
    let size = fs::metadata(file).map_or(0, |found| found.len());
    if size > LARGEST {
        let size = size >> 20;
        return Err(Finding::problem(ABOUT, format!("{shown} has {size} MiB, and is not Python")));
    }
    if beginning.contains(&0) {
        let wide = beginning.starts_with(b"\xff\xfe") || beginning.starts_with(b"\xfe\xff");
        let finding = Finding::problem(
            ABOUT,
            format!(
                "{shown} has zero bytes{}",
                if wide { ": it is UTF-16" } else { ", and is no Python" }
            ),
        );
        let cure = format!("iconv -f UTF-16 -t UTF-8 -o {0}.new {0} && mv {0}.new {0}", word(file));
        return Err(finding.maybe_cure(wide.then_some(cure)));
    }
    if file.file_name() == Some(OsStr::new("manage.py")) {
        let directory = file.parent().unwrap_or(Path::new("/"));
        let meant = candidates(directory).into_iter().find(|it| it.ends_with("wsgi.py"));
        return Err(Finding::problem(
            ABOUT,
            format!("{shown} is Django's command, not its application"),
        )
        .maybe_cure(meant.map(|meant| format!("cgi2wsgi check {}", word(meant)))));
    }
    Ok(())
}

/// A command with what was probably meant: a file with a similar name.
fn meant(app: &OsStr, base: &Path) -> Option<String> {
    let text = app.to_str()?;
    let (named, callable) = text.rsplit_once(':').unwrap_or((text, ""));
    let (callable, colon) = (callable, if callable.is_empty() { "" } else { ":" });
    // A factory is called without arguments.
    if let Some((name, _)) = callable.split_once('(') {
        return Some(format!("cgi2wsgi check {}", word(format!("{named}:{name}()"))));
    }
    let path = base.join(named);
    let directory = path.parent()?;
    let there: Vec<String> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .take(MOST_ENTRIES)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let wanted = path.file_name()?.to_str()?;
    let near = did_you_mean::names(wanted, there.iter().map(String::as_str));
    let file = match near.iter().map(|name| directory.join(name)).find(|near| near.is_file()) {
        Some(near) => near,
        None => candidates(base).into_iter().next()?,
    };
    let named = word(format!("{}{colon}{callable}", file.display()));
    Some(format!("cgi2wsgi check {named}"))
}

/// The files in a directory that look like an application, the likeliest first.
pub(super) fn candidates(directory: &Path) -> Vec<PathBuf> {
    const USUAL: [&str; 5] =
        ["wsgi.py", "passenger_wsgi.py", "app.py", "application.py", "main.py"];
    let entries = |place: &Path| {
        let mut all: Vec<PathBuf> = fs::read_dir(place)
            .into_iter()
            .flatten()
            .flatten()
            .take(MOST_ENTRIES)
            .map(|entry| entry.path())
            .collect();
        all.sort();
        all
    };
    let here = entries(directory);
    let is_wsgi = |path: &&PathBuf| path.extension() == Some(OsStr::new("wsgi"));
    let mut found: Vec<PathBuf> = here.iter().filter(is_wsgi).cloned().collect();
    for name in USUAL {
        found.extend(here.iter().filter(|path| path.ends_with(name)).cloned());
        if name == "wsgi.py" {
            found.extend(here.iter().map(|path| path.join(name)));
        }
    }
    found.retain(|path| path.is_file());
    found.truncate(5);
    found
}

pub(super) fn shown(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_an_application_is_found_the_likeliest_first() {
        let place = tempfile::tempdir().expect("a directory");
        let root = place.path();
        fs::create_dir_all(root.join("mysite")).expect("made");
        for file in ["manage.py", "app.py", "mysite/wsgi.py", "site.wsgi"] {
            fs::write(root.join(file), "").expect("written");
        }
        let found = candidates(root);
        assert_eq!(found, ["site.wsgi", "mysite/wsgi.py", "app.py"].map(|file| root.join(file)));
        assert_eq!(
            meant(OsStr::new("ap.py:application"), root),
            Some(format!("cgi2wsgi check {}", root.join("app.py:application").display()))
        );
        assert_eq!(
            meant(OsStr::new("a:make(1)"), root),
            Some("cgi2wsgi check 'a:make()'".to_owned())
        );
        assert_eq!(file_of(OsStr::new("app.py:x"), root), Some(root.join("app.py")));
        assert_eq!(file_of(OsStr::new("./no.py:x"), root), Some(root.join("./no.py")));
        assert_eq!(file_of(OsStr::new("mysite.wsgi"), root), None);
    }

    #[test]
    fn what_is_no_source_is_told_by_its_first_bytes() {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("a.py");
        for (bytes, expected) in [
            (b"\x7fELF\x02".as_slice(), "executable"),
            (b"x\0y", "zero bytes"),
            (b"\xff\xfex\0", "UTF-16"),
        ] {
            fs::write(&file, bytes).expect("written");
            let finding = is_python(&file, &beginning(&file)).expect_err("it is none");
            assert!(finding.seen.contains(expected), "{}", finding.seen);
        }
        fs::write(&file, "import os\n").expect("written");
        assert_eq!(is_python(&file, &beginning(&file)), Ok(()));
        assert!(beginning(Path::new("/dev/zero")).is_empty());
    }
}
