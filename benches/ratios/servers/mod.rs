//! The servers, each started for one group and stopped when it is dropped.

pub(crate) mod apache;
pub(crate) mod caddy;
pub(crate) mod cgi_site;
pub(crate) mod gunicorn;
pub(crate) mod mod_wsgi;

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::http;
use crate::process::{AtParentDeath, Running, User, until};
use crate::stage::Stage;

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
        command: impl FnOnce(u16) -> Result<Command>,
    ) -> Result<Self> {
        let port = http::free_port()?;
        let path = stage.path(&format!("{name}.log"));
        let log = File::create(&path).context("cannot make a log")?;
        // Apache opens it again, by way of /dev/stderr.
        chown(&path, Some(user.uid), Some(user.gid)).context("cannot give a log away")?;
        let mut command = command(port)?;
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

/// A directory that the user of a server may write in.
fn directory(stage: &Stage, name: &str, user: &User) -> Result<PathBuf> {
    let directory = stage.path(&format!("server-{name}"));
    fs::create_dir(&directory).context("cannot make a directory")?;
    chown(&directory, Some(user.uid), Some(user.gid)).context("cannot give a directory away")?;
    Ok(directory)
}
