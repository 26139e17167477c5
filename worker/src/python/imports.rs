//! Imports of source files that have bytecode, without the import system's own Python code.
//!
//! Most of an import of a small module is not the module. It is Python code of the import system,
//! which joins paths, names the file of bytecode twice, reads it through a buffered file object and
//! compares its header: 35 microseconds and nine system calls where ten and four will do. A site
//! imports hundreds of modules for every request.
//!
//! [`quicken`] replaces `FileFinder.find_spec`, `SourceFileLoader.get_code` and
//! `cache_from_source`. The replacements do the same for the plain case (a source file with its
//! bytecode in `__pycache__`, checked by time and size) and call Python's own functions for every
//! other. What is found, what is loaded, which file is read and what is stale follow the same rules,
//! from the same places, at the same moment. Nothing is remembered from one import to the next that
//! Python itself does not remember. Whoever replaces a method that these would have called gets it
//! called.
//!
//! This is only about speed, so it fails open. Where a private name of the import system is missing
//! or has another shape, or where somebody (a `.pth` file, sitecustomize) has replaced a part of it
//! before, Python's own functions stay in place.
//!
//! Left out: archives, namespace packages, extension modules' loading, bytecode that is checked by
//! hash, and the writing of bytecode. Python does all of these.

use std::ffi::{CStr, c_int};
use std::fmt::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::OnceLock;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple, PyType};
use rustix::fs::{Mode, OFlags};

/// What stood where the replacements stand, and what they need.
struct Originals {
    find_spec: Py<PyAny>,
    get_code: Py<PyAny>,
    cache_from_source: Py<PyAny>,
    file_finder: Py<PyType>,
    source_loader: Py<PyType>,
    /// The methods that `get_code` calls, as Python defines them.
    called: [(Py<PyString>, Py<PyAny>); 3],
    spec_from_file_location: Py<PyAny>,
    fix_co_filename: Py<PyAny>,
    code_type: Py<PyAny>,
    /// `marshal.loads` and `sys.audit`: their C functions are not in the limited API of 3.9.
    loads: Py<PyAny>,
    audit: Py<PyAny>,
    sys: Py<PyModule>,
    implementation: Py<PyAny>,
    /// The first four bytes of a file of bytecode.
    magic: [u8; 4],
}

static ORIGINALS: OnceLock<Originals> = OnceLock::new();

/// The part of a file of bytecode before the code itself.
const HEADER: usize = 16;

/// Replaces the three functions, if this Python's import system is the known one and the plain case
/// can be told: without `-v` and `-O`, and where names of files differ by their case. Returns
/// whether it did.
pub(crate) fn quicken(py: Python<'_>) -> bool {
    if !cfg!(target_os = "linux") {
        return false;
    }
    let Ok(Some(originals)) = Originals::find(py) else { return false };
    let file_finder = originals.file_finder.clone_ref(py).into_bound(py);
    let source_loader = originals.source_loader.clone_ref(py).into_bound(py);
    if ORIGINALS.set(originals).is_err() {
        return false;
    }
    replace(py, &file_finder, &source_loader).is_ok()
}

fn replace(
    py: Python<'_>,
    file_finder: &Bound<'_, PyType>,
    source_loader: &Bound<'_, PyType>,
) -> PyResult<()> {
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
    let get_code = get_code.of(source_loader)?;
    let find_spec = find_spec.of(file_finder)?;
    let cache_from_source = wrap_pyfunction!(cache_from_source, py)?;
    source_loader.setattr("get_code", get_code)?;
    file_finder.setattr("find_spec", find_spec)?;
    py.import("_frozen_importlib_external")?.setattr("cache_from_source", cache_from_source)
}

impl Originals {
    /// `None` or an error: Python's own functions have to stay.
    fn find(py: Python<'_>) -> PyResult<Option<Self>> {
        let sys = py.import("sys")?;
        let flags = sys.getattr("flags")?;
        for flag in ["verbose", "optimize"] {
            if flags.getattr(flag)?.extract::<i64>()? != 0 {
                return Ok(None);
            }
        }
        let external = py.import("_frozen_importlib_external")?;
        let class = |name: &str| -> PyResult<Bound<'_, PyType>> {
            external.getattr(name)?.cast_into().map_err(PyErr::from)
        };
        let (file_finder, source_loader) = (class("FileFinder")?, class("SourceFileLoader")?);
        let globals = external.dict();
        // A function of somebody else's has other globals; an inherited one has another name.
        let own = |owner: &Bound<'_, PyAny>, name: &str, takes: &[&str]| -> PyResult<Py<PyAny>> {
            let function = owner.getattr(name.rsplit('.').next().unwrap_or(name))?;
            let code = function.getattr("__code__")?;
            let variables = code.getattr("co_varnames")?.cast_into::<PyTuple>()?;
            if function.getattr("__globals__")?.is(&globals)
                && function.getattr("__qualname__")?.eq(name)?
                && variables.get_slice(0, takes.len()).eq(PyTuple::new(py, takes)?)?
            {
                return Ok(function.unbind());
            }
            Err(PyTypeError::new_err("not the function that is known"))
        };
        // What `find_spec` calls, and its replacement leaves out.
        for name in ["FileFinder._get_spec", "FileFinder._fill_cache"] {
            own(&file_finder, name, &["self"])?;
        }
        let path_stats = own(&source_loader, "SourceFileLoader.path_stats", &["self"])?;
        let get_data = own(&source_loader, "FileLoader.get_data", &["self"])?;
        let get_filename = own(&source_loader, "FileLoader.get_filename", &["self"])?;
        Ok(Some(Self {
            find_spec: own(&file_finder, "FileFinder.find_spec", &["self", "fullname", "target"])?,
            get_code: own(&source_loader, "SourceLoader.get_code", &["self", "fullname"])?,
            cache_from_source: own(
                &external,
                "cache_from_source",
                &["path", "debug_override", "optimization"],
            )?,
            called: [
                (intern!(py, "path_stats").clone().unbind(), path_stats),
                (intern!(py, "get_data").clone().unbind(), get_data),
                (intern!(py, "get_filename").clone().unbind(), get_filename),
            ],
            spec_from_file_location: own(
                &external,
                "spec_from_file_location",
                &["name", "location", "loader", "submodule_search_locations"],
            )?,
            fix_co_filename: py.import("_imp")?.getattr("_fix_co_filename")?.unbind(),
            code_type: external.getattr("_code_type")?.unbind(),
            loads: py.import("marshal")?.getattr("loads")?.unbind(),
            audit: sys.getattr("audit")?.unbind(),
            implementation: sys.getattr("implementation")?.unbind(),
            magic: external.getattr("MAGIC_NUMBER")?.extract()?,
            file_finder: file_finder.unbind(),
            source_loader: source_loader.unbind(),
            sys: sys.unbind(),
        }))
    }
}

struct Method {
    name: &'static CStr,
    function: ffi::PyMethodDefPointer,
    flags: c_int,
}

impl Method {
    /// A method of `class`: it is bound to an instance as those of C are, and leaves no frame in
    /// tracebacks.
    fn of<'py>(self, class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        // Never freed: the method refers to it for as long as there is one.
        let definition = Box::leak(Box::new(ffi::PyMethodDef {
            ml_name: self.name.as_ptr(),
            ml_meth: self.function,
            ml_flags: self.flags,
            ml_doc: std::ptr::null(),
        }));
        // SAFETY: the class is a type, the definition lives for ever, and its function is of the
        // kind that its flags say.
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

/// A `str` without surrogates and without NUL, in UTF-8. Python has to say what is wrong with
/// another.
struct Text<'py>(Bound<'py, PyBytes>);

impl<'py> Text<'py> {
    fn of(object: &Bound<'py, PyAny>) -> Option<Self> {
        // `str` itself has no UTF-8 in the limited API of 3.9.
        let encoded = object.cast_exact::<PyString>().ok()?.encode_utf8().ok()?;
        (!encoded.as_bytes().contains(&0)).then_some(Self(encoded))
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.as_bytes()).unwrap_or_default()
    }
}

/// `SourceLoader.get_code`.
unsafe extern "C" fn get_code(
    loader: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this with its lock held and two objects that live until it returns.
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

/// Errors are those of bytecode that is damaged, and of audit hooks.
fn quick_code<'py>(
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

/// The path of the source, where its bytecode is, and how that begins if it is not stale. `None`
/// where this is not the plain case.
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
    let source = Text::of(&path)?;
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
fn modified(stat: &rustix::fs::Stat) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "as Python does it")]
    let (seconds, nanoseconds) = (stat.st_mtime as f64, stat.st_mtime_nsec as f64);
    seconds + 1e-9 * nanoseconds
}

/// Where the bytecode of `source` is kept (PEP 3147). `None` where Python has to say.
fn bytecode_of(originals: &Originals, py: Python<'_>, source: &str) -> Option<String> {
    let prefix = originals.sys.bind(py).getattr(intern!(py, "pycache_prefix")).ok()?;
    if !prefix.is_none() {
        return None;
    }
    let tag = originals.implementation.bind(py).getattr(intern!(py, "cache_tag")).ok()?;
    let tag = Text::of(&tag)?;
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
        && let Some(source) = Text::of(path)
        && let Some(cached) = bytecode_of(originals, py, source.as_str())
    {
        return Ok(PyString::new(py, &cached).into_any());
    }
    let named = PyDict::new(py);
    named.set_item("optimization", optimization)?;
    originals.cache_from_source.bind(py).call((path, debug_override), Some(&named))
}

/// What follows `header` in a file of bytecode that begins with it, with the audit event of
/// `io.open_code`. `None` where there is no such file.
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

/// With one system call, and without a copy.
fn read<'py>(
    py: Python<'py>,
    file: &impl AsRawFd,
    header: &[u8; HEADER],
    length: usize,
) -> Option<Bound<'py, PyBytes>> {
    let mut begin = [0_u8; HEADER];
    let size = ffi::Py_ssize_t::try_from(length).ok()?;
    // SAFETY: Python makes a `bytes` of this length, which nobody else has seen yet, or none. The
    // parts are as long as is said, and what is returned was written whole.
    unsafe {
        let bytes = ffi::PyBytes_FromStringAndSize(std::ptr::null(), size);
        let bytes = Bound::from_owned_ptr_or_opt(py, bytes);
        let Some(bytes) = bytes else {
            ffi::PyErr_Clear();
            return None;
        };
        let contents = ffi::PyBytes_AsString(bytes.as_ptr());
        let parts = [
            libc::iovec { iov_base: begin.as_mut_ptr().cast(), iov_len: HEADER },
            libc::iovec { iov_base: contents.cast(), iov_len: length },
        ];
        let count = libc::readv(file.as_raw_fd(), parts.as_ptr(), 2);
        let is_whole = usize::try_from(count).is_ok_and(|count| count == HEADER + length);
        (is_whole && begin == *header).then(|| bytes.cast_into_unchecked())
    }
}

/// `FileFinder.find_spec`.
unsafe extern "C" fn find_spec(
    finder: *mut ffi::PyObject,
    arguments: *mut ffi::PyObject,
    named: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this with its lock held and objects of these types (no dict where no
    // argument is named) that live until it returns.
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
            Ok(name) if named.is_none() && arguments.len() <= 2 => {
                quick_spec(originals, &finder, &name)
            }
            _ => Ok(None),
        },
        |originals| {
            let arguments = std::iter::once(finder.clone()).chain(arguments.iter());
            let arguments = PyTuple::new(py, arguments.collect::<Vec<_>>())?;
            originals.find_spec.bind(py).call(arguments, named.as_ref())
        },
    )
}

/// A module's file, the class of its loader, and where a package's own modules are.
struct Found<'py> {
    file: String,
    loader: Bound<'py, PyAny>,
    package: Option<String>,
}

/// Errors are those of loaders that are told of a file.
fn quick_spec<'py>(
    originals: &'static Originals,
    finder: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = finder.py();
    let Some(found) = search(originals, finder, name) else { return Ok(None) };
    let Some(Found { file, loader, package }) = found else {
        return Ok(Some(py.None().into_bound(py)));
    };
    let file = PyString::new(py, &file);
    let locations = package.map(|directory| PyList::new(py, [directory])).transpose()?;
    let named = PyDict::new(py);
    named.set_item(intern!(py, "loader"), loader.call1((name, &file))?)?;
    named.set_item(intern!(py, "submodule_search_locations"), locations)?;
    originals.spec_from_file_location.bind(py).call((name, file), Some(&named)).map(Some)
}

/// The module in the finder's directory, if there is one. `None` where Python has to search.
fn search<'py>(
    originals: &Originals,
    finder: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> Option<Option<Found<'py>>> {
    let py = finder.py();
    if !finder.get_type().is(&originals.file_finder) {
        return None;
    }
    let full_name = Text::of(name)?;
    let directory = Text::of(&finder.getattr(intern!(py, "path")).ok()?)?;
    let (full_name, directory) = (full_name.as_str(), directory.as_str());
    let tail = full_name.rsplit_once('.').map_or(full_name, |(_, tail)| tail);
    if tail.is_empty() || tail.contains('/') || !directory.starts_with('/') {
        return None;
    }
    // The list of the directory is as old as the directory, or Python makes it anew.
    let stat = rustix::fs::stat(directory).ok()?;
    let listed: f64 = finder.getattr(intern!(py, "_path_mtime")).ok()?.extract().ok()?;
    if listed.to_bits() != modified(&stat).to_bits() {
        return None;
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
            let file = format!("{base}/__init__{}", Text::of(&suffix)?.as_str());
            if Path::new(&file).is_file() {
                return Some(Some(Found { file, loader, package: Some(base) }));
            }
        }
        if Path::new(&base).is_dir() {
            // Python decides whether it is a namespace.
            return None;
        }
    }
    for pair in &loaders {
        let (suffix, loader) = suffix_and_loader(&pair)?;
        if entries.contains(entry.add(&suffix).ok()?).ok()? {
            let file = base() + Text::of(&suffix)?.as_str();
            if Path::new(&file).is_file() {
                return Some(Some(Found { file, loader, package: None }));
            }
        }
    }
    Some(None)
}

fn suffix_and_loader<'py>(
    pair: &Bound<'py, PyAny>,
) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let pair = pair.cast_exact::<PyTuple>().ok().filter(|pair| pair.len() == 2)?;
    Some((pair.get_item(0).ok()?, pair.get_item(1).ok()?))
}
