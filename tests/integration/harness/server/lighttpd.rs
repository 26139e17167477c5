//! lighttpd with `mod_cgi`, by the configuration in `servers/`, which is the one that the README explains.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::harness::mount::Mount;
use crate::harness::server::{
    Kind, READY, READY_PATH, WebServer, adapted, program, start_web_server,
};
use crate::harness::stage::Stage;

pub(crate) fn start(stage: &Stage, mounts: &[Mount]) -> Result<WebServer> {
    let executable = program(&["lighttpd"], "lighttpd")?;
    let directory = stage.workplace("server-lighttpd")?;
    let documents = text_of(&directory)?;
    fs::write(directory.join("ready"), READY).context("cannot write lighttpd's ready file")?;
    fs::write(directory.join("sites.conf"), sites(stage, mounts, documents)?)
        .context("cannot write lighttpd's sites")?;
    start_web_server(stage, Kind::Lighttpd.name(), false, |port| {
        let file = directory.join(format!("lighttpd-{port}.conf"));
        let changes =
            [("= 8080", format!("= {port}")), ("\"/srv/www\"", format!("\"{documents}\""))];
        fs::write(&file, adapted(&stage.path("servers/lighttpd.conf"), &changes)?)
            .context("cannot write lighttpd's configuration")?;
        let mut command = stage.command(&executable);
        command.args(["-D", "-f"]).arg(&file);
        Ok(command)
    })
}

fn sites(stage: &Stage, mounts: &[Mount], documents: &str) -> Result<String> {
    let mut sites = String::new();
    // lighttpd takes the settings of the last block that matches.
    let mut shortest_first: Vec<_> = mounts.iter().collect();
    shortest_first.sort_by_key(|mount| mount.prefix.len());
    for mount in shortest_first {
        let placed = mount.place(stage, Kind::Lighttpd)?;
        let application = placed.application.map(|named| ("CGI2WSGI_APP".to_owned(), named));
        writeln!(sites, "var.mount    := {}", quoted(&mount.prefix)?)?;
        writeln!(sites, "var.cgi2wsgi := {}", quoted(text_of(&placed.executable)?)?)?;
        let settings = application.into_iter().chain(placed.variables);
        let settings: Vec<_> = settings
            .map(|(name, value)| Ok(format!("{} => {}", quoted(&name)?, quoted(&value)?)))
            .collect::<Result<_>>()?;
        writeln!(sites, "var.settings := ({})", settings.join(", "))?;
        let shared = stage.path("servers/lighttpd-site.conf");
        writeln!(sites, "include {}\n", quoted(text_of(&shared)?)?)?;
    }
    writeln!(
        sites,
        "$HTTP[\"url\"] == \"{READY_PATH}\" {{\n    alias.url = (\"{READY_PATH}\" => {})\n    \
         cgi.assign = ()\n}}",
        quoted(&format!("{documents}/ready"))?
    )?;
    Ok(sites)
}

fn text_of(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

fn quoted(text: &str) -> Result<String> {
    ensure!(!text.contains(['"', '\\', '\n']), "lighttpd's configuration cannot quote {text:?}");
    Ok(format!("\"{text}\""))
}
