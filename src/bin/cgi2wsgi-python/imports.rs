//! Imports, with what Python's import system does for each module done here.
//!
//! Most of an import of a small module is not the module: it is the import
//! system's own Python code, which joins paths, names the file of bytecode twice,
//! reads it through a buffered file object and compares its header: 35
//! microseconds and nine system calls where ten and four will do. A site imports
//! hundreds of modules for every request.
//!
//! Three functions are replaced, by ones that do the same for the plain case
//! (a source file with its bytecode in `__pycache__`, checked by time and size)
//! and call Python's own for every other: what is found, what is loaded, which
//! file is read and what is stale are decided by the same rules from the same
//! places, at the same moment. Nothing is remembered from one import to the
//! next that Python itself does not remember. Whoever replaces a method that
//! these would have called gets it called.

use std::ffi::{CStr, c_char, c_int};
use std::fmt::Write;
use std::path::Path;
use std::sync::OnceLock;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};

/// What stood where the replacements stand, and what they need.
struct Originals {
    find_spec: Py<PyAny>,
    get_code: Py<PyAny>,
    cache_from_source: Py<PyAny>,
    file_finder: Py<PyType>,
    source_loader: Py<PyType>,
    /// The methods that `get_code` calls, as Python defines them.
    called: [(&'static str, Py<PyAny>); 3],
    spec_from_file_location: Py<PyAny>,
    fix_co_filename: Py<PyAny>,
    code_type: Py<PyAny>,
    sys: Py<PyModule>,
    implementation: Py<PyAny>,
    /// The first four bytes of a file of bytecode.
    magic: [u8; 4],
}

static ORIGINALS: OnceLock<Originals> = OnceLock::new();

/// The part of a file of bytecode before the code itself.
const HEADER: usize = 16;

/// Replaces the three functions, where the plain case can be told: without `-v`
/// and `-O`, and where names of files differ by their case.
pub(crate) fn quicken(py: Python<'_>) -> PyResult<()> {
    let sys = py.import("sys")?;
    let flags = sys.getattr("flags")?;
    let plain = |flag: &str| -> PyResult<bool> { Ok(flags.getattr(flag)?.extract::<i64>()? == 0) };
    if !cfg!(target_os = "linux") || !plain("verbose")? || !plain("optimize")? {
        return Ok(());
    }
    let external = py.import("_frozen_importlib_external")?;
    let imp = py.import("_imp")?;
    let class = |name: &str| -> PyResult<Bound<'_, PyType>> {
        external.getattr(name)?.cast_into().map_err(PyErr::from)
    };
    let (file_finder, source_loader) = (class("FileFinder")?, class("SourceFileLoader")?);
    let method = |name: &'static str| -> PyResult<(&'static str, Py<PyAny>)> {
        Ok((name, source_loader.getattr(name)?.unbind()))
    };
    let originals = Originals {
        find_spec: file_finder.getattr("find_spec")?.unbind(),
        get_code: source_loader.getattr("get_code")?.unbind(),
        cache_from_source: external.getattr("cache_from_source")?.unbind(),
        called: [method("path_stats")?, method("get_data")?, method("get_filename")?],
        spec_from_file_location: external.getattr("spec_from_file_location")?.unbind(),
        fix_co_filename: imp.getattr("_fix_co_filename")?.unbind(),
        code_type: external.getattr("_code_type")?.unbind(),
        implementation: sys.getattr("implementation")?.unbind(),
        magic: external.getattr("MAGIC_NUMBER")?.extract()?,
        file_finder: file_finder.clone().unbind(),
        source_loader: source_loader.clone().unbind(),
        sys: sys.unbind(),
    };
    if ORIGINALS.set(originals).is_err() {
        return Ok(());
    }
    let get_code = Method {
        name: c"get_code",
        function: ffi::PyMethodDefPointer { PyCFunction: get_code },
        flags: ffi::METH_O,
    };
    let find_spec = Method {
        name: c"find_spec",
        function: ffi::PyMethodDefPointer { PyCFunctionWithKeywords: find_spec },
        flags: ffi::METH_VARARGS | ffi::METH_KEYWORDS,
    };
    source_loader.setattr("get_code", get_code.of(&source_loader)?)?;
    file_finder.setattr("find_spec", find_spec.of(&file_finder)?)?;
    external.setattr("cache_from_source", wrap_pyfunction!(cache_from_source, py)?)
}

struct Method {
    name: &'static CStr,
    function: ffi::PyMethodDefPointer,
    flags: c_int,
}

impl Method {
    /// A method of `class`: it is bound to an instance as those of C are, and
    /// leaves no frame in tracebacks.
    fn of<'py>(self, class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        // Never freed: the method refers to it for as long as there is one.
        let definition = Box::leak(Box::new(ffi::PyMethodDef {
            ml_name: self.name.as_ptr(),
            ml_meth: self.function,
            ml_flags: self.flags,
            ml_doc: std::ptr::null(),
        }));
        // SAFETY: the class is a type, the definition lives for ever, and its
        // function is of the kind that its flags say.
        unsafe {
            let method = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
            Bound::from_owned_ptr_or_err(class.py(), method)
        }
    }
}

/// Runs `quick`, and where it has no answer `slow`; hands the result to Python.
fn either<'py>(
    py: Python<'py>,
    quick: impl FnOnce(&'static Originals) -> PyResult<Option<Bound<'py, PyAny>>>,
    slow: impl FnOnce(&'static Originals) -> PyResult<Bound<'py, PyAny>>,
) -> *mut ffi::PyObject {
    let answered = match ORIGINALS.get() {
        None => Err(PyTypeError::new_err("the import system is not set up")),
        Some(originals) => match quick(originals) {
            Ok(Some(found)) => Ok(found),
            Ok(None) => slow(originals),
            Err(error) => Err(error),
        },
    };
    match answered {
        Ok(object) => object.into_ptr(),
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    }
}

/// `SourceLoader.get_code`.
unsafe extern "C" fn get_code(
    loader: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this with its lock held and two objects that live
    // until it returns.
    let (py, loader, name) = unsafe {
        let py = Python::assume_attached();
        (py, Bound::from_borrowed_ptr(py, loader), Bound::from_borrowed_ptr(py, name))
    };
    either(
        py,
        |originals| quick_code(originals, &loader, &name),
        |originals| originals.get_code.bind(py).call1((&loader, &name)),
    )
}

fn quick_code<'py>(
    originals: &'static Originals,
    loader: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = loader.py();
    let class = originals.source_loader.bind(py);
    if !loader.get_type().is(class) || !loader.getattr(intern!(py, "name"))?.eq(name)? {
        return Ok(None);
    }
    for (name, original) in &originals.called {
        if !class.getattr(*name)?.is(original) {
            return Ok(None);
        }
    }
    let path = loader.getattr(intern!(py, "path"))?;
    let Some(source) = text(&path) else { return Ok(None) };
    let Some(cached) = bytecode_of(originals, py, source)? else { return Ok(None) };
    let (Ok(of_source), Some(bytes)) = (rustix::fs::stat(source), audited_read(py, &cached)?)
    else {
        return Ok(None);
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the header has the lowest 32 bits"
    )]
    let expected = [modified(&of_source) as i64 as u32, of_source.st_size as u32];
    let [modified, size] = expected.map(u32::to_le_bytes);
    // After the magic number come flags, of which zero is "by time and size".
    let header = [originals.magic, [0; 4], modified, size].concat();
    let Some(code) = bytes.strip_prefix(header.as_slice()) else { return Ok(None) };
    let Ok(length) = ffi::Py_ssize_t::try_from(code.len()) else { return Ok(None) };
    // SAFETY: the bytes live until it returns a new object or an error.
    let code = unsafe {
        let code = ffi::PyMarshal_ReadObjectFromString(code.as_ptr().cast(), length);
        Bound::from_owned_ptr_or_err(py, code)?
    };
    if !code.get_type().is(&originals.code_type) {
        return Ok(None);
    }
    originals.fix_co_filename.bind(py).call1((&code, path))?;
    Ok(Some(code))
}

/// The time of modification as the import system compares it: what
/// `int(os.stat(path).st_mtime)` gives, rounding included.
fn modified(stat: &rustix::fs::Stat) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "as Python does it")]
    let (seconds, nanoseconds) = (stat.st_mtime as f64, stat.st_mtime_nsec as f64);
    seconds + 1e-9 * nanoseconds
}

/// A `str` that is a path without surrogates; Python is to say what is wrong
/// with another.
fn text<'o>(object: &'o Bound<'_, PyAny>) -> Option<&'o str> {
    object.cast_exact::<PyString>().ok()?.to_str().ok().filter(|text| !text.contains('\0'))
}

/// Where the bytecode of `source` is kept (PEP 3147). `None` where Python has
/// to say.
fn bytecode_of(originals: &Originals, py: Python<'_>, source: &str) -> PyResult<Option<String>> {
    let tag = originals.implementation.bind(py).getattr(intern!(py, "cache_tag"))?;
    let sys = originals.sys.bind(py);
    if !sys.getattr(intern!(py, "pycache_prefix"))?.is_none() {
        return Ok(None);
    }
    let Some((directory, file)) = source.rsplit_once('/') else { return Ok(None) };
    let directory = directory.trim_end_matches('/');
    let (Some(tag), Some((stem, _))) = (text(&tag), file.rsplit_once('.')) else {
        return Ok(None);
    };
    if stem.is_empty() || directory.is_empty() {
        return Ok(None);
    }
    let mut cached = String::with_capacity(source.len() + tag.len() + 16);
    let _ = write!(cached, "{directory}/__pycache__/{stem}.{tag}.pyc");
    Ok(Some(cached))
}

/// `importlib.util.cache_from_source`.
#[pyfunction]
#[pyo3(signature = (path, debug_override = None, *, optimization = None))]
fn cache_from_source<'py>(
    py: Python<'py>,
    path: &Bound<'py, PyAny>,
    debug_override: Option<&Bound<'py, PyAny>>,
    optimization: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let originals =
        ORIGINALS.get().ok_or_else(|| PyTypeError::new_err("the import system is not set up"))?;
    if debug_override.is_none()
        && optimization.is_none()
        && let Some(source) = text(path)
        && let Some(cached) = bytecode_of(originals, py, source)?
    {
        return Ok(PyString::new(py, &cached).into_any());
    }
    let named = PyDict::new(py);
    named.set_item("optimization", optimization)?;
    originals.cache_from_source.bind(py).call((path, debug_override), Some(&named))
}

unsafe extern "C" {
    fn PySys_Audit(event: *const c_char, format: *const c_char, ...) -> c_int;
}

/// The whole of a file, if it can be had, as `io.open_code` opens it: with the
/// audit event of that.
fn audited_read(py: Python<'_>, path: &str) -> PyResult<Option<Vec<u8>>> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) else { return Ok(None) };
    let Ok(length) = rustix::fs::fstat(&file).map(|stat| stat.st_size) else { return Ok(None) };
    let Ok(length) = usize::try_from(length) else { return Ok(None) };
    if length < HEADER {
        return Ok(None);
    }
    let name = std::ffi::CString::new(path).unwrap_or_default();
    // SAFETY: the arguments are what the format says.
    let refused = unsafe {
        let flags = c_int::try_from(flags.bits()).unwrap_or_default();
        PySys_Audit(c"open".as_ptr(), c"ssi".as_ptr(), name.as_ptr(), c"r".as_ptr(), flags) != 0
    };
    if refused {
        return Err(PyErr::fetch(py));
    }
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        match rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) => {}
        }
    }
    Ok(Some(bytes))
}

/// `FileFinder.find_spec`.
unsafe extern "C" fn find_spec(
    finder: *mut ffi::PyObject,
    arguments: *mut ffi::PyObject,
    named: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this with its lock held and objects of these types
    // (no dict where no argument is named) that live until it returns.
    let (py, finder, arguments, named) = unsafe {
        let py = Python::assume_attached();
        (
            py,
            Bound::from_borrowed_ptr(py, finder),
            Bound::from_borrowed_ptr(py, arguments).cast_into_unchecked::<PyTuple>(),
            Bound::from_borrowed_ptr_or_opt(py, named)
                .map(|named| named.cast_into_unchecked::<PyDict>()),
        )
    };
    either(
        py,
        |originals| match arguments.get_item(0) {
            Ok(name) if named.is_none() => quick_spec(originals, &finder, &name),
            _ => Ok(None),
        },
        |originals| {
            let arguments = std::iter::once(finder.clone()).chain(arguments.iter());
            let arguments = PyTuple::new(py, arguments.collect::<Vec<_>>())?;
            originals.find_spec.bind(py).call(arguments, named.as_ref())
        },
    )
}

fn quick_spec<'py>(
    originals: &'static Originals,
    finder: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = finder.py();
    if !finder.get_type().is(&originals.file_finder) {
        return Ok(None);
    }
    let directory = finder.getattr(intern!(py, "path"))?;
    let (Some(full_name), Some(directory)) = (text(name), text(&directory)) else {
        return Ok(None);
    };
    let tail = full_name.rsplit_once('.').map_or(full_name, |(_, tail)| tail);
    if tail.is_empty() || tail.contains('/') || !directory.starts_with('/') {
        return Ok(None);
    }
    // The list of the directory is as old as the directory, or Python makes it anew.
    let Ok(stat) = rustix::fs::stat(directory) else { return Ok(None) };
    let listed: f64 = finder.getattr(intern!(py, "_path_mtime"))?.extract()?;
    if listed.to_bits() != modified(&stat).to_bits() {
        return Ok(None);
    }
    let entries = finder.getattr(intern!(py, "_path_cache"))?;
    let loaders = finder.getattr(intern!(py, "_loaders"))?.cast_into::<PyList>()?;
    let base = format!("{}/{tail}", directory.trim_end_matches('/'));
    let mut found = None;
    let is_entry = entries.contains(tail)?;
    if is_entry {
        found = first_file(&loaders, &format!("{base}/__init__"), |_| Ok(true))?
            .map(|(loader, file)| (loader, file, Some(PyList::new(py, [&base]))));
        if found.is_none() && is_directory(&base) {
            // Python decides whether it is a namespace.
            return Ok(None);
        }
    }
    if found.is_none() {
        let mut entry = String::with_capacity(tail.len() + 32);
        let listed = |suffix: &str| {
            entry.clear();
            entry.push_str(tail);
            entry.push_str(suffix);
            entries.contains(&entry)
        };
        found = first_file(&loaders, &base, listed)?.map(|(loader, file)| (loader, file, None));
    }
    let Some((loader, file, locations)) = found else {
        return Ok(Some(py.None().into_bound(py)));
    };
    let file = PyString::new(py, &file);
    let named = PyDict::new(py);
    named.set_item(intern!(py, "loader"), loader.call1((name, &file))?)?;
    named.set_item(intern!(py, "submodule_search_locations"), locations.transpose()?)?;
    originals.spec_from_file_location.bind(py).call((name, file), Some(&named)).map(Some)
}

/// The first of the files `stem` + suffix that is one, and the class of its
/// loader.
fn first_file<'py>(
    loaders: &Bound<'py, PyList>,
    stem: &str,
    mut is_candidate: impl FnMut(&str) -> PyResult<bool>,
) -> PyResult<Option<(Bound<'py, PyAny>, String)>> {
    for pair in loaders {
        let (suffix, loader) = pair.extract::<(Bound<'py, PyString>, Bound<'py, PyAny>)>()?;
        let suffix = suffix.to_str()?;
        if is_candidate(suffix)? {
            let file = [stem, suffix].concat();
            if Path::new(&file).is_file() {
                return Ok(Some((loader, file)));
            }
        }
    }
    Ok(None)
}

fn is_directory(path: &str) -> bool {
    Path::new(path).is_dir()
}
