//! The integration tests: the built executables under real servers and without one.
//!
//! - `table.rs` and `cases/`: the rows, each run on every server it applies to;
//! - `server/`: the servers; `mount.rs`: what they serve; `tests/apache/` and `servers/`: their configurations;
//! - `alive_at_exit.rs`: what is alive when the application has answered, beside `CGIHandler`;
//! - `shelves.rs`: applications that keep what they know in a shelf, litmus among them;
//! - `apache_sites.rs`: Apache set up in other ways than the table's, and the shared host;
//! - `http.rs`, `exchange.rs`: a client that normalises nothing; `process.rs`: the unprivileged user's processes;
//! - `stage.rs`, `world.rs`: what that user can read, and what all trials share;
//! - `command_line.rs`: exit codes, descriptors and linking, where no server is needed; `request_verb.rs`: `cgi2wsgi
//!   request`; `deaths.rs`: each way in which a process can end, at each step; `installation.rs`: where the executables and virtual environments are; `memory.rs`: how much is used;
//!   `imports.rs`: that imports are Python's;
//! - `warm.rs`: what holds with `--warm`, whatever dies, changes or stands in the way;
//! - `surroundings.rs`: that an application cannot tell a warm start from a cold one;
//! - `properties.rs`: what holds for random requests;
//! - `specification.rs`: whether `docs/specification.md` names rows that are there;
//! - `warm_verbs.rs`: what a person sees of zygotes, and how they are stopped; `fork_safety.rs`: the examples of
//!   `docs/fork-safety.md`;
//! - `django.rs`: a person's session on a Django site, by hand and in a browser.
//!
//! `tests/run` sets up what they need. With `CGI2WSGI_TEST_BRIDGE` the same rows run against another CGI program.

mod alive_at_exit;
mod apache_sites;
mod cases;
mod command_line;
mod deaths;
mod django;
mod exchange;
mod fork_safety;
mod http;
mod imports;
mod installation;
mod memory;
mod mount;
mod process;
mod properties;
mod request_verb;
mod server;
mod shelves;
mod specification;
mod stage;
mod surroundings;
mod table;
mod warm;
mod warm_verbs;
mod world;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::Arguments;

use crate::table::Table;
use crate::world::World;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let table = Table::new();
    let mut mounts = table.mounts();
    mounts.push(django::mount());
    mounts.extend(surroundings::mounts());
    mounts.push(shelves::mount());
    let world = Arc::new(World::new(mounts));
    let mut trials = command_line::trials(&world);
    trials.extend(deaths::trials(&world));
    trials.extend(alive_at_exit::trials(&world));
    trials.extend(shelves::trials(&world));
    trials.extend(request_verb::trials(&world));
    trials.extend(installation::trials(&world));
    trials.extend(memory::trials(&world));
    trials.extend(imports::trials(&world));
    trials.extend(warm::trials(&world));
    trials.extend(warm_verbs::trials(&world));
    trials.extend(fork_safety::trials(&world));
    trials.extend(properties::trials(&world));
    trials.extend(table.trials(&world));
    trials.extend(surroundings::trials(&world));
    trials.extend(apache_sites::trials(&world));
    trials.extend(django::trials(&world));
    trials.push(specification::trial(&trials));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let stopped = world.stop();
    drop(world);
    if let Err(error) = stopped {
        // Where standard error is gone, the exit status tells.
        let _ = writeln!(io::stderr(), "{error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
