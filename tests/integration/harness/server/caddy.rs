//! Caddy with the cgi plugin, which runs programs by Go's `net/http/cgi`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::harness::mount::Mount;
use crate::harness::server::{Kind, READY, READY_PATH, WebServer, start_web_server};
use crate::harness::stage::Stage;

pub(crate) fn start(stage: &Stage, mounts: &[Mount]) -> Result<WebServer> {
    let executable = stage.caddy()?;
    let home = stage.path("run/caddy");
    fs::create_dir_all(&home).context("cannot make Caddy's directory")?;
    let sites = sites(stage, mounts)?;
    start_web_server(stage, "caddy", true, |port| {
        let file = home.join(format!("Caddyfile-{port}"));
        fs::write(&file, format!("{GLOBAL}http://:{port} {{\n\tbind 127.0.0.1\n{sites}}}\n"))
            .context("cannot write the Caddyfile")?;
        let mut command = stage.command(&executable);
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
        Ok(command)
    })
}

/// Starts Caddy with the Caddyfile site that `site` returns for a port.
pub(crate) fn start_site(
    stage: &Stage,
    name: &str,
    site: impl Fn(u16) -> Result<String>,
) -> Result<WebServer> {
    let executable = stage.caddy()?;
    let home = stage.path("run/caddy");
    fs::create_dir_all(&home).context("cannot make Caddy's directory")?;
    start_web_server(stage, name, true, |port| {
        let ready = format!("\thandle {READY_PATH} {{\n\t\trespond {}\n\t}}\n", quoted(READY)?);
        let site = site(port)?.replacen(" {\n", &format!(" {{\n\tbind 127.0.0.1\n{ready}"), 1);
        let file = home.join(format!("Caddyfile-{name}-{port}"));
        fs::write(&file, format!("{GLOBAL}{site}")).context("cannot write the Caddyfile")?;
        let mut command = stage.command(&executable);
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
        Ok(command)
    })
}

const GLOBAL: &str = "{
	admin off
	persist_config off
	auto_https off
	log {
		output stderr
		format json
	}
}

";

fn sites(stage: &Stage, mounts: &[Mount]) -> Result<String> {
    let mut sites = format!("\thandle {READY_PATH} {{\n\t\trespond {}\n\t}}\n", quoted(READY)?);
    // Caddy takes the matching `handle` with the longest path.
    for mount in mounts {
        let placed = mount.place(stage, Kind::Caddy)?;
        let prefix = &mount.prefix;
        let matcher =
            if prefix.is_empty() { String::new() } else { format!("@{} ", name_of(prefix)) };
        if !prefix.is_empty() {
            writeln!(sites, "\t@{} path {prefix} {prefix}/*", name_of(prefix))?;
        }
        // Caddy takes a first word that begins with a slash for a matcher, so `*` fills that place.
        write!(sites, "\thandle {matcher}{{\n\t\tcgi * {}", quoted_path(&placed.executable)?)?;
        if let Some(application) = &placed.application {
            write!(sites, " {}", quoted(application)?)?;
        }
        write!(sites, " {{\n\t\t\tscript_name {}\n\t\t\tenv", quoted(prefix)?)?;
        for (name, value) in &placed.variables {
            write!(sites, " {}", quoted(&format!("{name}={value}"))?)?;
        }
        writeln!(sites, "\n\t\t\tunbuffered_output\n\t\t}}\n\t}}")?;
    }
    Ok(sites)
}

/// A named matcher's name.
fn name_of(prefix: &str) -> String {
    prefix.trim_start_matches('/').replace('/', "-")
}

fn quoted_path(path: &Path) -> Result<String> {
    quoted(path.to_str().context("a path that is not UTF-8")?)
}

/// A Caddyfile token between backquotes, where no character is special.
fn quoted(text: &str) -> Result<String> {
    ensure!(!text.contains('`'), "a Caddyfile cannot quote {text:?}");
    Ok(format!("`{text}`"))
}
