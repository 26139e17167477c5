//! cgi2wsgi runs a Python WSGI application as a CGI program.
//!
//! This library is everything that needs no Python; both executables are
//! built on it. A map:
//!
//! - [`cgi`]: bytes and RFC 3875. The request's meta-variables, the request
//!   body, the response and its head.
//! - [`cli`]: what can be typed. Definitions only.
//! - [`settings`]: what was typed and what `CGI2WSGI_*` says, validated.
//! - [`application`]: the forms of `APP`, and the virtual environment beside it.
//! - [`companion`]: finds the executable that embeds Python.
//! - [`handoff`]: how `cgi2wsgi` tells `cgi2wsgi-python` what to run.
//! - [`descriptors`]: standard input and output, kept for the request alone.
//! - [`command`]: the verbs of `cgi2wsgi`.
//! - [`report`]: the lines on standard error.
//! - [`warm`]: a process that has imported the application, and forks.
//! - [`timings`]: where the time of a request goes.
//! - [`similar`]: what somebody may have meant.
//!
//! `src/bin/cgi2wsgi-python` holds what needs Python. ARCHITECTURE.md tells
//! how a request flows through all this.

pub mod application;
pub mod cgi;
pub mod cli;
pub mod command;
pub mod companion;
pub mod descriptors;
pub mod handoff;
pub mod report;
pub mod settings;
pub mod similar;
pub mod timings;
pub mod warm;
