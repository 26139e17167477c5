//! Apache, with the tests' configuration: `mod_cgid`, the event MPM.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::packages::APACHE;
use crate::process::User;
use crate::servers::cgi_site::CgiSite;
use crate::servers::{Server, directory};
use crate::stage::Stage;

/// Where its modules are.
pub(crate) fn modules() -> Result<PathBuf> {
    let known = ["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules"];
    let found =
        known.map(PathBuf::from).into_iter().find(|path| path.join("mod_cgid.so").is_file());
    found.with_context(|| format!("there is no mod_cgid.so in any of {known:?}"))
}

/// Starts it with CGI programs, with the configuration that users get.
pub(crate) fn with_cgi(stage: &Stage, name: &str, sites: &[CgiSite]) -> Result<Server> {
    let mut text = String::new();
    for CgiSite { mount, program, variables } in sites {
        writeln!(text, "Define MOUNT {mount}")?;
        writeln!(text, "Define CGI2WSGI \"{}\"", program.display())?;
        writeln!(text, "Include \"{}\"", stage.path("apache/site.conf").display())?;
        writeln!(text, "<Location {mount}>")?;
        for (variable, value) in variables {
            writeln!(text, "    SetEnv {variable} \"{value}\"")?;
        }
        writeln!(text, "</Location>")?;
    }
    start(stage, name, &text)
}

/// Starts it with sites as they stand in its configuration.
pub(crate) fn start(stage: &Stage, name: &str, sites: &str) -> Result<Server> {
    let executable = APACHE.program()?;
    let modules = modules()?;
    let user = User::unprivileged()?;
    let directory = directory(stage, name, &user)?;
    fs::write(directory.join("ready"), "ready\n").context("cannot write a file")?;
    fs::write(directory.join("mounts.conf"), sites).context("cannot write Apache's sites")?;
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
        Ok(command)
    })
}
