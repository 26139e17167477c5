//! A server without its module for CGI does not send the program to a visitor (M10): it refuses the configuration, or
//! answers 500.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{ask, init, site, tried, written};
use crate::harness::command::Test;
use crate::harness::http::Request;
use crate::harness::server::{READY, READY_PATH, Server, apache, program, start_web_server};
use crate::harness::stage::Stage;

pub(super) const TESTS: &[(&str, Test)] = &[
    ("M10: Apache without a module for CGI refuses the written configuration", apache_without_cgi),
    ("M10: lighttpd without mod_cgi refuses the written configuration", lighttpd_without_cgi),
    (
        "M10: a .htaccess without a module for CGI is a 500, and never the program",
        htaccess_without_cgi,
    ),
];

fn apache_without_cgi(stage: &Stage) -> Result<()> {
    let executable = program(&["apache2", "httpd"], "apache2-bin")?;
    let modules = apache::find_modules()?;
    let place = site(stage, "init-no-cgi")?;
    let text = written(stage, &place, &["apache", "shown.py"])?;
    for (cgi, is_there) in [("", false), ("cgid", true)] {
        let mut configuration = format!(
            "ServerRoot \"{}\"\nServerName localhost\nListen 127.0.0.1:8080\nPidFile pid\nErrorLog /dev/stderr\nDefaultRuntimeDir .\n",
            place.display()
        );
        for module in ["mpm_event", "authz_core", "alias", "env", cgi] {
            if !module.is_empty() {
                writeln!(
                    configuration,
                    "LoadModule {module}_module \"{}/mod_{module}.so\"",
                    modules.display()
                )?;
            }
        }
        let file = place.join("httpd.conf");
        fs::write(&file, configuration + &text)?;
        let mut command = stage.command(&executable);
        command.args(["-t", "-f"]).arg(&file);
        let output = tried(stage, command)?;
        if is_there {
            output.ends(0)?;
        } else {
            output.ends(1)?.says("neither mod_cgid nor mod_cgi is loaded")?;
        }
    }
    Ok(())
}

fn lighttpd_without_cgi(stage: &Stage) -> Result<()> {
    let executable = program(&["lighttpd"], "lighttpd")?;
    let place = site(stage, "init-no-mod-cgi")?;
    let text = written(stage, &place, &["lighttpd", "shown.py"])?;
    let file = place.join("lighttpd.conf");
    fs::write(&file, format!("server.document-root = \"{}\"\n{text}", place.display()))?;
    let own = ["/usr/lib/lighttpd", "/usr/lib64/lighttpd", "/usr/local/lib/lighttpd"];
    let own =
        own.iter().map(Path::new).find(|own| own.is_dir()).context("no modules of lighttpd")?;
    let modules = stage.workplace("init-no-mod-cgi/modules")?;
    for entry in fs::read_dir(own)?.flatten() {
        if entry.file_name() != "mod_cgi.so" {
            symlink(entry.path(), modules.join(entry.file_name()))?;
        }
    }
    for (modules, is_there) in [(own, true), (modules.as_path(), false)] {
        let mut command = stage.command(&executable);
        command.args(["-tt", "-m"]).arg(modules).arg("-f").arg(&file);
        let output = tried(stage, command)?;
        if is_there {
            output.ends(0)?;
        } else {
            output.says("mod_cgi")?;
            ensure!(output.ends(0).is_err(), "lighttpd accepts the configuration");
        }
    }
    Ok(())
}

fn htaccess_without_cgi(stage: &Stage) -> Result<()> {
    let executable = program(&["apache2", "httpd"], "apache2-bin")?;
    let modules = apache::find_modules()?;
    let place = site(stage, "init-htaccess-no-cgi")?;
    let public = stage.workplace("init-htaccess-no-cgi/public")?;
    let file = public.join(".htaccess").display().to_string();
    init(stage, &place, &["htaccess", "shown.py", "-o", &file])?.ends(0)?;
    fs::write(place.join("ready"), READY)?;
    let server = start_web_server(stage, "init-htaccess-no-cgi", false, |port| {
        let (place, public) = (place.display(), public.display());
        let mut text = format!(
            "ServerRoot \"{place}\"\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile pid\nErrorLog /dev/stderr\n\
             DefaultRuntimeDir .\nAlias {READY_PATH} \"{place}/ready\"\n<Location {READY_PATH}>\nRequire all granted\n\
             </Location>\nAlias /s \"{public}\"\n<Directory \"{public}\">\nAllowOverride All\nRequire all granted\n</Directory>\n"
        );
        for module in ["mpm_event", "authz_core", "alias", "env", "rewrite", "dir"] {
            let line =
                format!("LoadModule {module}_module \"{}/mod_{module}.so\"\n", modules.display());
            text.insert_str(0, &line);
        }
        let file = Path::new(&place.to_string()).join(format!("httpd-{port}.conf"));
        fs::write(&file, text)?;
        let mut command = stage.command(&executable);
        command.arg("-f").arg(&file).args(["-D", "FOREGROUND"]);
        Ok(command)
    })?;
    let asked = ["/s/", "/s/index.cgi", "/s/x"].iter().try_for_each(|target| {
        let answer = ask(&server, &Request::get(target))?;
        let text = answer.status(500)?.text();
        ensure!(!text.contains("#!"), "{target}: {text}");
        Ok(())
    });
    server.stop();
    asked
}
