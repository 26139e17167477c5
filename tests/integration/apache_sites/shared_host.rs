//! A shared host with only `.htaccess`: servers/shared-host as a user would install it, and what visitors try to
//! download.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{Row, ask, expect, expect_links, has_line, write_program};
use crate::harness::http::Request;
use crate::harness::server::adapted;
use crate::harness::stage::{Stage, join_parts};

/// The public folder of a shared host, as `servers/shared-host` describes it, with files that careless users leave.
pub(super) fn make_public_folder(
    stage: &Stage,
    folder: &Path,
    other: Option<&str>,
) -> Result<PathBuf> {
    let recipe = stage.path("servers/shared-host");
    let site = stage.path(if other.is_some() { "fixtures" } else { "fixtures/django_site" });
    let first = [
        ("/home/me/bin/cgi2wsgi", stage.bridge().display().to_string()),
        ("--chdir /home/me/site ", format!("--chdir {} ", site.display())),
        ("--venv /home/me/site/venv", format!("--venv {}", stage.python_env().display())),
        ("mysite.wsgi", other.unwrap_or("mysite.wsgi").to_owned()),
    ];
    // What `manage.py collectstatic` does.
    let own = stage.path("fixtures/django_site/guestbook/static/guestbook");
    fs::create_dir_all(folder.join("static/guestbook")).context("cannot make a public folder")?;
    for name in ["style.css", "icon.svg"] {
        fs::copy(own.join(name), folder.join("static/guestbook").join(name))
            .with_context(|| format!("cannot copy {name}"))?;
    }
    fs::copy(recipe.join(".htaccess"), folder.join(".htaccess")).context("no .htaccess")?;
    write_program(&folder.join("index.cgi"), &adapted(&recipe.join("index.cgi"), &first)?)?;
    fs::create_dir_all(folder.join("__pycache__")).context("cannot make a directory")?;
    for name in BAITS {
        fs::write(folder.join(name), BAIT).with_context(|| format!("cannot write {name}"))?;
    }
    let uploaded = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nexpr 6 '*' 111\n";
    write_program(&folder.join("static/uploaded.cgi"), uploaded)?;
    fs::write(folder.join("static/style.css"), STYLE).context("cannot write a static file")?;
    Ok(folder.to_owned())
}

/// One file, uploaded as index.cgi, and two lines of .htaccess that say what it runs.
pub(super) fn make_uploaded_folder(stage: &Stage, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).context("cannot make a public folder")?;
    join_parts(stage, &folder.join("index.cgi"), &Stage::build()?, 0)?;
    let application = stage.path("fixtures/show_environ.py").display().to_string();
    let lines = [
        ("#SetEnv CGI2WSGI_APP /home/me/site/app.py", format!("SetEnv CGI2WSGI_APP {application}")),
        ("#SetEnv CGI2WSGI_MOUNT auto", "SetEnv CGI2WSGI_MOUNT auto".to_owned()),
    ];
    let access = adapted(&stage.path("servers/shared-host/.htaccess"), &lines)?;
    fs::write(folder.join(".htaccess"), access).context("cannot write .htaccess")?;
    Ok(folder.to_owned())
}

pub(super) const UPLOADED: &str = "uploaded.example";
pub(super) const PUBLIC: &str = "localhost";
pub(super) const SHOWN: &str = "shown.example";
const STYLE: &str = "p { color: green }\n";
const BAIT: &str = "not for visitors\n";
const BAITS: &[&str] = &[
    "settings.py",
    "app.py",
    "site.wsgi",
    "db.sqlite3",
    ".env",
    ".htpasswd",
    "index.cgi~",
    "__pycache__/settings.cpython-311.pyc",
];

fn public(target: &str) -> Request {
    Request::get(target).header("Host", PUBLIC)
}

pub(super) const SHARED_HOST: &[Row] = &[
    ("one uploaded file is the whole program", |server| {
        for target in ["/", "/x/y?-h"] {
            let answer = ask(server, &Request::get(target).header("Host", UPLOADED))?;
            expect(&answer, |answer| {
                has_line(answer.status(200)?, "SCRIPT_NAME=")?;
                let path = target.split('?').next().unwrap_or_default();
                has_line(answer, &format!("PATH_INFO={path}"))
            })
            .context(target)?;
        }
        for secret in ["/index.cgi", "/.htaccess"] {
            let answer = ask(server, &Request::get(secret).header("Host", UPLOADED))?;
            expect(&answer, |answer| answer.lacks("\x7fELF")?.lacks("RewriteEngine").map(drop))
                .context(secret)?;
        }
        Ok(())
    }),
    ("pages and their links work, and no URL contains index.cgi", |server| {
        let page = ask(server, &public("/login/"))?;
        for url in expect_links(&page, "")? {
            let answer = ask(server, &public(&url))?;
            expect(&answer, |answer| answer.status(200).map(drop)).context(url)?;
        }
        let front = ask(server, &public("/"))?;
        expect(&front, |answer| answer.status(200)?.contains("Guestbook").map(drop))
    }),
    ("Apache serves static/ itself", |server| {
        let answer = ask(server, &public("/static/style.css"))?;
        expect(&answer, |answer| {
            answer.status(200)?.body(STYLE)?;
            ensure!(answer.head.one("ETag").is_some(), "no ETag: not Apache's answer");
            Ok(())
        })?;
        let listing = ask(server, &public("/static/"))?;
        expect(&listing, |answer| answer.status(403)?.lacks("style.css").map(drop))
    }),
    ("a program in static/ is not run", |server| {
        let answer = ask(server, &public("/static/uploaded.cgi"))?;
        expect(&answer, |answer| answer.lacks("666").map(drop))
    }),
    ("the Authorization header arrives, and is absent where none was sent", |server| {
        let shown = |request: Request| ask(server, &request.header("Host", SHOWN));
        let with = shown(Request::get("/x").header("Authorization", "Basic dTpw"))?;
        expect(&with, |answer| {
            has_line(answer.status(200)?, "HTTP_AUTHORIZATION=Basic dTpw")?;
            has_line(answer, "SCRIPT_NAME=")?;
            has_line(answer, "PATH_INFO=/x")
        })?;
        let without = shown(Request::get("/x"))?;
        expect(&without, |answer| {
            let text = answer.status(200)?.text();
            ensure!(
                !text.lines().any(|line| line.starts_with("HTTP_AUTHORIZATION=")),
                "the environ has an Authorization header that was not sent"
            );
            Ok(())
        })
    }),
    ("the words of a query are no arguments of index.cgi", |server| {
        for query in ["-h", "--debug", "--mount+/x", "os:system"] {
            let request = Request::get(format!("/x?{query}")).header("Host", SHOWN);
            expect(&ask(server, &request)?, |answer| {
                answer.status(200)?;
                has_line(answer, "SCRIPT_NAME=")?;
                has_line(answer, &format!("QUERY_STRING={query}"))
            })
            .context(query)?;
        }
        Ok(())
    }),
    ("nothing but static/ can be downloaded", |server| {
        let names = BAITS.iter().map(|name| (*name).to_owned());
        let own = ["index.cgi", ".htaccess", "index.cgi/", "index.cgi/.htaccess", "INDEX.CGI"];
        let names: Vec<_> = names.chain(own.map(str::to_owned)).collect();
        let site = ["mysite/settings.py", "manage.py", "db.sqlite3", "mysite/__pycache__/"];
        let ways = ["/", "//", "/./", "/static/../", "/static/%2e%2e/", "/static/..%2f", "/%2e/"];
        let out = ["/../", "/%2e%2e/", "/static/../../", "/static/%2e%2e/%2e%2e/", "/..%2f"];
        let inside = names.iter().flat_map(|name| ways.map(|way| format!("{way}{name}")));
        let elsewhere = ["/settings.py?", "/settings.py/", "/settings.py%00", "/static/.htaccess"];
        // The application behind these URLs makes no difference, and this one is fast.
        let inside = inside.chain(elsewhere.map(str::to_owned)).map(|target| (target, SHOWN));
        let outside = site.iter().flat_map(|name| out.map(|way| format!("{way}{name}")));
        for (target, host) in inside.chain(outside.map(|target| (target, PUBLIC))) {
            let answer = ask(server, &Request::get(&target).header("Host", host))?;
            expect(&answer, |answer| {
                for secret in [BAIT.trim(), "#!", "RewriteEngine", "SQLite format", "SECRET_KEY"] {
                    answer.lacks(secret)?;
                }
                ensure!(answer.head.status != 500, "the answer is a 500");
                Ok(())
            })
            .context(target)?;
        }
        Ok(())
    }),
];
