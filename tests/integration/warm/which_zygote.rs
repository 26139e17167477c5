//! Which zygote answers, under Apache: variables that a client can make the server set start no other zygote.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};

use crate::harness::command::Test;
use crate::harness::exchange::{Answer, Exchange};
use crate::harness::http::Request;
use crate::harness::mount::{Mount, Program};
use crate::harness::server::Server;
use crate::harness::server::apache::{self, Module, quoted};
use crate::harness::stage::Stage;
use crate::warm::site::Site;

pub(crate) const TESTS: &[(&str, Test)] = &[(
    "V2: under Apache no client can start more zygotes by its path, its User-Agent or variables set from headers",
    all,
)];

/// Answers with the number of its parent, which is the zygote, and its variables.
const APPLICATION: &str = "import os

def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    names = ['KIND', 'MATCH_SITE', 'nokeepalive', 'downgrade_1_0']
    told = [f'{os.environ.get(name)}/{environ.get(name)}' for name in names]
    return [' '.join([str(os.getppid()), environ['PATH_INFO'], *told]).encode()]
";

/// Lines of Debian's `setenvif.conf`, what `LocationMatch` sets, and a variable that a client decides.
const SITES: &str = r#"
LoadModule setenvif_module "${MODULES}/mod_setenvif.so"
LoadModule actions_module "${MODULES}/mod_actions.so"
BrowserMatch "Mozilla/2" nokeepalive
BrowserMatch "MSIE 4\.0b2;" nokeepalive downgrade-1.0 force-response-1.0
BrowserMatch "RealPlayer 4\.0" force-response-1.0
BrowserMatch "JDK/1\.0" force-response-1.0
BrowserMatch "Microsoft Data Access Internet Publishing Provider" redirect-carefully
BrowserMatch "^WebDrive" redirect-carefully
SetEnvIf X-Kind "(.+)" KIND=$1
<LocationMatch "^/warm/(?<SITE>[^/]+)">
    SetEnv ignored-by-apache 1
</LocationMatch>
"#;

fn sites(site: &Site<'_>) -> Result<String> {
    let path = |inside: &str| quoted(&site.path(inside).display().to_string());
    let bridge = quoted(&site.stage.bridge().display().to_string())?;
    let mut sites = SITES.to_owned();
    for (url, settings) in [
        ("/warm", format!("SetEnv CGI2WSGI_APP {}", path("which.wsgi")?)),
        (
            "/ignoring",
            format!(
                "SetEnv CGI2WSGI_APP {}\n    SetEnv CGI2WSGI_WARM_IGNORE \"OTHER, KIN*\"",
                path("which.wsgi")?
            ),
        ),
        ("/handled", "SetEnv CGI2WSGI_HANDLER 1".to_owned()),
        ("/action", "SetEnv CGI2WSGI_HANDLER 1\n    SetHandler wsgi".to_owned()),
    ] {
        if url == "/action" {
            writeln!(sites, "Alias /action {}", path("")?)?;
            writeln!(sites, "Action wsgi /handled")?;
        } else {
            writeln!(sites, "ScriptAlias {url} {bridge}")?;
        }
        writeln!(sites, "<Location {url}>\n    Require all granted\n    {settings}")?;
        writeln!(sites, "    SetEnv CGI2WSGI_WARM 1\n    SetEnv TMPDIR {}", path("t")?)?;
        writeln!(sites, "</Location>")?;
    }
    Ok(sites)
}

/// The zygote and the rest of the answer.
fn told(answer: &Answer) -> Result<(i32, String)> {
    let text = answer.status(200)?.text();
    let (zygote, rest) = text.split_once(' ').with_context(|| format!("{text:?}"))?;
    Ok((zygote.parse()?, rest.to_owned()))
}

fn all(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("which.wsgi", APPLICATION)?;
    let server = apache::start_with(stage, "which-zygote", Module::Cgid, &sites(&site)?)?;
    let begin = |prefix: &str, path: &str, headers: &[(&str, &str)]| -> Result<Exchange> {
        let mount = Mount {
            prefix: prefix.to_owned(),
            program: Program::Bridge { application: String::new() },
            variables: Vec::new(),
            warm: true,
        };
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        server.begin(&mount, &request)
    };
    let ask = |prefix: &str, path: &str, headers: &[(&str, &str)]| -> Result<(i32, String)> {
        told(&begin(prefix, path, headers)?.finish()?)
    };
    let none = "None/None";

    let (zygote, first) = ask("/warm", "/a", &[])?;
    ensure!(first == format!("/a {none} a/a {none} {none}"), "{first}");
    for (path, agent, expected) in [
        ("/bc", "curl", format!("/bc {none} bc/bc {none} {none}")),
        ("/a", "Mozilla/2.0", format!("/a {none} a/a 1/1 {none}")),
        ("/a", "x MSIE 4.0b2; y", format!("/a {none} a/a 1/1 1/1")),
        ("/a", "JDK/1.0", format!("/a {none} a/a {none} {none}")),
        ("/a", "WebDrive 1", format!("/a {none} a/a {none} {none}")),
    ] {
        let found = ask("/warm", path, &[("User-Agent", agent)])?;
        ensure!(found == (zygote, expected), "{agent}: {found:?}; the first is {zygote}");
    }
    is_one_for_all_paths(|path| ask("/action", path, &[]))?;

    // Three more zygotes than the one without the variable, and then no more.
    let mut zygotes = BTreeSet::from([zygote]);
    for kind in ["1", "2", "3", "1", "2", "3"] {
        let (zygote, told) = ask("/warm", "/a", &[("X-Kind", kind)])?;
        ensure!(told.starts_with(&format!("/a {kind}/{kind} ")), "{told}");
        zygotes.insert(zygote);
    }
    ensure!(zygotes.len() == 4 && zygotes.iter().all(|one| site.zygotes().contains(one)));
    for kind in ["4", "5"] {
        let exchange = begin("/warm", "/a", &[("X-Kind", kind)])?;
        let log = exchange.log();
        let (parent, told) = told(&exchange.finish()?)?;
        ensure!(told.starts_with(&format!("/a {kind}/{kind} ")), "{told}");
        ensure!(!site.zygotes().contains(&parent), "another zygote was started");
        log.wait_for("this request differs from them only in KIND")?;
        log.wait_for("give --warm-ignore KIND (CGI2WSGI_WARM_IGNORE)")?;
    }
    let (same, _) = ask("/warm", "/a", &[("X-Kind", "2")])?;
    ensure!(zygotes.contains(&same), "a fifth zygote answered");

    let mut zygotes = BTreeSet::new();
    for kind in ["1", "2", "3", "4", "5", "6"] {
        let (zygote, told) = ask("/ignoring", "/a", &[("X-Kind", kind)])?;
        ensure!(told.starts_with(&format!("/a {kind}/{kind} ")), "{told}");
        zygotes.insert(zygote);
    }
    let (last, told) = ask("/ignoring", "/a", &[])?;
    ensure!(told.starts_with(&format!("/a {none} ")), "{told}");
    zygotes.insert(last);
    ensure!(zygotes.len() == 1 && site.zygotes().contains(&last), "{zygotes:?}");
    server.stop();
    site.ends_clean()
}

/// Under `--handler` the client decides how long the path behind the file is.
fn is_one_for_all_paths(ask: impl Fn(&str) -> Result<(i32, String)>) -> Result<()> {
    let mut zygotes = BTreeSet::new();
    for path in ["", "/", "/a", "/ab", "/a/b/c"] {
        let (zygote, told) = ask(&format!("/which.wsgi{path}"))?;
        ensure!(told.starts_with(&format!("{path} ")), "{path:?}: {told}");
        zygotes.insert(zygote);
    }
    ensure!(zygotes.len() == 1, "{zygotes:?}");
    Ok(())
}
