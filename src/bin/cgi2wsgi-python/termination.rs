//! SIGTERM, as an exception in the application, so that `close()` runs (R13)
//! and the visitor, if there is one, gets an answer.
//!
//! Apache sends it when the visitor leaves, and again shortly after.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

use crate::emergency;

static CAME: AtomicBool = AtomicBool::new(false);

/// What SIGTERM was given to call, if that is ours.
static RAISE: OnceLock<Py<PyCFunction>> = OnceLock::new();

/// Whether SIGTERM ended the application.
pub(crate) fn came() -> bool {
    CAME.load(SeqCst)
}

/// From here on SIGTERM raises `SystemExit`, unless it already means something
/// else to this process.
pub(crate) fn expect(py: Python<'_>) -> PyResult<()> {
    // The module behind `signal`, which would import more.
    let signal = py.import("_signal")?;
    let number = signal.getattr("SIGTERM")?;
    if signal.call_method1("getsignal", (&number,))?.is(&signal.getattr("SIG_DFL")?) {
        let raise = PyCFunction::new_closure(py, None, None, |arguments, _| -> PyResult<()> {
            CAME.store(true, SeqCst);
            ignore(arguments.py())?;
            Err(PySystemExit::new_err(128 + libc::SIGTERM))
        })?;
        signal.call_method1("signal", (number, &raise))?;
        // It is expected once in a process.
        let _ = RAISE.set(raise.unbind());
        emergency::insist_on_sigterm();
    }
    Ok(())
}

/// After [`hold_off`] SIGTERM means again what it meant before.
pub(crate) fn renew(py: Python<'_>) -> PyResult<()> {
    if let Some(raise) = RAISE.get() {
        let signal = py.import("_signal")?;
        signal.call_method1("signal", (signal.getattr("SIGTERM")?, raise))?;
        emergency::insist_on_sigterm();
    }
    Ok(())
}

/// From here on SIGTERM interrupts nothing. One that has come and was not
/// noticed yet is raised now.
pub(crate) fn hold_off(py: Python<'_>) -> PyResult<()> {
    ignore(py)?;
    py.check_signals()
}

fn ignore(py: Python<'_>) -> PyResult<()> {
    let signal = py.import("_signal")?;
    let arguments = (signal.getattr("SIGTERM")?, signal.getattr("SIG_IGN")?);
    signal.call_method1("signal", arguments).map(drop)
}
