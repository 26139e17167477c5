//! Apache with `Action`: one `cgi2wsgi --handler` that runs whatever `.wsgi` file a URL leads to, by the directives of
//! `tests/apache/action.conf`. Each mount is such a file, put at the mount's own URL by `Alias`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::harness::mount::Mount;
use crate::harness::server::apache::{self, Module, quoted};
use crate::harness::server::{Kind, WebServer};
use crate::harness::stage::Stage;

pub(crate) fn start(stage: &Stage, mounts: &[Mount]) -> Result<WebServer> {
    apache::start_with(stage, Kind::ApacheAction.name(), Module::Cgid, &sites(stage, mounts)?)
}

fn sites(stage: &Stage, mounts: &[Mount]) -> Result<String> {
    let mut sites = String::new();
    for module in ["actions", "mime"] {
        writeln!(sites, "LoadModule {module}_module \"${{MODULES}}/mod_{module}.so\"")?;
    }
    writeln!(sites, "TypesConfig /dev/null")?;
    // Only the files there that have an Alias have a URL.
    writeln!(sites, "Define APPLICATIONS {}", quoted_path(&stage.path(""))?)?;
    writeln!(sites, "Define CGI2WSGI {}", quoted_path(&stage.bridge())?)?;
    writeln!(sites, "AllowEncodedSlashes NoDecode")?;
    writeln!(sites, "Include {}\n", quoted_path(&stage.path("apache/action.conf"))?)?;
    // Only trials on other servers request the site at the root.
    for mount in mounts.iter().filter(|mount| !mount.prefix.is_empty()) {
        let placed = mount.place(stage, Kind::ApacheAction)?;
        let Some(file) = placed.application else { continue };
        writeln!(sites, "Alias {} {}", quoted(&mount.prefix)?, quoted(&file)?)?;
        // Variables must be set for the URL that Action redirects to: those set for the visitor's URL would arrive with
        // REDIRECT_ before their names.
        let handled = format!("/cgi-bin/cgi2wsgi{}", mount.prefix);
        writeln!(sites, "<Location {}>", quoted(&handled)?)?;
        for (name, value) in placed.variables {
            writeln!(sites, "    SetEnv {name} {}", quoted(&value)?)?;
        }
        writeln!(sites, "</Location>\n")?;
    }
    Ok(sites)
}

fn quoted_path(path: &Path) -> Result<String> {
    quoted(path.to_str().context("a path that is not UTF-8")?)
}
