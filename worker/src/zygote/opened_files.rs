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
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCFunction, PyString, PyTuple};

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
    let hook = PyCFunction::new_closure(py, None, None, |arguments, _| {
        // Any hook may be called with anything, and this one refuses nothing.
        if RECORDING.load(Relaxed) {
            let _ = note_event(arguments);
        }
    })?;
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

/// `open(path, mode, flags)`, and what puts a file to its place. Nothing: of no interest, or of another shape.
fn note_event(arguments: &Bound<'_, PyTuple>) -> Option<()> {
    let event = arguments.get_item(0).ok()?.cast_into::<PyString>().ok()?;
    let event = event.to_cow().ok()?;
    let is_open = event == "open";
    if !is_open && event != "os.rename" && event != "os.link" {
        return None;
    }
    let arguments = arguments.get_item(1).ok()?.cast_into::<PyTuple>().ok()?;
    if !is_open {
        return note(&arguments.get_item(1).ok()?, false);
    }
    let flags: i64 = arguments.get_item(2).ok()?.extract().ok()?;
    let is_read = flags & i64::from(libc::O_ACCMODE) == i64::from(libc::O_RDONLY);
    note(&arguments.get_item(0).ok()?, is_read)
}

fn note(path: &Bound<'_, PyAny>, is_read: bool) -> Option<()> {
    let path = match path.cast::<PyBytes>() {
        Ok(bytes) => PathBuf::from(OsStr::from_bytes(bytes.as_bytes())),
        Err(_) => PathBuf::from(path.cast::<PyString>().ok()?.extract::<OsString>().ok()?),
    };
    let is_bytecode = path.extension() == Some(OsStr::new("pyc"));
    let is_system = ["/proc", "/sys", "/dev"].iter().any(|system| path.starts_with(system));
    if is_bytecode || is_system {
        return None;
    }
    let path = std::path::absolute(path).ok()?;
    let mut opened = OPENED.lock().ok()?;
    let files = opened.as_mut()?;
    if !is_read {
        files.written.insert(path);
    } else if path.is_file() {
        files.read.push(path);
    }
    Some(())
}
