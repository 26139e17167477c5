//! The end of the process (P8): threads and atexit handlers, and then the decision whether Python has to be torn down,
//! or whether a tear-down would show nothing outside.
//!
//! A tear-down takes 50 ms for Django, and hardly ever shows anything. A survey takes 8 ms, most of it to fetch 90,000
//! objects from memory. What shows: `__del__`, files that hold written data, generators suspended in a `try` or `with`,
//! callbacks of weak references, and types of extensions, whose end can do anything. The survey looks for an object of
//! such a type; one is enough, and its name is the reason.
//!
//! Why nothing escapes: the visible part of a tear-down is what runs when an object is destroyed, and the object's type
//! decides that.
//!
//! 1. Every object that the collector tracks is in `gc.get_objects()`, after `gc.unfreeze()`. No reference to it has to
//!    be followed.
//! 2. An object that is not tracked is a tuple or dictionary (their end shows nothing), or of a type without
//!    `Py_TPFLAGS_HAVE_GC`. All types are below `object` in `__subclasses__`, and a type that derives from a collected
//!    type is collected. So a walk down from `object` through types that are not collected finds all the others. In
//!    most processes each of them is plain, and the search ends here.
//! 3. If one is not plain, [`untracked`] looks for its objects: in what tracked objects refer to, and, from there, in
//!    tuples and dictionaries that are not tracked.
//! 4. An object of a class made in Python (its dealloc is `CPython`'s `subtype_dealloc`) does at its end what the
//!    class's `tp_finalize`, `tp_del` and base say, and nothing else. [`known`] says what types written in C do.
//! 5. A module made in C ends with `m_free`; C code ends with `Py_AtExit`, `atexit` and destructors of libraries. The
//!    first two are checked; the others run in both cases, because the process leaves by `exit`.
//!
//! Not seen: an object of an unknown type that is not collected, if only the memory of C code refers to it; audit hooks
//! that show the events of the tear-down itself.

mod callbacks;
mod files;
mod in_place;
mod known;
mod names;
mod noted;
mod raw;
mod streams;
mod survey;
mod untracked;

use pyo3::prelude::*;
use pyo3::types::PyDict;

pub(crate) use self::noted::Noted;
use self::survey::Survey;
use super::exception::log_exception;
use super::termination;

/// A module, if it is imported.
pub(super) fn imported<'py>(py: Python<'py>, module: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?.get_item(module)
}

/// Whether a thread is alive for which the end of Python would wait. The end of the response does not wait for it.
pub(crate) fn is_thread_alive(py: Python<'_>) -> bool {
    let look = || -> PyResult<bool> {
        let Some(threading) = imported(py, "threading")? else { return Ok(false) };
        let main = threading.call_method0("main_thread")?;
        for thread in threading.call_method0("enumerate")?.try_iter()? {
            let thread = thread?;
            if !thread.is(&main) && !thread.getattr("daemon")?.is_truthy()? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    look().unwrap_or(false)
}

/// Joins threads and runs atexit handlers, in Python's own order, when the body of the response has been delivered.
pub(crate) fn run_exit_handlers(py: Python<'_>) {
    // A server that has its answer may send SIGTERM: this process is ending anyway.
    let _ = termination::hold_off(py);
    for (module, function) in [("threading", "_shutdown"), ("atexit", "_run_exitfuncs")] {
        let run = || imported(py, module)?.map(|m| m.call_method0(function)).transpose();
        if let Err(error) = run() {
            log_exception(py, &error, false);
        }
    }
    flush_standard_streams(py);
}

fn unseen(error: &PyErr) -> String {
    format!("Python could not be looked through: {error}")
}

/// Why Python has to be torn down; None if a tear-down would show nothing.
///
/// Called after threads were joined and atexit handlers have run, and when the worker holds no object of the
/// application. With None, what open files held has been written, except that of the standard streams, which [`leave`]
/// writes. With a reason, everything is as it was, except that `gc.freeze` is undone, so that a tear-down finds cycles.
pub(crate) fn is_anything_to_finalize(py: Python<'_>) -> Option<String> {
    let look = || -> PyResult<Option<String>> {
        let gc = py.import("gc")?;
        let mut survey = Survey::new(py)?;
        // Collects the cyclic garbage of the request now, as a tear-down does at its beginning. What the import made is
        // frozen, so this takes no time.
        let young = gc.call_method0("get_objects")?;
        if survey.first(&young)?.is_some() && gc.call_method0("isenabled")?.is_truthy()? {
            gc.call_method0("collect")?;
        }
        drop(young);
        gc.call_method0("unfreeze")?;
        let objects = gc.call_method0("get_objects")?;
        let found = match survey.first(&objects)? {
            None if survey.seeks()? => survey.untracked(&objects, false)?.pop(),
            found => found,
        };
        if let Some(finding) = found {
            return Ok(Some(finding.reason));
        }
        if let Some(reason) = survey.of_process()? {
            return Ok(Some(reason));
        }
        let reason = survey.write_out()?;
        if reason.is_none() {
            // Dropping a list of all objects takes as long as making it.
            std::mem::forget(objects);
        }
        Ok(reason)
    };
    look().unwrap_or_else(|error| Some(unseen(&error)))
}

/// Ends the process without tearing Python down. Python's lock is held to the end, so that no daemon thread runs in a
/// process whose libraries have gone.
///
/// `exit` and not `_exit`: what C code registered with `atexit` and the destructors of libraries run, as they do when
/// Python ends by itself.
pub(crate) fn leave(py: Python<'_>) -> ! {
    flush_standard_streams(py);
    // SAFETY: exit can be called at any time; no other thread runs Python code.
    unsafe { libc::exit(0) }
}

/// The same in a child of a zygote. Handlers that C code registered at import are the zygote's, and do not run.
pub(crate) fn leave_child(py: Python<'_>) -> ! {
    flush_standard_streams(py);
    leave_at_once(0)
}

/// Flushes the buffers of C libraries, and leaves at once.
pub(crate) fn leave_at_once(status: u8) -> ! {
    // SAFETY: fflush(NULL) flushes every stream; _exit does not return.
    unsafe {
        libc::fflush(std::ptr::null_mut());
        libc::_exit(status.into())
    }
}

/// Prepares for Python's own tear-down, which begins when BOOT is over.
pub(crate) fn prepare_tear_down(py: Python<'_>) {
    termination::forget(py);
    // Python reads it again at its end, and would start a prompt on the terminal. os.environ keeps it.
    // SAFETY: Python's lock is held, and no other thread runs Python code.
    unsafe { libc::unsetenv(c"PYTHONINSPECT".as_ptr()) };
}

/// The same in a child of a zygote. Handlers that C code registered at import are the zygote's, and do not run.
pub(crate) fn prepare_tear_down_of_child(py: Python<'_>) {
    extern "C" fn leave() {
        leave_at_once(0)
    }
    prepare_tear_down(py);
    // The handler that is registered last runs first.
    // SAFETY: the function stays, because this library is not unloaded.
    unsafe { libc::atexit(leave) };
}

/// The same in a process that has imported the application and does nothing else.
pub(crate) fn prepare_tear_down_of_import(py: Python<'_>) {
    let _ = py.import("gc").and_then(|gc| gc.call_method0("unfreeze"));
    prepare_tear_down(py);
}

/// The same in a zygote, where no atexit handler runs: each of its children has run them.
pub(crate) fn prepare_tear_down_of_zygote(py: Python<'_>) {
    let finalize = || -> PyResult<()> {
        py.import("gc")?.call_method0("unfreeze")?;
        if let Some(weakref) = imported(py, "weakref")? {
            weakref.getattr("finalize")?.call_method0("_exitfunc")?;
        }
        py.import("atexit")?.call_method0("_clear").map(drop)
    };
    if let Err(error) = finalize() {
        log_exception(py, &error, false);
    }
    prepare_tear_down(py);
}

fn flush_standard_streams(py: Python<'_>) {
    let Ok(sys) = py.import("sys") else { return };
    let mut flushed: Vec<Bound<'_, PyAny>> = Vec::with_capacity(4);
    for name in ["stdout", "stderr", "__stdout__", "__stderr__"] {
        let Ok(stream) = sys.getattr(name) else { continue };
        if !flushed.iter().any(|other| other.is(&stream)) {
            // A stream that cannot be flushed has already lost what it held.
            let _ = stream.call_method0("flush");
            flushed.push(stream);
        }
    }
}
