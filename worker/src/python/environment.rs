//! `os.environ`, and the environment of the C library behind it, in a process that was started without a request.

use cgi2wsgi::cgi::variables::Variables;
use cgi2wsgi::handoff::identity::is_of_a_request;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Adds what a process of the request's own would have been started with (E16). What Python's start or an import has
/// set stays as it is.
pub(crate) fn become_requests(py: Python<'_>, variables: &Variables) -> PyResult<()> {
    let environ = py.import("os")?.getattr("environb")?;
    for (name, value) in variables.iter() {
        // The front has withheld the last two from Python's start.
        let is_missing =
            is_of_a_request(name) || matches!(name, b"PYTHONINSPECT" | b"PYTHONSTARTUP");
        // E10: HTTP_PROXY is what an HTTP client would take for its proxy.
        if !is_missing || name == b"HTTP_PROXY" || name.is_empty() {
            continue;
        }
        let name = PyBytes::new(py, name);
        if !environ.contains(&name)? {
            environ.set_item(name, PyBytes::new(py, value))?;
        }
    }
    Ok(())
}

/// Removes a variable.
pub(crate) fn remove(py: Python<'_>, name: &str) -> PyResult<()> {
    let environ = py.import("os")?.getattr("environ")?;
    environ.call_method1("pop", (name, py.None())).map(drop)
}
