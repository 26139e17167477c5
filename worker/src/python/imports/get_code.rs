//! `SourceFileLoader.get_code` and `cache_from_source`: the bytecode of a source file.

use std::fmt::Write;
use std::io::IoSliceMut;
use std::os::fd::AsFd;

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use rustix::fs::{Mode, OFlags};

use super::{ORIGINALS, Originals, Text};

/// The part of a file of bytecode before the code itself.
const HEADER: usize = 16;

/// Errors are those of damaged bytecode and of audit hooks.
pub(super) fn quick_code<'py>(
    originals: &'static Originals,
    loader: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = loader.py();
    let Some((path, cached, header)) = plain_bytecode(originals, loader, name) else {
        return Ok(None);
    };
    let Some(bytes) = audited_read(originals, py, &cached, &header)? else { return Ok(None) };
    let code = originals.loads.bind(py).call1((bytes,))?;
    if !code.get_type().is(&originals.code_type) {
        return Ok(None);
    }
    originals.fix_co_filename.bind(py).call1((&code, path))?;
    Ok(Some(code))
}

/// The path of the source, the path of its bytecode, and how the bytecode begins if it is not stale. `None` if this is
/// not the plain case.
fn plain_bytecode<'py>(
    originals: &Originals,
    loader: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> Option<(Bound<'py, PyAny>, String, [u8; HEADER])> {
    let py = loader.py();
    let class = originals.source_loader.bind(py);
    if !loader.get_type().is(class) || !loader.getattr(intern!(py, "name")).ok()?.eq(name).ok()? {
        return None;
    }
    for (name, original) in &originals.called {
        if !class.getattr(name).ok()?.is(original) {
            return None;
        }
    }
    let path = loader.getattr(intern!(py, "path")).ok()?;
    let source = Text::from_object(&path)?;
    let cached = bytecode_of(originals, py, source.as_str())?;
    let stat = rustix::fs::stat(source.as_str()).ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the header has the lowest 32 bits"
    )]
    let [modified, size] =
        [modified(&stat) as i64 as u32, stat.st_size as u32].map(u32::to_le_bytes);
    // After the magic number come flags, of which zero is "by time and size".
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&originals.magic);
    header[8..12].copy_from_slice(&modified);
    header[12..].copy_from_slice(&size);
    Some((path, cached, header))
}

/// The time of modification as the import system compares it: what `int(os.stat(path).st_mtime)`
/// gives, rounding included.
pub(super) fn modified(stat: &rustix::fs::Stat) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "as Python does it")]
    let (seconds, nanoseconds) = (stat.st_mtime as f64, stat.st_mtime_nsec as f64);
    seconds + 1e-9 * nanoseconds
}

/// Where the bytecode of `source` is kept (PEP 3147). `None` if Python has to say.
fn bytecode_of(originals: &Originals, py: Python<'_>, source: &str) -> Option<String> {
    let prefix = originals.sys.bind(py).getattr(intern!(py, "pycache_prefix")).ok()?;
    if !prefix.is_none() {
        return None;
    }
    let tag = originals.implementation.bind(py).getattr(intern!(py, "cache_tag")).ok()?;
    let tag = Text::from_object(&tag)?;
    let (directory, file) = source.rsplit_once('/')?;
    let directory = directory.trim_end_matches('/');
    let (stem, _) = file.rsplit_once('.')?;
    if stem.is_empty() || directory.is_empty() {
        return None;
    }
    let tag = tag.as_str();
    let mut cached = String::with_capacity(source.len() + tag.len() + 16);
    let _ = write!(cached, "{directory}/__pycache__/{stem}.{tag}.pyc");
    Some(cached)
}

/// `importlib.util.cache_from_source`.
#[pyfunction]
#[pyo3(signature = (path, debug_override = None, *, optimization = None))]
pub(super) fn cache_from_source<'py>(
    py: Python<'py>,
    path: &Bound<'py, PyAny>,
    debug_override: Option<&Bound<'py, PyAny>>,
    optimization: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let originals =
        ORIGINALS.get().ok_or_else(|| PyTypeError::new_err("the import system is not set up"))?;
    if debug_override.is_none()
        && optimization.is_none()
        && let Some(source) = Text::from_object(path)
        && let Some(cached) = bytecode_of(originals, py, source.as_str())
    {
        return Ok(PyString::new(py, &cached).into_any());
    }
    let named = PyDict::new(py);
    named.set_item("optimization", optimization)?;
    originals.cache_from_source.bind(py).call((path, debug_override), Some(&named))
}

/// What follows `header` in a bytecode file that begins with it. Raises the audit event of `io.open_code`. `None` if
/// there is no such file.
fn audited_read<'py>(
    originals: &Originals,
    py: Python<'py>,
    path: &str,
    header: &[u8; HEADER],
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) else { return Ok(None) };
    let Ok(stat) = rustix::fs::fstat(&file) else { return Ok(None) };
    let Some(length) = usize::try_from(stat.st_size).ok().and_then(|size| size.checked_sub(HEADER))
    else {
        return Ok(None);
    };
    let arguments = (intern!(py, "open"), path, intern!(py, "r"), flags.bits());
    originals.audit.bind(py).call1(arguments)?;
    Ok(read(py, &file, header, length))
}

/// Reads with one system call, and without a copy.
fn read<'py>(
    py: Python<'py>,
    file: impl AsFd,
    header: &[u8; HEADER],
    length: usize,
) -> Option<Bound<'py, PyBytes>> {
    let mut begin = [0_u8; HEADER];
    let mut is_whole = false;
    let bytes = PyBytes::new_with(py, length, |contents| {
        let parts = &mut [IoSliceMut::new(&mut begin), IoSliceMut::new(contents)];
        is_whole = rustix::io::readv(file, parts) == Ok(HEADER + length);
        Ok(())
    });
    bytes.ok().filter(|_| is_whole && begin == *header)
}
