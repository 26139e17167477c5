//! A child that dies, and a visitor that leaves, with a server in between: Apache's `mod_cgid`.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Result, ensure};

use crate::harness::command::Test;
use crate::harness::exchange::{Answer, Exchange};
use crate::harness::http::Request;
use crate::harness::mount::{Mount, Program};
use crate::harness::process::{PATIENCE, until};
use crate::harness::server::Server;
use crate::harness::server::apache::{self, Module, quoted};
use crate::harness::stage::Stage;
use crate::warm::site::{Site, is_gone};

pub(crate) const TESTS: &[(&str, Test)] = &[(
    "under mod_cgid: a child that dies before the head is a 500, and a visitor who disconnects ends the child",
    all,
)];

fn all(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let mut sites = String::new();
    writeln!(sites, "ScriptAlias /warm {}", quoted(&stage.bridge().display().to_string())?)?;
    writeln!(sites, "<Location /warm>\n    Require all granted")?;
    for (name, value) in [
        ("CGI2WSGI_APP", site.path("app.py")),
        ("CGI2WSGI_WARM", "1".into()),
        ("TMPDIR", site.path("t")),
    ] {
        writeln!(sites, "    SetEnv {name} {}", quoted(&value.display().to_string())?)?;
    }
    writeln!(sites, "</Location>")?;
    let server = apache::start_with(stage, "warm-deaths", Module::Cgid, &sites)?;
    let mount = Mount {
        prefix: "/warm".to_owned(),
        program: Program::Bridge { application: String::new() },
        variables: Vec::new(),
        warm: true,
    };
    let begin = |query: &str| -> Result<Exchange> {
        server.begin(&mount, &Request::get(format!("/?{query}")))
    };
    let ask = |query: &str| -> Result<Answer> { begin(query)?.finish() };

    ask("id=first")?.status(200)?.body("first 1 h1 1\n")?;
    ask("id=x&do=end&how=signal:9")?.status(500)?;
    ensure!(site.runs("x") == 1, "{:?}", site.lines("runs"));
    site.write("go", "")?;
    let cut = ask("id=y&do=stream&how=signal:9")?;
    fs::remove_file(site.path("go"))?;
    cut.status(200)?.body("begun\n")?;
    ensure!(site.runs("y") == 1, "{:?}", site.lines("runs"));

    let mut leaving = begin("id=z&do=stream")?;
    leaving.body_until(b"begun\n")?;
    // One line of this request, and one of the request before.
    site.wait_lines("streaming", 2)?;
    let child: i32 = site.lines("streaming").pop().unwrap_or_default().parse()?;
    drop(leaving.hang_up());
    // The child notices that when it writes, as a cold process would.
    site.write("go", "")?;
    until(PATIENCE, "the end of the child", || Ok(is_gone(child).then_some(())))?;
    ensure!(site.lines("closed").contains(&child.to_string()), "close() was not called");
    ask("id=last")?.status(200)?.body("last 1 h1 1\n")?;
    ensure!(site.starts() == 1, "{}", site.log());
    server.stop();
    site.ends_clean()
}
