//! An exception, or another object, in a line of the log.

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// What was written about an exception.
pub(crate) struct Logged {
    /// One line: what was raised.
    pub(crate) summary: String,
    /// The traceback as text, where it was asked for.
    pub(crate) traceback: Option<String>,
}

/// Writes an exception, `SystemExit` included (P7), with its traceback to standard error.
pub(crate) fn log_exception(py: Python<'_>, error: &PyErr, as_text: bool) -> Logged {
    // M1: before Python 3.12 the exception and the error state each have a traceback. If the exception was raised in
    // an `except`, its own lacks the frames that it has passed since, and Python writes that one.
    if let Some(traceback) = error.traceback(py) {
        let _ = error.value(py).setattr("__traceback__", traceback);
    }
    error.display(py);
    // Nothing can be done for a stream that the application has broken.
    let _ = py.import("sys").and_then(|sys| sys.getattr("stderr")?.call_method0("flush"));
    let summary = summary(py, error);
    let traceback = as_text.then(|| formatted(error, py).unwrap_or_default());
    Logged { summary, traceback }
}

/// One line: what was raised.
pub(crate) fn summary(py: Python<'_>, error: &PyErr) -> String {
    let value = error.value(py);
    if error.is_instance_of::<PySystemExit>(py) {
        let code = value.getattr("code").ok().filter(|code| !code.is_none());
        let code = code.as_ref().map(shown).unwrap_or_default();
        return format!("the application called sys.exit({code})");
    }
    let text = value.str().map_or_else(|_| "?".into(), |text| text.to_string_lossy().into_owned());
    let first = text.lines().next().unwrap_or_default();
    let separator = if first.is_empty() { "" } else { ": " };
    format!("the application raised {}{separator}{first}", type_name(value.as_any()))
}

fn formatted(error: &PyErr, py: Python<'_>) -> PyResult<String> {
    let arguments = (error.get_type(py), error.value(py), error.traceback(py));
    let lines = py.import("traceback")?.call_method1("format_exception", arguments)?;
    let text = PyString::new(py, "").call_method1("join", (lines,))?;
    Ok(text.cast::<PyString>()?.to_string_lossy().into_owned())
}

/// The name of an object's type.
pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().qualname().map_or_else(|_| "?".into(), |name| name.to_string())
}

/// The repr of an object, cut to the length of a log line, and without its address, which tells a reader nothing.
pub(crate) fn shown(object: &Bound<'_, PyAny>) -> String {
    let mut repr =
        object.repr().map_or_else(|_| "?".into(), |repr| repr.to_string_lossy().into_owned());
    if let Some((before, address)) = repr.split_once(" at 0x") {
        let rest = address.trim_start_matches(|digit: char| digit.is_ascii_hexdigit());
        repr = format!("{before}{rest}");
    }
    match repr.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &repr[..end]),
        None => repr,
    }
}
