//! The call of the application, and what is done with what it returns (PEP
//! 3333, "Specification Details" and "Buffering and Streaming").

use std::io;
use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use super::caught;
use super::exchange::Exchange;
use super::file_wrapper::FileWrapper;
use super::start_response::StartResponse;
use crate::python::exception::{log_exception, shown, type_name};
use crate::python::termination;

/// Chunks of a list are joined up to this many bytes.
const JOINED: usize = 64 << 10;

/// What an application that has not called `start_response` has to do.
const CALL_IT: &str =
    "call start_response(\"200 OK\", [(\"Content-Type\", \"text/html\")]) before the first byte";

/// Why there is no whole response.
pub(crate) enum Failure {
    /// The application raised.
    Raised(PyErr),
    /// The application did not do as PEP 3333 says.
    Mistake(String),
    /// The response cannot be written.
    Output(io::Error),
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl From<io::Error> for Failure {
    /// A write that a signal interrupted returns the exception of Python's handler as its error.
    fn from(error: io::Error) -> Self {
        if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<PyErr>) {
            Self::Raised(error.into())
        } else {
            Self::Output(error)
        }
    }
}

/// Calls the application once and delivers its response. False if less came than was declared.
pub(crate) fn call(
    application: &Bound<'_, PyAny>,
    environ: &Bound<'_, PyDict>,
    exchange: &Arc<Exchange>,
) -> Result<bool, Failure> {
    let py = application.py();
    let start_response = Bound::new(py, StartResponse::new(Arc::clone(exchange)))?;
    let result = application
        .call1((environ, start_response))
        .map_err(|error| explained_signature(application, error))?;
    let delivered = match caught::instead(py, exchange) {
        Some(error) => Err(Failure::Raised(error)),
        None => deliver(application, &result, exchange),
    };
    // R13: whatever happened, close() is called, and not interrupted.
    let held_off = termination::hold_off(py);
    let closed = match result.getattr_opt("close") {
        Ok(Some(close)) => close.call0().map(drop),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    let delivered = match delivered {
        // lighttpd ends a program with SIGTERM once it has the whole Content-Length.
        Ok(true) => Ok(true),
        delivered => delivered.and_then(|whole| Ok(held_off.map(|()| whole)?)),
    };
    match (delivered, closed) {
        (Ok(whole), Ok(())) => Ok(whole),
        (Ok(_), Err(error)) => Err(Failure::Raised(error)),
        (Err(failure), Ok(())) => Err(failure),
        (Err(failure), Err(error)) => {
            log_exception(py, &error, false);
            Err(failure)
        }
    }
}

/// A callable that does not take two arguments is no application, but most often a factory. Its exception has no frame
/// of the application's own.
fn explained_signature(application: &Bound<'_, PyAny>, error: PyErr) -> Failure {
    let py = application.py();
    if error.is_instance_of::<PyTypeError>(py) && error.traceback(py).is_none() {
        if is_asynchronous(application) {
            return Failure::Mistake(asgi(application));
        }
        return Failure::Mistake(format!(
            "{} cannot be called as application(environ, start_response): {}; if it makes the \
             application, write its name with ()",
            shown(application),
            error.value(py)
        ));
    }
    Failure::Raised(error)
}

/// Whether calling it makes a coroutine: as a function, or by its `__call__`.
fn is_asynchronous(callable: &Bound<'_, PyAny>) -> bool {
    const CO_COROUTINE: u32 = 0x80;
    let flags = |function: &Bound<'_, PyAny>| -> PyResult<u32> {
        function.getattr("__code__")?.getattr("co_flags")?.extract()
    };
    let own = flags(callable).or_else(|_| flags(&callable.getattr("__call__")?));
    own.is_ok_and(|flags| flags & CO_COROUTINE != 0)
}

/// The message about an ASGI application.
fn asgi(application: &Bound<'_, PyAny>) -> String {
    format!(
        "{} is an asynchronous (ASGI) application, and cgi2wsgi runs WSGI: use its framework's WSGI entry \
         point, such as Django's wsgi.py, or wrap it: from a2wsgi import ASGIMiddleware; application = \
         ASGIMiddleware(app)",
        shown(application)
    )
}

/// The message about a result that cannot be iterated over.
fn not_iterable(application: &Bound<'_, PyAny>, result: &Bound<'_, PyAny>) -> String {
    let asked = if result.is_none() {
        ": is there a return?"
    } else if result.hasattr("cr_frame").unwrap_or(false) {
        // Python would warn that the coroutine was never awaited.
        let _ = result.call_method0("close");
        return asgi(application);
    } else if result.is_callable() {
        ": it returned an application, so it is a factory: write its name with ()"
    } else {
        ""
    };
    format!(
        "the application returned {}, not an iterable of bytes such as [b\"...\"]{asked}",
        shown(result)
    )
}

fn deliver(
    application: &Bound<'_, PyAny>,
    result: &Bound<'_, PyAny>,
    exchange: &Exchange,
) -> Result<bool, Failure> {
    let py = result.py();
    if let Ok(list) = result.cast_exact::<PyList>() {
        deliver_at_once(&list.iter().collect::<Vec<_>>(), py, exchange)?;
    } else if let Ok(tuple) = result.cast_exact::<PyTuple>() {
        deliver_at_once(&tuple.iter().collect::<Vec<_>>(), py, exchange)?;
    } else if let Some(file) = file_of(result) {
        require_head(exchange)?;
        exchange.write_file(py, &file)?;
    } else {
        deliver_one_by_one(application, result, exchange)?;
    }
    if !exchange.head_state().0 {
        return Err(Failure::Mistake(format!(
            "the application never called start_response: {CALL_IT}"
        )));
    }
    Ok(exchange.finish(py)?)
}

fn file_of(result: &Bound<'_, PyAny>) -> Option<std::fs::File> {
    result.cast_exact::<FileWrapper>().ok()?.get().regular_file(result.py())
}

/// A list is complete: it can be checked before a byte is sent, joined, and measured (R7).
fn deliver_at_once(
    chunks: &[Bound<'_, PyAny>],
    py: Python<'_>,
    exchange: &Exchange,
) -> Result<(), Failure> {
    let chunks: Vec<&[u8]> =
        chunks.iter().enumerate().map(|(at, chunk)| bytes(chunk, at)).collect::<Result<_, _>>()?;
    if chunks.iter().any(|chunk| !chunk.is_empty()) {
        require_head(exchange)?;
    }
    if let [only] = chunks.as_slice() {
        exchange.declare_length(only.len() as u64)?;
    }
    let mut joined = Vec::new();
    for chunk in chunks {
        if joined.len() + chunk.len() > JOINED {
            if !(exchange.write(py, &joined)? && exchange.write(py, chunk)?) {
                return Ok(());
            }
            joined.clear();
        } else {
            joined.extend_from_slice(chunk);
        }
    }
    exchange.write(py, &joined)?;
    Ok(())
}

/// R12: each chunk is delivered before the next is asked for.
fn deliver_one_by_one(
    application: &Bound<'_, PyAny>,
    result: &Bound<'_, PyAny>,
    exchange: &Exchange,
) -> Result<(), Failure> {
    let py = result.py();
    if result.is_instance_of::<PyBytes>() || result.is_instance_of::<PyString>() {
        return Err(Failure::Mistake(format!(
            "the application returned a {}, not an iterable of bytes: return [body{}]",
            type_name(result),
            if result.is_instance_of::<PyString>() { ".encode()" } else { "" }
        )));
    }
    let chunks = result.try_iter().map_err(|error| {
        if error.is_instance_of::<PyTypeError>(py) && !result.hasattr("__iter__").unwrap_or(true) {
            Failure::Mistake(not_iterable(application, result))
        } else {
            Failure::Raised(error)
        }
    })?;
    for (at, chunk) in chunks.enumerate() {
        let chunk = chunk?;
        let chunk = bytes(&chunk, at)?;
        if chunk.is_empty() {
            continue;
        }
        require_head(exchange)?;
        if !exchange.write(py, chunk)? {
            break;
        }
    }
    Ok(())
}

fn require_head(exchange: &Exchange) -> Result<(), Failure> {
    if exchange.head_state().0 {
        return Ok(());
    }
    Err(Failure::Mistake(format!(
        "the application returned a body without having called start_response: {CALL_IT}"
    )))
}

fn bytes<'c>(chunk: &'c Bound<'_, PyAny>, at: usize) -> Result<&'c [u8], Failure> {
    chunk.cast::<PyBytes>().map(PyBytesMethods::as_bytes).map_err(|_| {
        let remedy =
            if chunk.is_instance_of::<PyString>() { ": write .encode(\"utf-8\")" } else { "" };
        Failure::Mistake(format!(
            "chunk {} of the body is {}, a {} and not bytes{remedy}",
            at + 1,
            shown(chunk),
            type_name(chunk)
        ))
    })
}
