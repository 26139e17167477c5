//! Work on the interpreter that has loaded this module. Knows neither request nor response.
//!
//! - [`environment`]: `os.environ` becomes the request's; [`application`]: imports the application; [`remedies`]: what
//!   to do about its exceptions; [`exception`]: how they are logged;
//! - [`imports`], [`collector`], [`arenas`]: a quick start, by Python's own rules;
//! - [`padding`]: a zygote's children write to few pages of the import;
//! - [`debugger`]: `request --pdb`; [`import_times`]: `--timings`; [`own_server`]: `app.run()` in an import;
//! - [`termination`]: SIGTERM as an exception; [`finish`]: the end of the process.

pub(crate) mod application;
mod arenas;
pub(crate) mod collector;
pub(crate) mod debugger;
pub(crate) mod environment;
pub(crate) mod exception;
pub(crate) mod finish;
pub(crate) mod fork;
pub(crate) mod import_times;
pub(crate) mod imports;
pub(crate) mod own_server;
pub(crate) mod padding;
pub(crate) mod remedies;
pub(crate) mod termination;

pub(crate) use self::arenas::{expect_fork, expect_one_request};

use cgi2wsgi::handoff::{Application, Source};
use cgi2wsgi::system;
use pyo3::prelude::*;
use pyo3::types::PyList;

/// `3.11.2`.
pub(crate) fn version(py: Python<'_>) -> String {
    let text = py.import("sys").and_then(|sys| sys.getattr("version")?.extract::<String>());
    text.unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
}

/// As soon as the module is loaded: prevents imports from the current directory, installs [`arenas`], and has crashes
/// write tracebacks (P9).
pub(crate) fn prepare(py: Python<'_>) {
    // `python -c` has put it into `sys.path`, unless PYTHONSAFEPATH is set.
    let _ = forget_current_directory(py);
    let _ = close_memory(py);
    arenas::install(py);
    // If this fails, a crash has no traceback; nothing else changes.
    let _ = py.import("faulthandler").and_then(|module| module.call_method1("enable", (2,)));
}

fn forget_current_directory(py: Python<'_>) -> PyResult<()> {
    let path = py.import("sys")?.getattr("path")?.cast_into::<PyList>()?;
    if path.get_item(0)?.eq("")? { path.del_item(0) } else { Ok(()) }
}

/// A worker that the front carries was loaded from a descriptor, which is no longer needed.
fn close_memory(py: Python<'_>) -> PyResult<()> {
    let worker: String = py.import("sys")?.getattr("argv")?.get_item(2)?.extract()?;
    if let Some(number) = worker.strip_prefix("/proc/self/fd/").and_then(|it| it.parse().ok()) {
        system::close(number);
    }
    Ok(())
}

/// Before the application is imported: sets `sys.argv` and the import directories, and quickens the import system.
pub(crate) fn prepare_import(py: Python<'_>, application: &Application) -> PyResult<()> {
    let sys = py.import("sys")?;
    let program = match &application.source {
        Source::File(file) => file.as_os_str().into_pyobject(py)?.into_any(),
        Source::Module(name) => name.into_pyobject(py)?.into_any(),
    };
    sys.setattr("argv", PyList::new(py, [program])?)?;
    let path = sys.getattr("path")?.cast_into::<PyList>()?;
    let directories =
        std::iter::once(&application.directory).chain(&application.import_directories);
    for (index, directory) in directories.enumerate() {
        path.insert(index, directory.as_os_str())?;
    }
    imports::quicken(py);
    Ok(())
}
