//! Findings about a file: what this user may not do with it, and what obstructs the path to it (`find/way.rs`).

use std::path::Path;

use rustix::fs::{Access, access};

use super::finding::{Finding, word};
use super::user::User;
use crate::front::find::way::{Obstacle, is_noexec, obstacle, rights};

/// What an obstacle on the path means for a file that is named `target`.
pub(super) fn finding(
    obstacle: &Obstacle,
    about: &'static str,
    target: &Path,
    user: &User,
) -> Finding {
    let shown = target.display();
    let seen = match obstacle {
        Obstacle::Closed(directory) => {
            let seen = format!(
                "{} may not enter the directory {}{}, which is on the way to {shown}",
                user.shown(),
                directory.display(),
                rights(directory)
            );
            return Finding::problem(about, seen).cure(format!("chmod o+x {}", word(directory)));
        }
        Obstacle::Absent(_) => format!("{shown} does not exist"),
        Obstacle::Missing(path) => {
            format!("there is no {}, on the way to {shown}", path.display())
        }
        Obstacle::Dangling { .. } => obstacle.to_string(),
        Obstacle::File(_) | Obstacle::Other(..) => format!("{obstacle}, on the way to {shown}"),
    };
    Finding::problem(about, seen)
}

/// A command that shows how the file system of a file is mounted.
pub(super) fn mount_of(file: &Path) -> String {
    format!("findmnt -T {} -o TARGET,OPTIONS", word(file))
}

/// Why this user cannot execute a file. Nothing: the user can.
pub(super) fn executable(about: &'static str, file: &Path, user: &User) -> Option<Finding> {
    if let Some(obstacle) = obstacle(file) {
        return Some(finding(&obstacle, about, file, user));
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
        return Some(
            Finding::problem(
                about,
                format!("{} may not execute {shown}{}", user.shown(), rights(file)),
            )
            .cure(format!("chmod a+rx {}", word(file))),
        );
    }
    None
}

/// Why this user cannot read a file. Nothing: the user can.
pub(super) fn readable(about: &'static str, file: &Path, user: &User) -> Option<Finding> {
    if let Some(obstacle) = obstacle(file) {
        return Some(finding(&obstacle, about, file, user));
    }
    access(file, Access::READ_OK).is_err().then(|| {
        let seen = format!("{} may not read {}{}", user.shown(), file.display(), rights(file));
        Finding::problem(about, seen).cure(format!("chmod a+r {}", word(file)))
    })
}
