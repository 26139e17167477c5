//! Apache, by the configuration in `tests/apache/`, which is the one that the README explains: `mod_cgid` under the
//! event MPM, or `mod_cgi` under the prefork MPM.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::harness::mount::Mount;
use crate::harness::server::{Kind, READY, READY_PATH, WebServer, program, start_web_server};
use crate::harness::stage::Stage;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Module {
    Cgid,
    Cgi,
}

impl Module {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Cgid => Kind::ApacheCgid,
            Self::Cgi => Kind::ApacheCgi,
        }
    }
}

pub(crate) fn start(stage: &Stage, mounts: &[Mount], module: Module) -> Result<WebServer> {
    start_with(stage, module.kind().name(), module, &mounts_file(stage, mounts, module)?)
}

/// Apache with other sites than the table's.
pub(crate) fn start_with(
    stage: &Stage,
    name: &str,
    module: Module,
    sites: &str,
) -> Result<WebServer> {
    let executable = program(&["apache2", "httpd"], "apache2-bin")?;
    let modules = find_modules()?;
    let directory = stage.workplace(&format!("server-{name}"))?;
    fs::write(directory.join("ready"), READY).context("cannot write Apache's ready file")?;
    fs::write(directory.join("mounts.conf"), sites).context("cannot write Apache's mounts")?;
    start_web_server(stage, name, false, |port| {
        let mut command = stage.command(&executable);
        let defined = [
            ("PORT", port.to_string()),
            ("MODULES", modules.to_string_lossy().into_owned()),
            ("RUN", directory.to_string_lossy().into_owned()),
            ("STAGE", stage.path("").to_string_lossy().trim_end_matches('/').to_owned()),
            ("READY_PATH", READY_PATH.to_owned()),
        ];
        command.arg("-d").arg(&directory).arg("-f").arg(stage.path("apache/httpd.conf"));
        for (name, value) in defined {
            command.arg("-C").arg(format!("Define {name} \"{value}\""));
        }
        if module == Module::Cgi {
            command.args(["-D", "PREFORK"]);
        }
        command.args(["-D", "FOREGROUND"]);
        Ok(command)
    })
}

/// Each mount is the README's `site.conf`, and the variables that belong to its case.
fn mounts_file(stage: &Stage, mounts: &[Mount], module: Module) -> Result<String> {
    let mut sites = String::new();
    let mut variables = String::new();
    // Apache takes the first ScriptAlias that matches.
    let mut longest_first: Vec<_> = mounts.iter().collect();
    longest_first.sort_by_key(|mount| std::cmp::Reverse(mount.prefix.len()));
    for mount in &longest_first {
        // Either both paths of a ScriptAlias end with a slash, or neither.
        let (url, slash) = match mount.prefix.as_str() {
            "" => ("/", "/"),
            prefix => (prefix, ""),
        };
        let executable = mount.place(stage, module.kind())?.executable;
        let executable = executable.to_str().context("a path that is not UTF-8")?;
        writeln!(sites, "Define MOUNT {}", quoted(url)?)?;
        writeln!(sites, "Define CGI2WSGI {}", quoted(&format!("{executable}{slash}"))?)?;
        writeln!(sites, "Include \"{}\"\n", stage.path("apache/site.conf").display())?;
    }
    for mount in longest_first {
        let placed = mount.place(stage, module.kind())?;
        let application = placed.application.map(|named| ("CGI2WSGI_APP".to_owned(), named));
        // Variables set for the root would reach every mount below it.
        let (open, close) = match mount.prefix.as_str() {
            "" => ("<LocationMatch \"^/(?!case/)\">".to_owned(), "</LocationMatch>"),
            prefix => (format!("<Location {}>", quoted(prefix)?), "</Location>"),
        };
        writeln!(variables, "{open}")?;
        for (name, value) in application.into_iter().chain(placed.variables) {
            writeln!(variables, "    SetEnv {name} {}", quoted(&value)?)?;
        }
        writeln!(variables, "{close}\n")?;
    }
    Ok(sites + &variables)
}

pub(crate) fn quoted(text: &str) -> Result<String> {
    ensure!(!text.contains(['"', '\\', '$', '\n']), "Apache's configuration cannot quote {text:?}");
    Ok(format!("\"{text}\""))
}

pub(crate) fn find_modules() -> Result<PathBuf> {
    const KNOWN: &[&str] = &[
        "/usr/lib/apache2/modules",
        "/usr/lib64/httpd/modules",
        "/usr/lib/httpd/modules",
        "/usr/local/libexec/apache24",
        "/usr/local/apache2/modules",
    ];
    let found =
        KNOWN.iter().map(Path::new).find(|directory| directory.join("mod_cgid.so").is_file());
    found.map(Path::to_owned).with_context(|| format!("no mod_cgid.so in any of {KNOWN:?}"))
}
