//! A site for which Apache asks visitors for a password (RFC 3875 4.1.1, 4.1.11).

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Row, ask, expect, get, has_line, quoted};
use crate::harness::exchange::Answer;
use crate::harness::http::Request;
use crate::harness::stage::Stage;

pub(super) const MODULES: &[&str] = &["auth_basic", "authn_core", "authn_file", "authz_user"];

/// A line as `htpasswd -s` writes it.
const USERS: &str = "ann:{SHA}eEfrmVcfx6ZyitJ77p50R9tB0KI=\n";
/// ann, with the password of [`USERS`].
const CREDENTIALS: &str = "Basic YW5uOmEgcGFzc3dvcmQ=";

/// The site's part of the server's configuration.
pub(super) fn make_checked_site(stage: &Stage, root: &Path) -> Result<String> {
    let users = root.join("users");
    fs::write(&users, USERS).context("cannot write the users")?;
    let mut site = String::new();
    writeln!(site, "ScriptAlias /checked {}\n<Location /checked>", quoted(&stage.bridge())?)?;
    writeln!(site, "    AuthType Basic\n    AuthName tests\n    AuthBasicProvider file")?;
    writeln!(site, "    AuthUserFile {}\n    Require valid-user", quoted(&users)?)?;
    let environ = stage.path("fixtures/show_environ.py");
    writeln!(site, "    SetEnv CGI2WSGI_APP {}", quoted(&environ)?)?;
    writeln!(site, "    SetEnv CGI2WSGI_VENV {}\n</Location>", quoted(stage.python_env())?)?;
    Ok(site)
}

/// A directory of `Action` that requires a password, and its page for visitors who have none.
pub(super) fn make_checked_action(root: &Path, actions: &Path) -> Result<String> {
    let users = root.join("users");
    let mut site = String::new();
    for url in ["/checked-action", "/page-for-all"] {
        writeln!(site, "Alias {url} {}", quoted(actions)?)?;
    }
    writeln!(site, "<Location /checked-action>\n    AuthType Basic\n    AuthName tests")?;
    writeln!(site, "    AuthBasicProvider file\n    AuthUserFile {}", quoted(&users)?)?;
    writeln!(site, "    Require valid-user\n    ErrorDocument 401 /page-for-all/show.wsgi")?;
    writeln!(site, "</Location>")?;
    Ok(site)
}

pub(super) const ROW: Row =
    ("AUTH_TYPE and REMOTE_USER have what Apache has authenticated", |server| {
        expect(&get(server, "/checked")?, |answer| {
            answer.status(401)?.lacks("SCRIPT_NAME=").map(drop)
        })?;
        let request = Request::get("/checked").header("Authorization", CREDENTIALS);
        expect(&ask(server, &request)?, |answer| {
            answer.status(200)?;
            has_line(answer, "AUTH_TYPE=Basic")?;
            has_line(answer, "REMOTE_USER=ann")?;
            // RFC 3875 9.2: credentials that Apache has checked are not passed on.
            ensure!(
                !answer.text().contains("\nHTTP_AUTHORIZATION="),
                "the environ has the password"
            );
            Ok(())
        })
    });

/// ann, with another password.
const FORGED: &str = "Basic YW5uOmFub3RoZXI=";

fn lacks_user(answer: &Answer) -> Result<()> {
    let text = answer.text();
    ensure!(
        !text.lines().any(|line| line.starts_with("REMOTE_USER=")),
        "the environ has a REMOTE_USER"
    );
    Ok(())
}

pub(super) const ACTION: &[Row] = &[
    ("under Action REMOTE_USER is the user whom Apache has authenticated", |server| {
        let page = "/checked-action/show.wsgi/p";
        let request = Request::get(page).header("Authorization", CREDENTIALS);
        expect(&ask(server, &request)?, |answer| {
            has_line(answer.status(200)?, "REMOTE_USER=ann")?;
            has_line(answer, "SCRIPT_NAME=/checked-action/show.wsgi")
        })?;
        let request = Request::get("/page-for-all/show.wsgi")
            .header("Redirect-Remote-User", "ann")
            .header("Remote-User", "ann")
            .header("Authorization", CREDENTIALS);
        expect(&ask(server, &request)?, |answer| lacks_user(answer.status(200)?))
    }),
    // Apache sends REDIRECT_REMOTE_USER=ann to the page that it shows for a wrong password.
    ("after a wrong password the error page has no REMOTE_USER", |server| {
        for credentials in [FORGED, ""] {
            let request =
                Request::get("/checked-action/show.wsgi").header("Authorization", credentials);
            expect(&ask(server, &request)?, |answer| {
                has_line(answer, "REDIRECT_STATUS=401")?;
                lacks_user(answer)
            })?;
        }
        Ok(())
    }),
];
