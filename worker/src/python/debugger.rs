//! `cgi2wsgi request --pdb`: Python's debugger, on the terminal, where an exception was raised: one that nobody caught, or
//! that Flask or Django tell of before they make a page of it.

use std::ffi::CStr;
use std::sync::OnceLock;

use pyo3::prelude::*;

/// Its code. What it defines is in no module, so that no application meets it.
const CODE: &CStr = {
    const TEXT: &[u8] = concat!(include_str!("debugger.py"), "\0").as_bytes();
    match CStr::from_bytes_with_nul(TEXT) {
        Ok(code) => code,
        Err(_) => panic!("a zero in debugger.py"),
    }
};

struct Debugger {
    post_mortem: Py<PyAny>,
    watch: Py<PyAny>,
}

static DEBUGGER: OnceLock<Debugger> = OnceLock::new();

/// From here on [`post_mortem`] starts it.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    let names = pyo3::types::PyDict::new(py);
    py.run(CODE, Some(&names), None)?;
    let functions = names.get_item("debugger")?.map(|make| make.call0()).transpose()?;
    if let Some(functions) = functions {
        let (post_mortem, watch) = functions.extract()?;
        let _ = DEBUGGER.set(Debugger { post_mortem, watch });
    }
    Ok(())
}

/// The application is imported: its framework is to tell what it catches.
pub(crate) fn watch(py: Python<'_>) -> PyResult<()> {
    match DEBUGGER.get() {
        Some(debugger) => debugger.watch.call0(py).map(drop),
        None => Ok(()),
    }
}

/// Starts it where `error` was raised, and returns when the person has seen enough.
pub(crate) fn post_mortem(py: Python<'_>, error: &PyErr) {
    if let Some(debugger) = DEBUGGER.get()
        && let Err(failure) = debugger.post_mortem.call1(py, (error.value(py),))
    {
        failure.display(py);
    }
}
