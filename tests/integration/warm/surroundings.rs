//! An application cannot tell a warm start from a cold one: on every server the same application reports all that its
//! process can see, once in a process of its own and twice in a child of a zygote.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::http::Request;
use crate::harness::mount::{Mount, Program};
use crate::harness::server::Kind;
use crate::harness::stage::is_other_bridge;
use crate::harness::table::failed;
use crate::harness::world::World;

/// The two mounts. They have the same length, since many variables contain them.
const COLD: &str = "/case/surroundings-cold";
const WARM: &str = "/case/surroundings-warm";

/// Expected differences: a normal start inherits descriptors that the server forgets to close; a child of a zygote has
/// only the first three, and the one of the directory that is listed.
const OF_A_CHILD: &[&str] =
    &[r#" "child of a zygote": true"#, r#" "descriptors of a child": "0 1 2 3""#];

/// Without `--warm`, and with it.
pub(crate) fn mounts() -> [Mount; 2] {
    [(COLD, false), (WARM, true)].map(|(prefix, warm)| Mount {
        prefix: prefix.to_owned(),
        program: Program::Bridge { application: "{applications}/surroundings.py".to_owned() },
        variables: vec![("LC_ALL".to_owned(), "C.UTF-8".to_owned())],
        warm,
    })
}

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    if is_other_bridge() {
        return Vec::new();
    }
    let trial = |kind: Kind| {
        let world = Arc::clone(world);
        let name = format!(
            "{}-warm::--warm: a child sees the same surroundings as a normal start",
            kind.name()
        );
        Trial::test(name, move || check(&world, kind).map_err(|error| failed(&error)))
    };
    Kind::ALL.map(trial).into()
}

fn check(world: &World, kind: Kind) -> Result<()> {
    let server = world.server(kind)?;
    let [cold, warm] = mounts();
    let facts = |mount: &Mount| -> Result<Vec<String>> {
        let request = Request::post("/path?a+query", "a body").header("X-Header", "of a client");
        let answer = server.begin(mount, &request)?.finish()?;
        let text = answer.status(200)?.text();
        let lines = text.lines().filter(|line| !is_of_one_request(line));
        Ok(lines.map(|line| line.trim_end_matches(',').to_owned()).collect())
    };
    let mut expected = facts(&cold)?;
    ensure!(expected.len() > 200, "the application reports too few facts: {expected:?}");
    for &child in OF_A_CHILD {
        let name = child.split_once(':').context("no fact")?.0;
        let fact = expected.iter_mut().find(|line| line.starts_with(name));
        child.clone_into(fact.with_context(|| format!("the application does not report{name}"))?);
    }
    let expected: Vec<_> = expected.iter().map(|line| line.replace(COLD, WARM)).collect();
    for turn in ["first", "second"] {
        let found = facts(&warm).context(turn)?;
        let missing: Vec<_> = expected.iter().filter(|line| !found.contains(line)).collect();
        let surplus: Vec<_> = found.iter().filter(|line| !expected.contains(line)).collect();
        ensure!(
            missing.is_empty() && surplus.is_empty(),
            "the {turn} child misses {missing:#?} and has {surplus:#?}"
        );
    }
    Ok(())
}

/// Lines that differ between any two requests, and the variables that make one of them warm.
fn is_of_one_request(line: &str) -> bool {
    ["CGI2WSGI_WARM", "XDG_RUNTIME_DIR", "REMOTE_PORT", "UNIQUE_ID"]
        .iter()
        .any(|name| line.contains(name))
}
