//! A server that the application starts while it is imported, such as `app.run()`: the import would never end.
//!
//! The front sees that this process listens, and asks by a signal. A zygote, which no front supervises, asks itself by
//! a timer. The main thread then says where it is. If it waits in a server, `SystemExit` ends it, as at a Ctrl-C.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cgi2wsgi::handoff::Reply;
use cgi2wsgi::handoff::signals as numbers;
use cgi2wsgi::listening::{is_in_a_server, listens};
use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;

use crate::connection::Connection;
use crate::handlers;

/// Whether an import runs.
static IS_IMPORTING: AtomicBool = AtomicBool::new(false);

/// The front to tell.
static FRONT: Mutex<Option<Arc<Connection>>> = Mutex::new(None);

/// The reason, if a server was found.
static FOUND: Mutex<Option<String>> = Mutex::new(None);

/// How often a zygote asks itself.
const INTERVAL: Duration = Duration::from_secs(2);

/// While this exists, the question is answered.
pub(crate) struct Watch {
    /// The timer that asks, if no front does.
    timer: *mut c_void,
}

impl Watch {
    /// An import begins for the request of this front.
    pub(crate) fn begin(py: Python<'_>, front: Arc<Connection>) -> PyResult<Self> {
        *FRONT.lock().unwrap_or_else(PoisonError::into_inner) = Some(front);
        Self::expect(py)?;
        Ok(Self { timer: null_mut() })
    }

    /// An import begins in a zygote.
    pub(crate) fn begin_alone(py: Python<'_>) -> PyResult<Self> {
        Self::expect(py)?;
        let timer = handlers::create_timer(numbers::QUESTION);
        handlers::set_interval(timer, INTERVAL, INTERVAL);
        Ok(Self { timer })
    }

    fn expect(py: Python<'_>) -> PyResult<()> {
        let look = wrap_pyfunction!(look, py)?;
        py.import("_signal")?.call_method1("signal", (numbers::QUESTION, look))?;
        IS_IMPORTING.store(true, SeqCst);
        Ok(())
    }

    /// The import is over. Returns what was found, in words: then the application is of no use, even if the server has
    /// ended in good order.
    pub(crate) fn end(self) -> Option<String> {
        drop(self);
        FOUND.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        handlers::set_timer(self.timer, Duration::ZERO);
        IS_IMPORTING.store(false, SeqCst);
        *FRONT.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[pyfunction]
fn look(_number: libc::c_int, frame: Bound<'_, PyAny>) -> PyResult<()> {
    if !IS_IMPORTING.load(SeqCst) {
        return Ok(());
    }
    let front = FRONT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // A front has checked this before it asks.
    if front.is_none() && !listens(rustix::process::getpid()) {
        return Ok(());
    }
    let py = frame.py();
    let Ok(Some((file, line))) = start_of_server(frame) else { return Ok(()) };
    let code = py.import("linecache").and_then(|it| {
        it.call_method1("getline", (&file, line))?.call_method0("strip")?.extract::<String>()
    });
    let code = code.ok().filter(|code| !code.is_empty());
    let code = code.map(|code| format!(", {code},")).unwrap_or_default();
    let reason = format!(
        "the application starts a server of its own while it is imported, and that import does not end: \
         put line {line} of {file}{code} below if __name__ == \"__main__\":"
    );
    IS_IMPORTING.store(false, SeqCst);
    if let Some(front) = front {
        front.send(&Reply::Serves(reason.clone()));
    }
    *FOUND.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    Err(PySystemExit::new_err(1))
}

/// The file and line of the module that starts the server to which this frame or one of its callers belongs; None if
/// there is no such server.
fn start_of_server(innermost: Bound<'_, PyAny>) -> PyResult<Option<(String, u32)>> {
    let (mut is_server, mut module) = (false, None);
    let mut next = innermost;
    while !next.is_none() {
        let code = next.getattr("f_code")?;
        let function: String = code.getattr("co_name")?.extract()?;
        is_server |= serves(&next, &function)?;
        if is_server && function == "<module>" {
            let file: String = code.getattr("co_filename")?.extract()?;
            let place = (file, next.getattr("f_lineno")?.extract()?);
            if is_own(&place.0) {
                return Ok(Some(place));
            }
            module = module.or(Some(place));
        }
        next = next.getattr("f_back")?;
    }
    Ok(module)
}

/// Whether a server waits in this function.
fn serves(frame: &Bound<'_, PyAny>, function: &str) -> PyResult<bool> {
    let module = frame.getattr("f_globals")?.call_method1("get", ("__name__", ""))?;
    let module: String = module.extract()?;
    Ok(is_in_a_server(function, module.split('.').next().unwrap_or_default()))
}

/// Whether a file does not belong to a library.
fn is_own(file: &str) -> bool {
    let of_libraries = ["/site-packages/", "/dist-packages/"];
    !file.starts_with('<') && !of_libraries.iter().any(|part| file.contains(part))
}
