//! What `init` writes runs: at the root, at a mount and for a name, and on a shared host.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{MODULE, ask, init, site, tried, written};
use crate::harness::command::Test;
use crate::harness::http::Request;
use crate::harness::process::Running;
use crate::harness::server::apache::{self, Module};
use crate::harness::server::{
    READY, READY_PATH, Server, WebServer, caddy, nginx, program, start_web_server,
};
use crate::harness::stage::Stage;

pub(super) const TESTS: &[(&str, Test)] = &[
    ("Apache runs the written configuration, at the root, at a mount and for a name", on_apache),
    ("Caddy runs the written configuration, at the root, at a mount and for a name", on_caddy),
    (
        "lighttpd runs the written configuration, at the root, at a mount and for a name",
        on_lighttpd,
    ),
    ("nginx runs the written configuration, at the root, at a mount and for a name", on_nginx),
    ("a shared host runs the written files, for a file, a module and a factory", on_shared_host),
    (
        "check --server finds no problem in the written configuration, and reads its settings",
        checked,
    ),
];

/// Where an application is put, and how a visitor asks for it.
struct Place {
    mount: &'static str,
    is_named: bool,
}

const PLACES: &[Place] = &[
    Place { mount: "", is_named: false },
    Place { mount: "/app", is_named: false },
    Place { mount: "/a.b/c", is_named: true },
];

impl Place {
    /// The words of `init`, for a server that listens at `port`.
    fn words(&self, server: &str, port: u16) -> Vec<String> {
        let mut words = vec![server.to_owned(), "shown.py".to_owned()];
        if !self.mount.is_empty() {
            words.extend(["--mount".to_owned(), self.mount.to_owned()]);
        }
        if self.is_named {
            words.extend(["--name".to_owned(), format!("site.example:{port}")]);
        }
        words
    }

    fn written(&self, stage: &Stage, place: &Path, server: &str, port: u16) -> Result<String> {
        let words = self.words(server, port);
        written(stage, place, &words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Requests pages of the application, and URLs outside its mount.
    fn ask(&self, server: &WebServer) -> Result<()> {
        let port = server.address().context("no address")?.port();
        let host = if self.is_named {
            format!("site.example:{port}")
        } else {
            format!("localhost:{port}")
        };
        let asked = |target: &str| {
            ask(
                server,
                &Request::get(target).header("Host", &host).header("Authorization", "Basic YTpi"),
            )
        };
        for (target, path) in [("/hello", "/hello"), ("/a%2Fb", ""), ("/%ff", "")] {
            let answer = asked(&format!("{}{target}", self.mount))?;
            let text = answer.status(200).with_context(|| target.to_owned())?.text();
            for line in [
                format!("SCRIPT_NAME={}", self.mount),
                format!("HTTP_HOST={host}"),
                "HTTP_AUTHORIZATION=Basic YTpi".to_owned(),
            ] {
                ensure!(text.lines().any(|found| found == line), "no {line} in {text}");
            }
            let line = format!("PATH_INFO={path}\n");
            ensure!(path.is_empty() || text.contains(&line), "{target}: no {line} in {text}");
        }
        if !self.mount.is_empty() {
            for other in [format!("{}lication", self.mount), "/".to_owned()] {
                let text = asked(&other)?.text();
                ensure!(
                    !text.contains("SCRIPT_NAME=") && !text.contains("\u{7f}ELF"),
                    "{other}: {text}"
                );
            }
        }
        Ok(())
    }
}

/// Tests each place on its own server.
fn at_each_place(
    stage: &Stage,
    name: &str,
    start: impl Fn(&Place, &Path, &str) -> Result<WebServer>,
) -> Result<()> {
    for (number, place) in PLACES.iter().enumerate() {
        let name = format!("init-{name}-{number}");
        let directory = site(stage, &name)?;
        let server = start(place, &directory, &name)?;
        let asked = place.ask(&server);
        server.stop();
        asked.with_context(|| name)?;
    }
    Ok(())
}

fn on_apache(stage: &Stage) -> Result<()> {
    at_each_place(stage, "apache", |place, directory, name| {
        // Here the port is a variable in Apache's configuration.
        let text = place.written(stage, directory, "apache", 8080)?;
        let text = text.replace("*:8080", "*:${PORT}");
        apache::start_with(stage, name, Module::Cgid, &text)
    })
}

fn on_caddy(stage: &Stage) -> Result<()> {
    at_each_place(stage, "caddy", |place, directory, name| {
        caddy::start_site(stage, name, |port| {
            let text = place.written(stage, directory, "caddy", port)?;
            let text = text.replace("http://localhost:8080 {", &format!("http://:{port} {{"));
            Ok(text.replace(
                &format!("\nsite.example:{port} {{"),
                &format!("\nhttp://site.example:{port}, http://127.0.0.1:{port} {{"),
            ))
        })
    })
}

fn on_lighttpd(stage: &Stage) -> Result<()> {
    let executable = program(&["lighttpd"], "lighttpd")?;
    at_each_place(stage, "lighttpd", |place, directory, name| {
        start_web_server(stage, name, false, |port| {
            let text = place.written(stage, directory, "lighttpd", port)?;
            let documents = directory.join("documents");
            fs::create_dir_all(&documents)?;
            fs::write(documents.join("ready"), READY)?;
            let file = directory.join(format!("lighttpd-{port}.conf"));
            let documents = documents.display();
            fs::write(
                &file,
                format!(
                    "server.bind = \"127.0.0.1\"\nserver.port = {port}\nserver.document-root = \"{documents}\"\n\
                     server.http-parseopts = (\"url-invalid-utf8-reject\" => \"disable\")\n{text}\n\
                     $HTTP[\"url\"] == \"{READY_PATH}\" {{\n    alias.url = (\"{READY_PATH}\" => \"{documents}/ready\")\n    \
                     cgi.assign = ()\n}}\n"
                ),
            )?;
            let mut command = stage.command(&executable);
            command.args(["-D", "-f"]).arg(&file);
            Ok(command)
        })
    })
}

fn on_nginx(stage: &Stage) -> Result<()> {
    let executable = program(&["nginx"], "nginx")?;
    at_each_place(stage, "nginx", |place, directory, name| {
        let socket = directory.join("f.socket");
        let wrappers = nginx::start_wrappers(stage, &socket, name)?;
        let server = start_web_server(stage, name, false, |port| {
            let text = place.written(stage, directory, "nginx", port)?;
            let ready =
                format!("location = {READY_PATH} {{ return 200 \"{READY}\"; }}\n    server_name");
            let text = text
                .replace("listen 80;", &format!("listen 127.0.0.1:{port} default_server;"))
                .replace(
                    &format!("listen {port};"),
                    &format!("listen 127.0.0.1:{port} default_server;"),
                )
                .replace("unix:/run/fcgiwrap.socket", &format!("unix:{}", socket.display()))
                .replacen("server_name", &ready, 1);
            let file = directory.join(format!("nginx-{port}.conf"));
            fs::write(
                &file,
                format!(
                    "daemon off;\npid nginx.pid;\nerror_log stderr;\nevents {{ }}\nhttp {{\naccess_log off;\n\
                     client_body_temp_path body;\nfastcgi_temp_path fastcgi;\nproxy_temp_path proxy;\n\
                     scgi_temp_path scgi;\nuwsgi_temp_path uwsgi;\n{text}}}\n"
                ),
            )?;
            let mut command = stage.command(&executable);
            command.args(["-e", "stderr", "-p"]).arg(directory).arg("-c").arg(&file);
            Ok(command)
        });
        // The wrappers must outlive this closure: they end with the test.
        KEPT.with(|kept| kept.borrow_mut().extend(wrappers));
        server
    })?;
    KEPT.with(|kept| kept.borrow_mut().clear());
    Ok(())
}

thread_local! {
    /// The fcgiwrap processes that a trial has started.
    static KEPT: std::cell::RefCell<Vec<Running>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn on_shared_host(stage: &Stage) -> Result<()> {
    let mut sites = String::from(
        "LoadModule rewrite_module \"${MODULES}/mod_rewrite.so\"\nLoadModule dir_module \"${MODULES}/mod_dir.so\"\n",
    );
    let places = [
        ("file", "shown.py"),
        ("module", "shown:page"),
        ("factory", "shown.py:make()"),
        ("wsgi", "site.wsgi"),
    ];
    for (name, app) in places {
        let directory = site(stage, &format!("init-shared-{name}"))?;
        fs::write(directory.join("site.wsgi"), MODULE)?;
        let folder = stage.workplace(&format!("init-shared-{name}/public"))?;
        let file = folder.join(".htaccess").display().to_string();
        init(stage, &directory, &["htaccess", app, "-o", &file])?.ends(0)?;
        ensure!(folder.join("index.cgi").is_file(), "no index.cgi");
        fs::create_dir(folder.join("static"))?;
        fs::write(folder.join("static/style.css"), "p { }\n")?;
        fs::write(folder.join("secret.py"), "not for visitors\n")?;
        let folder = folder.display();
        write!(
            sites,
            "Alias /{name} \"{folder}\"\n<Directory \"{folder}\">\n    AllowOverride All\n    Require all granted\n</Directory>\n"
        )?;
    }
    let server = apache::start_with(stage, "init-shared", Module::Cgid, &sites)?;
    let asked = (|| -> Result<()> {
        for (name, _) in places {
            for (target, path) in
                [("/", "/"), ("/x/y", "/x/y"), ("/secret.py", "/secret.py"), ("/index.cgi", "")]
            {
                let request =
                    Request::get(format!("/{name}{target}")).header("Authorization", "Basic YTpi");
                let text = ask(&server, &request)?.text();
                ensure!(!text.contains("not for visitors") && !text.contains("#!"), "{text}");
                let line = format!("PATH_INFO={path}");
                ensure!(
                    path.is_empty() || text.contains(&line),
                    "{name}{target}: no {line} in {text}"
                );
                let line = format!("SCRIPT_NAME=/{name}\n");
                ensure!(
                    path.is_empty() || text.contains(&line),
                    "{name}{target}: no {line} in {text}"
                );
                let line = "HTTP_AUTHORIZATION=Basic YTpi";
                ensure!(
                    path.is_empty() || text.contains(line),
                    "{name}{target}: no {line} in {text}"
                );
            }
            let style = ask(&server, &Request::get(format!("/{name}/static/style.css")))?;
            ensure!(style.status(200)?.text() == "p { }\n", "{}", style.text());
        }
        Ok(())
    })();
    server.stop();
    asked
}

/// nginx is left out: no fcgiwrap runs at the socket that it names.
fn checked(stage: &Stage) -> Result<()> {
    for (server, name) in [
        ("apache", "a.conf"),
        ("caddy", "Caddyfile"),
        ("lighttpd", "l.conf"),
        ("htaccess", ".htaccess"),
    ] {
        let place = site(stage, &format!("init-checked-{server}"))?;
        init(stage, &place, &[server, "shown.py", "-o", name])?.ends(0)?;
        let mut command = stage.command(&stage.bridge());
        command.args(["check", "--server", name]).current_dir(&place);
        if server == "htaccess" {
            command.arg("index.cgi");
        }
        let output = tried(stage, command)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.ends(0).with_context(|| text.clone())?;
        ensure!(text.contains("✓ settings") && text.contains("gives 200 OK"), "{server}: {text}");
    }
    Ok(())
}
