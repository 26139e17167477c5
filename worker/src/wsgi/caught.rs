//! Exceptions that a framework catches and answers itself. `--debug` shows them like uncaught ones. Those that Django
//! does not show, with DEBUG off and without LOGGING, get into the log (M7).
//!
//! Nothing of the application changes: each record of `logging` is looked at while it is made, whatever handles it, and
//! Django's signal has one receiver more.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use cgi2wsgi::cgi::variables::Variables;
use cgi2wsgi::report;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::exchange::Exchange;
use crate::python::exception::log_exception;

/// The last caught exception.
static LAST: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

/// Whether that is shown in place of the framework's page (`--debug`).
static IS_SHOWN: AtomicBool = AtomicBool::new(false);

/// The level of `logging.ERROR`.
const ERROR: i32 = 40;

/// From here on notes the exceptions that modules imported by now catch.
pub(crate) fn note(py: Python<'_>, debug: bool) {
    // If this fails, only what is shown anyway is shown.
    let _ = try_note(py, debug);
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

/// Without `--debug`: logs what Django does not.
pub(crate) fn tell(py: Python<'_>, exchange: &Exchange, variables: &Variables) {
    let status = exchange.status();
    if !IS_SHOWN.load(SeqCst)
        && matches!(status, Some(400 | 500))
        && let Ok(Some(django)) = Django::find(py)
        && !django.debugs()
    {
        let _ = if status == Some(400) { django.tell_host(variables) } else { django.tell_error() };
    }
}

/// Django's settings.
struct Django<'py>(Bound<'py, PyAny>);

impl<'py> Django<'py> {
    fn find(py: Python<'py>) -> PyResult<Option<Self>> {
        if imported(py, "django.core.handlers.base")?.is_none() {
            return Ok(None);
        }
        let Some(conf) = imported(py, "django.conf")? else { return Ok(None) };
        let settings = conf.getattr("settings")?;
        let is_configured = settings.getattr("configured")?.is_truthy()?;
        Ok(is_configured.then_some(Self(settings)))
    }

    fn debugs(&self) -> bool {
        self.0.getattr("DEBUG").is_ok_and(|debug| debug.is_truthy().unwrap_or(true))
    }

    fn module(&self) -> String {
        let name = self.0.getattr("SETTINGS_MODULE").and_then(|name| name.extract());
        name.unwrap_or_else(|_| "the settings".to_owned())
    }

    fn tell_host(&self, variables: &Variables) -> PyResult<()> {
        let given = variables.get("HTTP_HOST").or(variables.get("SERVER_NAME")).unwrap_or_default();
        let given = String::from_utf8_lossy(given);
        let request = self.0.py().import("django.http.request")?;
        let (host, _): (String, String) =
            request.call_method1("split_domain_port", (&*given,))?.extract()?;
        let allowed = self.0.getattr("ALLOWED_HOSTS")?;
        if request.call_method1("validate_host", (&host, &allowed))?.is_truthy()? {
            return Ok(());
        }
        report::warning(&format!(
            "Django answered 400, because the host {given:?} is not in ALLOWED_HOSTS, {}: add it in {} if the \
             site has that name",
            allowed.repr()?,
            self.module()
        ));
        Ok(())
    }

    /// Whether Django's record of an error reaches anything except its mail to the administrators.
    fn is_logged(&self) -> PyResult<bool> {
        let logging = self.0.py().import("logging")?;
        let mut logger = logging.call_method1("getLogger", ("django.request",))?;
        if logger.getattr("disabled")?.is_truthy()? {
            return Ok(false);
        }
        let is_a = |object: &Bound<'_, PyAny>, kind: &str| {
            object.get_type().name().is_ok_and(|name| name == kind)
        };
        while !logger.is_none() {
            for handler in logger.getattr("handlers")?.try_iter()? {
                let handler = handler?;
                let mut filters = handler.getattr("filters")?.try_iter()?;
                let is_closed =
                    filters.any(|filter| filter.is_ok_and(|it| is_a(&it, "RequireDebugTrue")));
                if !is_closed && !is_a(&handler, "AdminEmailHandler") {
                    return Ok(true);
                }
            }
            if !logger.getattr("propagate")?.is_truthy()? {
                break;
            }
            logger = logger.getattr("parent")?;
        }
        Ok(false)
    }

    fn tell_error(&self) -> PyResult<()> {
        let Some(error) = take_last(self.0.py()) else { return Ok(()) };
        if self.is_logged()? {
            return Ok(());
        }
        let summary = log_exception(self.0.py(), &error, false).summary;
        report::warning(&format!(
            "{summary}, which Django caught (answered 500) and does not log itself, because DEBUG is off and \
             LOGGING in {} has no handler for the logger django.request",
            self.module()
        ));
        Ok(())
    }
}
