//! Why this user cannot reach a path: the first component, with links followed, that is missing, not searchable or not
//! a directory.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};

use crate::did_you_mean;
use crate::front::users::{shown, this_user};

/// How many links the system follows.
const MOST_LINKS: usize = 40;

/// The first component of a path that cannot be passed.
#[derive(Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// This directory may not be entered.
    Closed(PathBuf),
    /// The parent directory exists, but not the last component of the path.
    Absent(PathBuf),
    /// This component, which is not the last, does not exist.
    Missing(PathBuf),
    /// This link leads to something that does not exist.
    Dangling {
        /// The first link in the path.
        link: PathBuf,
        /// The first component of its target that does not exist.
        target: PathBuf,
    },
    /// This is a file where the path needs a directory.
    File(PathBuf),
    /// The system reports another error.
    Other(PathBuf, String),
}

/// A link, while the components of its target are walked through.
struct Through {
    link: PathBuf,
    /// How many components of the path are left after its target.
    left_behind_it: usize,
}

/// Whether a file cannot be executed because its file system is mounted noexec, whatever its mode is.
pub fn is_noexec(file: &Path) -> bool {
    statvfs(file).is_ok_and(|it| it.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// What keeps this user from a file or directory; `None` if it can be reached.
pub fn obstacle(path: &Path) -> Option<Obstacle> {
    walk(path).err()
}

fn walk(path: &Path) -> Result<(), Obstacle> {
    let other = |path: &Path, error: &io::Error| Obstacle::Other(path.into(), error.to_string());
    let absolute = std::path::absolute(path).map_err(|error| other(path, &error))?;
    let mut left = components(&absolute);
    let mut here = PathBuf::from("/");
    let mut through: Option<Through> = None;
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        through = through.filter(|it| left.len() >= it.left_behind_it);
        if access(&here, Access::EXEC_OK).is_err() {
            return Err(Obstacle::Closed(here));
        }
        if name == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&name);
        match fs::symlink_metadata(&next) {
            Ok(found) if found.is_symlink() => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Obstacle::Other(
                        next,
                        "symbolic links lead in a circle".to_owned(),
                    ));
                }
                let target = fs::read_link(&next).map_err(|error| other(&next, &error))?;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                through.get_or_insert(Through { link: next, left_behind_it: left.len() });
                for name in components(&target).into_iter().rev() {
                    left.push_front(name);
                }
            }
            Ok(found) if !found.is_dir() && !left.is_empty() => return Err(Obstacle::File(next)),
            Ok(_) => here = next,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(match through {
                    Some(Through { link, .. }) => Obstacle::Dangling { link, target: next },
                    None if left.is_empty() => Obstacle::Absent(next),
                    None => Obstacle::Missing(next),
                });
            }
            Err(error) => return Err(other(&next, &error)),
        }
    }
    Ok(())
}

fn components(path: &Path) -> VecDeque<OsString> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

/// [`obstacle`] for a directory that is to be entered.
pub fn obstacle_to_enter(path: &Path) -> Option<Obstacle> {
    obstacle(path).or_else(|| {
        if !path.is_dir() {
            return Some(Obstacle::File(path.to_owned()));
        }
        access(path, Access::EXEC_OK).is_err().then(|| Obstacle::Closed(path.to_owned()))
    })
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(directory) => {
                let shown = directory.display();
                write!(
                    f,
                    "{} may not enter the directory {shown}{}: chmod a+x {shown}, or move what is in \
                     it to where every user may go, such as /srv",
                    this_user(),
                    rights(directory)
                )
            }
            Self::Absent(path) | Self::Missing(path) => {
                let parent = path.parent().unwrap_or(Path::new("/"));
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let there = names_in(parent);
                let meant = did_you_mean::question(&name, there.iter().map(String::as_str));
                write!(f, "{} has no {name:?}{meant}", parent.display())
            }
            Self::Dangling { link, target } => write!(
                f,
                "{} is a link to {}, which does not exist",
                link.display(),
                target.display()
            ),
            Self::File(file) => write!(f, "{} is a file, not a directory", file.display()),
            Self::Other(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

/// An explanation, followed by what to do. An explanation that ends with a question is a sentence of its own.
pub(in crate::front) fn with_cure(explanation: &str, cure: &str) -> String {
    if explanation.ends_with('?') {
        format!("{explanation} Otherwise {cure}")
    } else {
        format!("{explanation}: {cure}")
    }
}

/// Mode and owner of a file or directory, in parentheses after a space; empty where they cannot be read.
pub(in crate::front) fn rights(path: &Path) -> String {
    fs::metadata(path).map_or_else(
        |_| String::new(),
        |found| {
            let mode = found.permissions().mode() & 0o7777;
            format!(" (mode {mode:04o}, owner {})", shown(found.uid()))
        },
    )
}

pub(super) fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_first_obstacle_on_a_way_is_named() {
        let place = tempfile::tempdir().expect("a directory");
        let root = place.path().canonicalize().expect("it is there");
        let at = |path: &str| root.join(path);
        fs::create_dir(at("site")).expect("made");
        fs::write(at("site/app.py"), "").expect("written");
        for (target, link) in
            [("site/app.py", "good"), ("gone", "bad"), ("site", "other"), ("circle", "circle")]
        {
            symlink(target, at(link)).expect("made");
        }
        for there in ["site/app.py", "good", "site/../site/app.py", "other/app.py", "site"] {
            assert_eq!(obstacle(&at(there)), None, "{there}");
        }
        assert_eq!(obstacle(&at("sit/e/app.py")), Some(Obstacle::Missing(at("sit"))));
        assert_eq!(obstacle(&at("site/ap.py")), Some(Obstacle::Absent(at("site/ap.py"))));
        // The link itself is right.
        assert_eq!(obstacle(&at("other/ap.py")), Some(Obstacle::Absent(at("site/ap.py"))));
        assert_eq!(obstacle(&at("site/app.py/x")), Some(Obstacle::File(at("site/app.py"))));
        assert_eq!(obstacle(&at("good/x")), Some(Obstacle::File(at("site/app.py"))));
        let dangling = || Some(Obstacle::Dangling { link: at("bad"), target: at("gone") });
        assert_eq!(obstacle(&at("bad")), dangling());
        assert_eq!(obstacle(&at("bad/app.py")), dangling());
        assert!(matches!(obstacle(&at("circle")), Some(Obstacle::Other(..))));
        assert_eq!(obstacle_to_enter(&at("other")), None);
        assert_eq!(obstacle_to_enter(&at("site/app.py")), Some(Obstacle::File(at("site/app.py"))));
        let said = Obstacle::Missing(at("sit")).to_string();
        assert!(said.ends_with("has no \"sit\"; did you mean site?"), "{said}");
    }
}
