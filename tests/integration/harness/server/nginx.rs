//! nginx, and fcgiwrap, which starts programs for it, by the configuration in `servers/`, which is the one that the
//! README explains.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};

use crate::harness::exchange::Exchange;
use crate::harness::http::Request;
use crate::harness::mount::Mount;
use crate::harness::process::{AtParentDeath, Running};
use crate::harness::server::{
    Kind, READY, READY_PATH, Server, WebServer, adapted, program, start_web_server,
};
use crate::harness::stage::Stage;

/// How many requests can run at a time.
const WRAPPERS: usize = 4;

pub(crate) struct Nginx {
    web: WebServer,
    wrappers: Mutex<Vec<Running>>,
}

pub(crate) fn start(stage: &Stage, mounts: &[Mount]) -> Result<Nginx> {
    let executable = program(&["nginx"], "nginx")?;
    let directory = stage.workplace("server-nginx")?;
    let socket = directory.join("fcgiwrap.socket");
    let wrappers = start_wrappers(stage, &socket, "fcgiwrap")?;
    fs::write(directory.join("sites.conf"), sites(stage, mounts)?)
        .context("cannot write nginx's sites")?;
    let socket = format!("unix:{}", text_of(&socket)?);
    let web = start_web_server(stage, Kind::Nginx.name(), false, |port| {
        let file = directory.join(format!("nginx-{port}.conf"));
        let changes = [
            ("listen 127.0.0.1:8080", format!("listen 127.0.0.1:{port}")),
            ("server unix:/run/fcgiwrap.socket", format!("server {socket}")),
        ];
        fs::write(&file, adapted(&stage.path("servers/nginx.conf"), &changes)?)
            .context("cannot write nginx's configuration")?;
        let mut command = stage.command(&executable);
        command.args(["-e", "stderr", "-p"]).arg(&directory).arg("-c").arg(&file);
        Ok(command)
    })?;
    Ok(Nginx { web, wrappers: Mutex::new(wrappers) })
}

impl Server for Nginx {
    fn begin(&self, mount: &Mount, request: &Request) -> Result<Exchange> {
        self.web.begin(mount, request)
    }

    fn address(&self) -> Option<SocketAddr> {
        self.web.address()
    }

    fn stop(&self) {
        self.web.stop();
        if let Ok(mut wrappers) = self.wrappers.lock() {
            wrappers.clear();
        }
    }
}

/// Starts the processes that `fcgiwrap -f -c 4 -s unix:SOCKET` would fork, without their parent: the children of
/// fcgiwrap 1.1.0 outlive a parent that is killed. Their stdin is the socket, as in Debian's service.
pub(crate) fn start_wrappers(stage: &Stage, socket: &Path, name: &str) -> Result<Vec<Running>> {
    let executable = program(&["fcgiwrap"], "fcgiwrap")?;
    let listener = UnixListener::bind(socket).context("cannot make fcgiwrap's socket")?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666))
        .context("cannot open fcgiwrap's socket to nginx")?;
    let log = stage.log(&stage.path("logs").join(format!("{name}-wrappers.log")))?;
    (0..WRAPPERS)
        .map(|_| {
            let listener = listener.try_clone().context("cannot clone a socket")?;
            let mut command = stage.command(&executable);
            command
                .arg("-f")
                .stdin(OwnedFd::from(listener))
                .stdout(log.try_clone().context("cannot clone a descriptor")?)
                .stderr(log.try_clone().context("cannot clone a descriptor")?);
            Running::start(command, &stage.user, AtParentDeath::Kill)
        })
        .collect()
}

fn sites(stage: &Stage, mounts: &[Mount]) -> Result<String> {
    let mut sites = String::new();
    writeln!(sites, "location = {READY_PATH} {{\n    return 200 {};\n}}", quoted(READY)?)?;
    // nginx takes the first location whose regular expression matches.
    let mut longest_first: Vec<_> = mounts.iter().collect();
    longest_first.sort_by_key(|mount| std::cmp::Reverse(mount.prefix.len()));
    for mount in longest_first {
        let placed = mount.place(stage, Kind::Nginx)?;
        let rest = if mount.prefix.is_empty() { "(?<rest>/.*)" } else { "(?<rest>/.*)?" };
        writeln!(sites, "location ~ (?s)^(?<mount>{}){rest}$ {{", mount.prefix)?;
        let shared = stage.path("servers/nginx-site.conf");
        writeln!(sites, "    include {};", quoted(text_of(&shared)?)?)?;
        let program = quoted(text_of(&placed.executable)?)?;
        writeln!(sites, "    fastcgi_param SCRIPT_FILENAME {program};")?;
        let application = placed.application.map(|named| ("CGI2WSGI_APP".to_owned(), named));
        for (name, value) in application.into_iter().chain(placed.variables) {
            writeln!(sites, "    fastcgi_param {name} {};", quoted(&value)?)?;
        }
        writeln!(sites, "}}")?;
    }
    Ok(sites)
}

fn text_of(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

fn quoted(text: &str) -> Result<String> {
    ensure!(!text.contains(['"', '\\', '$']), "nginx's configuration cannot quote {text:?}");
    Ok(format!("\"{text}\""))
}
