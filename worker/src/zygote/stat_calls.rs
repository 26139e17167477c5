//! Which files the import looks for without opening them (`os.path.exists`, `Path.is_file`): `os.stat`, `os.lstat` and
//! `os.access` raise no audit event, so functions that note the answer replace them during the import. A module that
//! takes such a function for itself (`from os import stat`) keeps it; it works like the original.
//!
//! The import system is not recorded here: it calls `posix.stat`.

use std::ffi::CStr;
use std::sync::Mutex;

use pyo3::exceptions::{PyFileNotFoundError, PyNotADirectoryError};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyString, PyTuple};

use super::consulted::{is_recording, note_looked_for, path_in};

const NAMES: [&CStr; 3] = [c"stat", c"lstat", c"access"];

/// The sets in which `os` describes its functions.
const PROPERTIES: [&str; 4] =
    ["supports_dir_fd", "supports_effective_ids", "supports_fd", "supports_follow_symlinks"];

struct Replaced {
    name: &'static str,
    original: Py<PyAny>,
    replacement: Py<PyAny>,
}

static REPLACED: Mutex<Vec<Replaced>> = Mutex::new(Vec::new());

/// Records what Python looks for from here on.
pub(super) fn record(py: Python<'_>) -> PyResult<()> {
    let os = py.import("os")?;
    let mut replaced = Vec::new();
    for name in NAMES {
        let text = name.to_str().unwrap_or_default();
        let original = os.getattr(text)?;
        let function = original.clone().unbind();
        let replacement =
            PyCFunction::new_closure(py, Some(name), None, move |arguments, named| {
                call(function.bind(arguments.py()), text, arguments, named).map(Bound::unbind)
            })?;
        for property in PROPERTIES {
            let functions = os.getattr(property)?;
            if functions.contains(&original)? {
                functions.call_method1("add", (&replacement,))?;
            }
        }
        os.setattr(text, &replacement)?;
        let (original, replacement) = (original.unbind(), replacement.into_any().unbind());
        replaced.push(Replaced { name: text, original, replacement });
    }
    if let Ok(mut all) = REPLACED.lock() {
        *all = replaced;
    }
    Ok(())
}

/// Puts Python's own functions back, unless other code has replaced them.
pub(super) fn stop(py: Python<'_>) {
    let all = REPLACED.lock().map(|mut all| std::mem::take(&mut *all)).unwrap_or_default();
    let Ok(os) = py.import("os") else { return };
    for one in all {
        if os.getattr(one.name).is_ok_and(|now| now.is(&one.replacement)) {
            let _ = os.setattr(one.name, one.original);
        }
    }
}

fn call<'py>(
    function: &Bound<'py, PyAny>,
    name: &str,
    arguments: &Bound<'py, PyTuple>,
    named: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let answer = function.call(arguments, named);
    if !is_recording() {
        return answer;
    }
    let py = function.py();
    let is_there = match &answer {
        Ok(answer) if name == "access" => answer.is_truthy().unwrap_or(true),
        // `realpath` asks this of each directory on the way, which says nothing of a file.
        Ok(_) if name == "lstat" => return answer,
        Ok(_) => true,
        Err(error)
            if error.is_instance_of::<PyFileNotFoundError>(py)
                || error.is_instance_of::<PyNotADirectoryError>(py) =>
        {
            false
        }
        Err(_) => return answer,
    };
    let _ = note(arguments, named, is_there);
    answer
}

fn note(
    arguments: &Bound<'_, PyTuple>,
    named: Option<&Bound<'_, PyDict>>,
    is_there: bool,
) -> Option<()> {
    let by_name = |name: &str| named?.get_item(name).ok()?;
    let path = arguments.get_item(0).ok().or_else(|| by_name("path"))?;
    // A descriptor's file exists.
    if !path.is_instance_of::<PyString>() && path.extract::<i32>().is_ok() {
        return None;
    }
    let directory = by_name("dir_fd").and_then(|number| number.extract().ok());
    let path = path_in(&path, directory)?;
    // A file that may not be used exists all the same.
    let is_there = is_there || path.exists();
    note_looked_for(path, is_there)
}
