//! Where the worker of this build is: in this executable itself, beside it, in `../lib/cgi2wsgi/`, or in the packages
//! of the same prefix, as an installation puts it. The current directory, PATH and variables are not used: the worker
//! is code that runs.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::carried::{self, Carried};
use super::this_executable;
use crate::front::users::this_user;
use crate::handoff::build::{BUILD, worker_file_name};

/// What Python loads.
#[derive(Debug)]
pub enum Worker {
    /// A file.
    File(PathBuf),
    /// What this executable carries.
    Carried(Carried),
}

impl Worker {
    /// The file that it is in.
    pub fn file(&self) -> &Path {
        match self {
            Self::File(file) => file,
            Self::Carried(carried) => &carried.front,
        }
    }
}

/// The worker of this build. An executable that carries a worker uses no other.
pub fn find() -> Result<Worker> {
    let here = this_executable().context(
        "the worker of this build cannot be found, because this process cannot find its own executable: is \
         /proc mounted?",
    )?;
    if let Some(carried) = carried::find(&here)? {
        return Ok(Worker::Carried(carried));
    }
    let directory = here.parent().unwrap_or(Path::new("/"));
    let name = worker_file_name();
    for candidate in candidates(directory, &name) {
        match std::fs::metadata(&candidate) {
            Ok(file) => return trusted(candidate, &file, &here).map(Worker::File),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                bail!("{} cannot be reached by {}: {error}", candidate.display(), this_user())
            }
            Err(_) => {}
        }
    }
    bail!(
        "the worker of this build, {}, is neither in {} nor in its ../lib/cgi2wsgi, nor in the \
         packages beside it: install front and worker from the same build ({BUILD})",
        name.display(),
        directory.display()
    )
}

/// The places where it may be, in order.
fn candidates(directory: &Path, name: &Path) -> impl Iterator<Item = PathBuf> {
    let library = directory.join("../lib");
    let near = [directory.join(name), library.join("cgi2wsgi").join(name)];
    // site-packages, Debian's dist-packages and Fedora's lib64. Searched only if the near places have no worker.
    let installed = [library, directory.join("../lib64")]
        .into_iter()
        .flat_map(std::fs::read_dir)
        .flatten()
        .flatten();
    let name = name.to_owned();
    let installed = installed
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with("python3")));
    let installed = installed.flat_map(move |entry| {
        let name = name.clone();
        ["site-packages", "dist-packages"]
            .map(|packages| entry.path().join(packages).join("cgi2wsgi").join(&name))
    });
    near.into_iter().chain(installed)
}

/// Refuses a file that others can write to, or whose owner is neither root, this user nor the executable's owner.
fn trusted(worker: PathBuf, file: &Metadata, front: &Path) -> Result<PathBuf> {
    let front = std::fs::metadata(front).context("this executable is gone")?;
    let owners = [0, rustix::process::geteuid().as_raw(), front.uid()];
    let shown = worker.display();
    if !owners.contains(&file.uid()) {
        bail!(
            "{shown} belongs to user {} and is not loaded: it must belong to root, to this user, or \
             to the owner of cgi2wsgi",
            file.uid()
        );
    }
    // A group that may write to the front may write to the worker too.
    let excess = file.mode() & 0o022 & !(front.mode() & 0o020);
    if excess != 0 {
        bail!(
            "{shown} can be written to by others (mode {:o}) and is not loaded: chmod go-w {shown}",
            file.permissions().mode() & 0o777
        );
    }
    Ok(worker)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn a_worker_that_others_can_write_to_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let worker = directory.path().join("worker.so");
        fs::write(&worker, "").expect("written");
        let front = std::env::current_exe().expect("this test");
        for (mode, is_trusted) in [(0o755, true), (0o644, true), (0o757, false), (0o666, false)] {
            fs::set_permissions(&worker, Permissions::from_mode(mode)).expect("changed");
            let file = fs::metadata(&worker).expect("it is there");
            assert_eq!(trusted(worker.clone(), &file, &front).is_ok(), is_trusted, "{mode:o}");
        }
    }

    #[test]
    fn it_is_looked_for_beside_the_front_and_in_its_prefix() {
        let prefix = tempfile::tempdir().expect("a directory");
        let packages = prefix.path().join("lib/python3.12/site-packages/cgi2wsgi");
        fs::create_dir_all(&packages).expect("made");
        fs::create_dir(prefix.path().join("bin")).expect("made");
        fs::write(packages.join("w.so"), "").expect("written");
        let bin = prefix.path().join("bin");
        let found = candidates(&bin, Path::new("w.so")).find(|candidate| candidate.is_file());
        let found = found.and_then(|found| found.canonicalize().ok());
        assert_eq!(found, packages.join("w.so").canonicalize().ok());
    }
}
