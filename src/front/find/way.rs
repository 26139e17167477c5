//! Why a path cannot be reached by this user: the first thing on the way to it that is missing, closed or no directory.

use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, StatVfsMountFlags, statvfs};

use crate::did_you_mean;

/// The first thing on a way that ends it.
#[derive(Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// This directory may not be entered.
    Closed(PathBuf),
    /// This is not there.
    Missing(PathBuf),
    /// This link leads to what is not there.
    Dangling(PathBuf, PathBuf),
    /// This is a file, and the way goes on behind it.
    File(PathBuf),
}

/// Whether a file cannot be executed because of its file system, whatever its mode says.
pub fn is_noexec(file: &Path) -> bool {
    statvfs(file).is_ok_and(|it| it.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// What keeps this user from a file or directory; nothing if it can be reached.
pub fn obstacle(path: &Path) -> Option<Obstacle> {
    let mut steps: Vec<&Path> = path.ancestors().collect();
    steps.reverse();
    let mut before = Path::new("/");
    for step in steps.into_iter().filter(|step| !step.as_os_str().is_empty()) {
        match fs::metadata(step) {
            Ok(_) => before = step,
            Err(error) => {
                let target = fs::read_link(step).ok();
                return Some(match (error.kind(), target) {
                    (ErrorKind::PermissionDenied, None) => Obstacle::Closed(before.to_owned()),
                    // The link can be read: what it leads to lies behind something else.
                    (ErrorKind::PermissionDenied, Some(target)) => {
                        obstacle(&before.join(target)).unwrap_or(Obstacle::Closed(step.to_owned()))
                    }
                    (ErrorKind::NotADirectory, None) => Obstacle::File(before.to_owned()),
                    (_, Some(target)) => Obstacle::Dangling(step.to_owned(), target),
                    (_, None) => Obstacle::Missing(step.to_owned()),
                });
            }
        }
    }
    None
}

/// The same for a directory that is to be entered.
pub fn obstacle_to_enter(path: &Path) -> Option<Obstacle> {
    obstacle(path).or_else(|| {
        if !path.is_dir() {
            return Some(Obstacle::File(path.to_owned()));
        }
        rustix::fs::access(path, Access::EXEC_OK)
            .is_err()
            .then(|| Obstacle::Closed(path.to_owned()))
    })
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(directory) => {
                let shown = directory.display();
                write!(f, "{} may not enter the directory {shown}", this_user())?;
                if let Ok(found) = fs::metadata(directory) {
                    let mode = found.permissions().mode() & 0o7777;
                    write!(f, " (mode {mode:04o}, owner {})", user(found.uid()))?;
                }
                write!(
                    f,
                    ": chmod a+x {shown}, or move what is in it to where every user may go, such as /srv"
                )
            }
            Self::Missing(path) => {
                let parent = path.parent().unwrap_or(Path::new("/"));
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let there = names_in(parent);
                let meant = did_you_mean::question(&name, there.iter().map(String::as_str));
                write!(f, "{} has no {name:?}{meant}", parent.display())
            }
            Self::Dangling(link, target) => write!(
                f,
                "{} is a link to {}, which does not exist",
                link.display(),
                target.display()
            ),
            Self::File(file) => write!(f, "{} is a file and no directory", file.display()),
        }
    }
}

pub(super) fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The user this process runs as, for messages.
pub(in crate::front) fn this_user() -> String {
    format!("user {}", user(rustix::process::geteuid().as_raw()))
}

/// A user's name and number, or the number alone.
fn user(number: u32) -> String {
    const LONGEST: u64 = 1 << 20;
    let mut accounts = String::new();
    if let Ok(file) = File::open("/etc/passwd") {
        let _ = file.take(LONGEST).read_to_string(&mut accounts);
    }
    match name_of(number, &accounts) {
        Some(name) => format!("{name} ({number})"),
        None => number.to_string(),
    }
}

fn name_of(number: u32, accounts: &str) -> Option<&str> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_first_obstacle_on_a_way_is_named() {
        let place = tempfile::tempdir().expect("a directory");
        let at = |path: &str| place.path().join(path);
        fs::create_dir(at("site")).expect("made");
        fs::write(at("site/app.py"), "").expect("written");
        symlink("gone", at("site/link")).expect("made");
        assert_eq!(obstacle(&at("site/app.py")), None);
        assert_eq!(obstacle(&at("sit/e/app.py")), Some(Obstacle::Missing(at("sit"))));
        assert_eq!(obstacle(&at("site/app.py/x")), Some(Obstacle::File(at("site/app.py"))));
        let dangling = Obstacle::Dangling(at("site/link"), "gone".into());
        assert_eq!(obstacle(&at("site/link")), Some(dangling));
        assert_eq!(obstacle_to_enter(&at("site")), None);
        assert_eq!(obstacle_to_enter(&at("site/app.py")), Some(Obstacle::File(at("site/app.py"))));
        let said = Obstacle::Missing(at("sit")).to_string();
        assert!(said.ends_with("has no \"sit\"; did you mean site?"), "{said}");
    }

    #[test]
    fn a_user_has_a_name_where_the_system_knows_one() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1000::/home/ann:\n";
        assert_eq!(name_of(1000, accounts), Some("ann"));
        assert_eq!(name_of(0, accounts), Some("root"));
        assert_eq!(name_of(1, accounts), None);
    }
}
