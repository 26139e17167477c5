//! Which directories an import has searched for modules that are not there: if such a module appears later, a new
//! import would find it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Directories, and the last parts of the names of modules.
static MISSED: Mutex<Option<HashSet<(PathBuf, OsString)>>> = Mutex::new(None);

/// Whether misses are recorded. This is checked first.
static RECORDING: AtomicBool = AtomicBool::new(false);

pub(super) fn record() {
    if let Ok(mut missed) = MISSED.lock() {
        missed.get_or_insert_default();
    }
    RECORDING.store(true, Relaxed);
}

/// Returns what was recorded, and stops recording.
pub(crate) fn take() -> HashSet<(PathBuf, OsString)> {
    RECORDING.store(false, Relaxed);
    MISSED.lock().ok().and_then(|mut missed| missed.take()).unwrap_or_default()
}

/// Notes what a finder has found for a module.
pub(super) fn note(
    finder: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyTuple>,
    found: &Bound<'_, PyAny>,
) {
    if RECORDING.load(Relaxed) {
        let _ = note_missed(finder, arguments, found);
    }
}

fn note_missed(
    finder: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyTuple>,
    found: &Bound<'_, PyAny>,
) -> Option<()> {
    let py = finder.py();
    let missed: Vec<(PathBuf, OsString)> = if found.is_none() {
        let name: String = arguments.get_item(0).ok()?.extract().ok()?;
        let tail = name.rsplit_once('.').map_or(&*name, |(_, tail)| tail);
        let directory: PathBuf = finder.getattr(intern!(py, "path")).ok()?.extract().ok()?;
        vec![(std::path::absolute(directory).ok()?, tail.into())]
    } else if found.getattr(intern!(py, "loader")).ok()?.is_none() {
        // A part of a namespace, until it has a module of its own.
        let parts = found.getattr(intern!(py, "submodule_search_locations")).ok()?;
        let parts: Vec<PathBuf> = parts.extract().ok()?;
        let absolute = parts.into_iter().filter_map(|part| std::path::absolute(part).ok());
        absolute.map(|part| (part, "__init__".into())).collect()
    } else {
        return None;
    };
    MISSED.lock().ok()?.as_mut()?.extend(missed);
    Some(())
}
