//! Exceptions that a framework catches and answers itself. `--debug` shows them like uncaught ones. Those that Django
//! does not show, with DEBUG off and without LOGGING, get into the log (M7).
//!
//! Nothing of the application changes: each record of `logging` is looked at while it is made, whatever handles it, and
//! Django's signal has one receiver more.

mod django;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use cgi2wsgi::cgi::request::Request;
use cgi2wsgi::handoff::Application;
use cgi2wsgi::report;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use self::django::Django;
use super::exchange::Exchange;

/// The last caught exception.
static LAST: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

/// Whether that is shown in place of the framework's page (`--debug`).
static IS_SHOWN: AtomicBool = AtomicBool::new(false);

/// Whether [`note`] was called, in this process or in its zygote.
static IS_NOTED: AtomicBool = AtomicBool::new(false);

/// The level of `logging.ERROR`.
const ERROR: i32 = 40;

/// From here on notes the exceptions that modules imported by now catch. A zygote calls it for all of its children,
/// after the rehearsal, whose exceptions are no child's.
pub(crate) fn note(py: Python<'_>, debug: bool) {
    if !IS_NOTED.swap(true, SeqCst) {
        // If this fails, only what is shown anyway is shown.
        let _ = try_note(py, debug);
    }
}

fn try_note(py: Python<'_>, debug: bool) -> PyResult<()> {
    IS_SHOWN.store(debug, SeqCst);
    if debug && let Some(logging) = imported(py, "logging")? {
        let usual = logging.call_method0("getLogRecordFactory")?.unbind();
        logging.call_method1("setLogRecordFactory", (Bound::new(py, Factory { usual })?,))?;
    }
    if !debug && let Some(signals) = imported(py, "django.core.signals")? {
        let strongly = PyDict::new(py);
        strongly.set_item("weak", false)?;
        let receiver = wrap_pyfunction!(receive, py)?;
        signals.getattr("got_request_exception")?.call_method(
            "connect",
            (receiver,),
            Some(&strongly),
        )?;
    }
    Ok(())
}

fn imported<'py>(py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let modules = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    modules.get_item(name)
}

fn keep(exception: &Bound<'_, PyAny>) {
    if !exception.is_none() {
        let exception = exception.clone().unbind();
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(exception);
    }
}

fn take_last(py: Python<'_>) -> Option<PyErr> {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    Some(PyErr::from_value(last.into_bound(py)))
}

/// What makes the records of `logging`.
#[pyclass(frozen, name = "LogRecordFactory", module = "cgi2wsgi_worker")]
struct Factory {
    usual: Py<PyAny>,
}

#[pymethods]
impl Factory {
    #[pyo3(signature = (*arguments, **keywords))]
    fn __call__<'py>(
        &self,
        arguments: &Bound<'py, PyTuple>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let record = self.usual.bind(arguments.py()).call(arguments, keywords)?;
        let look = || -> PyResult<()> {
            let is_error = record.getattr("levelno")?.extract::<i32>()? >= ERROR;
            let of = record.getattr("exc_info")?;
            if is_error && !of.is_none() {
                keep(&of.get_item(1)?);
            }
            Ok(())
        };
        let _ = look();
        Ok(record)
    }
}

/// Django has caught an exception.
#[pyfunction]
#[pyo3(signature = (**_keywords))]
fn receive(py: Python<'_>, _keywords: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
    keep(&py.import("sys")?.call_method0("exc_info")?.get_item(1)?);
    Ok(())
}

/// With `--debug`: the exception that a framework has caught, if it answers that the application failed. If Django's
/// DEBUG is on, its own page says more.
pub(crate) fn instead(py: Python<'_>, exchange: &Exchange) -> Option<PyErr> {
    let is_failure = IS_SHOWN.load(SeqCst) && exchange.status() == Some(500);
    if !is_failure || Django::find(py).ok().flatten().is_some_and(|django| django.debugs()) {
        return None;
    }
    let caught = take_last(py);
    if caught.is_none() {
        report::warning(
            "--debug: the application answered 500 itself, and logged no exception: turn on the \
             debugging of its framework",
        );
    }
    caught
}

/// Without `--debug`: logs what Django does not, and what to do about what it does.
pub(crate) fn tell(
    py: Python<'_>,
    exchange: &Exchange,
    request: &Request,
    application: &Application,
) {
    if !IS_SHOWN.load(SeqCst)
        && let Some(status @ (301 | 400 | 403 | 404 | 500)) = exchange.status()
        && let Ok(Some(django)) = Django::find(py)
    {
        // If this fails, only what is shown anyway is shown.
        let _ = match status {
            301 => django.tell_redirect(request),
            400 => django.tell_host(&request.variables),
            403 => {
                django.tell_origin(request);
                Ok(())
            }
            404 => django.tell_static(&request.variables),
            _ => match take_last(py) {
                Some(error) => django.tell_error(&error, application),
                None => Ok(()),
            },
        };
    }
}
