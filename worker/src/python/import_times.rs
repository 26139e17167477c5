//! How long the import of each package takes, for `--timings`, without the other packages that it imports. Only
//! `import` statements of the main thread count. `cgi2wsgi profile` shows all of it, module by module.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Replaces `builtins.__import__`.
#[pyclass(frozen, module = "cgi2wsgi_worker")]
struct Importer {
    original: Py<PyAny>,
    thread: ThreadId,
    times: Mutex<Times>,
}

#[derive(Default)]
struct Times {
    packages: HashMap<String, Duration>,
    /// For each import under way, the time of the imports in it.
    inner: Vec<Duration>,
}

#[pymethods]
impl Importer {
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__(
        &self,
        py: Python<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let original = self.original.bind(py);
        if thread::current().id() != self.thread {
            return original.call(args, kwargs).map(Bound::unbind);
        }
        self.lock().inner.push(Duration::ZERO);
        let began = Instant::now();
        let imported = original.call(args, kwargs);
        let took = began.elapsed();
        let mut times = self.lock();
        let inner = times.inner.pop().unwrap_or_default();
        if let Some(outer) = times.inner.last_mut() {
            *outer += took;
        }
        if let Some(package) = package(args) {
            *times.packages.entry(package).or_default() += took.saturating_sub(inner);
        }
        imported.map(Bound::unbind)
    }
}

impl Importer {
    fn lock(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outermost package that `__import__(name, globals, locals, fromlist, level)` imports.
fn package(args: &Bound<'_, PyTuple>) -> Option<String> {
    let is_relative = args.get_item(4).is_ok_and(|level| level.is_truthy().unwrap_or(false));
    let name: String = if is_relative {
        args.get_item(1).ok()?.get_item("__package__").ok()?.extract().ok()?
    } else {
        args.get_item(0).ok()?.extract().ok()?
    };
    name.split('.').next().map(str::to_owned)
}

/// Imports that are timed.
pub(crate) struct ImportTimes<'py> {
    builtins: Bound<'py, PyModule>,
    importer: Bound<'py, Importer>,
}

impl<'py> ImportTimes<'py> {
    /// Times imports from here on.
    pub(crate) fn begin(py: Python<'py>) -> PyResult<Self> {
        let builtins = py.import("builtins")?;
        let importer = Importer {
            original: builtins.getattr("__import__")?.unbind(),
            thread: thread::current().id(),
            times: Mutex::default(),
        };
        let importer = Bound::new(py, importer)?;
        builtins.setattr("__import__", &importer)?;
        Ok(Self { builtins, importer })
    }

    /// Stops timing. Returns the time of each package.
    pub(crate) fn end(self, py: Python<'_>) -> Vec<(String, Duration)> {
        let importer = self.importer.get();
        // The application may have replaced it.
        if self.builtins.getattr("__import__").is_ok_and(|current| current.is(&self.importer)) {
            let _ = self.builtins.setattr("__import__", importer.original.bind(py));
        }
        std::mem::take(&mut importer.lock().packages).into_iter().collect()
    }
}
