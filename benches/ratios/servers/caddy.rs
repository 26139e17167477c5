//! Caddy with the cgi plugin, as `tests/caddy-build` makes it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::User;
use crate::servers::cgi_site::CgiSite;
use crate::servers::{Server, directory};
use crate::stage::{Stage, said_by_script};
use crate::terminal;

/// Switches off what needs a network, or writes outside its directory.
const GLOBAL: &str = "{
	admin off
	persist_config off
	auto_https off
}
";

/// Builds Caddy if it is missing; returns its executable.
pub(crate) fn executable() -> Result<PathBuf> {
    terminal::progress("   Caddy with the cgi plugin (tests/caddy-build)");
    said_by_script("tests/caddy-build", &[])
}

/// Caddy's executable, if it was built.
pub(crate) fn built() -> Option<PathBuf> {
    let caddy = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/caddy/caddy");
    caddy.is_file().then_some(caddy)
}

/// Starts it with CGI programs, each below its mount.
pub(crate) fn with_cgi(stage: &Stage, name: &str, sites: &[CgiSite]) -> Result<Server> {
    let user = User::unprivileged()?;
    let directory = directory(stage, name, &user)?;
    // Caddy runs as another user, who may not be able to read target/.
    let readable = stage.path("bin/caddy");
    fs::copy(executable()?, &readable).context("cannot copy Caddy")?;
    let sites = handlers(sites)?;
    Server::start(stage, name, &user, |port| {
        let file = directory.join("Caddyfile");
        let text = format!("{GLOBAL}http://:{port} {{\n\tbind 127.0.0.1\n{sites}}}\n");
        fs::write(&file, text).context("cannot write the Caddyfile")?;
        let mut command = Command::new(&readable);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir(&directory);
        command.env("HOME", &directory);
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
        Ok(command)
    })
}

fn handlers(sites: &[CgiSite]) -> Result<String> {
    let mut text = String::new();
    for CgiSite { mount, program, variables } in sites {
        let matcher = mount.trim_start_matches('/');
        writeln!(text, "\t@{matcher} path {mount} {mount}/*\n\thandle @{matcher} {{")?;
        // A first word that begins with a slash would be a matcher: `*` takes that place.
        writeln!(text, "\t\tcgi * `{}` {{\n\t\t\tscript_name {mount}", program.display())?;
        if !variables.is_empty() {
            let words = variables.iter().map(|(name, value)| format!(" `{name}={value}`"));
            writeln!(text, "\t\t\tenv{}", words.collect::<String>())?;
        }
        writeln!(text, "\t\t}}\n\t}}")?;
    }
    Ok(text)
}
