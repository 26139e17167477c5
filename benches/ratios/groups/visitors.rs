//! What visitors wait for: the same CGI programs behind Apache's `mod_cgid` and behind Caddy, one client and several.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::Bench;
use crate::groups::crowd::Crowd;
use crate::http::Visit;
use crate::packages::APACHE;
use crate::report::{Of, Section};
use crate::sampling::{Series, interleave};
use crate::servers::cgi_site::CgiSite;
use crate::servers::{apache, caddy};
use crate::stage::{Application, DJANGO, HELLO, PING, PONG, Stage};
use crate::subject::GREETING;
use crate::subject::Subject;

/// For one client behind Apache: many, since a 99th percentile is measured.
const APACHE_ROUNDS: usize = 1000;
const CADDY_ROUNDS: usize = 400;
const END_ROUNDS: usize = 200;

/// Visitors at a time.
const CLIENTS: usize = 8;
const CROWD_ROUNDS: usize = 8;

const CADDY: &str = "Caddy";
const MOD_CGID: &str = "mod_cgid";

pub(crate) fn prepare(_: &Bench) -> Result<()> {
    APACHE.program()?;
    caddy::executable().map(drop)
}

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let stage = &bench.stage;
    let sites = sites(stage)?;
    let server = apache::with_cgi(stage, "apache-cgi", &sites)?;
    let mut series = one_client(bench, MOD_CGID, server.port, APACHE_ROUNDS)?;
    series.extend(to_the_end(bench, server.port)?);
    let mut crowds = crowds(MOD_CGID, server.port);
    crowds.push(crowd(MOD_CGID, "CGIHandler Django", server.port, "/cgihandler/ping", PONG, 16));
    series.extend(eight_clients(bench, &crowds)?);
    drop(server);
    let server = caddy::with_cgi(stage, "caddy", &sites)?;
    series.extend(one_client(bench, CADDY, server.port, CADDY_ROUNDS)?);
    series.extend(eight_clients(bench, &self::crowds(CADDY, server.port))?);
    drop(server);

    let mut section = Section {
        title: "Behind a server",
        about: format!(
            "CGI programs behind Apache's mod_cgid and behind Caddy with the plugin `aksdb/caddy-cgi`: what visitors \
             wait for, with a new connection for each request, over the loopback interface. Rows of {CLIENTS} clients \
             have the time of a request while that many clients make one request after another, over all requests. \
             Rows to the end have the time until Apache closes the connection: it does not go on before the program \
             has ended. The Django site answers a small view."
        ),
        series,
        ..Section::default()
    };
    for server in [MOD_CGID, CADDY] {
        compare(&mut section, server)?;
    }
    for name in ENDING {
        section.compare(Of::Medians, &at_the_end(name), &at_the_end("C program"), "")?;
    }
    let ours = format!("{MOD_CGID}, {CLIENTS} clients: warm Django");
    let peer = format!("{MOD_CGID}, {CLIENTS} clients: CGIHandler Django");
    let hello = section.share(&format!("{MOD_CGID}, {CLIENTS} clients: warm hello"), &peer)?;
    let held_back = format!("A warm hello takes {hello} of the peer's time.");
    section.compare(Of::Medians, &ours, &peer, &held_back)?;
    section.tabulate();
    Ok(section)
}

/// Adds the rows of one server.
fn compare(section: &mut Section, server: &str) -> Result<()> {
    let name = |what: &str| format!("{server}: {what}");
    let (floor, front) = (name("C program"), name("the front alone"));
    let (hello, django) = (name("warm hello"), name("warm Django"));
    let front = section.share(&front, &floor)?;
    let held_back =
        format!("The front alone, with nothing behind it, takes {front} of the peer's time.");
    section.compare(Of::Medians, &hello, &floor, &held_back)?;
    let greeting = section.share(&hello, &floor)?;
    let held_back =
        format!("The front alone takes {front} of the peer's time, a warm hello {greeting}.");
    section.compare(Of::Medians, &django, &floor, &held_back)?;
    section.compare(Of::NinetyNinth, &django, &floor, &held_back)?;
    let without = name("warm Django without --warm-request");
    let greeting = section.share(&hello, &django)?;
    let held_back = format!(
        "A warm hello takes {greeting} of the peer's time; the rest is Django's first request, which each child \
         repeats."
    );
    section.compare(Of::Medians, &without, &django, &held_back)?;

    let name = |what: &str| format!("{server}, {CLIENTS} clients: {what}");
    let floor = name("C program");
    // Higher rates are better, so the ratio is inverted.
    let greeting = section.share(&floor, &name("warm hello"))?;
    let held_back = format!("A warm hello reaches {greeting} of the peer's requests a second.");
    section.compare(Of::Rates, &name("warm Django"), &floor, &held_back)
}

fn one_client(bench: &Bench, server: &str, port: u16, rounds: usize) -> Result<Vec<Series>> {
    let visit = |name: &str, path: &str, expected| {
        Visit::new(&format!("{server}: {name}"), port, path, expected)
    };
    let visits = [
        visit("C program", "/floor", GREETING),
        visit("the front alone", "/front", "").status(500),
        visit("warm hello", "/hello", GREETING),
        visit("warm Django", "/warm/ping", PONG),
        visit("warm Django without --warm-request", "/without/ping", PONG),
    ];
    let subjects: Vec<&dyn Subject> = visits.iter().map(|visit| visit as _).collect();
    interleave(&subjects, bench.rounds(rounds))
}

/// What is compared with the C program.
const ENDING: [&str; 2] = ["warm hello", "warm Django"];

fn at_the_end(name: &str) -> String {
    format!("{MOD_CGID}, to the end: {name}")
}

fn to_the_end(bench: &Bench, port: u16) -> Result<Vec<Series>> {
    let visit = |name: &str, path: &str, expected| {
        Visit::new(&at_the_end(name), port, path, expected).until_closed()
    };
    let visits = [
        visit("C program", "/floor", GREETING),
        visit(ENDING[0], "/hello", GREETING),
        visit(ENDING[1], "/warm/ping", PONG),
    ];
    let subjects: Vec<&dyn Subject> = visits.iter().map(|visit| visit as _).collect();
    interleave(&subjects, bench.rounds(END_ROUNDS))
}

fn eight_clients(bench: &Bench, crowds: &[Crowd<Visit>]) -> Result<Vec<Series>> {
    let subjects: Vec<&dyn Subject> = crowds.iter().map(|crowd| crowd as _).collect();
    interleave(&subjects, bench.rounds(CROWD_ROUNDS))
}

fn crowds(server: &str, port: u16) -> Vec<Crowd<Visit>> {
    vec![
        crowd(server, "C program", port, "/floor", GREETING, 400),
        crowd(server, "warm hello", port, "/hello", GREETING, 400),
        crowd(server, "warm Django", port, "/warm/ping", PONG, 400),
    ]
}

fn crowd(
    server: &str,
    name: &str,
    port: u16,
    path: &str,
    expected: &'static str,
    requests: usize,
) -> Crowd<Visit> {
    let name = format!("{server}, {CLIENTS} clients: {name}");
    Crowd::new(&name, Visit::new(&name, port, path, expected), CLIENTS, requests)
}

/// The C program, the front without an application, hello and Django warm, and Django under `CGIHandler`.
fn sites(stage: &Stage) -> Result<Vec<CgiSite>> {
    let warm = |mount: &str, application| CgiSite::cgi2wsgi(stage, mount, application).warm(stage);
    Ok(vec![
        CgiSite::new("/floor", stage.path("bin/floor")),
        CgiSite::new("/front", stage.path("bin/cgi2wsgi")),
        warm("/hello", &HELLO),
        warm("/warm", &DJANGO).set("CGI2WSGI_WARM_REQUEST", PING),
        warm("/without", &DJANGO),
        CgiSite::new("/cgihandler", script(stage, &DJANGO)?).of_site(stage),
    ])
}

/// An executable script with Python's own bridge.
fn script(stage: &Stage, application: &Application) -> Result<PathBuf> {
    let Application { directory, module, callable } = application;
    let script = stage.path("bin/cgihandler-django");
    let text = format!(
        "#!{}\nimport sys\nsys.path.insert(0, {:?})\nfrom wsgiref.handlers import CGIHandler\n\
         from {module} import {callable}\nCGIHandler().run({callable})\n",
        stage.python().display(),
        stage.path(directory).display(),
    );
    fs::write(&script, text).context("cannot write a script")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).context("no script")?;
    Ok(script)
}
