//! SIGTERM and SIGHUP, as an exception in the application, so that `close()` runs (R13) and the visitor, if there is
//! one, gets an answer.
//!
//! The front repeats the signal until this process reports that the exception was raised: a signal that arrives between
//! Python's check for signals and a blocking system call interrupts nothing.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use cgi2wsgi::handoff::Reply;
use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::connection::Connection;
use crate::handlers::{self, SavedAction};

static CAME: AtomicBool = AtomicBool::new(false);

/// What each signal did before [`hold_off`], until [`renew`].
static BEFORE: Mutex<Vec<SavedAction>> = Mutex::new(Vec::new());
static IS_HELD_OFF: AtomicBool = AtomicBool::new(false);

/// The front to tell that the exception was raised.
static FRONT: Mutex<Option<Arc<Connection>>> = Mutex::new(None);

/// The handler.
static HANDLER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

const SIGNALS: [libc::c_int; 2] = [libc::SIGTERM, libc::SIGHUP];

/// Whether SIGTERM ended the application.
pub(crate) fn came() -> bool {
    CAME.load(SeqCst)
}

/// From here on each of these signals raises `SystemExit`, once, unless it already means something else to this
/// process.
pub(crate) fn expect(py: Python<'_>, front: Option<Arc<Connection>>) -> PyResult<()> {
    tell(front);
    let handler = HANDLER.get_or_try_init(py, || -> PyResult<Py<PyAny>> {
        Ok(wrap_pyfunction!(raise, py)?.into_any().unbind())
    })?;
    // The module behind `signal`, which would import more.
    let signal = py.import("_signal")?;
    let default = signal.getattr("SIG_DFL")?;
    for number in SIGNALS {
        if signal.call_method1("getsignal", (number,))?.is(&default) {
            signal.call_method1("signal", (number, handler))?;
        }
    }
    Ok(())
}

/// Whether SIGTERM still has the handler that [`expect`] has set.
pub(crate) fn is_expected(py: Python<'_>) -> bool {
    let handler = HANDLER.get(py);
    let current =
        py.import("_signal").and_then(|signal| signal.call_method1("getsignal", (libc::SIGTERM,)));
    current.ok().zip(handler).is_some_and(|(current, handler)| current.is(handler))
}

/// Sets which front is told from here on.
pub(crate) fn tell(front: Option<Arc<Connection>>) {
    *FRONT.lock().unwrap_or_else(PoisonError::into_inner) = front;
}

#[pyfunction]
fn raise(number: libc::c_int, _frame: &Bound<'_, PyAny>) -> PyResult<()> {
    interrupt_nothing();
    if let Some(front) = FRONT.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        front.send(&Reply::Terminating);
    }
    if CAME.swap(true, SeqCst) { Ok(()) } else { Err(PySystemExit::new_err(128 + number)) }
}

/// After [`hold_off`]: each signal does again what it did before.
pub(crate) fn renew() {
    IS_HELD_OFF.store(false, SeqCst);
    for action in BEFORE.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        action.restore();
    }
}

/// From here on the signals interrupt nothing. One that has arrived and was not noticed yet is raised now.
pub(crate) fn hold_off(py: Python<'_>) -> PyResult<()> {
    interrupt_nothing();
    py.check_signals()
}

/// Before Python tears itself down: it would restore the default action of the signals that it handles, and one of them
/// would kill the process.
pub(crate) fn forget(py: Python<'_>) {
    let forget = || -> PyResult<()> {
        let signal = py.import("_signal")?;
        let default = signal.getattr("SIG_DFL")?;
        let handler = HANDLER.get(py);
        for number in SIGNALS {
            let current = signal.call_method1("getsignal", (number,))?;
            if handler.is_some_and(|handler| current.is(handler)) {
                signal.call_method1("signal", (number, &default))?;
            }
        }
        Ok(())
    };
    let _ = forget();
    IS_HELD_OFF.store(false, SeqCst);
    interrupt_nothing();
}

/// Without Python's `signal` module: if that ignores a signal that has already arrived, the signal is lost, with an
/// `OSError` in the log. And without `SIG_IGN`, which programs that `close()` starts would inherit.
fn interrupt_nothing() {
    if IS_HELD_OFF.swap(true, SeqCst) {
        return;
    }
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    let signals = SIGNALS.into_iter();
    before.extend(signals.filter_map(handlers::interrupt_nothing));
}
