//! SIGTERM, as an exception in the application, so that `close()` runs (R13)
//! and the visitor, if there is one, gets an answer.
//!
//! Apache sends it when the visitor leaves, and again shortly after.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

use crate::emergency;

static CAME: AtomicBool = AtomicBool::new(false);

/// What SIGTERM did before it was held off, if it is.
static BEFORE: Mutex<Option<libc::sigaction>> = Mutex::new(None);

/// Whether SIGTERM ended the application.
pub(crate) fn came() -> bool {
    CAME.load(SeqCst)
}

/// From here on SIGTERM raises `SystemExit`, once, unless it already means
/// something else to this process.
pub(crate) fn expect(py: Python<'_>) -> PyResult<()> {
    // The module behind `signal`, which would import more.
    let signal = py.import("_signal")?;
    let number = signal.getattr("SIGTERM")?;
    if signal.call_method1("getsignal", (&number,))?.is(&signal.getattr("SIG_DFL")?) {
        let raise = PyCFunction::new_closure(py, None, None, |_, _| -> PyResult<()> {
            interrupt_nothing();
            if CAME.swap(true, SeqCst) {
                return Ok(());
            }
            Err(PySystemExit::new_err(128 + libc::SIGTERM))
        })?;
        signal.call_method1("signal", (number, raise))?;
        emergency::insist_on_sigterm();
    }
    Ok(())
}

/// After [`hold_off`] SIGTERM does again what it did before.
pub(crate) fn renew() {
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(action) = before.take() {
        // SAFETY: the action is one that the system gave.
        unsafe { libc::sigaction(libc::SIGTERM, &raw const action, std::ptr::null_mut()) };
    }
}

/// From here on SIGTERM interrupts nothing. One that has come and was not
/// noticed yet is raised now.
pub(crate) fn hold_off(py: Python<'_>) -> PyResult<()> {
    interrupt_nothing();
    py.check_signals()
}

/// Behind Python's back: a signal that has come and finds itself ignored by
/// Python's own book is lost, with an `OSError` in the log. And not by
/// `SIG_IGN`, which programs that `close()` starts would inherit.
fn interrupt_nothing() {
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if before.is_some() {
        return;
    }
    // SAFETY: a zeroed sigaction is a valid one to be written to, and the
    // handler does nothing.
    unsafe {
        let mut nothing = std::mem::zeroed::<libc::sigaction>();
        nothing.sa_sigaction = do_nothing as *const libc::c_void as usize;
        nothing.sa_flags = libc::SA_RESTART;
        let mut old = std::mem::zeroed::<libc::sigaction>();
        if libc::sigaction(libc::SIGTERM, std::ptr::null(), &raw mut old) == 0
            && old.sa_sigaction != libc::SIG_IGN
            && libc::sigaction(libc::SIGTERM, &raw const nothing, std::ptr::null_mut()) == 0
        {
            *before = Some(old);
        }
    }
}

extern "C" fn do_nothing(_signal: libc::c_int) {}
