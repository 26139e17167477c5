//! docs/scaling.md: two nodes behind Caddy's load balancer, one of which is stopped under load.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{Test, trials_of};
use crate::harness::exchange::{Exchange, LogWindow};
use crate::harness::http::Request;
use crate::harness::process::{PATIENCE, until};
use crate::harness::server::caddy::start_site;
use crate::harness::server::{Server, WebServer, adapted};
use crate::harness::stage::Stage;
use crate::harness::world::World;

const TESTS: &[(&str, Test)] = &[
    ("a node that is stopped under load loses no GET", stopped),
    ("a node that is drained and stopped under load loses no POST", drained),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("scaling", TESTS, world)
}

/// Two nodes, which answer with their names, and the balancer in front of them.
struct Site {
    place: PathBuf,
    nodes: [WebServer; 2],
    balancer: WebServer,
}

const NAMES: [&str; 2] = ["one", "two"];

impl Site {
    fn start(stage: &Stage, name: &str) -> Result<Self> {
        let place = stage.workplace(name)?;
        let nodes = [node(stage, &place, NAMES[0])?, node(stage, &place, NAMES[1])?];
        let mut addresses = Vec::new();
        for node in &nodes {
            addresses.push(node.address().context("a node without an address")?.to_string());
        }
        let balancer = start_site(stage, "balancer", |port| {
            let changes = [
                ("example.org {", format!("http://:{port} {{")),
                ("10.0.0.1:8080 10.0.0.2:8080", addresses.join(" ")),
            ];
            adapted(&stage.path("servers/scaling/balancer.Caddyfile"), &changes)
        })?;
        Ok(Self { place, nodes, balancer })
    }

    /// Sends requests, four at a time, while `action` runs. Returns how many each node answered. Any answer but a
    /// node's 200 is an error.
    fn under_load(
        &self,
        request: &Request,
        action: impl FnOnce() -> Result<()>,
    ) -> Result<BTreeMap<String, usize>> {
        let address = self.balancer.address().context("a balancer without an address")?;
        let is_over = AtomicBool::new(false);
        let client = || -> Result<Vec<String>> {
            let mut bodies = Vec::new();
            while !is_over.load(SeqCst) {
                let log = LogWindow::from_start(Path::new("/dev/null"));
                let answer = Exchange::over_http(address, "", request, log)?.finish()?;
                bodies.push(answer.status(200)?.text());
            }
            Ok(bodies)
        };
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
            let acted = action();
            is_over.store(true, SeqCst);
            let mut counts = BTreeMap::new();
            for client in clients {
                for body in client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?? {
                    *counts.entry(body).or_default() += 1;
                }
            }
            acted.map(|()| counts)
        })
    }

    /// Waits until both nodes, or the second alone, have answered `count` more requests.
    fn wait_for(&self, count: usize, is_both: bool) -> Result<()> {
        let begun = NAMES.map(|name| self.answered(name));
        until(PATIENCE, "requests that are answered", || {
            let more = |index: usize| self.answered(NAMES[index]) - begun[index];
            Ok((more(1) >= count && (!is_both || more(0) >= count)).then_some(()))
        })
    }

    /// How many requests a node has answered: its application writes a letter for each.
    fn answered(&self, name: &str) -> usize {
        fs::read(self.place.join(name).join("answered")).map_or(0, |letters| letters.len())
    }

    fn stop_first(&self) {
        self.nodes[0].stop();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.balancer.stop();
        self.nodes.iter().for_each(Server::stop);
    }
}

fn node(stage: &Stage, place: &Path, name: &str) -> Result<WebServer> {
    let directory = stage.workplace(
        place.join(name).strip_prefix(stage.path("work"))?.to_str().context("a path")?,
    )?;
    let application = directory.join("app.py");
    let answered = directory.join("answered");
    fs::write(
        &application,
        format!(
            "def application(environ, start_response):\n    \
             environ['wsgi.input'].read()\n    \
             with open({answered:?}, 'a') as file:\n        file.write('x')\n    \
             start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
             return [b'{name}']\n"
        ),
    )?;
    start_site(stage, &format!("node-{name}"), |port| {
        let command = format!("{} {}", stage.bridge().display(), application.display());
        let changes = [
            ("http://:8080 {", format!("http://:{port} {{")),
            ("root /srv/site\n", format!("root {}\n", directory.display())),
            ("/usr/local/bin/cgi2wsgi --warm --venv /srv/site/venv /srv/site/app.py", command),
        ];
        adapted(&stage.path("servers/scaling/node.Caddyfile"), &changes)
    })
}

fn stopped(stage: &Stage) -> Result<()> {
    let site = Site::start(stage, "scaling-stopped")?;
    let counts = site.under_load(&Request::get("/"), || {
        site.wait_for(5, true)?;
        site.stop_first();
        site.wait_for(20, false)
    })?;
    ensure!(counts.keys().eq(NAMES), "{counts:?}");
    Ok(())
}

fn drained(stage: &Stage) -> Result<()> {
    let site = Site::start(stage, "scaling-drained")?;
    let request = Request::post("/", "a form");
    let counts = site.under_load(&request, || {
        site.wait_for(5, true)?;
        fs::write(site.place.join(NAMES[0]).join("drain"), "")?;
        // Waits until the balancer has noticed, and the requests that had begun are over.
        let mut last = site.answered(NAMES[0]);
        until(PATIENCE, "a node without requests", || {
            site.wait_for(20, false)?;
            let is_quiet = site.answered(NAMES[0]) == last;
            last = site.answered(NAMES[0]);
            Ok(is_quiet.then_some(()))
        })?;
        site.stop_first();
        site.wait_for(20, false)
    })?;
    ensure!(counts.keys().eq(NAMES), "{counts:?}");
    let posts: usize = counts.values().sum();
    let run: usize = NAMES.iter().map(|name| site.answered(name)).sum();
    ensure!(posts == run, "{posts} answers, but {run} requests were run");
    Ok(())
}
