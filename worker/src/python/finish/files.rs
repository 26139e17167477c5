//! Open files: what they hold is written. If they are `io`'s own, nothing else of their end can be seen.

use std::collections::HashSet;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::known::Nature;
use super::names::describe;
use super::raw::Class;
use super::survey::Survey;

impl<'py> Survey<'py> {
    /// At its end, an open file of `io` itself over `io.FileIO` only writes what it holds. A file over anything else
    /// calls that object's code.
    pub(super) fn of_file(
        &mut self,
        file: &Bound<'py, PyAny>,
        nature: Nature,
    ) -> PyResult<Option<String>> {
        if self.is_standard(file)? {
            return Ok(None);
        }
        let below = match file.getattr(if nature == Nature::Text { "buffer" } else { "raw" }) {
            Ok(below) => below,
            Err(error) if error.is_instance_of::<PyValueError>(self.py) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_memory = below.get_type().is(&self.py.import("_io")?.getattr("BytesIO")?);
        let holds = match (nature, self.nature(Class::from_object(&below))) {
            _ if below.is_none() || is_memory => false,
            (Nature::Text, Nature::Reader) | (Nature::Reader, Nature::RawFile) => false,
            (Nature::Text, Nature::Writer) | (Nature::Writer, Nature::RawFile) => true,
            _ => return Ok(Some("it is over a file of another kind".to_owned())),
        };
        if holds && nature == Nature::Text && self.is_standard(&below)? {
            // Another text layer over standard output holds data as a file does.
            return Ok(Some("it is over a standard stream".to_owned()));
        }
        if !holds || file.getattr("closed")?.is_truthy()? {
            return Ok(None);
        }
        if self.warns()? {
            return Ok(Some("a warning about it would be shown".to_owned()));
        }
        self.writers.push(file.clone());
        Ok(None)
    }

    /// `io.FileIO` holds nothing; it warns if it is still open.
    pub(super) fn warns_of(&self, file: &Bound<'py, PyAny>) -> PyResult<bool> {
        Ok(self.warns()?
            && !self.is_standard(file)?
            && !file.getattr("closed")?.is_truthy()?
            && file.getattr("closefd")?.is_truthy()?)
    }

    /// Writes what the one open file holds. With several, their order could matter, and only Python keeps it: returns
    /// the reason for a tear-down.
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

    /// Open files that hold written data, from the last `first` or `all`: text files before the files below them.
    pub(super) fn writers_from_above(&self) -> Vec<Bound<'py, PyAny>> {
        let mut writers = self.writers.clone();
        writers.sort_by_key(|file| !file.hasattr("buffer").unwrap_or(false));
        writers
    }
}
