//! `FileFinder.find_spec`: the file of a module in a directory.

use std::path::Path;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::get_code::modified;
use super::{Originals, Text};

/// What a directory contains of a module.
enum Module<'py> {
    /// Its file, the class of its loader, and where a package's own modules are.
    Is { file: String, loader: Bound<'py, PyAny>, package: Option<String> },
    /// Nothing.
    IsNot,
}

/// Errors are those of a loader's constructor.
pub(super) fn quick_spec<'py>(
    originals: &'static Originals,
    finder: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = finder.py();
    let (file, loader, package) = match search(originals, finder, name) {
        Some(Module::Is { file, loader, package }) => (file, loader, package),
        Some(Module::IsNot) => return Ok(Some(py.None().into_bound(py))),
        None => return Ok(None),
    };
    let file = PyString::new(py, &file);
    let locations = package.map(|directory| PyList::new(py, [directory])).transpose()?;
    let named = PyDict::new(py);
    named.set_item(intern!(py, "loader"), loader.call1((name, &file))?)?;
    named.set_item(intern!(py, "submodule_search_locations"), locations)?;
    originals.spec_from_file_location.bind(py).call((name, file), Some(&named)).map(Some)
}

/// What the finder's directory contains of a module. `None` if Python has to search.
fn search<'py>(
    originals: &Originals,
    finder: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> Option<Module<'py>> {
    let py = finder.py();
    if !finder.get_type().is(&originals.file_finder) {
        return None;
    }
    let full_name = Text::from_object(name)?;
    let directory = Text::from_object(&finder.getattr(intern!(py, "path")).ok()?)?;
    let (full_name, directory) = (full_name.as_str(), directory.as_str());
    let tail = full_name.rsplit_once('.').map_or(full_name, |(_, tail)| tail);
    if tail.is_empty() || tail.contains('/') || !directory.starts_with('/') {
        return None;
    }
    let changed = modified(&rustix::fs::stat(directory).ok()?);
    let listed: f64 = finder.getattr(intern!(py, "_path_mtime")).ok()?.extract().ok()?;
    if listed.to_bits() != changed.to_bits() {
        // It has changed since Python listed it. If this fails, Python tries again, and says why.
        finder.call_method0(intern!(py, "_fill_cache")).ok()?;
        finder.setattr(intern!(py, "_path_mtime"), changed).ok()?;
    }
    let entries = finder.getattr(intern!(py, "_path_cache")).ok()?;
    let loaders = finder.getattr(intern!(py, "_loaders")).ok()?.cast_into::<PyList>().ok()?;
    let base = || format!("{}/{tail}", directory.trim_end_matches('/'));
    let entry = if tail.len() == full_name.len() {
        name.clone()
    } else {
        PyString::new(py, tail).into_any()
    };
    if entries.contains(&entry).ok()? {
        let base = base();
        for pair in &loaders {
            let (suffix, loader) = suffix_and_loader(&pair)?;
            let file = format!("{base}/__init__{}", Text::from_object(&suffix)?.as_str());
            if Path::new(&file).is_file() {
                return Some(Module::Is { file, loader, package: Some(base) });
            }
        }
        if Path::new(&base).is_dir() {
            // Python decides whether it is a namespace package.
            return None;
        }
    }
    for pair in &loaders {
        let (suffix, loader) = suffix_and_loader(&pair)?;
        if entries.contains(entry.add(&suffix).ok()?).ok()? {
            let file = base() + Text::from_object(&suffix)?.as_str();
            if Path::new(&file).is_file() {
                return Some(Module::Is { file, loader, package: None });
            }
        }
    }
    Some(Module::IsNot)
}

fn suffix_and_loader<'py>(
    pair: &Bound<'py, PyAny>,
) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let pair = pair.cast_exact::<PyTuple>().ok().filter(|pair| pair.len() == 2)?;
    Some((pair.get_item(0).ok()?, pair.get_item(1).ok()?))
}
