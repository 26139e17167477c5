//! Apache in other common set-ups: rewriting and similar directives (E17), `Action` (E18), a shared host with only
//! `.htaccess`, and what a query does to argv (P1). The table's rows have one `ScriptAlias` each, or one file of
//! `Action`.

mod actions;
mod authentication;
mod filters;
mod query_words;
mod shared_host;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Error, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::exchange::Answer;
use crate::harness::http::Request;
use crate::harness::mount::{Mount, Program};
use crate::harness::process::{AtParentDeath, End, PATIENCE, Running};
use crate::harness::server::apache::{self, Module};
use crate::harness::server::{Server, WebServer};
use crate::harness::stage::Stage;
use crate::harness::table::failed;
use crate::harness::world::World;

use self::actions::make_actions;
use self::authentication::{make_checked_action, make_checked_site};
use self::filters::make_filtered_sites;
use self::query_words::passes_words;
use self::shared_host::{
    PUBLIC, SHARED_HOST, SHOWN, UPLOADED, make_public_folder, make_uploaded_folder,
};

/// One way to put an application at a URL, tried with each of [`APPLICATIONS`].
struct SetUp {
    name: &'static str,
    sentence: &'static str,
    place: Place,
    /// Whether `--mount auto` can find the root; an explicit `--mount` always can.
    auto: bool,
}

enum Place {
    /// In the server's configuration. `{url}`, `{program}` and `{directory}` stand for this application's.
    Configuration(&'static str),
    /// In a directory's `.htaccess`, beside an `index.cgi`.
    Htaccess(&'static str),
}

const SET_UPS: &[SetUp] = &[
    SetUp {
        name: "alias",
        sentence: "ScriptAlias",
        place: Place::Configuration("ScriptAlias {url} \"{program}\"\n"),
        auto: true,
    },
    // SCRIPT_NAME is then the whole path, and no variable shows where the root ends.
    SetUp {
        name: "match",
        sentence: "ScriptAliasMatch without the path",
        place: Place::Configuration("ScriptAliasMatch ^{url} \"{program}\"\n"),
        auto: false,
    },
    SetUp {
        name: "rewrite-path",
        sentence: "a RewriteRule to index.cgi/$1",
        place: Place::Htaccess("RewriteEngine On\nRewriteRule ^(.*)$ index.cgi/$1 [END]\n"),
        auto: true,
    },
    SetUp {
        name: "rewrite-bare",
        sentence: "a RewriteRule to index.cgi, and DirectoryIndex",
        place: Place::Htaccess(
            "DirectoryIndex index.cgi\nRewriteEngine On\n\
             RewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule . index.cgi [L]\n",
        ),
        auto: true,
    },
    SetUp {
        name: "rewrite-looping",
        sentence: "a RewriteRule to index.cgi/$1 that Apache reads twice",
        place: Place::Htaccess(
            "RewriteEngine On\nRewriteCond %{REQUEST_URI} !/index\\.cgi\n\
             RewriteRule ^(.*)$ index.cgi/$1 [L]\n",
        ),
        auto: true,
    },
    SetUp {
        name: "fallback",
        sentence: "FallbackResource and DirectoryIndex",
        place: Place::Htaccess("DirectoryIndex index.cgi\nFallbackResource {url}/index.cgi\n"),
        auto: true,
    },
    // Apache sets REDIRECT_STATUS=404, which means a missing page, not an application's root.
    SetUp {
        name: "error",
        sentence: "ErrorDocument",
        place: Place::Configuration(
            "ScriptAlias /errors{url} \"{program}\"\n\
             <Directory \"{directory}\">\n    ErrorDocument 403 /errors{url}\n    \
             ErrorDocument 404 /errors{url}\n</Directory>\n\
             <Location /errors{url}>\n    Require all granted\n</Location>\n",
        ),
        auto: false,
    },
];

/// An application of the fixtures.
struct Application {
    name: &'static str,
    named: &'static str,
    chdir: &'static str,
    /// The text of an `index.cgi` after its first line.
    code: &'static str,
    /// The page whose links are followed; empty for the application that lists its environ.
    page: &'static str,
}

const APPLICATIONS: &[Application] = &[
    Application {
        name: "environ",
        named: "show_environ:application",
        chdir: "{fixtures}",
        code: "from show_environ import application\n",
        page: "",
    },
    Application {
        name: "flask",
        named: "app:application",
        chdir: "{fixtures}/flask_site",
        code: "from app import application\n",
        page: "/",
    },
    Application {
        name: "django",
        named: "mysite.wsgi:application",
        chdir: "{fixtures}/django_site",
        code: "from mysite.wsgi import application\n",
        page: "/login/",
    },
];

/// One application in one set-up.
#[derive(Clone, Copy)]
struct Placed {
    set_up: &'static SetUp,
    application: &'static Application,
    auto: bool,
}

fn placed() -> impl Iterator<Item = Placed> {
    SET_UPS.iter().flat_map(|set_up| {
        APPLICATIONS.iter().flat_map(move |application| {
            let modes = if set_up.auto { &[true, false][..] } else { &[false] };
            modes.iter().map(move |auto| Placed { set_up, application, auto: *auto })
        })
    })
}

impl Placed {
    fn url(self) -> String {
        let mode = if self.auto { "auto" } else { "told" };
        format!("/{}-{}-{mode}", self.set_up.name, self.application.name)
    }

    fn mount(self) -> String {
        if self.auto { "auto".to_owned() } else { self.url() }
    }

    fn sentence(self) -> String {
        let what = match self.application.name {
            "environ" => "SCRIPT_NAME and PATH_INFO match the visitor's URL".to_owned(),
            "flask" => "Flask's url_for gives URLs that work".to_owned(),
            _ => "Django's reverse gives URLs that work".to_owned(),
        };
        let mode = if self.auto { "--mount auto" } else { "--mount PATH" };
        format!("{what} under {} with {mode}", self.set_up.sentence)
    }
}

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for module in [Module::Cgid, Module::Cgi] {
        let sites = Arc::new(Sites { server: OnceLock::new(), module, world: Arc::clone(world) });
        let mut add = |trap: &str, sentence: &str, check: Check| {
            let sites = Arc::clone(&sites);
            let name = format!("{}::{trap}: {sentence}", module.kind().name());
            trials.push(Trial::test(name, move || {
                sites.server().and_then(&check).map_err(|error| failed(&error))
            }));
        };
        for placed in placed() {
            match placed.application.name {
                "environ" => {
                    add("E17", &placed.sentence(), Box::new(move |server| roots(server, placed)));
                }
                // What a framework makes of the variables is the same under both modules.
                _ if module == Module::Cgid => {
                    add("E17", &placed.sentence(), Box::new(move |server| links(server, placed)));
                }
                _ => {}
            }
        }
        for (sentence, check) in actions::ROWS {
            add("E18", sentence, Box::new(check));
        }
        if module == Module::Cgid {
            for (sentence, check) in SHARED_HOST {
                add("shared host", sentence, Box::new(check));
            }
        }
        let (sentence, check) = authentication::ROW;
        add("RFC 4.1", sentence, Box::new(check));
        for (sentence, check) in authentication::ACTION {
            add("E20", sentence, Box::new(check));
        }
        for (sentence, check) in filters::ROWS {
            add("B9", sentence, Box::new(check));
        }
        add(
            "P1",
            "Apache passes the words of a query to the program as arguments",
            Box::new(passes_words),
        );
    }
    trials
}

type Check = Box<dyn Fn(&WebServer) -> Result<()> + Send + Sync>;
type Row = (&'static str, fn(&WebServer) -> Result<()>);

/// Apache with all these sites, started when the first trial needs it.
struct Sites {
    // Declared first, so that it stops before `world` removes the stage.
    server: OnceLock<Result<WebServer, String>>,
    module: Module,
    world: Arc<World>,
}

impl Sites {
    fn server(&self) -> Result<&WebServer> {
        let started =
            self.server.get_or_init(|| self.start().map_err(|error| format!("{error:#}")));
        started.as_ref().map_err(|message| Error::msg(message.clone()))
    }

    fn start(&self) -> Result<WebServer> {
        let stage = self.world.stage()?;
        let root = stage.workplace(&format!("{}-sites", self.module.kind().name()))?;
        let database = make_database(stage, &root)?;
        let public = make_public_folder(stage, &root.join("public"), None)?;
        let shown = make_public_folder(stage, &root.join("shown"), Some("show_environ"))?;
        let uploaded = make_uploaded_folder(stage, &root.join("uploaded"))?;
        let actions = make_actions(stage, &root.join("actions"))?;
        let words = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nprintf '[%s]' \"$@\"\n";
        let words = stage.script(&format!("words-{}", self.module.kind().name()), words)?;

        let mut site = String::new();
        let modules = ["actions", "autoindex", "dir", "mime", "negotiation", "rewrite"];
        let modules = modules.iter().chain(authentication::MODULES);
        for module in modules.chain(filters::MODULES) {
            writeln!(site, "LoadModule {module}_module \"${{MODULES}}/mod_{module}.so\"")?;
        }
        writeln!(site, "TypesConfig /dev/null\nLogLevel warn")?;
        writeln!(site, "<VirtualHost *:${{PORT}}>\nServerName sites.example")?;
        writeln!(site, "DocumentRoot {}", quoted(&root.join("www"))?)?;
        writeln!(site, "<Directory {}>\n    Require all granted", quoted(&root.join("www"))?)?;
        writeln!(site, "    AllowOverride All\n</Directory>")?;
        for placed in placed() {
            site += &make_site(stage, &root, &database, placed)?;
        }
        site += &make_checked_site(stage, &root)?;
        site += &make_checked_action(&root, &actions)?;
        site += &make_filtered_sites(stage, self.module.kind())?;
        writeln!(site, "ScriptAlias /words {}", quoted(&words)?)?;
        writeln!(site, "<Location /words>\n    Require all granted\n</Location>")?;
        writeln!(site, "Define APPLICATIONS {}", quoted(&actions)?)?;
        writeln!(site, "Define CGI2WSGI {}", quoted(&stage.bridge())?)?;
        writeln!(site, "Alias /a {}", quoted(&actions)?)?;
        writeln!(site, "Include {}", quoted(&stage.path("apache/action.conf"))?)?;
        writeln!(site, "</VirtualHost>")?;
        for (host, folder) in [(PUBLIC, &public), (SHOWN, &shown), (UPLOADED, &uploaded)] {
            writeln!(site, "<VirtualHost *:${{PORT}}>\nServerName {host}")?;
            writeln!(site, "SetEnv DJANGO_DB {}", quoted(&database)?)?;
            let folder = quoted(folder)?;
            writeln!(site, "DocumentRoot {folder}\n<Directory {folder}>\n    AllowOverride All")?;
            writeln!(site, "    Require all granted\n</Directory>\n</VirtualHost>")?;
        }
        apache::start_with(
            stage,
            &format!("{}-sites", self.module.kind().name()),
            self.module,
            &site,
        )
    }
}

/// Django's pages need a database; all sites here only read it.
fn make_database(stage: &Stage, root: &Path) -> Result<PathBuf> {
    let database = root.join("db.sqlite3");
    let log = root.join("setup.log");
    let output = File::create(&log).context("cannot write a log")?;
    let mut command = stage.command(&stage.python());
    command
        .arg(stage.path("fixtures/django_site/manage.py"))
        .arg("setup_demo")
        .env("DJANGO_DB", &database)
        .env("DJANGO_ADMIN_PASSWORD", "a-password-of-the-tests")
        .stdout(output.try_clone().context("cannot clone a descriptor")?)
        .stderr(output);
    let end = Running::start(command, &stage.user, AtParentDeath::Kill)?.wait(PATIENCE)?;
    let said = fs::read_to_string(&log).unwrap_or_default();
    ensure!(end == End::Code(0), "manage.py setup_demo ended with {end:?}:\n{said}");
    Ok(database)
}

/// Makes the directory of a site, and returns its part of the server's configuration.
fn make_site(stage: &Stage, root: &Path, database: &Path, placed: Placed) -> Result<String> {
    let Placed { set_up, application, .. } = placed;
    let (url, mount) = (placed.url(), placed.mount());
    let directory = root.join("www").join(&url[1..]);
    fs::create_dir_all(&directory).context("cannot make a site's directory")?;
    let chdir = stage.resolve(application.chdir);
    let venv = stage.python_env();
    let fill = |text: &str| -> Result<String> {
        let text = text.replace("{url}", &url).replace("{directory}", text_of(&directory)?);
        Ok(text.replace("{program}", text_of(&stage.bridge())?))
    };
    let own = format!(
        "SetEnv DJANGO_DB {}\nSetEnv FLASK_SECRET_KEY \"of the tests\"\n",
        quoted(database)?
    );
    match set_up.place {
        Place::Configuration(text) => {
            let settings = format!(
                "Require all granted\nSetEnv CGI2WSGI_APP {}\nSetEnv CGI2WSGI_CHDIR \"{chdir}\"\n\
                 SetEnv CGI2WSGI_VENV {}\nSetEnv CGI2WSGI_MOUNT {mount}\n{own}",
                application.named,
                quoted(venv)?
            );
            let text = fill(text)?;
            Ok(format!("{text}<LocationMatch \"^(/errors)?{url}\">\n{settings}</LocationMatch>\n"))
        }
        Place::Htaccess(text) => {
            let handler = "Options +ExecCGI\nAddHandler cgi-script .cgi\n";
            let htaccess = format!("{handler}{own}{}", fill(text)?);
            fs::write(directory.join(".htaccess"), htaccess).context("cannot write .htaccess")?;
            let first = format!(
                "#!{} --mount {mount} --chdir {chdir} --venv {}",
                stage.bridge().display(),
                venv.display()
            );
            write_program(&directory.join("index.cgi"), &format!("{first}\n{}", application.code))?;
            Ok(String::new())
        }
    }
}

fn write_program(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}

fn text_of(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

fn quoted(path: &Path) -> Result<String> {
    Ok(format!("\"{}\"", text_of(path)?))
}

fn ask(server: &WebServer, request: &Request) -> Result<Answer> {
    let program = Program::Bridge { application: String::new() };
    let anywhere = Mount { prefix: String::new(), program, variables: Vec::new(), warm: false };
    let answer = server.begin(&anywhere, request)?.finish().with_context(|| {
        format!("{} {}", request.method, String::from_utf8_lossy(&request.target))
    })?;
    ensure!(answer.whole, "the answer is not whole:\n    {}", answer.summary());
    Ok(answer)
}

fn get(server: &WebServer, target: &str) -> Result<Answer> {
    ask(server, &Request::get(target))
}

/// Checks an answer, and shows it if the check fails.
fn expect(answer: &Answer, check: impl FnOnce(&Answer) -> Result<()>) -> Result<()> {
    check(answer).with_context(|| format!("the answer was:\n    {}", answer.summary()))
}

/// Checks that `show_environ.py` has listed this line.
fn has_line(answer: &Answer, line: &str) -> Result<()> {
    let text = answer.text();
    ensure!(text.lines().any(|found| found == line), "the environ has no {line}");
    Ok(())
}

fn roots(server: &WebServer, placed: Placed) -> Result<()> {
    let url = placed.url();
    for (path, info) in [("/", "/"), ("/foo", "/foo"), ("/foo/b%20r/", "/foo/b r/")] {
        let answer = get(server, &format!("{url}{path}?q=1"))?;
        expect(&answer, |answer| {
            answer.status(200)?;
            has_line(answer, &format!("SCRIPT_NAME={url}"))?;
            has_line(answer, &format!("PATH_INFO={info}"))
        })?;
    }
    Ok(())
}

fn links(server: &WebServer, placed: Placed) -> Result<()> {
    let root = placed.url();
    let page = get(server, &format!("{root}{}", placed.application.page))?;
    let urls = expect_links(&page, &root)?;
    for url in &urls {
        let answer = get(server, url)?;
        expect(&answer, |answer| answer.status(200).map(drop)).with_context(|| url.clone())?;
    }
    Ok(())
}

/// Returns the page's own links: at least two, all below the root, none with the program's name.
fn expect_links(page: &Answer, root: &str) -> Result<BTreeSet<String>> {
    let mut urls = BTreeSet::new();
    expect(page, |page| {
        page.status(200)?;
        let text = page.text();
        for attribute in ["href=\"", "src=\"", "action=\""] {
            let values = text.split(attribute).skip(1).filter_map(|rest| rest.split_once('"'));
            urls.extend(values.map(|(value, _)| value.to_owned()));
        }
        ensure!(urls.len() >= 2, "the page has fewer than two links");
        for url in &urls {
            ensure!(url.starts_with(&format!("{root}/")), "{url} is not below {root}");
            ensure!(!url.contains("cgi"), "{url} is the program's URL");
        }
        ensure!(urls.iter().any(|url| url.contains("/static/")), "no static file: {urls:?}");
        Ok(())
    })?;
    Ok(urls)
}
