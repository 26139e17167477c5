//! The environ (PEP 3333, "environ Variables"): a plain dict of native strings
//! (E1, E15, E16), and the `wsgi.` objects.

use std::sync::Arc;

use cgi2wsgi::cgi::request::Request;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::exchange::Exchange;
use super::file_wrapper::FileWrapper;
use super::input::Input;

pub(crate) fn build<'py>(
    py: Python<'py>,
    request: &Request,
    exchange: &Arc<Exchange>,
) -> PyResult<Bound<'py, PyDict>> {
    let environ = PyDict::new(py);
    for (name, value) in request.variables.iter() {
        environ.set_item(native_string(py, name), native_string(py, value))?;
    }
    environ.set_item("wsgi.version", (1, 0))?;
    environ.set_item("wsgi.url_scheme", request.scheme.as_str())?;
    environ.set_item("wsgi.input", Input::new(Arc::clone(&exchange.body)))?;
    environ.set_item("wsgi.input_terminated", true)?;
    environ.set_item("wsgi.errors", py.import("sys")?.getattr("stderr")?)?;
    environ.set_item("wsgi.file_wrapper", py.get_type::<FileWrapper>())?;
    environ.set_item("wsgi.multithread", false)?;
    environ.set_item("wsgi.multiprocess", true)?;
    environ.set_item("wsgi.run_once", true)?;
    Ok(environ)
}

/// Bytes as PEP 3333 puts them into `str`: each byte becomes the code point of the same number (latin-1), whatever the
/// locale.
fn native_string<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => PyString::new(py, text),
        _ => PyString::new(py, &bytes.iter().copied().map(char::from).collect::<String>()),
    }
}
