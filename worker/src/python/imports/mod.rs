//! Imports of source files that have bytecode, without the import system's own Python code.
//!
//! Most of the time of an import of a small module is spent in Python code of the import system. It joins paths, names
//! the bytecode file twice, reads it through a buffered file object and compares its header: 35 microseconds and nine
//! system calls where ten and four are enough. A site imports hundreds of modules for every request.
//!
//! [`quicken`] replaces `FileFinder.find_spec`, `SourceFileLoader.get_code` and `cache_from_source`. The replacements
//! do the same for the plain case (a source file with its bytecode in `__pycache__`, checked by time and size) and call
//! Python's own functions for every other. They find, load and read by the same rules, from the same places, at the
//! same moment, and judge by the same rules what is stale. They remember nothing between imports that Python itself
//! does not remember. If a method that Python would have called has been replaced, they call the replacement.
//!
//! This is only about speed, so it fails open. If a private name of the import system is missing or has another form,
//! or if a `.pth` file or sitecustomize has already replaced a part of it, Python's own functions stay in place.
//!
//! Left out: archives, namespace packages, extension modules' loading, bytecode that is checked by
//! hash, and the writing of bytecode. Python does all of these.

mod find_spec;
mod get_code;
pub(crate) mod misses;

use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple, PyType};

use self::find_spec::quick_spec;
use self::get_code::{cache_from_source, quick_code};

/// The functions that were replaced, and what the replacements need.
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

/// Python's `FileFinder.find_spec`, if it is wrapped only to record misses.
static WRAPPED: OnceLock<Py<PyAny>> = OnceLock::new();

/// Replaces the three functions, if this Python's import system is the known one and the plain case can be recognized:
/// without `-v` and `-O`, and where file names are case-sensitive. Returns whether it did.
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

/// Makes `find_spec` report to [`misses`] every directory that lacks a module, even if Python's own functions have
/// stayed in place.
pub(crate) fn record_misses(py: Python<'_>) -> PyResult<()> {
    misses::record();
    if ORIGINALS.get().is_some() || WRAPPED.get().is_some() {
        return Ok(());
    }
    let file_finder: Bound<'_, PyType> =
        py.import("_frozen_importlib_external")?.getattr("FileFinder")?.cast_into()?;
    let original = file_finder.getattr("find_spec")?.unbind();
    if WRAPPED.set(original).is_ok() {
        file_finder.setattr("find_spec", method_find_spec().bound_to(&file_finder)?)?;
    }
    Ok(())
}

fn method_find_spec() -> Method {
    Method {
        name: c"find_spec",
        function: ffi::PyMethodDefPointer { PyCFunctionWithKeywords: find_spec },
        flags: ffi::METH_VARARGS | ffi::METH_KEYWORDS,
    }
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
    let get_code = get_code.bound_to(source_loader)?;
    let find_spec = method_find_spec().bound_to(file_finder)?;
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
        // A function from elsewhere has other globals; an inherited one has another name.
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
        // `find_spec` calls these; its replacement does not.
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
    /// A method of `class`. It is bound to an instance as C methods are, and leaves no frame in tracebacks.
    fn bound_to<'py>(self, class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        // Never freed: the method refers to it as long as it lives.
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

/// Runs `quick`; if that has no answer, runs `slow`.
fn either<'py>(
    quick: impl FnOnce(&'static Originals) -> PyResult<Option<Bound<'py, PyAny>>>,
    slow: impl FnOnce(&'static Originals) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(originals) = ORIGINALS.get() else {
        return Err(PyTypeError::new_err("the import system is not set up"));
    };
    quick(originals)?.map_or_else(|| slow(originals), Ok)
}

/// Hands a result to Python.
fn hand(py: Python<'_>, answered: PyResult<Bound<'_, PyAny>>) -> *mut ffi::PyObject {
    match answered {
        Ok(object) => object.into_ptr(),
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    }
}

/// A `str` without surrogates and without NUL, in UTF-8. For any other, Python has to say what is wrong.
struct Text<'py>(Bound<'py, PyBytes>);

impl<'py> Text<'py> {
    fn from_object(object: &Bound<'py, PyAny>) -> Option<Self> {
        // In the limited API of 3.9, `str` itself gives no UTF-8.
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
    let code = either(
        |originals| quick_code(originals, &loader, &name),
        |originals| originals.get_code.bind(py).call1((&loader, &name)),
    );
    hand(py, code)
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
    let call = |original: &Py<PyAny>| {
        let arguments = std::iter::once(finder.clone()).chain(arguments.iter());
        let arguments = PyTuple::new(py, arguments.collect::<Vec<_>>())?;
        original.bind(py).call(arguments, named.as_ref())
    };
    let found = match WRAPPED.get() {
        Some(original) => call(original),
        None => either(
            |originals| match arguments.get_item(0) {
                Ok(name) if named.is_none() && arguments.len() <= 2 => {
                    quick_spec(originals, &finder, &name)
                }
                _ => Ok(None),
            },
            |originals| call(&originals.find_spec),
        ),
    };
    if let Ok(found) = &found {
        misses::note(&finder, &arguments, found);
    }
    hand(py, found)
}
