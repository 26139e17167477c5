//! The end of the process (P8).

use cgi2wsgi::system;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::termination;
use crate::wsgi::call::log_exception;

/// Joins threads and runs atexit handlers, in Python's own order, when the response has been delivered.
pub(crate) fn run_exit_handlers(py: Python<'_>) {
    // A server that has its answer may tell the program to end: it does.
    let _ = termination::hold_off(py);
    let run = |module: &str, function: &str| -> PyResult<()> {
        let modules = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
        match modules.get_item(module)? {
            Some(module) => module.call_method0(function).map(drop),
            None => Ok(()),
        }
    };
    for (module, function) in [("threading", "_shutdown"), ("atexit", "_run_exitfuncs")] {
        if let Err(error) = run(module, function) {
            log_exception(py, &error, false);
        }
    }
    for stream in ["stdout", "stderr"] {
        // A stream that cannot be flushed has lost what it held already.
        let _ = py
            .import("sys")
            .and_then(|sys| sys.getattr(stream))
            .and_then(|stream| stream.call_method0("flush"));
    }
}

/// Leaves at once, after what C libraries hold in their buffers.
pub(crate) fn leave(status: u8) -> ! {
    system::flush_streams();
    system::exit_now(status.into())
}
