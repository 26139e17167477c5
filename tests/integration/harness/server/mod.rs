//! The servers that every case runs on. Each kind is started once for the whole run, with all mounts, when the
//! first case needs it; another kind is one variant of [`Kind`] and one implementation of [`Server`].

mod action;
pub(crate) mod apache;
pub(crate) mod caddy;
mod lighttpd;
pub(crate) mod nginx;
mod shell;

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::harness::exchange::{Exchange, LogWindow};
use crate::harness::http::Request;
use crate::harness::mount::{Mount, Program};
use crate::harness::process::{AtParentDeath, Running, until};
pub(crate) use crate::harness::server::shell::Shell;
use crate::harness::stage::Stage;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Shell,
    Caddy,
    /// `mod_cgid`, under the event MPM as distributions ship it.
    ApacheCgid,
    /// `mod_cgi`, under the prefork MPM.
    ApacheCgi,
    /// `mod_cgid` with `Action`: one program for every `.wsgi` file.
    ApacheAction,
    /// lighttpd's `mod_cgi`.
    Lighttpd,
    /// nginx with fcgiwrap.
    Nginx,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Shell,
        Self::Caddy,
        Self::ApacheCgid,
        Self::ApacheCgi,
        Self::ApacheAction,
        Self::Lighttpd,
        Self::Nginx,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Caddy => "caddy",
            Self::ApacheCgid => "apache-cgid",
            Self::ApacheCgi => "apache-cgi",
            Self::ApacheAction => "apache-action",
            Self::Lighttpd => "lighttpd",
            Self::Nginx => "nginx",
        }
    }

    /// `Action` names one program for all files, so no file is run by its own `#!` line.
    pub(crate) fn can_run(self, program: &Program) -> bool {
        self != Self::ApacheAction || matches!(program, Program::Bridge { .. })
    }

    pub(crate) fn start(self, stage: &Stage, mounts: &[Mount]) -> Result<Box<dyn Server>> {
        let server: Box<dyn Server> = match self {
            Self::Shell => Box::new(shell::Shell::new(stage, mounts)?),
            Self::Caddy => Box::new(caddy::start(stage, mounts)?),
            Self::ApacheCgid => Box::new(apache::start(stage, mounts, apache::Module::Cgid)?),
            Self::ApacheCgi => Box::new(apache::start(stage, mounts, apache::Module::Cgi)?),
            Self::ApacheAction => Box::new(action::start(stage, mounts)?),
            Self::Lighttpd => Box::new(lighttpd::start(stage, mounts)?),
            Self::Nginx => Box::new(nginx::start(stage, mounts)?),
        };
        Ok(server)
    }
}

pub(crate) trait Server: Send + Sync {
    /// Sends a request to the application of a mount.
    fn begin(&self, mount: &Mount, request: &Request) -> Result<Exchange>;

    /// Where a browser finds the server.
    fn address(&self) -> Option<SocketAddr> {
        None
    }

    /// This server if it is the [`Shell`], which alone can change a request's variables.
    fn as_shell(&self) -> Option<&Shell> {
        None
    }

    /// Stops the server, once no case needs it.
    fn stop(&self) {}
}

/// A web server that listens on the loopback interface.
pub(crate) struct WebServer {
    process: Mutex<Option<Running>>,
    address: SocketAddr,
    log: PathBuf,
    quoted_log: bool,
}

impl Server for WebServer {
    fn begin(&self, mount: &Mount, request: &Request) -> Result<Exchange> {
        let log = LogWindow::from_now(&self.log, self.quoted_log);
        Exchange::over_http(self.address, &mount.prefix, request, log)
    }

    fn address(&self) -> Option<SocketAddr> {
        Some(self.address)
    }

    fn stop(&self) {
        if let Ok(mut process) = self.process.lock() {
            drop(process.take());
        }
    }
}

/// The path at which a server's configuration answers [`READY`].
pub(crate) const READY_PATH: &str = "/harness-is-ready";
pub(crate) const READY: &str = "the server of this test run\n";

/// Starts a web server on a free port. Tries again if another program takes the port first.
pub(crate) fn start_web_server(
    stage: &Stage,
    name: &str,
    quoted_log: bool,
    command: impl Fn(u16) -> Result<Command>,
) -> Result<WebServer> {
    const ATTEMPTS: usize = 5;
    for _ in 0..ATTEMPTS {
        let port = free_port()?;
        let log = stage.path("logs").join(format!("{name}-{port}.log"));
        let stderr = stage.log(&log)?;
        let mut command = command(port)?;
        command.stdout(stderr.try_clone().context("cannot clone a descriptor")?).stderr(stderr);
        let mut process = Running::start(command, &stage.user, AtParentDeath::Terminate)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match wait_ready(&mut process, address, &log) {
            Ok(()) => {
                return Ok(WebServer {
                    process: Mutex::new(Some(process)),
                    address,
                    log,
                    quoted_log,
                });
            }
            Err(error) if text_of(&log).to_lowercase().contains("address already in use") => {
                drop(error);
            }
            Err(error) => return Err(error).with_context(|| format!("{name} did not start")),
        }
    }
    bail!("{name} did not get a port in {ATTEMPTS} attempts")
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr().context("a port without a number")?.port())
}

fn wait_ready(process: &mut Running, address: SocketAddr, log: &Path) -> Result<()> {
    until(Duration::from_secs(60), "a server that answers", || {
        if let Some(end) = process.ended()? {
            bail!("it ended at once with {end:?}; it said:\n{}", text_of(log));
        }
        let request = Request::get(READY_PATH);
        let answer = Exchange::over_http(address, "", &request, LogWindow::from_start(log))
            .and_then(Exchange::finish);
        Ok(answer.ok().filter(|answer| answer.text() == READY).map(drop))
    })
}

fn text_of(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}

/// A server's executable, under one of its names.
pub(crate) fn program(names: &[&str], package: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut directories =
        env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    directories
        .find_map(|directory| {
            names.iter().map(|name| directory.join(name)).find(|candidate| candidate.is_file())
        })
        .with_context(|| {
            let names = names.join(" or ");
            format!("there is no {names}: install it (Debian: apt-get install {package})")
        })
}

/// A configuration for users, with the words replaced that fit their machines only. Each word must occur once.
pub(crate) fn adapted(file: &Path, changes: &[(&str, String)]) -> Result<String> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    changes.iter().try_fold(text, |text, (from, to)| {
        ensure!(text.matches(from).count() == 1, "{} has not one {from:?}", file.display());
        Ok(text.replace(from, to))
    })
}
