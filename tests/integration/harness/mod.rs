//! What the tests run with: the servers, a client, the processes, and the table of rows.
//!
//! - `table.rs`: the rows, each run on every server it applies to; `mount.rs`: where each is; `server/`: the servers;
//! - `http.rs`, `exchange.rs`: a client that normalises nothing;
//! - `command.rs`: the executable without a server, and what it wrote; `process.rs`: the unprivileged user's processes;
//! - `django_project.rs`: files of applications that several groups of trials break;
//! - `stage.rs`, `world.rs`: what that user can read, and what all trials share.

pub(crate) mod command;
pub(crate) mod django_project;
pub(crate) mod exchange;
pub(crate) mod http;
pub(crate) mod mount;
pub(crate) mod process;
pub(crate) mod server;
pub(crate) mod stage;
pub(crate) mod table;
pub(crate) mod world;
