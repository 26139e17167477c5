//! A real Django site behind Caddy: a person signs in, writes into the guestbook with the admin, finds the entry and
//! signs out; once with the raw client and a cookie jar, once in a browser.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::exchange::Answer;
use crate::harness::http::Request;
use crate::harness::mount::{Mount, Program};
use crate::harness::process::{AtParentDeath, End, PATIENCE, Running, User};
use crate::harness::server::{Kind, Server};
use crate::harness::table::failed;
use crate::harness::world::World;

/// The site is at the root, as a visitor would expect it.
pub(crate) fn mount() -> Mount {
    let variables = [
        ("CGI2WSGI_CHDIR", "{fixtures}/django_site"),
        ("DJANGO_DB", "{own}/db.sqlite3"),
        ("DJANGO_MEDIA", "{own}/media"),
        ("DJANGO_ADMIN_PASSWORD", PASSWORD),
    ];
    let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Mount {
        prefix: String::new(),
        program: Program::Bridge { application: "mysite.wsgi:application".to_owned() },
        variables: owned.to_vec(),
        warm: false,
    }
}

const PASSWORD: &str = "a-password-of-the-tests";

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let site = Arc::new(Site { world: Arc::clone(world), ready: OnceLock::new() });
    let session = Arc::clone(&site);
    vec![
        Trial::test(
            "caddy::django: a session from login to logout writes into the guestbook",
            move || session.session().map_err(|error| failed(&error)),
        ),
        Trial::test("caddy::django: the same in Chromium, with screenshots", move || {
            site.browser().map_err(|error| failed(&error))
        }),
    ]
}

struct Site {
    world: Arc<World>,
    ready: OnceLock<Result<(), String>>,
}

impl Site {
    /// The server, once the site's database is made.
    fn server(&self) -> Result<&dyn Server> {
        let ready = self.ready.get_or_init(|| self.set_up().map_err(|error| format!("{error:#}")));
        ready.clone().map_err(Error::msg)?;
        self.world.server(Kind::Caddy)
    }

    fn set_up(&self) -> Result<()> {
        let stage = self.world.stage()?;
        let log = stage.path("logs/django-setup.log");
        let output = File::create(&log).context("cannot write a log")?;
        let mut command = stage.command(&stage.python());
        command
            .arg(stage.path("fixtures/django_site/manage.py"))
            .arg("setup_demo")
            .envs(mount().place(stage, Kind::Caddy)?.variables)
            .stdout(output.try_clone().context("cannot clone a descriptor")?)
            .stderr(output);
        let end = Running::start(command, &stage.user, AtParentDeath::Kill)?.wait(PATIENCE)?;
        let said = fs::read_to_string(&log).unwrap_or_default();
        ensure!(end == End::Code(0), "manage.py setup_demo ended with {end:?}:\n{said}");
        Ok(())
    }

    fn session(&self) -> Result<()> {
        let mut visitor = Visitor::new(self.server()?);

        let login = visitor.get("/login/")?;
        login.status(200)?.header("Content-Type", "text/html; charset=utf-8")?;
        let signed_in =
            visitor.post("/login/", &login, &[("username", "admin"), ("password", PASSWORD)])?;
        signed_in.status(302)?.header("Location", "/")?;
        ensure!(visitor.cookies.contains_key("sessionid"), "no session after the login");

        let form = visitor.get("/admin/guestbook/entry/add/")?;
        form.status(200)?;
        let text = "Written by the raw client: ä, €, <b>";
        let saved = visitor.post(
            "/admin/guestbook/entry/add/",
            &form,
            &[("author", "Rosalind"), ("text", text), ("_save", "Save")],
        )?;
        saved.status(302)?.header("Location", "/admin/guestbook/entry/")?;

        let list = visitor.get("/admin/guestbook/entry/")?;
        list.status(200)?.contains("Rosalind")?;
        list.contains("Written by the raw client: ä, €, &lt;b&gt;")?;
        let front = visitor.get("/")?;
        front.status(200)?.contains("Rosalind")?.contains("id=\"logout\"")?;

        visitor.post("/logout/", &front, &[])?.status(302)?;
        ensure!(!visitor.cookies.contains_key("sessionid"), "the session survived the logout");
        visitor.get("/")?.status(200)?.lacks("id=\"logout\"")?;
        visitor.get("/admin/")?.status(302)?;

        let style = visitor.get("/static/guestbook/style.css")?;
        style.status(200)?.header("Content-Type", "text/css; charset=\"utf-8\"")?;
        Ok(())
    }

    fn browser(&self) -> Result<()> {
        const SCREENSHOTS: &[&str] =
            &["front.png", "login.png", "admin.png", "entry.png", "guestbook.png"];
        let address = self.server()?.address().context("a server without an address")?;
        let stage = self.world.stage()?;
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = project.join("target/test-artefacts/browser");
        fs::create_dir_all(&output).context("cannot make the directory of the screenshots")?;
        for name in SCREENSHOTS.iter().chain(&["failed.png"]) {
            let _ = fs::remove_file(output.join(name));
        }
        let log = stage.path("logs/browser.log");
        let said = File::create(&log).context("cannot write a log")?;
        let mut command = stage.command(&stage.python());
        command
            .arg(project.join("tests/browser.py"))
            .arg(format!("http://{address}"))
            .arg(&output)
            .args(["--password", PASSWORD])
            .stdin(Stdio::null())
            .stdout(said.try_clone().context("cannot clone a descriptor")?)
            .stderr(said);
        let end = Running::start(command, &User::current(), AtParentDeath::Kill)?
            .wait(Duration::from_secs(300))?;
        let said = fs::read_to_string(&log).unwrap_or_default();
        ensure!(end == End::Code(0), "browser.py ended with {end:?}:\n{said}");
        for name in SCREENSHOTS {
            let size = fs::metadata(output.join(name)).map_or(0, |metadata| metadata.len());
            ensure!(size > 0, "no screenshot {name} in {}", output.display());
        }
        Ok(())
    }
}

/// What a browser does in a session: it keeps cookies, and sends forms with their token.
struct Visitor<'run> {
    server: &'run dyn Server,
    mount: Mount,
    cookies: BTreeMap<String, String>,
}

impl<'run> Visitor<'run> {
    fn new(server: &'run dyn Server) -> Self {
        Self { server, mount: mount(), cookies: BTreeMap::new() }
    }

    fn get(&mut self, path: &str) -> Result<Answer> {
        self.send(Request::get(path)).with_context(|| format!("GET {path}"))
    }

    /// Sends a form that is on `page`.
    fn post(&mut self, path: &str, page: &Answer, fields: &[(&str, &str)]) -> Result<Answer> {
        let token = token_of(page).with_context(|| format!("POST {path}"))?;
        let token = [("csrfmiddlewaretoken", token.as_str())];
        let fields = token.iter().chain(fields);
        let pairs: Vec<_> =
            fields.map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
        let request = Request::post(path, pairs.join("&"))
            .header("Content-Type", "application/x-www-form-urlencoded");
        self.send(request).with_context(|| format!("POST {path}"))
    }

    fn send(&mut self, request: Request) -> Result<Answer> {
        let pairs: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request =
            if pairs.is_empty() { request } else { request.header("Cookie", pairs.join("; ")) };
        let answer = self.server.begin(&self.mount, &request)?.finish()?;
        ensure!(answer.whole, "the answer was cut short");
        for cookie in answer.head.all("Set-Cookie") {
            self.keep(&String::from_utf8_lossy(cookie));
        }
        Ok(answer)
    }

    fn keep(&mut self, cookie: &str) {
        let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
        if let Some((name, value)) = pair.split_once('=') {
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

fn token_of(page: &Answer) -> Result<String> {
    let text = page.text();
    let field = text.split_once("name=\"csrfmiddlewaretoken\" value=\"");
    let token = field.and_then(|(_, rest)| rest.split_once('"')).map(|(token, _)| token.to_owned());
    token.with_context(|| format!("the page has no form with a token:\n    {}", page.summary()))
}

fn percent_encode(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}
