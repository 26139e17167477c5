//! What an unprivileged user can read: a directory under the system's temporary directory with copies of the
//! executables and of the fixtures, places for logs and for files that applications write, a Python virtual
//! environment and Caddy. It is removed when the run ends, however it ends.

use std::collections::HashSet;
use std::env;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::harness::process::{
    AtParentDeath, End, PATIENCE, Running, User, leads_session, loaded_by, terminate, until,
};
use crate::harness::server::Kind;

/// Names the Python virtual environment whose packages the fixtures import; `tests/run` sets it.
const PYTHON_ENV: &str = "CGI2WSGI_TEST_PYTHON_ENV";
/// Names another CGI program to run the table against, such as `tests/integration/cgihandler.py`.
const OTHER_BRIDGE: &str = "CGI2WSGI_TEST_BRIDGE";
/// Names a Caddy that has the cgi plugin, instead of the one that `tests/caddy-build` makes.
const OTHER_CADDY: &str = "CGI2WSGI_TEST_CADDY";

/// Names the directory with front and worker that `packaging/parts` has built.
const PARTS: &str = "CGI2WSGI_TEST_PARTS";

fn parts() -> Result<PathBuf> {
    env::var_os(PARTS).map(PathBuf::from).with_context(|| {
        format!("{PARTS} is not set: run the tests with `tests/run`, or name a directory that packaging/parts made")
    })
}

/// Whether the table is run against another program than this one.
pub(crate) fn is_other_bridge() -> bool {
    env::var_os(OTHER_BRIDGE).is_some()
}

/// `work/download.bin` repeats this pattern. No pipe can hold the whole file, and every offset differs from its
/// neighbours.
pub(crate) const DOWNLOAD_PATTERN: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz\n";
pub(crate) const DOWNLOAD_SIZE: usize = 3 * 1024 * 1024;

pub(crate) struct Stage {
    directory: TempDir,
    pub(crate) user: User,
    python_env: PathBuf,
    caddy: OnceLock<Result<PathBuf, String>>,
}

impl Stage {
    pub(crate) fn new() -> Result<Self> {
        let user = User::unprivileged()?;
        let directory = tempfile::Builder::new()
            .prefix("cgi2wsgi-")
            .tempdir()
            .context("cannot make a temporary directory")?;
        open_to_all(directory.path())?;
        let mut stage =
            Self { directory, user, python_env: PathBuf::new(), caddy: OnceLock::new() };
        for owned in ["logs", "run", "work", "scripts"] {
            let path = stage.path(owned);
            fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
            give(&path, &stage.user)?;
        }
        stage.copy_executables()?;
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        copy(&project.join("fixtures"), &stage.path("fixtures"), Some(&stage.user))?;
        copy(&project.join("tests/integration/applications"), &stage.path("applications"), None)?;
        copy(&project.join("tests/apache"), &stage.path("apache"), None)?;
        copy(&project.join("servers"), &stage.path("servers"), None)?;
        let download: Vec<u8> =
            DOWNLOAD_PATTERN.iter().cycle().take(DOWNLOAD_SIZE).copied().collect();
        fs::write(stage.path("work/download.bin"), download).context("cannot write a download")?;
        stage.python_env = stage.readable_python_env()?;
        stage.pack_archives()?;
        Ok(stage)
    }

    /// Makes `work/site.pyz` and `work/modules.zip`, from which Python imports.
    fn pack_archives(&self) -> Result<()> {
        let (archive, modules) =
            (self.path("applications/archive"), self.path("applications/modules"));
        let pack = "import shutil, sys, zipapp\n\
                    zipapp.create_archive(sys.argv[1], sys.argv[2], interpreter='/usr/bin/env cgi2wsgi')\n\
                    shutil.make_archive(sys.argv[4], 'zip', sys.argv[3])\n";
        let packed = Command::new(self.python())
            .args(["-c", pack])
            .args([archive, self.path("work/site.pyz"), modules, self.path("work/modules")])
            .status()
            .context("there is no Python")?;
        ensure!(packed.success(), "the archives cannot be packed");
        for file in ["work/site.pyz", "work/modules.zip"] {
            open_to_all(&self.path(file))?;
        }
        Ok(())
    }

    /// A path inside the stage.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.directory.path().join(inside)
    }

    /// `cgi2wsgi`, or the other program that the table is run against.
    pub(crate) fn bridge(&self) -> PathBuf {
        self.path("bin/cgi2wsgi")
    }

    pub(crate) fn python_env(&self) -> &Path {
        &self.python_env
    }

    pub(crate) fn python(&self) -> PathBuf {
        self.python_env.join("bin/python")
    }

    /// Caddy with the cgi plugin, where the unprivileged user can run it.
    pub(crate) fn caddy(&self) -> Result<PathBuf> {
        self.caddy
            .get_or_init(|| self.readable_caddy().map_err(|error| format!("{error:#}")))
            .clone()
            .map_err(anyhow::Error::msg)
    }

    /// Replaces `{fixtures}`, `{work}`, ... at the start of or inside a text by the stage's directories.
    pub(crate) fn resolve(&self, text: &str) -> String {
        let named = ["fixtures", "work", "run", "bin", "scripts", "applications"];
        named.iter().fold(text.to_owned(), |text, name| {
            text.replace(&format!("{{{name}}}"), &self.path(name).to_string_lossy())
        })
    }

    /// An executable script in the stage, which starts with a `#!` line.
    pub(crate) fn script(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path("scripts").join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        open_to_all(&path)?;
        Ok(path)
    }

    /// A fresh directory that the unprivileged user may write in.
    pub(crate) fn workplace(&self, name: &str) -> Result<PathBuf> {
        let path = self.path("work").join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        give(&path, &self.user)?;
        Ok(path)
    }

    /// A directory of the unprivileged user for files that outlast a request on one server. Its path is short, because
    /// it holds sockets.
    pub(crate) fn runtime(&self, kind: Kind, place: &str) -> Result<PathBuf> {
        let number = Kind::ALL.iter().position(|known| *known == kind).unwrap_or_default();
        let path = self.path("warm").join(format!("{number}{place}"));
        if !path.is_dir() {
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
            give(&path, &self.user)?;
        }
        Ok(path)
    }

    /// Ends the zygotes of this run, and waits until no process is left that runs one of its executables.
    pub(crate) fn end_zygotes(&self) -> Result<()> {
        let worker = self.path(&format!("bin/{}", Self::worker_name()?));
        let mut asked = HashSet::new();
        let mut left = Vec::new();
        until(PATIENCE, "the end of all zygotes and their children", || {
            left = loaded_by(&worker)?;
            // A zygote is a session leader. Its children end when it ends, or when their requests end.
            for pid in left.iter().filter(|pid| leads_session(**pid)) {
                if asked.insert(*pid) {
                    terminate(*pid);
                }
            }
            Ok(left.is_empty().then_some(()))
        })
        .with_context(|| format!("these processes are left: {left:?}"))
    }

    /// A new log file, opened to append. The unprivileged user may open it again, as Apache does.
    pub(crate) fn log(&self, path: &Path) -> Result<File> {
        let opened = File::options().create_new(true).append(true).open(path);
        let log = opened.with_context(|| format!("cannot write {}", path.display()))?;
        give(path, &self.user)?;
        Ok(log)
    }

    /// A command with the few variables that a daemon's environment has.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.path("run"))
            .env("TMPDIR", self.path("run"))
            .current_dir(self.path("work"))
            .stdin(Stdio::null());
        command
    }

    fn copy_executables(&self) -> Result<()> {
        let bin = self.path("bin");
        fs::create_dir(&bin).context("cannot make the stage's bin directory")?;
        let bridge = env::var_os(OTHER_BRIDGE).map_or_else(
            || parts().map(|parts| parts.join("cgi2wsgi")),
            |other| Ok(other.into()),
        )?;
        copy(&bridge, &self.bridge(), None)?;
        open_to_all(&self.bridge())?;
        let worker = Self::worker_name()?;
        copy(&parts()?.join(&worker), &bin.join(worker), None)
    }

    /// The name of the worker's file.
    pub(crate) fn worker_name() -> Result<String> {
        let output = Command::new(parts()?.join("cgi2wsgi")).arg("--worker-file-name").output();
        let output = output.context("cgi2wsgi does not start")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The build's identity, which the worker's file name contains.
    pub(crate) fn build() -> Result<String> {
        let name = Self::worker_name()?;
        let build = name.strip_prefix("cgi2wsgi_worker-").and_then(|rest| rest.strip_suffix(".so"));
        Ok(build.context("a worker of another name")?.to_owned())
    }

    fn readable_python_env(&self) -> Result<PathBuf> {
        let given = env::var_os(PYTHON_ENV).map(PathBuf::from).with_context(|| {
            format!("{PYTHON_ENV} is not set: run the tests with `tests/run`, or name a virtual environment that tests/python-env made")
        })?;
        ensure!(
            given.join("pyvenv.cfg").is_file(),
            "{PYTHON_ENV}={} is no Python virtual environment: it has no pyvenv.cfg",
            given.display()
        );
        if self.can_run(&given.join("bin/python"))? {
            return Ok(given);
        }
        let copied = self.path("python-env");
        copy(&given, &copied, None)?;
        ensure!(
            self.can_run(&copied.join("bin/python"))?,
            "uid {} cannot run the Python behind {}: use an interpreter that everybody can read, such as Debian's /usr/bin/python3",
            self.user.uid,
            given.display()
        );
        Ok(copied)
    }

    fn readable_caddy(&self) -> Result<PathBuf> {
        let built = env::var_os(OTHER_CADDY).map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/caddy/caddy"),
            PathBuf::from,
        );
        ensure!(
            built.is_file(),
            "there is no Caddy with the cgi plugin at {}: run tests/caddy-build",
            built.display()
        );
        if self.can_run(&built)? {
            return Ok(built);
        }
        let copied = self.path("bin/caddy");
        copy(&built, &copied, None)?;
        Ok(copied)
    }

    /// Whether the unprivileged user can reach and run a file.
    fn can_run(&self, path: &Path) -> Result<bool> {
        let mut command = self.command(Path::new("/bin/sh"));
        command.args(["-c", r#"test -r "$1" && test -x "$1""#, "sh"]).arg(path);
        let end = Running::start(command, &self.user, AtParentDeath::Kill)?.wait(PATIENCE)?;
        Ok(end == End::Code(0))
    }
}

/// Joins the two parts into one file, as packaging/build does, without the first `lacking` bytes of the worker.
pub(crate) fn join_parts(stage: &Stage, place: &Path, build: &str, lacking: usize) -> Result<()> {
    let worker = fs::read(stage.path("bin").join(Stage::worker_name()?))?;
    let mut bytes = fs::read(stage.path("bin/cgi2wsgi"))?;
    let last_line = format!("{:016x}{build}cgi2wsgi-worker\n", worker.len());
    bytes.extend(&worker[lacking..]);
    bytes.extend(last_line.bytes());
    let draft = place.with_extension("draft");
    fs::write(&draft, bytes)?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755))?;
    copy_executable(&draft, &place.with_extension("new"))?;
    fs::rename(place.with_extension("new"), place)?;
    Ok(fs::remove_file(&draft)?)
}

/// Copies an executable file with `cp`, so that the copy can be started at once. If this process wrote the file, a
/// process that another thread forks meanwhile would inherit it open for writing, and until that process ended the file
/// could not be started.
pub(crate) fn copy_executable(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("--").args([from, to]).status();
    let copied = copied.context("there is no cp")?;
    ensure!(copied.success(), "cannot copy {} to {}", from.display(), to.display());
    Ok(())
}

/// Copies a file or a tree, keeping modes and symbolic links, without caches and databases of a developer's runs.
fn copy(from: &Path, to: &Path, owner: Option<&User>) -> Result<()> {
    let failed = || format!("cannot copy {} to {}", from.display(), to.display());
    let kind = fs::symlink_metadata(from).with_context(failed)?.file_type();
    if kind.is_symlink() {
        symlink(fs::read_link(from).with_context(failed)?, to).with_context(failed)?;
        return Ok(());
    } else if kind.is_dir() {
        fs::create_dir_all(to).with_context(failed)?;
        for entry in fs::read_dir(from).with_context(failed)? {
            let name = entry.with_context(failed)?.file_name();
            let left_behind = ["__pycache__", "db.sqlite3"];
            if !left_behind.iter().any(|skipped| name == *skipped) {
                copy(&from.join(&name), &to.join(&name), owner)?;
            }
        }
        open_to_all(to)?;
    } else if kind.is_file() {
        let mode = fs::metadata(from).with_context(failed)?.permissions().mode();
        if mode & 0o111 == 0 {
            fs::copy(from, to).with_context(failed)?;
        } else {
            copy_executable(from, to)?;
        }
        fs::set_permissions(to, fs::Permissions::from_mode(mode | 0o444)).with_context(failed)?;
    } else {
        bail!("{} is neither a file nor a directory", from.display());
    }
    owner.map_or(Ok(()), |user| give(to, user))
}

fn open_to_all(path: &Path) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot open {} to everybody", path.display()))
}

fn give(path: &Path, user: &User) -> Result<()> {
    chown(path, Some(user.uid), Some(user.gid))
        .with_context(|| format!("cannot give {} to uid {}", path.display(), user.uid))
}
