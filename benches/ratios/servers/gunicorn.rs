//! gunicorn, a server that stays.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::process::User;
use crate::servers::Server;
use crate::stage::{Application, Stage};

/// gunicorn's executable.
pub(crate) fn executable(stage: &Stage) -> Result<PathBuf> {
    let executable = stage.python_env().join("bin/gunicorn");
    ensure!(
        executable.is_file(),
        "there is no {}: remove that environment, and tests/python-env makes it anew",
        executable.display()
    );
    Ok(executable)
}

/// gunicorn as it is without options: one worker, one request at a time.
pub(crate) fn start(stage: &Stage, application: &Application) -> Result<Server> {
    let executable = executable(stage)?;
    let name = format!("gunicorn-{}", application.module);
    Server::start(stage, &name, &User::current(), |port| {
        let mut command = Command::new(&executable);
        command
            .args(["--bind", &format!("127.0.0.1:{port}"), "--workers", "1"])
            .args(["--no-control-socket", "--chdir"])
            .arg(stage.path(application.directory))
            .arg(format!("{}:{}", application.module, application.callable))
            .envs(stage.site_variables());
        Ok(command)
    })
}
