//! `wsgi.input`: the request body as a file (PEP 3333, "Input and Error
//! Streams"). It behaves as `io.BufferedReader` does, ends where the body ends
//! (B1), and raises `OSError` where the client left before that (B3).

use std::io;
use std::sync::{Arc, Mutex};

use cgi2wsgi::cgi::body::Body;
use pyo3::exceptions::{PyStopIteration, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PySlice};

use super::exchange::{interrupted, lock};

/// Reads of up to this many bytes go straight into the object returned. A larger object grows as bytes arrive, because
/// its length is only the client's claim.
const DIRECT: usize = 1 << 20;

#[pyclass(frozen, module = "cgi2wsgi_worker")]
pub(crate) struct Input {
    body: Arc<Mutex<Body>>,
}

impl Input {
    pub(crate) fn new(body: Arc<Mutex<Body>>) -> Self {
        Self { body }
    }

    fn with<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Body) -> io::Result<T> + Send,
    ) -> PyResult<T> {
        Ok(py.detach(|| act(&mut lock(&self.body)))?)
    }

    fn some(&self, py: Python<'_>, most: usize) -> PyResult<Vec<u8>> {
        self.with(py, |body| {
            let mut bytes = vec![0; most];
            let count = body.read_some(&mut bytes, &interrupted)?;
            bytes.truncate(count);
            Ok(bytes)
        })
    }

    /// B9: reads until the end of standard input, but no more than `limit` bytes.
    fn until_end(&self, py: Python<'_>, limit: Option<usize>) -> PyResult<Vec<u8>> {
        self.with(py, |body| {
            let mut bytes: Vec<u8> = Vec::new();
            loop {
                let start = bytes.len();
                let more = limit.map_or(DIRECT, |limit| (limit - start).min(DIRECT));
                bytes.try_reserve(more).map_err(|_| io::ErrorKind::OutOfMemory)?;
                bytes.resize(start + more, 0);
                let count = body.read_some(&mut bytes[start..], &interrupted)?;
                bytes.truncate(start + count);
                if count == 0 {
                    return Ok(bytes);
                }
            }
        })
    }

    fn line(&self, py: Python<'_>, size: Option<isize>) -> PyResult<Vec<u8>> {
        let limit = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX);
        self.with(py, |body| {
            let mut line = Vec::new();
            body.read_line(&mut line, limit, &interrupted).map(|()| line)
        })
    }
}

/// `None` and -1 mean everything.
fn requested(size: Option<isize>) -> PyResult<Option<usize>> {
    match size {
        None | Some(-1) => Ok(None),
        Some(size) => usize::try_from(size)
            .map(Some)
            .map_err(|_| PyValueError::new_err("read length must be non-negative or -1")),
    }
}

#[pymethods]
#[expect(clippy::unused_self, reason = "Python calls these on an instance")]
impl Input {
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        let size = requested(size)?;
        let (unread, may_be_longer) = py.detach(|| {
            let body = lock(&self.body);
            (usize::try_from(body.unread()).unwrap_or(usize::MAX), body.may_be_longer())
        });
        if may_be_longer && size.is_none_or(|size| size > unread) {
            return Ok(PyBytes::new(py, &self.until_end(py, size)?));
        }
        let count = size.map_or(unread, |size| size.min(unread));
        if count <= DIRECT {
            return PyBytes::new_with(py, count, |into| {
                self.with(py, |body| body.read_exact(into, &interrupted))
            });
        }
        let bytes = self.with(py, |body| {
            let mut bytes: Vec<u8> = Vec::new();
            while bytes.len() < count {
                let start = bytes.len();
                let more = start.max(DIRECT).min(count - start);
                bytes.try_reserve_exact(more).map_err(|_| io::ErrorKind::OutOfMemory)?;
                bytes.resize(start + more, 0);
                body.read_exact(&mut bytes[start..], &interrupted)?;
            }
            Ok(bytes)
        })?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The bytes that are available after at most one wait.
    #[pyo3(signature = (size=None, /))]
    fn read1<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        let most = requested(size)?.unwrap_or(DIRECT).min(DIRECT);
        Ok(PyBytes::new(py, &self.some(py, most)?))
    }

    /// With these, `io.BufferedReader` and `io.TextIOWrapper` can wrap it.
    #[pyo3(signature = (buffer, /))]
    fn readinto(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let into = PyMemoryView::from(buffer)?.call_method1("cast", ("B",))?;
        let most = into.len()?.min(DIRECT);
        let bytes = self.some(py, most)?;
        let end = isize::try_from(bytes.len()).unwrap_or(isize::MAX);
        into.set_item(PySlice::new(py, 0, end, 1), PyBytes::new(py, &bytes))?;
        Ok(bytes.len())
    }

    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.line(py, size)?))
    }

    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(
        &self,
        py: Python<'py>,
        hint: Option<isize>,
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        // As in io.IOBase, no hint or one below 1 means no limit.
        let hint = hint.and_then(|hint| usize::try_from(hint).ok()).filter(|hint| *hint > 0);
        let (mut lines, mut total) = (Vec::new(), 0);
        while hint.is_none_or(|hint| total < hint) {
            let line = self.line(py, None)?;
            if line.is_empty() {
                break;
            }
            total += line.len();
            lines.push(PyBytes::new(py, &line));
        }
        Ok(lines)
    }

    fn __iter__(this: Bound<'_, Self>) -> Bound<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let line = self.line(py, None)?;
        if line.is_empty() {
            return Err(PyStopIteration::new_err(()));
        }
        Ok(PyBytes::new(py, &line))
    }

    fn readable(&self) -> bool {
        true
    }

    fn writable(&self) -> bool {
        false
    }

    fn seekable(&self) -> bool {
        false
    }

    /// Does nothing: the server closes it, and PEP 3333 forbids applications to.
    fn close(&self) {}

    fn flush(&self) {}

    #[getter]
    fn closed(&self) -> bool {
        false
    }
}
