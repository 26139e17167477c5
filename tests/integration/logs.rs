//! What is logged of a request, and where (M9). On standard error, in the server's log, each line says which request
//! it is about.

mod command;
mod records;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::exchange::LogWindow;
use crate::harness::http::Request;
use crate::harness::mount::{Mount, Program};
use crate::harness::process::{PATIENCE, until};
use crate::harness::server::Kind;
use crate::harness::stage::is_other_bridge;
use crate::harness::table::failed;
use crate::harness::world::World;

/// A test on one server, cold and warm.
type OnServer = fn(&World, Kind, &Mount) -> Result<()>;

const ON_SERVERS: &[(&str, OnServer)] = &[
    (
        "M9: an error in the server's log has the request's URL, application and number",
        says_what_it_is_about,
    ),
    (
        "M9: --log has an entry for each request, with the lines that were written during it",
        has_entries,
    ),
    (
        "--record keeps a failed POST without its secrets, and --replay runs it again",
        records::keeps,
    ),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    if is_other_bridge() {
        return Vec::new();
    }
    let mut trials = command::trials(world);
    trials.extend(records::trials(world));
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Shell) {
        for mount in mounts() {
            for (sentence, test) in ON_SERVERS {
                let suffix = if mount.warm { "-warm" } else { "" };
                let (world, mount, test) = (Arc::clone(world), mount.clone(), *test);
                let name = format!("{}{suffix}::{sentence}", kind.name());
                trials.push(Trial::test(name, move || {
                    test(&world, kind, &mount).map_err(|error| failed(&error))
                }));
            }
        }
    }
    trials
}

/// Without `--warm`, and with it.
pub(crate) fn mounts() -> [Mount; 2] {
    [("/case/logged", false), ("/case/logged-warm", true)].map(|(prefix, warm)| Mount {
        prefix: prefix.to_owned(),
        program: Program::Bridge { application: "{applications}/logged.py".to_owned() },
        variables: [
            ("CGI2WSGI_LOG", "{own}/log"),
            ("CGI2WSGI_RECORD", "{own}/records"),
            // Trials that run at the same time share one directory of records.
            ("CGI2WSGI_RECORD_MAX", "1000"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        warm,
    })
}

fn says_what_it_is_about(world: &World, kind: Kind, mount: &Mount) -> Result<()> {
    let request = Request::get("/raises?a=1&password=hunter2");
    let exchange = world.server(kind)?.begin(mount, &request)?;
    let log = exchange.log();
    exchange.finish()?.status(500)?;
    let line = line_of(&log, &format!("[GET {}/raises?a=1", mount.prefix))?;
    let label = &line[line.find("[GET").unwrap_or_default()..];
    let (_, rest) = label.split_once(", ").context("no application")?;
    ensure!(line.contains("RuntimeError: on purpose (answered 500) ["), "{line}");
    ensure!(
        label.starts_with(&format!("[GET {}/raises?a=1&password=***, ", mount.prefix)),
        "{line}"
    );
    let (application, number) = rest.split_once(", request ").context("no number")?;
    ensure!(application.contains("logged") || application.contains("application.wsgi"), "{line}");
    let number = number.split(']').next().unwrap_or_default();
    ensure!(number.len() == 8 && number.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{line}");
    Ok(())
}

fn has_entries(world: &World, kind: Kind, mount: &Mount) -> Result<()> {
    const TRACEBACK: &str = "Traceback (most recent call last):";
    let (server, stage) = (world.server(kind)?, world.stage()?);
    let placed = mount.place(stage, kind)?;
    let log = placed.variables.iter().find(|(name, _)| name == "CGI2WSGI_LOG");
    let log = Path::new(&log.context("no log")?.1);
    for (path, status, bytes, end, lines) in [
        (
            "/ok",
            200,
            Some(8),
            " ms",
            &["printed by /ok", "a line of \\u{1b}[31mthe application"][..],
        ),
        ("/502", 502, Some(3), " ms", &["the other side is gone"]),
        ("/raises", 500, None, " ms", &[TRACEBACK, "RuntimeError: on purpose (answered 500)"]),
        ("/dies", 500, None, " ms", &["was killed by signal 9, SIGKILL"]),
        ("/cut", 200, Some(6), " ms (cut)", &[TRACEBACK, "response truncated"]),
    ] {
        let target = format!("{path}?entries");
        server.begin(mount, &Request::get(&target))?.finish()?.status(status)?;
        let wanted = format!("\"GET {}{target}\" {status} ", mount.prefix);
        let entry = Entry::find(log, &wanted)?;
        ensure!(entry.first.ends_with(end), "{path}: {}", entry.first);
        if let Some(bytes) = bytes {
            let numbers = format!("{wanted}{bytes} ");
            ensure!(entry.first.contains(&numbers), "{numbers}: {}", entry.first);
        }
        for line in lines {
            let found = entry.lines.iter().any(|found| found.contains(line));
            ensure!(found, "{path}: no line {line:?} below {entry:?}");
        }
    }
    Ok(())
}

/// An entry of a log.
#[derive(Debug)]
struct Entry {
    first: String,
    lines: Vec<String>,
}

impl Entry {
    /// The entry whose first line has `wanted`. The front writes the entry when the response is over.
    fn find(log: &Path, wanted: &str) -> Result<Self> {
        until(PATIENCE, &format!("{wanted:?} in {}", log.display()), || {
            let text = fs::read_to_string(log).unwrap_or_default();
            let Some(first) = text.lines().find(|line| line.contains(wanted)) else {
                return Ok(None);
            };
            let number = first.split(' ').nth(1).context("no number")?;
            let below = format!(" {number} | ");
            let lines = text.lines().filter_map(|line| Some(line.split_once(&below)?.1.to_owned()));
            Ok(Some(Self { first: first.to_owned(), lines: lines.collect() }))
        })
    }
}

/// The line of a server's log that has `wanted`.
fn line_of(log: &LogWindow, wanted: &str) -> Result<String> {
    until(PATIENCE, &format!("{wanted:?} in the log"), || {
        let text = log.text()?;
        Ok(text.lines().find(|line| line.contains(wanted)).map(str::to_owned))
    })
}
