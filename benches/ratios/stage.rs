//! What is run: front and worker as they are installed, the Python environment, the C programs, copies of the fixtures.
//!
//! All of it is in a directory of its own, which is removed at the end; the Python environment, which takes long to
//! make, stays in `target/`.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process::User;
use crate::processes;
use crate::subject::{Output, Program};
use crate::terminal;

/// The secret of the sites' sessions.
const SECRET: &str = "a secret of the bench, which guards nothing";

/// The request: the whole environment of a subject, except for what its row adds.
const CGI: &[(&str, &str)] = &[
    ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ("GATEWAY_INTERFACE", "CGI/1.1"),
    ("SERVER_PROTOCOL", "HTTP/1.1"),
    ("SERVER_SOFTWARE", "bench"),
    ("SERVER_NAME", "localhost"),
    ("SERVER_PORT", "80"),
    ("REQUEST_METHOD", "GET"),
    ("SCRIPT_NAME", ""),
    ("PATH_INFO", "/"),
    ("QUERY_STRING", ""),
    ("REMOTE_ADDR", "127.0.0.1"),
    ("HTTP_HOST", "localhost"),
];

pub(crate) struct Stage {
    directory: TempDir,
    python_env: PathBuf,
    errors: PathBuf,
}

/// An application, in the parts that each peer names it by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Application {
    /// Where its modules are, in the stage.
    pub(crate) directory: &'static str,
    pub(crate) module: &'static str,
    pub(crate) callable: &'static str,
}

/// Answers the version of its Python.
pub(crate) const VERSION: Application =
    Application { directory: "programs", module: "version", callable: "application" };

pub(crate) const HELLO: Application =
    Application { directory: "fixtures", module: "hello", callable: "application" };
pub(crate) const FLASK: Application =
    Application { directory: "fixtures/flask_site", module: "app", callable: "app" };
pub(crate) const DJANGO: Application = Application {
    directory: "fixtures/django_site",
    module: "mysite.wsgi",
    callable: "application",
};

/// A view of [`DJANGO`] that does next to nothing, behind all the middleware of the site, and its answer.
pub(crate) const PING: &str = "/ping";
pub(crate) const PONG: &str = "pong\n";

/// How long a zygote stays without a request: longer than a run of the bench takes.
const IDLE: &str = "1200";

impl Stage {
    pub(crate) fn new() -> Result<Self> {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let directory = tempfile::Builder::new()
            .prefix("cgi2wsgi-bench-")
            .tempdir()
            .context("cannot make a temporary directory")?;
        // Servers that a superuser starts run as another user.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))
            .context("cannot open the directory to everybody")?;
        let errors = directory.path().join("errors.log");
        let stage = Self { python_env: python_env(project)?, directory, errors };
        for (from, to) in [
            ("fixtures", "fixtures"),
            ("benches/ratios/programs", "programs"),
            ("tests/apache", "apache"),
        ] {
            copy(&project.join(from), &stage.path(to))?;
        }
        terminal::progress("   front and worker (packaging/parts)");
        // Not the front that cargo has built with this bench: it is not linked statically, and has no worker beside it.
        let mut parts = Command::new(project.join("packaging/parts"));
        run(parts.arg(stage.path("bin")).arg("bench"))?;
        stage.compile("floor", "floor", &[])?;
        stage.compile("floor", "floor-static", &["-static"])?;
        stage.set_up_django()?;
        stage.private_directory("tmp")?;
        let log = || fs::read_to_string(&stage.errors).unwrap_or_default();
        stage.same_python().with_context(log)?;
        Ok(stage)
    }

    /// A path inside the stage.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.directory.path().join(inside)
    }

    /// Keeps the directory, so that a person can look for what failed.
    pub(crate) fn keep(&mut self) -> &Path {
        self.directory.disable_cleanup(true);
        self.directory.path()
    }

    pub(crate) fn python(&self) -> PathBuf {
        self.python_env.join("bin/python")
    }

    pub(crate) fn python_env(&self) -> &Path {
        &self.python_env
    }

    /// A program with the variables of a request.
    pub(crate) fn program(&self, name: &str, program: &Path) -> Program {
        let start = Program::new(name, program, self.directory.path(), &self.errors);
        CGI.iter().fold(start, |program, (name, value)| program.env(name, value))
    }

    /// The application under cgi2wsgi.
    pub(crate) fn cgi2wsgi(&self, name: &str, application: &Application) -> Program {
        self.program(name, &self.path("bin/cgi2wsgi"))
            .arg("--venv")
            .arg(&self.python_env)
            .arg("--chdir")
            .arg(self.path(application.directory))
            .arg(format!("{}:{}", application.module, application.callable))
    }

    /// The application under Python's own bridge: a script beside it, as people write it for a CGI directory.
    pub(crate) fn cgihandler(&self, name: &str, application: &Application) -> Result<Program> {
        let Application { directory, module, callable } = application;
        let script =
            self.path(directory).join(format!("cgi_{}_{callable}.py", module.replace('.', "_")));
        let text = format!(
            "from wsgiref.handlers import CGIHandler\n\
             from {module} import {callable}\n\
             CGIHandler().run({callable})\n"
        );
        fs::write(&script, text).context("cannot write a script")?;
        Ok(self.program(name, &self.python()).arg(script))
    }

    /// Compiles `programs/SOURCE.c` to `bin/NAME`.
    pub(crate) fn compile(&self, source: &str, name: &str, options: &[&str]) -> Result<PathBuf> {
        let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let executable = self.path("bin").join(name);
        let mut command = Command::new(&compiler);
        command.args(["-O2", "-o"]).arg(&executable);
        command.arg(self.path("programs").join(format!("{source}.c"))).args(options);
        run(&mut command).with_context(|| {
            format!("{compiler} is needed: install a C compiler (Debian: apt-get install gcc)")
        })?;
        Ok(executable)
    }

    /// The C program, which does what a CGI program must and nothing else.
    pub(crate) fn floor(&self, name: &str) -> Program {
        self.program(name, &self.path("bin/floor")).greets()
    }

    /// The C program as the front is: linked statically.
    pub(crate) fn static_floor(&self, name: &str) -> Program {
        self.program(name, &self.path("bin/floor-static")).greets()
    }

    /// The front without a worker: it refuses the request.
    pub(crate) fn front_alone(&self, name: &str) -> Program {
        let refused = self.cgi2wsgi(name, &HELLO).env("CONTENT_LENGTH", "many");
        refused.exits(1).output(Output::Read("Status: 400 "))
    }

    /// A request for the small view of the Django site, to any program.
    pub(crate) fn ping(&self, program: Program) -> Program {
        self.with_site(program).env("PATH_INFO", PING).output(Output::Read(PONG))
    }

    /// The program with the variables that the Flask and the Django site look at.
    pub(crate) fn with_site(&self, program: Program) -> Program {
        let variables = self.site_variables();
        variables.iter().fold(program, |program, (name, value)| program.env(name, value))
    }

    /// The program, answered by a child of a zygote.
    pub(crate) fn warm(&self, program: Program) -> Program {
        let variables = self.warm_variables();
        variables.iter().fold(program, |program, (name, value)| program.env(name, value))
    }

    /// The variables that make it warm, with a directory of the bench for the zygotes' sockets.
    pub(crate) fn warm_variables(&self) -> [(&'static str, String); 3] {
        [
            ("CGI2WSGI_WARM", "1".to_owned()),
            ("CGI2WSGI_WARM_IDLE", IDLE.to_owned()),
            ("TMPDIR", self.path("tmp").display().to_string()),
        ]
    }

    /// Copies a directory of the stage within it.
    pub(crate) fn copy(&self, from: &str, to: &str) -> Result<()> {
        copy(&self.path(from), &self.path(to))
    }

    /// Makes a temporary directory for all users: zygotes in it do not know those in other directories.
    pub(crate) fn private_directory(&self, inside: &str) -> Result<PathBuf> {
        let directory = self.path(inside);
        fs::create_dir(&directory).context("cannot make a directory")?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777))
            .context("cannot open a directory to all")?;
        Ok(directory)
    }

    /// The lines logged so far about requests that should have been answered warm and were not.
    pub(crate) fn fall_backs(&self) -> Result<Vec<String>> {
        let logs = fs::read_dir(self.directory.path()).context("cannot list the stage")?;
        let logs = logs.filter_map(|entry| Some(entry.ok()?.path()));
        let mut lines = Vec::new();
        for log in logs.filter(|log| log.extension().is_some_and(|suffix| suffix == "log")) {
            let text = fs::read(&log).context("cannot read a log")?;
            let text = String::from_utf8_lossy(&text).into_owned();
            let fell_back = text.lines().filter(|line| line.contains("falling back to a normal"));
            lines.extend(fell_back.map(str::to_owned));
        }
        Ok(lines)
    }

    /// Variables that the Flask and the Django site look at. Their secrets would otherwise be in files that only their
    /// maker can read, and servers run as another user.
    pub(crate) fn site_variables(&self) -> [(&'static str, PathBuf); 4] {
        [
            ("DJANGO_SECRET_KEY", SECRET.into()),
            ("FLASK_SECRET_KEY", SECRET.into()),
            ("DJANGO_DB", self.path("fixtures/django_site/db.sqlite3")),
            ("DJANGO_MEDIA", self.path("fixtures/django_site/media")),
        ]
    }

    /// The Python of the environment, as `programs/version.py` answers it.
    pub(crate) fn python_version(&self) -> Result<String> {
        let print = "import sys; print(sys.version.replace('\\n', ' '))";
        let said = Command::new(self.python()).args(["-c", print]).output();
        let said = said.context("the environment's Python does not run")?;
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    }

    /// Fails unless cgi2wsgi answers with the environment's Python.
    fn same_python(&self) -> Result<()> {
        let expected = self.python_version()?;
        let answer = self.cgi2wsgi("version", &VERSION).answer()?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        ensure!(
            text.contains(&expected),
            "the environment has Python {expected}, and cgi2wsgi ran another one. It answered:\n{text}"
        );
        Ok(())
    }

    fn set_up_django(&self) -> Result<()> {
        let mut command = Command::new(self.python());
        command
            .arg(self.path("fixtures/django_site/manage.py"))
            .arg("setup_demo")
            .envs(self.site_variables());
        run(&mut command).context("the Django site's database cannot be made")?;
        let user = User::unprivileged()?;
        let owner = format!("{}:{}", user.uid, user.gid);
        run(Command::new("chown").args(["-R", &owner]).arg(self.path("fixtures")))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let mine = format!("TMPDIR={}/", self.directory.path().display());
        processes::with_variable_like(&mine).iter().for_each(processes::Process::end);
    }
}

fn python_env(project: &Path) -> Result<PathBuf> {
    terminal::progress("   the Python environment (tests/python-env)");
    let requirements = project.join("benches/requirements.txt");
    // Debian's system Python has no shared libpython, and mod_wsgi is built for that Python.
    let python = env::var_os("PYTHON").unwrap_or_else(|| "/usr/bin/python3".into());
    said_by_script("tests/python-env", &[&python, requirements.as_os_str()])
}

/// Runs a script of this project that makes something, and returns the path that its last line names.
pub(crate) fn said_by_script(script: &str, arguments: &[&OsStr]) -> Result<PathBuf> {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(script));
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit());
    let made = command.output().with_context(|| format!("cannot run {script}"))?;
    ensure!(made.status.success(), "{script} failed");
    let text = String::from_utf8(made.stdout).context("a path that is not UTF-8")?;
    text.lines().last().map(PathBuf::from).with_context(|| format!("{script} named no path"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").arg("-R").arg(from).arg(to))
}

/// Runs a command to its end; its output is the reason when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ended = command.output().with_context(|| format!("cannot run {name}"))?;
    ensure!(
        ended.status.success(),
        "{name} failed: {}{}",
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
    Ok(())
}
