//! gunicorn, and Apache: with `mod_wsgi`, and with any other sites.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::http;
use crate::process::{AtParentDeath, Running, User, until};
use crate::stage::{Application, Stage, run};

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that is stopped when this is dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    running: Running,
}

impl Server {
    fn start(
        stage: &Stage,
        name: &str,
        user: &User,
        command: impl FnOnce(u16) -> Command,
    ) -> Result<Self> {
        let port = http::free_port()?;
        let path = stage.path(&format!("{name}.log"));
        let log = File::create(&path).context("cannot make a log")?;
        // Apache opens it again, by way of /dev/stderr.
        chown(&path, Some(user.uid), Some(user.gid)).context("cannot give a log away")?;
        let mut command = command(port);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share a log")?)
            .stderr(log);
        let running = Running::start(command, user, AtParentDeath::Terminate)?;
        let mut server = Self { port, running };
        until(PATIENCE, name, || {
            if let Some(end) = server.running.ended()? {
                let said = fs::read_to_string(&path).unwrap_or_default();
                anyhow::bail!("{name} ended with {end:?}:\n{said}");
            }
            Ok(http::is_answering(port).then_some(()))
        })?;
        Ok(server)
    }
}

/// gunicorn as it is without options: one worker, one request at a time.
pub(crate) fn gunicorn(stage: &Stage, application: &Application) -> Result<Server> {
    let executable = stage.python_env().join("bin/gunicorn");
    ensure!(
        executable.is_file(),
        "there is no gunicorn in the Python environment: make it anew with tests/python-env"
    );
    let name = format!("gunicorn-{}", application.module);
    Server::start(stage, &name, &User::current(), |port| {
        let mut command = Command::new(&executable);
        command
            .args(["--bind", &format!("127.0.0.1:{port}"), "--workers", "1"])
            .args(["--no-control-socket", "--chdir"])
            .arg(stage.path(application.directory))
            .arg(format!("{}:{}", application.module, application.callable))
            .envs(stage.site_variables());
        command
    })
}

/// Apache's executable.
pub(crate) fn executable() -> Result<&'static Path> {
    ["/usr/sbin/apache2", "/usr/sbin/httpd", "/usr/local/sbin/httpd"]
        .into_iter()
        .map(Path::new)
        .find(|path| path.is_file())
        .context("there is no Apache: install it (Debian: apt-get install apache2-bin)")
}

/// Apache by the tests' configuration (`mod_cgid`, event MPM), with other sites in it.
pub(crate) fn apache(stage: &Stage, name: &str, sites: &str) -> Result<Server> {
    let executable = executable()?;
    let user = User::unprivileged()?;
    let directory = stage.path(&format!("server-{name}"));
    fs::create_dir(&directory).context("cannot make a directory")?;
    fs::write(directory.join("ready"), "ready\n").context("cannot write a file")?;
    fs::write(directory.join("mounts.conf"), sites).context("cannot write Apache's sites")?;
    chown(&directory, Some(user.uid), Some(user.gid)).context("cannot give a directory away")?;
    let modules = apache_modules()?;
    Server::start(stage, name, &user, |port| {
        let mut command = Command::new(executable);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir(&directory);
        command.arg("-d").arg(&directory).arg("-f").arg(stage.path("apache/httpd.conf"));
        for (name, value) in [
            ("PORT", port.to_string()),
            ("MODULES", modules.display().to_string()),
            ("RUN", directory.display().to_string()),
            ("STAGE", stage.path("").display().to_string().trim_end_matches('/').to_owned()),
            ("READY_PATH", "/ready".to_owned()),
        ] {
            command.arg("-C").arg(format!("Define {name} \"{value}\""));
        }
        command.args(["-D", "FOREGROUND"]);
        command
    })
}

/// The sites of `mod_wsgi`: each application in a daemon process of its own, as its documentation recommends.
pub(crate) fn mod_wsgi_sites(
    stage: &Stage,
    applications: &[(&str, &Application)],
) -> Result<String> {
    let module = mod_wsgi(stage)?;
    let mut sites = format!(
        "LoadModule wsgi_module \"{}\"\nWSGIRestrictEmbedded On\nWSGISocketPrefix \"${{RUN}}/wsgi\"\n",
        module.display()
    );
    for (name, application) in applications {
        let Application { directory, module, callable } = application;
        let directory = stage.path(directory);
        // `mod_wsgi` gives an application no variables of the process: the script sets them, as people do.
        let variables = stage
            .site_variables()
            .map(|(name, value)| format!("os.environ[{name:?}] = {:?}\n", value.display()));
        let variables = variables.concat();
        let script = directory.join(format!("wsgi_{}.py", module.replace('.', "_")));
        let text =
            format!("import os\n{variables}from {module} import {callable} as application\n");
        fs::write(&script, text).context("cannot write a script")?;
        let directory = directory.display();
        write!(
            sites,
            "WSGIDaemonProcess {name} processes=1 threads=1 python-home=\"{}\" \
             python-path=\"{directory}\" home=\"{directory}\"\n\
             WSGIScriptAlias /{name} \"{}\" process-group={name} application-group=%{{GLOBAL}}\n",
            stage.python_env().display(),
            script.display(),
        )?;
    }
    sites += "<Location />\n    Require all granted\n</Location>\n";
    Ok(sites)
}

/// `mod_wsgi`, installed or, on Debian, unpacked into `target/`.
fn mod_wsgi(stage: &Stage) -> Result<PathBuf> {
    let installed = apache_modules()?.join("mod_wsgi.so");
    if installed.is_file() {
        return Ok(installed);
    }
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mod-wsgi");
    if module_in(&unpacked).is_none() {
        fs::create_dir_all(&unpacked).context("cannot make a directory")?;
        let script =
            "apt-get download libapache2-mod-wsgi-py3 && dpkg -x libapache2-mod-wsgi-py3_*.deb .";
        run(Command::new("sh").args(["-c", script]).current_dir(&unpacked)).context(
            "there is no mod_wsgi: install it (Debian: apt-get install libapache2-mod-wsgi-py3)",
        )?;
    }
    let found = module_in(&unpacked).context("the package of mod_wsgi has no module")?;
    // Apache runs as somebody else, who may not see target/.
    let readable = stage.path("mod_wsgi.so");
    fs::copy(found, &readable).context("cannot copy mod_wsgi")?;
    Ok(readable)
}

fn module_in(unpacked: &Path) -> Option<PathBuf> {
    let modules = fs::read_dir(unpacked.join("usr/lib/apache2/modules")).ok()?;
    let is_it = |path: &PathBuf| path.to_string_lossy().contains("mod_wsgi.so");
    modules.filter_map(|entry| Some(entry.ok()?.path())).find(is_it)
}

fn apache_modules() -> Result<PathBuf> {
    let known = ["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules"];
    let found =
        known.map(PathBuf::from).into_iter().find(|path| path.join("mod_cgid.so").is_file());
    found.with_context(|| format!("there is no mod_cgid.so in any of {known:?}"))
}
