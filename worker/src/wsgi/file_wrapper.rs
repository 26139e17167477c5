//! `wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling"):
//! an iterable over a file, of which the call can take the descriptor.

use std::fs::File;
use std::os::fd::RawFd;

use cgi2wsgi::system;
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use rustix::fs::{FileType, fstat, tell};

#[pyclass(frozen, module = "cgi2wsgi")]
pub(crate) struct FileWrapper {
    file: Py<PyAny>,
    block_size: usize,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, block_size=8192, /))]
    fn new(filelike: Py<PyAny>, block_size: usize) -> Self {
        Self { file: filelike, block_size }
    }

    fn __iter__(this: Bound<'_, Self>) -> Bound<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let block = self.file.bind(py).call_method1("read", (self.block_size,))?;
        if block.is_truthy()? { Ok(block) } else { Err(PyStopIteration::new_err(())) }
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.file.bind(py).getattr_opt("close")? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        }
    }
}

impl FileWrapper {
    /// R14: a copy of the file's descriptor, if what it would deliver is
    /// exactly what `read` would.
    ///
    /// That holds for Python's own binary files on regular files, when nothing
    /// is read ahead. Others may have a `fileno` and still deliver something
    /// else: a `GzipFile` has that of the compressed file.
    pub(crate) fn regular_file(&self, py: Python<'_>) -> Option<File> {
        let file = self.file.bind(py);
        let io = py.import("_io").ok()?;
        let own = ["BufferedReader", "BufferedRandom", "FileIO"]
            .iter()
            .any(|name| io.getattr(*name).is_ok_and(|class| file.get_type().is(&class)));
        if !own {
            return None;
        }
        let number: RawFd = file.call_method0("fileno").ok()?.extract().ok()?;
        let position: u64 = file.call_method0("tell").ok()?.extract().ok()?;
        if number < 0 {
            return None;
        }
        // The Python file, which is open, owns its descriptor.
        let descriptor = system::duplicate(number).ok()?;
        let regular = FileType::from_raw_mode(fstat(&descriptor).ok()?.st_mode).is_file();
        if !regular || tell(&descriptor).ok()? != position {
            return None;
        }
        Some(descriptor.into())
    }
}
