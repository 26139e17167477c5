//! `mod_wsgi` in Apache: a server that stays.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::packages;
use crate::servers::{Server, apache};
use crate::stage::{Application, Stage};

/// Each application in a daemon process of its own, as `mod_wsgi`'s documentation recommends.
pub(crate) fn start(stage: &Stage, applications: &[(&str, &Application)]) -> Result<Server> {
    // Apache runs as another user, who may not be able to read target/.
    let readable = stage.path("mod_wsgi.so");
    fs::copy(module_file()?, &readable).context("cannot copy mod_wsgi")?;
    let mut sites = format!(
        "LoadModule wsgi_module \"{}\"\nWSGIRestrictEmbedded On\nWSGISocketPrefix \"${{RUN}}/wsgi\"\n",
        readable.display()
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
    apache::start(stage, "mod-wsgi", &sites)
}

/// `mod_wsgi`, installed or, on Debian, unpacked into `target/`.
pub(crate) fn module_file() -> Result<PathBuf> {
    let installed = apache::modules()?.join("mod_wsgi.so");
    if installed.is_file() {
        return Ok(installed);
    }
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mod-wsgi");
    if module_in(&unpacked).is_none() {
        fs::create_dir_all(&unpacked).context("cannot make a directory")?;
        packages::unpack("libapache2-mod-wsgi-py3", &unpacked).context("there is no mod_wsgi")?;
    }
    module_in(&unpacked).context("the package of mod_wsgi has no module")
}

fn module_in(unpacked: &Path) -> Option<PathBuf> {
    let modules = fs::read_dir(unpacked.join("usr/lib/apache2/modules")).ok()?;
    let is_it = |path: &PathBuf| path.to_string_lossy().contains("mod_wsgi.so");
    modules.filter_map(|entry| Some(entry.ok()?.path())).find(is_it)
}
