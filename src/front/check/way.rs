//! The way to a file: every directory on it, through links too, and what this user may not do there.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, access};

use super::finding::{Finding, word};
use super::user::{User, name_of};
use crate::front::find::way::is_noexec;

/// As many links as the system follows.
const MOST_LINKS: usize = 40;

/// What stands in the way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// This directory lets the user not through.
    Closed(PathBuf),
    /// This is not there; the link that leads to it, if one does.
    Missing(PathBuf, Option<PathBuf>),
    /// This is no directory, and something below it is asked for.
    NoDirectory(PathBuf),
    /// The system says so.
    Other(PathBuf, String),
}

/// Goes the way to a file, which must be absolute.
pub(super) fn to(path: &Path) -> Result<(), Obstacle> {
    let mut left: VecDeque<OsString> = components(path);
    let mut here = PathBuf::from("/");
    let mut link = None;
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            here.pop();
            continue;
        }
        if access(&here, Access::EXEC_OK).is_err() {
            return Err(if here.is_dir() {
                Obstacle::Closed(here)
            } else {
                Obstacle::NoDirectory(here)
            });
        }
        let next = here.join(&name);
        match fs::symlink_metadata(&next) {
            Ok(found) if found.is_symlink() => {
                links += 1;
                let target = fs::read_link(&next).map_err(|error| other(&next, &error))?;
                if links > MOST_LINKS {
                    return Err(Obstacle::Other(next, "links lead in a circle".to_owned()));
                }
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                for name in components(&target).into_iter().rev() {
                    left.push_front(name);
                }
                link.get_or_insert(next);
            }
            Ok(found) if !found.is_dir() && !left.is_empty() => {
                return Err(Obstacle::NoDirectory(next));
            }
            Ok(_) => here = next,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Obstacle::Missing(next, link));
            }
            Err(error) => return Err(other(&next, &error)),
        }
    }
    Ok(())
}

fn other(path: &Path, error: &io::Error) -> Obstacle {
    Obstacle::Other(path.to_owned(), error.to_string())
}

fn components(path: &Path) -> VecDeque<OsString> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

impl Obstacle {
    /// What it means for a file that is named `target`.
    pub(super) fn finding(&self, about: &'static str, target: &Path, user: &User) -> Finding {
        let shown = target.display();
        match self {
            Self::Closed(directory) => {
                let rights = fs::metadata(directory).map_or_else(
                    |_| String::new(),
                    |it| format!(" (mode {:o}, of {})", it.mode() & 0o7777, name_of(it.uid())),
                );
                Finding::problem(
                    about,
                    format!(
                        "{} may not enter {}{rights}, which is on the way to {shown}",
                        user.shown(),
                        directory.display()
                    ),
                )
                .cure(format!("chmod o+x {}", word(directory)))
            }
            Self::Missing(path, Some(link)) => Finding::problem(
                about,
                format!("{} is a link to {}, which does not exist", link.display(), path.display()),
            ),
            Self::Missing(path, None) if path == target => {
                Finding::problem(about, format!("{shown} does not exist"))
            }
            Self::Missing(path, None) => Finding::problem(
                about,
                format!("there is no {}, on the way to {shown}", path.display()),
            ),
            Self::NoDirectory(path) => Finding::problem(
                about,
                format!("{} is no directory, on the way to {shown}", path.display()),
            ),
            Self::Other(path, error) => Finding::problem(
                about,
                format!("{}: {error}, on the way to {shown}", path.display()),
            ),
        }
    }
}

/// What shows how the file system of a file is mounted.
pub(super) fn mount_of(file: &Path) -> String {
    format!("findmnt -T {} -o TARGET,OPTIONS", word(file))
}

/// What keeps a file that is there from being executed.
pub(super) fn executable(about: &'static str, file: &Path, user: &User) -> Option<Finding> {
    if let Err(obstacle) = to(file) {
        return Some(obstacle.finding(about, file, user));
    }
    let shown = file.display();
    if is_noexec(file) {
        return Some(
            Finding::problem(
                about,
                format!(
                    "{shown} is on a file system that is mounted noexec: nothing there can be run"
                ),
            )
            .cure(mount_of(file)),
        );
    }
    if access(file, Access::EXEC_OK).is_err() {
        let mode = fs::metadata(file).map_or(0, |it| it.mode() & 0o7777);
        return Some(
            Finding::problem(
                about,
                format!("{} may not execute {shown} (mode {mode:o})", user.shown()),
            )
            .cure(format!("chmod a+rx {}", word(file))),
        );
    }
    None
}

/// What keeps a file that is there from being read.
pub(super) fn readable(about: &'static str, file: &Path, user: &User) -> Option<Finding> {
    if let Err(obstacle) = to(file) {
        return Some(obstacle.finding(about, file, user));
    }
    access(file, Access::READ_OK).is_err().then(|| {
        let found = fs::metadata(file);
        let (mode, owner) = found.map_or((0, 0), |it| (it.mode() & 0o7777, it.uid()));
        let seen = format!(
            "{} may not read {} (mode {mode:o}, of {})",
            user.shown(),
            file.display(),
            name_of(owner)
        );
        Finding::problem(about, seen).cure(format!("chmod a+r {}", word(file)))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_way_ends_where_something_is_missing_or_no_directory() {
        let place = tempfile::tempdir().expect("a directory");
        let root = place.path().canonicalize().expect("it is there");
        fs::create_dir(root.join("a")).expect("made");
        fs::write(root.join("a/file"), "").expect("written");
        symlink("a/file", root.join("good")).expect("made");
        symlink("nothing", root.join("bad")).expect("made");
        symlink("circle", root.join("circle")).expect("made");
        for there in ["a/file", "good", "a/../a/file", "a"] {
            assert_eq!(to(&root.join(there)), Ok(()), "{there}");
        }
        assert_eq!(to(&root.join("x/file")), Err(Obstacle::Missing(root.join("x"), None)));
        assert_eq!(
            to(&root.join("bad")),
            Err(Obstacle::Missing(root.join("nothing"), Some(root.join("bad"))))
        );
        assert_eq!(to(&root.join("a/file/x")), Err(Obstacle::NoDirectory(root.join("a/file"))));
        assert!(matches!(to(&root.join("circle")), Err(Obstacle::Other(..))));
    }
}
