//! A site whose visitors Apache asks for a password (RFC 3875 4.1.1, 4.1.11).

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Row, ask, expect, get, has_line, quoted};
use crate::harness::http::Request;
use crate::harness::stage::Stage;

pub(super) const MODULES: [&str; 4] = ["auth_basic", "authn_core", "authn_file", "authz_user"];

/// As htpasswd -s writes it.
const USERS: &str = "ann:{SHA}eEfrmVcfx6ZyitJ77p50R9tB0KI=\n";
/// ann, with the password of [`USERS`].
const CREDENTIALS: &str = "Basic YW5uOmEgcGFzc3dvcmQ=";

/// Its part of the server's configuration.
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

pub(super) const ROW: Row =
    ("Apache's authentication is told in AUTH_TYPE and REMOTE_USER", |server| {
        expect(&get(server, "/checked")?, |answer| {
            answer.status(401)?.lacks("SCRIPT_NAME=").map(drop)
        })?;
        let request = Request::get("/checked").header("Authorization", CREDENTIALS);
        expect(&ask(server, &request)?, |answer| {
            answer.status(200)?;
            has_line(answer, "AUTH_TYPE=Basic")?;
            has_line(answer, "REMOTE_USER=ann")?;
            // RFC 3875 9.2: what Apache has checked is not handed on.
            ensure!(!answer.text().contains("\nHTTP_AUTHORIZATION="), "the password is there");
            Ok(())
        })
    });
