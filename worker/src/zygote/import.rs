//! The import of the application into a zygote, within its time limit.

use std::time::Duration;

use cgi2wsgi::handoff::{ZygoteOrder, signals as numbers};
use cgi2wsgi::zygotes::threads;
use pyo3::prelude::*;

use super::{consulted, rehearsal, rows, stat_calls};
use crate::handlers;
use crate::python::application::{self, LoadError};
use crate::python::collector::{self, Waiting};
use crate::python::exception::log_exception;
use crate::python::finish::Noted;
use crate::python::own_server::Watch;
use crate::python::{self, imports, termination};

/// How long an import may take to write its tracebacks after its time is over.
const TRACING: Duration = Duration::from_millis(500);

/// An application that a zygote has imported.
pub(super) struct Imported<'py> {
    pub(super) application: Py<PyAny>,
    /// What its children must not finalize, and what they flush.
    pub(super) noted: Noted,
    /// What is left to do, if the child for the first request is forked before that.
    unsettled: Option<Unsettled<'py>>,
    /// Whether the garbage of the import was collected, because a child could not be forked at once.
    is_collected: bool,
}

/// The collector still waits, and the time of the import is still limited.
struct Unsettled<'py> {
    waiting: Waiting<'py>,
    bound: Bound,
}

impl Imported<'_> {
    /// Whether the garbage of the import is still to be collected.
    pub(super) fn is_settled(&self) -> bool {
        self.unsettled.is_none()
    }

    /// Once it is known that children can be forked: surveys what they must not finalize.
    pub(super) fn note(&mut self, py: Python<'_>) -> PyResult<()> {
        self.noted = Noted::of_import(py)?;
        if self.is_collected { self.end_import() } else { Ok(()) }
    }

    /// For a process that answers a request itself, as one that was started for it.
    pub(super) fn stay(mut self) -> PyResult<Py<PyAny>> {
        self.end_import()?;
        Ok(self.application)
    }

    /// The collector works again, and time is no longer limited.
    fn end_import(&mut self) -> PyResult<()> {
        self.unsettled.take().map_or(Ok(()), |Unsettled { waiting, bound: _bound }| waiting.end())
    }

    /// Collects the garbage of the import: each child that touches it would copy it. `is_shared`: whether a child was
    /// forked before, and lives.
    pub(super) fn settle(&mut self, py: Python<'_>, is_shared: bool) -> PyResult<()> {
        if self.unsettled.is_some() {
            self.noted.settle(py, is_shared)?;
        }
        self.end_import()
    }

    /// In a child: the collector works as in a process that was started for one request.
    pub(super) fn begin_child(&self) -> PyResult<()> {
        self.unsettled.as_ref().map_or(Ok(()), |left| left.waiting.end())
    }

    /// In a child whose Python is torn down: what is the zygote's stays.
    pub(super) fn leave_to_child(self) {
        // A timer of this number would be the child's.
        std::mem::forget(self.unsettled);
        self.noted.keep();
    }
}

/// Imports the application, or says why it cannot be. `can_wait`: whether a child could be forked at once.
pub(super) fn run<'py>(
    py: Python<'py>,
    order: &ZygoteOrder,
    can_wait: impl FnOnce() -> bool,
) -> Result<Imported<'py>, String> {
    let raised = |error: PyErr| log_exception(py, &error, false).summary;
    consulted::record(py, rows::note).map_err(raised)?;
    stat_calls::record(py).map_err(raised)?;
    python::prepare_import(py, &order.service.application).map_err(raised)?;
    imports::record_misses(py).map_err(raised)?;
    termination::expect(py, None).map_err(raised)?;
    let bound = Bound::set(py, order).map_err(raised)?;
    let watch = Watch::begin_alone(py).map_err(raised)?;
    let waiting = collector::wait(py).map_err(raised)?;
    let loaded = application::load(py, &order.service.application);
    if let Some(reason) = watch.end() {
        return Err(reason);
    }
    let application = loaded.map_err(|error| match error {
        LoadError::Raised(error) => {
            format!("without a request the import fails: {}", raised(error))
        }
        LoadError::Setup(reason) => reason,
    })?;
    if let Some(path) = &order.limits.request {
        consulted::leave_import();
        rehearsal::run(py, &order.service, &application, path);
    }
    // The finalizer of an object that is garbage may end a thread, or close a file.
    let is_collected = !can_wait();
    if is_collected {
        py.import("gc").and_then(|gc| gc.call_method0("collect")).map_err(raised)?;
    }
    Ok(Imported {
        application: application.unbind(),
        noted: Noted::default(),
        unsettled: Some(Unsettled { waiting, bound }),
        is_collected,
    })
}

/// The time limit of an import: tracebacks, and then the kernel's own SIGKILL. No code of the worker has to run for
/// that. The next zygote reports what became of this one, whose status file says until when it had time.
struct Bound {
    timers: [*mut std::ffi::c_void; 2],
}

impl Bound {
    fn set(py: Python<'_>, order: &ZygoteOrder) -> PyResult<Self> {
        handlers::allow_traces(py)?;
        let left = order.deadline.left().max(Duration::from_millis(1));
        let timers = [numbers::TRACE, libc::SIGKILL].map(handlers::create_timer);
        handlers::set_timer(timers[0], left);
        handlers::set_timer(timers[1], left + TRACING);
        Ok(Self { timers })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        for timer in self.timers {
            handlers::set_timer(timer, Duration::ZERO);
        }
    }
}

/// A process with threads cannot be forked safely.
pub(super) fn check_threads(py: Python<'_>) -> Result<(), String> {
    let mut threads = threads::others();
    if threads.is_empty() {
        return Ok(());
    }
    for (id, name) in pythons_threads(py).unwrap_or_default() {
        if let Some(thread) = threads.iter_mut().find(|thread| thread.id == id) {
            (thread.name, thread.library) = (name, Some(threads::PYTHON.into()));
        }
    }
    Err(threads::why_not_forked(&threads))
}

/// The threads that Python knows by a name.
fn pythons_threads(py: Python<'_>) -> PyResult<Vec<(i32, String)>> {
    let modules = py.import("sys")?.getattr("modules")?;
    let Ok(threading) = modules.get_item("threading") else { return Ok(Vec::new()) };
    let named = |thread: pyo3::Bound<'_, PyAny>| -> PyResult<(i32, String)> {
        Ok((thread.getattr("native_id")?.extract()?, thread.getattr("name")?.extract()?))
    };
    let all = threading.call_method0("enumerate")?;
    // A thread that is about to begin has no number yet.
    Ok(all.try_iter()?.filter_map(|thread| named(thread.ok()?).ok()).collect())
}
