//! The front: what servers and people start. It needs no Python.
//!
//! - [`cli`], [`settings`]: what can be typed; what it means;
//! - [`plan`]: from the command line and variables to what will be run, or the reason why not;
//! - [`find`]: the application, the Python, the worker;
//! - [`launch`]: starts a worker, or a zygote;
//! - [`connect`]: finds a zygote's child instead (`--warm`);
//! - [`supervise`]: hands the request over and supervises it to its end;
//! - [`refuse`]: the front's own answer; [`page`]: its body;
//! - [`answer`]: all of that for one CGI request;
//! - [`account`]: what is known of a request, for `--log` and `--record`;
//! - [`record`]: what `--record` writes;
//! - [`number`]: the name of a request in logs; [`secrets`]: what logs leave out; [`json`]: their form;
//!   [`trusted_directory`]: where they may be;
//! - [`request`], [`check`], [`init`], [`profile`], [`warm`]: the other verbs; [`meant`]: what a person meant by words
//!   that cannot be parsed;
//! - [`exit`]: exit statuses; [`deadline`]: when a request is given up; [`users`]: names of users.

pub mod account;
pub mod answer;
pub mod check;
pub mod cli;
pub mod connect;
pub mod deadline;
pub mod exit;
pub mod find;
pub mod init;
pub mod json;
pub mod launch;
pub mod meant;
pub mod number;
pub mod page;
pub mod plan;
pub mod profile;
pub mod record;
pub mod refuse;
pub mod request;
pub mod secrets;
pub mod settings;
pub mod supervise;
pub mod trusted_directory;
pub mod users;
pub mod version;
pub mod warm;
