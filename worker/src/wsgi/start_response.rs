//! `start_response` and the `write` that it returns (PEP 3333, "The
//! `start_response()` Callable").

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use cgi2wsgi::cgi::head::Head;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use super::exchange::Exchange;
use crate::python::exception::{shown, type_name};

/// The callable that the application is given.
#[pyclass(frozen, name = "start_response", module = "cgi2wsgi_worker")]
pub(crate) struct StartResponse {
    exchange: Arc<Exchange>,
    /// Set by a refused call too: after it, only a call with `exc_info` is allowed.
    called: AtomicBool,
}

impl StartResponse {
    pub(crate) fn new(exchange: Arc<Exchange>) -> Self {
        Self { exchange, called: AtomicBool::new(false) }
    }
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, headers, exc_info=None))]
    fn __call__(
        &self,
        py: Python<'_>,
        status: &Bound<'_, PyAny>,
        headers: &Bound<'_, PyAny>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Write> {
        let was_called = self.called.swap(true, SeqCst);
        match exc_info {
            Some(exc_info) if self.exchange.head_state().1 => return Err(raised_again(exc_info)?),
            None if was_called => {
                return Err(PyRuntimeError::new_err(
                    "start_response was already called: a second call needs exc_info",
                ));
            }
            _ => {}
        }
        let head = head(status, headers)?;
        py.detach(|| self.exchange.set_head(head))?;
        Ok(Write { exchange: Arc::clone(&self.exchange) })
    }
}

/// The exception of `exc_info`, with its traceback.
fn raised_again(exc_info: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let wrong = |_| PyTypeError::new_err("exc_info must be what sys.exc_info() returns");
    let value = exc_info.get_item(1).map_err(wrong)?;
    let traceback = exc_info.get_item(2).map_err(wrong)?;
    if !traceback.is_none() {
        value.setattr("__traceback__", traceback)?;
    }
    Ok(PyErr::from_value(value))
}

fn head(status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> PyResult<Head> {
    let wrong = |error: cgi2wsgi::cgi::head::HeadError| PyValueError::new_err(error.to_string());
    let mut head = Head::parse(&latin_1(status, "the status")?).map_err(wrong)?;
    let headers = headers.cast::<PyList>().map_err(|_| {
        PyTypeError::new_err(format!(
            "the headers must be a list of (name, value) tuples, not a {}{}",
            type_name(headers),
            match type_name(headers).as_str() {
                "dict" => ": write list(headers.items())",
                "tuple" | "generator" => ": write list(headers)",
                _ => ", such as [(\"Content-Type\", \"text/html\")]",
            }
        ))
    })?;
    for (index, header) in headers.iter().enumerate() {
        let pair = header.cast::<PyTuple>().ok().filter(|pair| pair.len() == 2);
        let Some(pair) = pair else {
            return Err(PyTypeError::new_err(format!(
                "header {} is {}, not a (name, value) tuple such as (\"Content-Type\", \"text/html\")",
                index + 1,
                shown(&header)
            )));
        };
        let name = latin_1(&pair.get_item(0)?, "a header name")?;
        let value = latin_1(&pair.get_item(1)?, "the value of a header")?;
        head.push(&name, &value).map_err(wrong)?;
    }
    Ok(head)
}

/// A native string as bytes (PEP 3333, "Unicode Issues").
fn latin_1(text: &Bound<'_, PyAny>, what: &str) -> PyResult<Vec<u8>> {
    let Ok(string) = text.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!(
            "{what} must be a str, not {} ({}){}",
            shown(text),
            type_name(text),
            match type_name(text).as_str() {
                "bytes" => ": write .decode(\"latin-1\"), or leave the b out",
                "int" if what == "the status" => ": write it with its reason, such as \"200 OK\"",
                "int" | "float" => ": write str() around it",
                _ => "",
            }
        )));
    };
    let bytes: Option<Vec<u8>> = match string.to_cow() {
        Ok(text) if text.is_ascii() => Some(text.into_owned().into_bytes()),
        Ok(text) => text.chars().map(|character| u8::try_from(character).ok()).collect(),
        // A lone surrogate is not latin-1 either.
        Err(_) => None,
    };
    bytes.ok_or_else(|| {
        PyValueError::new_err(format!(
            "{what}, {}, has characters outside latin-1: encode it, as RFC 8187 or a percent \
             encoding does",
            shown(text)
        ))
    })
}

/// The `write` callable, for applications that do not return their body as an iterable.
#[pyclass(frozen, name = "write", module = "cgi2wsgi_worker")]
pub(crate) struct Write {
    exchange: Arc<Exchange>,
}

#[pymethods]
impl Write {
    #[pyo3(signature = (data, /))]
    fn __call__(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let chunk = data.cast::<PyBytes>().map_err(|_| {
            PyTypeError::new_err(format!("write() takes bytes, not a {}", type_name(data)))
        })?;
        self.exchange.write(py, chunk.as_bytes())?;
        Ok(())
    }
}
