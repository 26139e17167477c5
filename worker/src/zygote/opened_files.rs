//! Which files Python opens and writes while the application is imported: an audit hook (PEP 578),
//! which sees what modules do as well as `open`.
//!
//! Left out: what was opened before [`record`]. Python has started by then, so the hook has not seen
//! `.pth` files, `pyvenv.cfg`, sitecustomize and what they opened. Those among them that are modules
//! have a `__file__` in `sys.modules`; the others have to be named by whoever watches. Files that
//! are opened without Python (by a C library, by another process) raise no event.
//!
//! `PySys_AddAuditHook` is not in the limited API of 3.9, so the hook is a C function that
//! `sys.addaudithook` is given. Python cannot remove it: after [`take`] it returns at once.

use std::collections::HashSet;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pyo3::ffi;
use pyo3::prelude::*;

/// The files of one import.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// Opened for reading.
    pub(crate) read: Vec<PathBuf>,
    /// Opened for writing, moved or linked to their place: what is made by an import is no change
    /// of what is imported.
    pub(crate) written: HashSet<PathBuf>,
}

/// The files so far.
static OPENED: Mutex<Option<Opened>> = Mutex::new(None);

/// Whether they are recorded: the hook looks here first.
static RECORDING: AtomicBool = AtomicBool::new(false);

/// Records what Python opens from here on. An audit hook that is there already may refuse.
pub(crate) fn record(py: Python<'_>) -> PyResult<()> {
    // Never freed: Python refers to it for as long as there is a hook.
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: c"cgi2wsgi_opened".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: on_event },
        ml_flags: ffi::METH_VARARGS,
        ml_doc: std::ptr::null(),
    }));
    // SAFETY: the definition lives for ever, and its function is of the kind that its flags say.
    let hook = unsafe {
        let hook = ffi::PyCFunction_NewEx(definition, std::ptr::null_mut(), std::ptr::null_mut());
        Bound::<PyAny>::from_owned_ptr_or_err(py, hook)?
    };
    if let Ok(mut opened) = OPENED.lock() {
        *opened = Some(Opened::default());
    }
    RECORDING.store(true, Relaxed);
    py.import("sys")?.call_method1("addaudithook", (hook,)).map(drop)
}

/// What was recorded, and no more of it.
pub(crate) fn take() -> Opened {
    RECORDING.store(false, Relaxed);
    OPENED.lock().ok().and_then(|mut opened| opened.take()).unwrap_or_default()
}

/// What puts a file to its place: the second argument of each.
const PLACING: [&CStr; 2] = [c"os.rename", c"os.link"];

/// The hook: of the name of an event and the tuple of its arguments. Never refuses.
unsafe extern "C" fn on_event(
    _: *mut ffi::PyObject,
    arguments: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python holds its lock and gives a tuple that lives until this returns. No exception
    // is set when it calls, and none stays set.
    unsafe {
        if RECORDING.load(Relaxed) && ffi::PyTuple_Size(arguments) == 2 {
            let event = ffi::PyTuple_GetItem(arguments, 0);
            let arguments = ffi::PyTuple_GetItem(arguments, 1);
            if ffi::PyUnicode_Check(event) != 0 && ffi::PyTuple_Check(arguments) != 0 {
                note_event(event, arguments);
            }
        }
        let none = ffi::Py_None();
        ffi::Py_INCREF(none);
        none
    }
}

/// `open(path, mode, flags)` and [`PLACING`].
///
/// SAFETY for callers: a `str` and a tuple, and Python's lock is held.
unsafe fn note_event(event: *mut ffi::PyObject, arguments: *mut ffi::PyObject) {
    // SAFETY: `event` is a `str`, and the tuple has the items that are asked for.
    unsafe {
        let is = |name: &CStr| ffi::PyUnicode_CompareWithASCIIString(event, name.as_ptr()) == 0;
        if is(c"open") {
            if ffi::PyTuple_Size(arguments) == 3
                && let Some(is_read) = is_for_reading(ffi::PyTuple_GetItem(arguments, 2))
            {
                note(ffi::PyTuple_GetItem(arguments, 0), is_read);
            }
        } else if PLACING.into_iter().any(is) && ffi::PyTuple_Size(arguments) > 1 {
            note(ffi::PyTuple_GetItem(arguments, 1), false);
        }
    }
}

/// What the flags of `open` say, if they are a number.
///
/// SAFETY for callers: `flags` is an object, and Python's lock is held.
unsafe fn is_for_reading(flags: *mut ffi::PyObject) -> Option<bool> {
    // SAFETY: the object is looked at as what it is.
    unsafe {
        if ffi::PyLong_Check(flags) == 0 {
            return None;
        }
        let number = ffi::PyLong_AsLong(flags);
        // Anybody may raise the event, with a number that is too large.
        if number == -1 && !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(number & libc::c_long::from(libc::O_ACCMODE) == libc::c_long::from(libc::O_RDONLY))
    }
}

/// SAFETY for callers: `path` is an object, and Python's lock is held.
unsafe fn note(path: *mut ffi::PyObject, is_read: bool) {
    // SAFETY: the object is looked at as what it is.
    unsafe {
        if ffi::PyUnicode_Check(path) != 0 {
            let encoded = ffi::PyUnicode_EncodeFSDefault(path);
            if encoded.is_null() {
                ffi::PyErr_Clear();
            } else {
                note_bytes(encoded, is_read);
                ffi::Py_DECREF(encoded);
            }
        } else if ffi::PyBytes_Check(path) != 0 {
            note_bytes(path, is_read);
        }
    }
}

/// SAFETY for callers: `path` is a `bytes` object.
unsafe fn note_bytes(path: *mut ffi::PyObject, is_read: bool) {
    // SAFETY: the bytes live as long as the object, which outlives this.
    let bytes = unsafe {
        let length = usize::try_from(ffi::PyBytes_Size(path)).unwrap_or_default();
        std::slice::from_raw_parts(ffi::PyBytes_AsString(path).cast::<u8>(), length)
    };
    let path = Path::new(OsStr::from_bytes(bytes));
    let is_bytecode = path.extension() == Some(OsStr::new("pyc"));
    let is_system = ["/proc", "/sys", "/dev"].iter().any(|system| path.starts_with(system));
    if is_bytecode || is_system {
        return;
    }
    let Ok(path) = std::path::absolute(path) else { return };
    let Ok(mut opened) = OPENED.lock() else { return };
    let Some(files) = opened.as_mut() else { return };
    if !is_read {
        files.written.insert(path);
    } else if path.is_file() {
        files.read.push(path);
    }
}
