//! `os.environ`, and the environment of the C library behind it, in a process that was started without a request.

use cgi2wsgi::cgi::variables::Variables;
use cgi2wsgi::system;
use cgi2wsgi::zygotes::threads::{READ_BY_PYTHON, variables_to_limit};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Adds what a process of the request's own would have been started with (E16). What Python's start or an import has
/// set stays as it is.
pub(crate) fn become_requests(
    py: Python<'_>,
    variables: &Variables,
    is_of_a_request: impl Fn(&[u8]) -> bool,
) -> PyResult<()> {
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

/// Variables by which libraries start no threads while a zygote imports. The C library's environment has them, and
/// `os.environ`, which is Python's copy of what the process was started with, the one alone that is read there.
pub(crate) struct ThreadLimits(Vec<&'static str>);

/// One thread. An application that sets a variable itself hardly writes it like this.
const ONE: &str = "01";

impl ThreadLimits {
    /// Sets those that the operator has not set. To be used while there is no other thread.
    pub(crate) fn set(py: Python<'_>) -> PyResult<Self> {
        let names = variables_to_limit(|name| std::env::var_os(name).is_some());
        for name in &names {
            if *name == READ_BY_PYTHON {
                py.import("os")?.getattr("environ")?.set_item(name, ONE)?;
            } else {
                system::set_variable(name, ONE);
            }
        }
        Ok(Self(names))
    }

    /// Takes them away again, but for those that the application has set itself. To be used while there is no other
    /// thread.
    pub(crate) fn lift(self, py: Python<'_>) -> PyResult<()> {
        let environ = py.import("os")?.getattr("environ")?;
        for name in self.0 {
            let value = environ.call_method1("get", (name,))?;
            if value.eq(ONE)? {
                environ.del_item(name)?;
            } else if value.is_none() {
                system::remove_variable(name);
            }
        }
        Ok(())
    }
}
