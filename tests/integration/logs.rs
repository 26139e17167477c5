//! What is logged of a request, and where (M9): on standard error, in the server's log, each line has what it is about.

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

const ON_SERVERS: &[(&str, OnServer)] = &[(
    "M9: an error in the server's log has its address, application and number",
    says_what_it_is_about,
)];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    if is_other_bridge() {
        return Vec::new();
    }
    let mut trials = Vec::new();
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
        variables: Vec::new(),
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

/// The line of a server's log that has this.
fn line_of(log: &LogWindow, wanted: &str) -> Result<String> {
    until(PATIENCE, &format!("{wanted:?} in the log"), || {
        let text = log.text()?;
        Ok(text.lines().find(|line| line.contains(wanted)).map(str::to_owned))
    })
}
