//! What Python asks the file system while the application is imported: which files it opens, lists, looks for, creates
//! and removes. An audit hook (PEP 578) sees what modules do as well as `open`. [`stat_calls`](super::stat_calls)
//! records what raises no event, and [`misses`](crate::python::imports::misses) the search for modules.
//!
//! Left out: what was asked before [`record`]. Python has started by then, so the hook has not seen
//! `.pth` files, `pyvenv.cfg`, sitecustomize and what they opened. Those among them that are modules
//! have a `__file__` in `sys.modules`; the others have to be named by `watch`. What is asked
//! without Python (by a C library, by another process) raises no event.
//!
//! `PySys_AddAuditHook` is not in the limited API of 3.9, so the hook is a C function passed to `sys.addaudithook`.
//! Python cannot remove it: after [`take`] it returns at once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use cgi2wsgi::handoff::Limits;
use cgi2wsgi::zygotes::names::{Listing, names_in};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCFunction, PyString, PyTuple};

use super::databases::Used;

/// What one import has asked.
#[derive(Debug, Default)]
pub(crate) struct Consulted {
    /// Opened for reading.
    pub(crate) read: HashSet<PathBuf>,
    /// Opened for writing, created, moved or linked to this path, or removed: what an import does itself is no change
    /// of what is imported.
    pub(crate) written: HashSet<PathBuf>,
    /// Looked for, and whether they were there when they were last looked for.
    pub(crate) looked_for: HashMap<PathBuf, bool>,
    /// Directories that were listed.
    pub(crate) listed: HashMap<PathBuf, Listed>,
    /// Databases of `SQLite`.
    pub(crate) databases: HashMap<PathBuf, Used>,
}

impl Consulted {
    /// Removes what must not start another zygote (`--warm-ignore`).
    pub(super) fn ignore(&mut self, limits: &Limits) {
        let counts = |path: &Path| !limits.ignores(path);
        self.read.retain(|path| counts(path));
        self.looked_for.retain(|path, _| counts(path));
        self.listed.retain(|path, _| counts(path));
        self.databases.retain(|path, _| counts(path));
    }
}

/// A directory that was listed.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// Which code has listed it.
    pub(crate) by: BTreeSet<Listing>,
    /// What was in it the last time.
    pub(crate) names: BTreeSet<OsString>,
}

/// What was asked so far.
static CONSULTED: Mutex<Option<Consulted>> = Mutex::new(None);

/// Whether it is recorded. The hook checks this first.
static RECORDING: AtomicBool = AtomicBool::new(false);

/// Whether the import asks, and not a request (`--warm-request`).
static IS_IMPORT: AtomicBool = AtomicBool::new(true);

/// From here on a request is answered. What it lists does not count, because other requests add to it. The files that
/// it reads and misses may be in memory from here on, as templates are.
pub(super) fn leave_import() {
    IS_IMPORT.store(false, Relaxed);
}

/// Whether to record what each request would ask anew.
pub(super) fn is_of_import() -> bool {
    is_recording() && IS_IMPORT.load(Relaxed)
}

/// Gets the events that are not about files.
pub(super) type Others = fn(&str, &Bound<'_, PyTuple>) -> Option<()>;

/// Records what Python asks from here on. An audit hook that is already there may refuse this one.
pub(super) fn record(py: Python<'_>, others: Others) -> PyResult<()> {
    let hook = PyCFunction::new_closure(py, None, None, move |arguments, _| {
        // Any code may call a hook with anything, and this one refuses nothing.
        if is_recording() {
            let _ = note_event(arguments, others);
        }
    })?;
    if let Ok(mut consulted) = CONSULTED.lock() {
        *consulted = Some(Consulted::default());
    }
    RECORDING.store(true, Relaxed);
    py.import("sys")?.call_method1("addaudithook", (hook,)).map(drop)
}

/// Returns what was recorded, and stops recording.
pub(crate) fn take() -> Consulted {
    RECORDING.store(false, Relaxed);
    CONSULTED.lock().ok().and_then(|mut consulted| consulted.take()).unwrap_or_default()
}

pub(super) fn is_recording() -> bool {
    RECORDING.load(Relaxed)
}

pub(super) fn change(note: impl FnOnce(&mut Consulted)) -> Option<()> {
    CONSULTED.lock().ok()?.as_mut().map(note)
}

/// None if the event is of no interest, or has another form.
fn note_event(arguments: &Bound<'_, PyTuple>, others: Others) -> Option<()> {
    let event = arguments.get_item(0).ok()?.cast_into::<PyString>().ok()?;
    let event = event.to_cow().ok()?;
    let arguments = || arguments.get_item(1).ok()?.cast_into::<PyTuple>().ok();
    match &*event {
        "open" => note_open(&arguments()?),
        "os.listdir" | "os.scandir" => note_listing(&arguments()?.get_item(0).ok()?),
        "os.mkdir" => note_made(&arguments()?, 0, 2),
        "os.symlink" | "socket.bind" => note_made(&arguments()?, 1, 2),
        "os.remove" | "os.rmdir" => note_made(&arguments()?, 0, 1),
        "os.rename" => {
            note_made(&arguments()?, 0, 2);
            note_made(&arguments()?, 1, 3)
        }
        "os.link" => note_made(&arguments()?, 1, 3),
        event => others(event, &arguments()?),
    }
}

/// `open(path, mode, flags)`.
fn note_open(arguments: &Bound<'_, PyTuple>) -> Option<()> {
    let named = path_of(&arguments.get_item(0).ok()?)?;
    if is_bytecode(&named) {
        return None;
    }
    let flags: i32 = arguments.get_item(2).ok()?.extract().ok()?;
    let has = |flag: i32| flags & flag == flag;
    let access = flags & libc::O_ACCMODE;
    // What was in it before does not matter.
    let is_fresh = has(libc::O_TRUNC) || has(libc::O_CREAT | libc::O_EXCL);
    let is_read = access != libc::O_WRONLY && !is_fresh;
    let is_written = access != libc::O_RDONLY || has(libc::O_CREAT);
    // `os.open` reports no mode, nor the directory to which a name is relative.
    let directories = match arguments.get_item(1) {
        Ok(mode) if mode.is_none() && named.is_relative() => open_directories(),
        _ => Vec::new(),
    };
    let here = std::path::absolute(&named).ok();
    for path in here.into_iter().chain(directories.iter().map(|open| open.join(&named))) {
        if is_uninteresting(&path) {
            continue;
        }
        let is_there = path.metadata();
        change(|consulted| {
            match is_there {
                Ok(found) if is_read && found.is_file() => {
                    consulted.looked_for.remove(&path);
                    consulted.read.insert(path.clone());
                }
                Err(error) if is_read && error.kind() == ErrorKind::NotFound => {
                    consulted.looked_for.insert(path.clone(), false);
                }
                _ => {}
            }
            if is_written {
                consulted.written.insert(path);
            }
        })?;
    }
    Some(())
}

fn note_listing(directory: &Bound<'_, PyAny>) -> Option<()> {
    let by = lister(directory.py()).filter(|_| is_of_import())?;
    let path = if directory.is_none() { ".".into() } else { path_of(directory)? };
    let path = std::path::absolute(path).ok()?;
    if is_uninteresting(&path) {
        return None;
    }
    match names_in(&path) {
        Ok(names) => change(|consulted| {
            let listed = consulted.listed.entry(path).or_default();
            listed.by.insert(by);
            listed.names = names;
        }),
        Err(_) => note_looked_for(path, false),
    }
}

/// Why the running Python code lists a directory. None if it is the import system, whose misses are recorded elsewhere.
fn lister(py: Python<'_>) -> Option<Listing> {
    let frame = py.import("sys").ok()?.call_method0("_getframe").ok()?;
    let file: String = frame.getattr("f_code").ok()?.getattr("co_filename").ok()?.extract().ok()?;
    let is_of = |modules: &[&str]| modules.iter().any(|module| file.contains(module));
    if file.starts_with("<frozen importlib") || file.starts_with("<frozen zipimport") {
        return None;
    }
    let distributions = ["/importlib/metadata", "/importlib_metadata/", "/pkg_resources/"];
    Some(if is_of(&["/pkgutil.py", "<frozen pkgutil"]) {
        Listing::Modules
    } else if is_of(&distributions) {
        Listing::Distributions
    } else {
        Listing::All
    })
}

/// Notes that some code looked for a file or a directory of this name.
pub(super) fn note_looked_for(path: PathBuf, is_there: bool) -> Option<()> {
    if is_uninteresting(&path) {
        return None;
    }
    change(|consulted| {
        consulted.looked_for.insert(path, is_there);
    })
}

/// `path` and `directory`: which arguments are the path of what is made or removed, and the descriptor of its
/// directory.
fn note_made(arguments: &Bound<'_, PyTuple>, path: usize, directory: usize) -> Option<()> {
    let directory = arguments.get_item(directory).ok().and_then(|number| number.extract().ok());
    let path = path_in(&arguments.get_item(path).ok()?, directory)?;
    change(|consulted| {
        consulted.written.insert(path);
    })
}

/// The absolute path of a name, which may be relative to a directory's descriptor.
pub(super) fn path_in(named: &Bound<'_, PyAny>, directory: Option<i32>) -> Option<PathBuf> {
    let path = path_of(named)?;
    match directory.filter(|number| *number >= 0 && path.is_relative()) {
        Some(number) => Some(path_of_descriptor(number)?.join(path)),
        None => std::path::absolute(path).ok(),
    }
}

pub(super) fn path_of(named: &Bound<'_, PyAny>) -> Option<PathBuf> {
    if let Ok(bytes) = named.cast::<PyBytes>() {
        return Some(PathBuf::from(OsStr::from_bytes(bytes.as_bytes())));
    }
    // A failed conversion to a number takes as long as all the rest.
    if !named.is_instance_of::<PyString>()
        && let Ok(number) = named.extract::<i32>()
    {
        return path_of_descriptor(number);
    }
    // Also from an object with `__fspath__`.
    named.extract::<PathBuf>().ok()
}

fn path_of_descriptor(number: i32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{number}")).ok().filter(|path| path.is_absolute())
}

/// The directories that this process has open.
fn open_directories() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let paths = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    paths.filter(|path| path.is_dir() && !is_uninteresting(path)).collect()
}

fn is_bytecode(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b".pyc")
}

/// Whether a path is bytecode, which is made from sources, or belongs to the kernel.
fn is_uninteresting(path: &Path) -> bool {
    is_bytecode(path)
        || path.ends_with("__pycache__")
        || ["/proc", "/sys", "/dev"].iter().any(|system| path.starts_with(system))
}
