//! cgi2wsgi runs a Python WSGI application as a CGI program.
//!
//! This library is everything that needs no Python; front and worker are built on it. A map:
//!
//! - [`cgi`]: bytes and RFC 3875. The request's meta-variables, the request body, the response and its head.
//! - [`handoff`]: the messages between front and worker.
//! - [`zygotes`]: the private directory that both share.
//! - [`remedies`]: what to do about an exception that newcomers meet.
//! - [`front`]: what servers and people start.
//! - [`system`]: system calls for which no library has a safe function.
//! - [`report`], [`timings`], [`did_you_mean`], [`listening`]: lines on standard error; where the time goes;
//!   misspelt names; whether a process is a server.
//!
//! `worker/` holds what needs Python. ARCHITECTURE.md tells how a request flows through all this.

pub mod cgi;
pub mod did_you_mean;
#[cfg(feature = "front")]
pub mod front;
pub mod handoff;
pub mod listening;
pub mod remedies;
pub mod report;
pub mod system;
pub mod timings;
pub mod zygotes;
