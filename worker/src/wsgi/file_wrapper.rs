//! `wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling"): an iterable over a file, whose
//! descriptor the call can take.

use std::fs::File;
use std::os::fd::RawFd;

use cgi2wsgi::system;
use pyo3::exceptions::{PyAttributeError, PyStopIteration};
use pyo3::prelude::*;
use rustix::fs::{FileType, fstat, tell};

/// How much is read at a time if the application does not say.
const BLOCK: isize = 64 << 10;

#[pyclass(frozen, module = "cgi2wsgi_worker")]
pub(crate) struct FileWrapper {
    file: Py<PyAny>,
    block_size: isize,
}

#[pymethods]
impl FileWrapper {
    /// A block size is a suggestion; an invalid one, such as -1, is ignored.
    #[new]
    #[pyo3(signature = (filelike, block_size=None, /))]
    fn new(filelike: Py<PyAny>, block_size: Option<isize>) -> Self {
        Self { file: filelike, block_size: block_size.filter(|size| *size > 0).unwrap_or(BLOCK) }
    }

    /// The file, under the name that `wsgiref.util.FileWrapper` gives it.
    #[getter]
    fn filelike(&self, py: Python<'_>) -> Py<PyAny> {
        self.file.clone_ref(py)
    }

    #[getter]
    fn blksize(&self) -> isize {
        self.block_size
    }

    /// With these Werkzeug finds the beginning of a range without reading up to it. They exist here if the file has
    /// them.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        if matches!(name, "seekable" | "seek" | "tell") {
            return self.file.bind(py).getattr(name);
        }
        Err(PyAttributeError::new_err(format!("wsgi.file_wrapper has no attribute {name:?}")))
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
    /// R14: a copy of the file's descriptor, if that delivers exactly what `read` would.
    ///
    /// It does for Python's own binary files on regular files, when nothing is read ahead. Other objects may have a
    /// `fileno` and still deliver something else: `GzipFile` has the descriptor of the compressed file.
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
        // The Python file is open and owns its descriptor.
        let descriptor = system::duplicate(number).ok()?;
        let stat = fstat(&descriptor).ok()?;
        // Files of /proc and /sys have a size of 0 and bytes to read.
        let has_size = u64::try_from(stat.st_size).is_ok_and(|size| size > position);
        let regular = FileType::from_raw_mode(stat.st_mode).is_file();
        if !regular || !has_size || tell(&descriptor).ok()? != position {
            return None;
        }
        Some(descriptor.into())
    }
}
