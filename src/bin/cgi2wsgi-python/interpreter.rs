//! Starts CPython as `python` would for the same virtual environment, and puts
//! the import directories in place. Knows neither request nor response.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cgi2wsgi::application::{Application, Source, Venv};
use cgi2wsgi::handoff::Handoff;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::{emergency, heap, imports, termination};

/// The version that this executable embeds, such as `3.11`.
const VERSION: &str = env!("BUILD_PYTHON_VERSION");

/// The interpreter it was built for, which tells where its library is.
const EXECUTABLE: &str = env!("BUILD_PYTHON");

/// Removes a variable of this process, before there is a second thread.
pub(crate) fn forget_variable(name: &str) {
    // SAFETY: main calls this before it starts Python or any thread.
    unsafe { std::env::remove_var(name) };
}

/// Starts the interpreter for `application`, in its directory. On return no
/// thread is attached to it.
pub(crate) fn start(application: &Application) -> Result<(), String> {
    if let Some(venv) = &application.venv
        && let Some((major, minor)) = venv.version
        && format!("{major}.{minor}") != VERSION
    {
        let directory = venv.directory.display();
        return Err(format!(
            "the virtual environment {directory} is for Python {major}.{minor}, and this \
             cgi2wsgi-python embeds {VERSION}: build one for it (PYO3_PYTHON=python{major}.{minor} \
             cargo install --path . --root DIR) and install its cgi2wsgi-python beside cgi2wsgi as \
             cgi2wsgi-python{major}.{minor}, or make the environment anew with Python {VERSION}"
        ));
    }
    let executable = application.venv.as_ref().map_or_else(|| EXECUTABLE.into(), Venv::python);
    std::env::set_current_dir(&application.directory).map_err(|error| {
        format!("{} cannot be entered: {error}", application.directory.display())
    })?;
    let program = match &application.source {
        Source::File(file) => file.as_os_str(),
        Source::Module(name) => OsStr::new(name),
    };
    heap::prepare();
    emergency::with_sigpipe_as_python_finds_it(|| initialize(&executable, program))
        .map_err(|reason| explained(&reason, &executable))?;
    // SAFETY: initialization left this thread attached.
    unsafe { ffi::PyEval_SaveThread() };
    Ok(())
}

/// P5, P6: what breaks a start most often is named.
fn explained(reason: &str, executable: &OsStr) -> String {
    let executable = Path::new(executable);
    let cause = if let Some(home) = std::env::var_os("PYTHONHOME") {
        format!(
            "PYTHONHOME is set, to {home:?}: unset it, or let it name where Python {VERSION} is"
        )
    } else if let Err(error) = std::fs::metadata(executable) {
        format!("{}: {error}", executable.display())
    } else {
        "can this user read its library?".to_owned()
    };
    format!("Python {VERSION} ({}) does not start: {reason}; {cause}", executable.display())
}

fn initialize(executable: &OsStr, program: &OsStr) -> Result<(), String> {
    let c_string = |text: &OsStr| {
        CString::new(text.as_bytes()).map_err(|_| format!("{text:?} has a NUL in it"))
    };
    let executable = c_string(executable)?;
    let program = c_string(program)?;
    let mut arguments = [program.as_ptr().cast_mut()];

    // SAFETY: each configuration is initialized before it is used and cleared
    // after; the strings live to the end of the block, and Python copies them.
    // This is the only thread.
    unsafe {
        let mut before = std::mem::zeroed::<ffi::PyPreConfig>();
        ffi::PyPreConfig_InitPythonConfig(&raw mut before);
        // P5: text is UTF-8 whatever the locale, unless the site says otherwise.
        if std::env::var_os("PYTHONUTF8").is_none() {
            before.utf8_mode = 1;
        }
        // The environment is the request's: nothing is added to it (PEP 538 would).
        before.coerce_c_locale = 0;
        checked(ffi::Py_PreInitialize(&raw const before))?;

        let mut config = std::mem::zeroed::<ffi::PyConfig>();
        ffi::PyConfig_InitPythonConfig(&raw mut config);
        let outcome = (|| {
            let config = &raw mut config;
            (*config).parse_argv = 0;
            // P9: a crash leaves a traceback on standard error.
            (*config).faulthandler = 1;
            for field in [&raw mut (*config).program_name, &raw mut (*config).executable] {
                checked(ffi::PyConfig_SetBytesString(config, field, executable.as_ptr()))?;
            }
            let argv: *mut *mut c_char = arguments.as_mut_ptr();
            checked(ffi::PyConfig_SetBytesArgv(config, 1, argv.cast()))?;
            checked(ffi::Py_InitializeFromConfig(config))
        })();
        ffi::PyConfig_Clear(&raw mut config);
        outcome
    }
}

fn checked(status: ffi::PyStatus) -> Result<(), String> {
    // SAFETY: the messages are static strings of Python's, or null.
    unsafe {
        if ffi::PyStatus_Exception(status) == 0 {
            return Ok(());
        }
        let text = |pointer: *const c_char| {
            (!pointer.is_null()).then(|| CStr::from_ptr(pointer).to_string_lossy().into_owned())
        };
        Err(text(status.err_msg).unwrap_or_else(|| "it asked to exit".into()))
    }
}

/// Import directories, and SIGTERM as an exception, so that `close()` runs (R13).
pub(crate) fn prepare(py: Python<'_>, handoff: &Handoff) -> PyResult<()> {
    let application = &handoff.application;
    let path = py.import("sys")?.getattr("path")?.cast_into::<PyList>()?;
    let directories =
        std::iter::once(&application.directory).chain(&application.import_directories);
    for (index, directory) in directories.enumerate() {
        path.insert(index, directory.as_os_str())?;
    }
    imports::quicken(py)?;
    termination::expect(py)
}
