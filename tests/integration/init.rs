//! `cgi2wsgi init`: what it writes runs on the real servers, at the root, at a mount, for a name and on a shared host; and
//! what it refuses to write.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{Output, Test, run, trials_of};
use crate::harness::exchange::{Answer, Exchange, LogWindow};
use crate::harness::http::Request;
use crate::harness::process::Running;
use crate::harness::server::apache::{self, Module};
use crate::harness::server::{
    READY, READY_PATH, Server, WebServer, caddy, nginx, program, start_web_server,
};
use crate::harness::stage::Stage;
use crate::harness::world::World;

const TESTS: &[(&str, Test)] = &[
    ("Apache runs what it writes, at the root, at a mount and for a name", on_apache),
    ("Caddy runs what it writes, at the root, at a mount and for a name", on_caddy),
    ("lighttpd runs what it writes, at the root, at a mount and for a name", on_lighttpd),
    ("nginx runs what it writes, at the root, at a mount and for a name", on_nginx),
    ("a shared host runs what it writes, for a file, a module and a factory", on_shared_host),
    ("M10: Apache without a module for CGI refuses what it writes", apache_without_cgi),
    ("M10: lighttpd without mod_cgi refuses what it writes", lighttpd_without_cgi),
    ("check --server finds nothing wrong with what it writes, and takes its settings", checked),
    (
        "M10: a .htaccess without a module for CGI is a 500, and never the program",
        htaccess_without_cgi,
    ),
    ("what check has a problem with is refused, and nothing is written", refused_by_check),
    ("a path that would break out of a configuration is refused", hostile_paths),
    (
        "a mount and a name that are none are refused, and a file that is there is left alone",
        bad_input,
    ),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("init", TESTS, world)
}

const MODULE: &str = "def page(environ, start_response):\n    \
     start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
     lines = [name + '=' + environ.get(name, '') for name in ('SCRIPT_NAME', 'PATH_INFO', 'HTTP_HOST', 'HTTP_AUTHORIZATION')]\n    \
     return ['\\n'.join(lines).encode()]\n\n\n\
     application = page\n\n\ndef make():\n    return page\n";

/// A directory with an application that any Python can run.
fn site(stage: &Stage, name: &str) -> Result<PathBuf> {
    let place = stage.workplace(name)?;
    fs::write(place.join("shown.py"), MODULE)?;
    Ok(place)
}

fn init(stage: &Stage, place: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = stage.command(&stage.bridge());
    command.arg("init").args(arguments).current_dir(place);
    command.env("CGI2WSGI_PYTHON", stage.python().canonicalize()?);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    run(stage, command)
}

fn written(stage: &Stage, place: &Path, arguments: &[&str]) -> Result<String> {
    let output = init(stage, place, arguments)?;
    Ok(String::from_utf8_lossy(&output.ends(0)?.stdout).into_owned())
}

/// Where an application is put, and how a visitor asks for it.
struct Place {
    mount: &'static str,
    is_named: bool,
}

const PLACES: [Place; 3] = [
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

    /// Asks for pages of the application, and for what is none of its.
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

fn ask(server: &WebServer, request: &Request) -> Result<Answer> {
    let address = server.address().context("no address")?;
    let log = LogWindow::from_start(Path::new("/dev/null"));
    Exchange::over_http(address, "", request, log)?.finish()
}

/// Each place on a server of its own, which is stopped in the end.
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
        // The port is Apache's variable here.
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
        // They end with the test, which holds their socket.
        KEPT.with(|kept| kept.borrow_mut().extend(wrappers));
        server
    })?;
    KEPT.with(|kept| kept.borrow_mut().clear());
    Ok(())
}

thread_local! {
    /// The processes of fcgiwrap that a trial has started.
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
        fs::write(folder.join("secret.py"), "nobody is to read this\n")?;
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
                ensure!(!text.contains("nobody is to read") && !text.contains("#!"), "{text}");
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

/// A command that only reads a configuration, and its output.
fn tried(stage: &Stage, mut command: Command) -> Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    run(stage, command)
}

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
            ensure!(output.ends(0).is_err(), "it takes the configuration");
        }
    }
    Ok(())
}

/// nginx is left out: its fcgiwrap does not run.
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

fn refused_by_check(stage: &Stage) -> Result<()> {
    let place = site(stage, "init-refused")?;
    fs::write(place.join("broken.py"), "import package_of_nobody\n")?;
    let output = init(stage, &place, &["apache", "broken.py", "-o", "site.conf"])?;
    output
        .ends(2)?
        .says("✗ import")?
        .says("No module named 'package_of_nobody'")?
        .says("pip install")?;
    ensure!(!place.join("site.conf").exists() && output.stdout.is_empty(), "something is written");
    init(stage, &place, &["nginx", "missing.py"])?.ends(2)?.says("✗ application").map(drop)
}

fn hostile_paths(stage: &Stage) -> Result<()> {
    let servers = [
        ("apache", "a\"b"),
        ("apache", "${HOME}"),
        ("htaccess", "a\\b"),
        ("caddy", "a`b"),
        ("caddy", "{env.HOME}"),
        ("lighttpd", "a\"b"),
        ("nginx", "$host"),
        ("nginx", "a\"; return 200;"),
        ("apache", "a\nSetEnv X 1"),
    ];
    for (number, (server, name)) in servers.into_iter().enumerate() {
        let place = stage.workplace(&format!("init-hostile-{number}"))?;
        let inner = place.join(name);
        fs::create_dir(&inner)?;
        fs::write(inner.join("shown.py"), MODULE)?;
        let output = init(stage, &inner, &[server, "shown.py"])?;
        output.ends(2)?.says("cannot stand in a configuration").with_context(|| name)?;
        ensure!(output.stdout.is_empty(), "something is written");
    }
    Ok(())
}

fn bad_input(stage: &Stage) -> Result<()> {
    let place = site(stage, "init-bad")?;
    for (words, says) in [
        (["apache", "shown.py", "--mount", "app"], "is not a path such as /app"),
        (["apache", "shown.py", "--mount", "/a b"], "is not a path such as /app"),
        (["nginx", "shown.py", "--mount", "/(a|b)"], "is not a path such as /app"),
        (["caddy", "shown.py", "--name", "a {"], "is not a name such as"),
        (["nginx", "shown.py", "--name", "a;b"], "is not a name such as"),
        (["iis", "shown.py", "--name", "a"], "possible values: apache"),
    ] {
        init(stage, &place, &words)?.ends(2)?.says(says)?;
    }
    fs::write(place.join("site.conf"), "mine\n")?;
    let output = init(stage, &place, &["lighttpd", "shown.py", "-o", "site.conf"])?;
    output.ends(2)?.says("is there already")?;
    ensure!(fs::read_to_string(place.join("site.conf"))? == "mine\n", "it was changed");
    Ok(())
}
