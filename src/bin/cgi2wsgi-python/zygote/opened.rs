//! Which files Python opens and writes while the application is imported: an
//! audit hook (PEP 578), which sees what modules do as well as `open`.

use std::collections::HashSet;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use pyo3::ffi;

/// The files of one import.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// Opened for reading.
    pub(super) read: Vec<PathBuf>,
    /// Opened for writing, moved or linked to their place: what is made by an import is
    /// no change of what is imported.
    pub(super) written: HashSet<PathBuf>,
}

/// The files so far, while they are recorded.
static OPENED: Mutex<Option<Opened>> = Mutex::new(None);

unsafe extern "C" {
    fn PySys_AddAuditHook(
        hook: extern "C" fn(*const c_char, *mut ffi::PyObject, *mut c_void) -> c_int,
        data: *mut c_void,
    ) -> c_int;
}

/// Records what Python opens from its start on, before it starts.
pub(super) fn record() {
    if let Ok(mut opened) = OPENED.lock() {
        *opened = Some(Opened::default());
    }
    // SAFETY: it may be called before Python starts; the hook lives for ever.
    unsafe { PySys_AddAuditHook(on_event, std::ptr::null_mut()) };
}

/// What was recorded, and no more of it.
pub(super) fn take() -> Opened {
    OPENED.lock().ok().and_then(|mut opened| opened.take()).unwrap_or_default()
}

/// What puts a file to its place: the second argument of each.
const PLACING: [&CStr; 2] = [c"os.rename", c"os.link"];

/// `open(path, mode, flags)` and [`PLACING`]; never refuses.
extern "C" fn on_event(
    event: *const c_char,
    arguments: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: Python gives a C string and a tuple that live until this returns,
    // and holds its lock.
    unsafe {
        let event = CStr::from_ptr(event);
        if event == c"open" && ffi::PyTuple_Size(arguments) == 3 {
            let flags = ffi::PyTuple_GetItem(arguments, 2);
            if ffi::PyLong_Check(flags) != 0 {
                let access = ffi::PyLong_AsLong(flags) & i64::from(libc::O_ACCMODE);
                let is_read = access == i64::from(libc::O_RDONLY);
                note(ffi::PyTuple_GetItem(arguments, 0), is_read);
            }
        } else if PLACING.contains(&event) && ffi::PyTuple_Size(arguments) > 1 {
            note(ffi::PyTuple_GetItem(arguments, 1), false);
        }
    }
    0
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
    let Ok(mut opened) = OPENED.lock() else { return };
    let Some(files) = opened.as_mut() else { return };
    let Ok(path) = std::path::absolute(path) else { return };
    if !is_read {
        files.written.insert(path);
    } else if path.is_file() {
        files.read.push(path);
    }
}
