//! Warm start: a process that has imported the application, the zygote, forks
//! a child for each request (`--warm`).
//!
//! - [`identity`]: which zygote may answer which request;
//! - [`place`]: the private directory where zygotes are found;
//! - [`message`]: what the front and a child say to each other;
//! - [`lock`]: who may make and remove a socket;
//! - [`start`]: what a new zygote is told;
//! - [`output`]: what is written while it imports;
//! - [`client`]: the front's side;
//! - [`status`], [`log`]: what zygotes tell a person;
//! - [`process`]: what the system tells of them.
//!
//! The other side needs Python: `src/bin/cgi2wsgi-python/zygote`.

pub mod client;
pub mod identity;
pub mod lock;
pub mod log;
pub mod message;
pub mod output;
pub mod place;
pub mod process;
pub mod start;
pub mod status;
