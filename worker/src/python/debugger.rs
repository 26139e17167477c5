//! `cgi2wsgi request --pdb`: Python's debugger, on the terminal, where an exception was raised: an uncaught one, or one
//! that Flask or Django signal before they make a page of it.

use std::ffi::CStr;
use std::sync::OnceLock;

use pyo3::prelude::*;

/// The debugger's code. It defines its names in no module, so that no application sees them.
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

/// From here on [`post_mortem`] starts the debugger.
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

/// After the import: has the application's framework report the exceptions that it catches.
pub(crate) fn watch(py: Python<'_>) -> PyResult<()> {
    match DEBUGGER.get() {
        Some(debugger) => debugger.watch.call0(py).map(drop),
        None => Ok(()),
    }
}

/// Starts the debugger where `error` was raised. Returns when the user leaves it.
pub(crate) fn post_mortem(py: Python<'_>, error: &PyErr) {
    if let Some(debugger) = DEBUGGER.get()
        && let Err(failure) = debugger.post_mortem.call1(py, (error.value(py),))
    {
        failure.display(py);
    }
}
