//! `cgi2wsgi init`: what it writes runs on the real servers (`servers`) and never sends the program to a visitor if the
//! server lacks its module for CGI (`without_cgi`); what it refuses to write (`refusals`).

mod refusals;
mod servers;
mod without_cgi;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};
use libtest_mimic::Trial;

use crate::harness::command::{Output, run, trials_of};
use crate::harness::exchange::{Answer, Exchange, LogWindow};
use crate::harness::http::Request;
use crate::harness::server::{Server, WebServer};
use crate::harness::stage::Stage;
use crate::harness::world::World;

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    [servers::TESTS, without_cgi::TESTS, refusals::TESTS]
        .into_iter()
        .flat_map(|tests| trials_of("init", tests, world))
        .collect()
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

fn ask(server: &WebServer, request: &Request) -> Result<Answer> {
    let address = server.address().context("no address")?;
    let log = LogWindow::from_start(Path::new("/dev/null"));
    Exchange::over_http(address, "", request, log)?.finish()
}

/// Runs a command that only reads a configuration.
fn tried(stage: &Stage, mut command: Command) -> Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    run(stage, command)
}
