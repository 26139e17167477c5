//! Open files: what they hold is written, and nothing else of their end can be seen, if they are `io`'s own.

use std::collections::HashSet;

use pyo3::exceptions::{PyResourceWarning, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::known::Nature;
use super::names::describe;
use super::raw::Class;
use super::survey::Survey;

impl<'py> Survey<'py> {
    /// An open file of `io` itself over `io.FileIO` does nothing at its end but write what it holds. What is over
    /// anything else calls that.
    pub(super) fn of_file(
        &mut self,
        file: &Bound<'py, PyAny>,
        nature: Nature,
    ) -> PyResult<Option<String>> {
        if self.standard.contains(&(file.as_ptr() as usize)) {
            return Ok(None);
        }
        let below = match file.getattr(if nature == Nature::Text { "buffer" } else { "raw" }) {
            Ok(below) => below,
            Err(error) if error.is_instance_of::<PyValueError>(self.py) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_memory = below.get_type().is(&self.py.import("_io")?.getattr("BytesIO")?);
        let holds = match (nature, self.nature(Class::of(&below))) {
            _ if below.is_none() || is_memory => false,
            (Nature::Text, Nature::Reader) | (Nature::Reader, Nature::RawFile) => false,
            (Nature::Text, Nature::Writer) | (Nature::Writer, Nature::RawFile) => true,
            _ => return Ok(Some("it is over a file of another kind".to_owned())),
        };
        if holds && nature == Nature::Text && self.standard.contains(&(below.as_ptr() as usize)) {
            // Another text layer over standard output: as good as a file.
            return Ok(Some("it is over a standard stream".to_owned()));
        }
        if !holds || file.getattr("closed")?.is_truthy()? {
            return Ok(None);
        }
        if self.warns {
            return Ok(Some("a warning about it would be shown".to_owned()));
        }
        self.writers.push(file.clone());
        Ok(None)
    }

    /// `io.FileIO` holds nothing; it warns if it is still open.
    pub(super) fn warns_of(&self, file: &Bound<'py, PyAny>) -> PyResult<bool> {
        Ok(self.warns
            && !self.standard.contains(&(file.as_ptr() as usize))
            && !file.getattr("closed")?.is_truthy()?
            && file.getattr("closefd")?.is_truthy()?)
    }

    /// Writes what the one open file holds; with several, the order in which they end could matter, and it is Python's
    /// to keep.
    pub(super) fn write_out(&self) -> PyResult<Option<String>> {
        let mut raws = HashSet::new();
        for file in &self.writers {
            let buffer = file.getattr("buffer").unwrap_or_else(|_| file.clone());
            raws.insert(buffer.getattr("raw")?.as_ptr() as usize);
        }
        if raws.len() > 1 {
            return Ok(Some(format!("{} files are open for writing", raws.len())));
        }
        for file in self.writers_from_above() {
            if let Err(error) = file.call_method0("flush") {
                return Ok(Some(describe(&file, &error.to_string())));
            }
        }
        Ok(None)
    }

    /// Open files that hold what was written, of the last `first` or `all`; those of text before what is below them.
    pub(super) fn writers_from_above(&self) -> Vec<Bound<'py, PyAny>> {
        let mut writers = self.writers.clone();
        writers.sort_by_key(|file| !file.hasattr("buffer").unwrap_or(false));
        writers
    }
}

/// Whether a class derived from one of `io`'s overrides what the finalizer of those calls: with none overridden, it sets
/// a flag.
pub(super) fn overrides_closing(class: &Bound<'_, PyAny>) -> PyResult<bool> {
    let io = class.py().import("_io")?;
    let is_subclass =
        |name: &str| -> PyResult<bool> { class.cast::<PyType>()?.is_subclass(&io.getattr(name)?) };
    let base = match () {
        () if is_subclass("BytesIO")? => "BytesIO",
        () if is_subclass("StringIO")? => "StringIO",
        () => "_IOBase",
    };
    let base = io.getattr(base)?;
    for name in ["close", "closed", "flush", "__getattribute__"] {
        if !class.getattr(name)?.is(&base.getattr(name)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a `ResourceWarning` is shown, by the first filter that it could meet; Python's own filters ignore it.
pub(super) fn shows_resource_warnings(py: Python<'_>) -> PyResult<bool> {
    let module = match super::imported(py, "warnings")? {
        Some(module) => module,
        None => py.import("_warnings")?.into_any(),
    };
    let filters = module.getattr("filters")?;
    for filter in filters.try_iter()? {
        let filter = filter?;
        let category = filter.get_item(2)?.cast_into::<PyType>()?;
        if !py.get_type::<PyResourceWarning>().is_subclass(&category)? {
            continue;
        }
        let is_for_all = filter.get_item(1)?.is_none()
            && filter.get_item(3)?.is_none()
            && !filter.get_item(4)?.is_truthy()?;
        return Ok(!(is_for_all && filter.get_item(0)?.eq("ignore")?));
    }
    Ok(true)
}

/// The standard streams and what is below them: they are flushed in any case.
pub(super) fn standard_streams(py: Python<'_>) -> PyResult<HashSet<usize>> {
    let sys = py.import("sys")?;
    let mut streams = HashSet::new();
    for name in ["stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__"] {
        let mut layer = sys.getattr(name).ok();
        for below in ["buffer", "raw", ""] {
            let Some(stream) = layer.filter(|stream| !stream.is_none()) else { break };
            if !stream.get_type().getattr("__module__")?.eq("_io")? {
                break;
            }
            streams.insert(stream.as_ptr() as usize);
            layer = stream.getattr(below).ok();
        }
    }
    Ok(streams)
}
