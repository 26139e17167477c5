//! The integration tests: the built executables under real servers and without one.
//!
//! - `cases/`: the rows of the table, each run on every server it applies to;
//! - `harness/`: the table, the servers, the client and the processes; `tests/apache/`, `servers/`: the configurations;
//! - `alive_at_exit.rs`: what is alive when the application has answered, compared with `CGIHandler`;
//! - `logs.rs`: what is logged of a request, and where;
//! - `shelves.rs`: applications that keep their data in shelves, one of them tested by litmus;
//! - `apache_sites.rs`: other Apache configurations than the table's, and the shared host;
//! - `command_line.rs`: exit codes, descriptors and linking, where no server is needed; `request_verb.rs`: `cgi2wsgi
//!   request`; `check/`: `cgi2wsgi check`; `init/`: `cgi2wsgi init`; `deaths.rs`: each way in which a process can end,
//!   at each step; `bad_surroundings.rs`, `signals.rs`: what else can go wrong around a request; `bodies.rs`: slow and
//!   large request bodies; `installation.rs`: where the executables and virtual environments are; `memory.rs`: how much
//!   memory is used; `imports.rs`: imports work as in plain Python;
//! - `warm/`: all about `--warm` and `cgi2wsgi warm`;
//! - `messages/`: the mistakes that people make, and the messages that they get; `profile.rs`: `cgi2wsgi profile`;
//! - `properties.rs`: what holds for random requests;
//! - `documents.rs`, `specification.rs`, `sources.rs`: whether README, the pages of `docs/` and CONTRIBUTING are true;
//! - `django.rs`: a person's session on a Django site, by hand and in a browser.
//!
//! `tests/run` sets up what the tests need. With `CGI2WSGI_TEST_BRIDGE` the same rows run against another CGI program.

mod alive_at_exit;
mod apache_sites;
mod bad_surroundings;
mod bodies;
mod cases;
mod check;
mod command_line;
mod deaths;
mod django;
mod documents;
mod harness;
mod imports;
mod init;
mod installation;
mod logs;
mod memory;
mod messages;
mod own_server;
mod profile;
mod properties;
mod request_verb;
mod scaling;
mod shelves;
mod signals;
mod sources;
mod specification;
mod warm;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::Arguments;

use crate::harness::table::Table;
use crate::harness::world::World;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let table = Table::new();
    let mut mounts = table.mounts();
    mounts.push(django::mount());
    mounts.extend(warm::surroundings::mounts());
    mounts.extend(logs::mounts());
    mounts.extend(shelves::mounts());
    let world = Arc::new(World::new(mounts));
    let mut trials = command_line::trials(&world);
    trials.extend(deaths::trials(&world));
    trials.extend(signals::trials(&world));
    trials.extend(own_server::trials(&world));
    trials.extend(bad_surroundings::trials(&world));
    trials.extend(bodies::trials(&world));
    trials.extend(alive_at_exit::trials(&world));
    trials.extend(shelves::trials(&world));
    trials.extend(logs::trials(&world));
    trials.extend(request_verb::trials(&world));
    trials.extend(check::trials(&world));
    trials.extend(init::trials(&world));
    trials.extend(installation::trials(&world));
    trials.extend(scaling::trials(&world));
    trials.extend(memory::trials(&world));
    trials.extend(messages::trials(&world));
    trials.extend(profile::trials(&world));
    trials.extend(imports::trials(&world));
    trials.extend(warm::trials(&world));
    trials.extend(properties::trials(&world));
    trials.extend(table.trials(&world));
    trials.extend(apache_sites::trials(&world));
    trials.extend(django::trials(&world));
    trials.extend(documents::trials(&world));
    trials.extend(sources::trials());
    trials.extend(specification::trials(&trials));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let stopped = world.stop();
    drop(world);
    if let Err(error) = stopped {
        // If standard error is closed, the exit status still reports the failure.
        let _ = writeln!(io::stderr(), "{error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
