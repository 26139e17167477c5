//! `--warm-request`: one request of the zygote's own, so that what an
//! application does at its first request is done once for all of its children.
//! The response is thrown away; what goes wrong is in the log.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use cgi2wsgi::cgi::body::Body;
use cgi2wsgi::cgi::output::Output;
use cgi2wsgi::cgi::request::Request;
use cgi2wsgi::cgi::response::Response;
use cgi2wsgi::cgi::variables::Variables;
use cgi2wsgi::handoff::Service;
use pyo3::prelude::*;

use super::journal::note;
use crate::python::exception::log_exception;
use crate::python::termination;
use crate::wsgi::call::{self, Failure};
use crate::wsgi::environ;
use crate::wsgi::exchange::Exchange;

/// Has the application answer a GET of `path`, a query behind `?` included.
pub(super) fn run(py: Python<'_>, service: &Service, application: &Bound<'_, PyAny>, path: &OsStr) {
    if let Err(reason) = rehearse(py, service, application, path.as_bytes()) {
        note(&format!("--warm-request {path:?}: {reason}"));
    }
    // SIGTERM has to interrupt children.
    termination::renew();
}

fn rehearse(
    py: Python<'_>,
    service: &Service,
    application: &Bound<'_, PyAny>,
    path: &[u8],
) -> Result<(), String> {
    let question = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
    let (path, query) = path.split_at(question);
    let variables: Variables = [
        (b"REQUEST_METHOD".as_slice(), b"GET".as_slice()),
        (b"PATH_INFO", path),
        (b"QUERY_STRING", query.strip_prefix(b"?").unwrap_or_default()),
        (b"SERVER_NAME", b"localhost"),
        (b"HTTP_HOST", b"localhost"),
        (b"SERVER_PORT", b"80"),
        (b"SERVER_PROTOCOL", b"HTTP/1.1"),
        (b"REMOTE_ADDR", b"127.0.0.1"),
    ]
    .into_iter()
    .collect();
    let request = Request::from_variables(variables, &cgi2wsgi::cgi::mount::Mount::Server, None)
        .map_err(|refusal| refusal.reason)?;
    let null = OpenOptions::new().write(true).open("/dev/null").map_err(|e| e.to_string())?;
    let response = Response::to(&request, Output::new(null.into()), service.form, None);
    let exchange = Arc::new(Exchange::new(response, Body::empty()));
    let raised = |error: PyErr| log_exception(py, &error, false).summary;
    let environ = environ::build(py, &request, &exchange).map_err(raised)?;
    let called = call::call(application, &environ, &exchange);
    exchange.close(py);
    match called {
        Ok(_) => Ok(()),
        Err(Failure::Raised(error)) => Err(raised(error)),
        Err(Failure::Mistake(reason)) => Err(reason),
        Err(Failure::Output(error)) => Err(error.to_string()),
    }
}
