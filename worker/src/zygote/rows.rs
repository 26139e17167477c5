//! Which databases of `SQLite` the import reads rows from, or writes to.
//!
//! No event reports this. But `SQLite` asks an authorizer before it compiles a statement that may read a table: the one
//! here takes note and allows everything. Python makes a connection a moment after the event that names it
//! (`sqlite3.connect/handle`, Python 3.10), so a pending call sets the authorizer. Python runs it before the next
//! instruction. Left out: an application that has an authorizer of its own, `backup`, and a database that is attached
//! by a parameter, whose name `SQLite` does not tell.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyTuple};

use super::consulted::{change, is_of_import, path_of};
use super::databases::{Used, file_of};
use crate::handlers;

/// A connection, and the file of its database.
type Opened = (Py<PyAny>, PathBuf);

/// Connections that have no authorizer yet.
static OPENED: Mutex<Vec<Opened>> = Mutex::new(Vec::new());

thread_local! {
    /// The database that is being connected to; None for one in memory.
    static OPENING: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// Codes of `sqlite3.h`.
const DELETE: i32 = 9;
const INSERT: i32 = 18;
const PRAGMA: i32 = 19;
const READ: i32 = 20;
const UPDATE: i32 = 23;
const ATTACH: i32 = 24;

/// Gets an event of the audit hook.
pub(super) fn note(event: &str, arguments: &Bound<'_, PyTuple>) -> Option<()> {
    match event {
        "sqlite3.connect" => note_connect(&arguments.get_item(0).ok()?),
        "sqlite3.connect/handle" => note_connection(&arguments.get_item(0).ok()?),
        _ => None,
    }
}

fn note_connect(named: &Bound<'_, PyAny>) -> Option<()> {
    let file = path_of(named).and_then(|named| file_of(&named));
    OPENING.set(file.clone());
    note_database(file?)
}

fn note_database(file: PathBuf) -> Option<()> {
    let is_there = file.exists();
    change(|consulted| {
        if !is_there {
            consulted.looked_for.insert(file.clone(), false);
        }
        // SQLite writes it without an event.
        consulted.written.insert(file.clone());
        consulted.databases.entry(file).or_default();
    })
}

/// A connection was made. What a request reads (`--warm-request`) does not count.
fn note_connection(connection: &Bound<'_, PyAny>) -> Option<()> {
    let file = OPENING.take().filter(|_| is_of_import())?;
    OPENED.lock().ok()?.push((connection.clone().unbind(), file.clone()));
    if !handlers::call_soon(listen_to_opened) {
        use_database(&file, |used| used.is_read = true);
    }
    Some(())
}

extern "C" fn listen_to_opened(_: *mut c_void) -> c_int {
    let opened = OPENED.lock().map(|mut opened| std::mem::take(&mut *opened)).unwrap_or_default();
    Python::attach(|py| {
        for (connection, file) in opened {
            if listen(connection.bind(py), &file).is_err() {
                // It is another thread's, or closed: what it reads would not be seen.
                use_database(&file, |used| used.is_read = true);
            }
        }
    });
    0
}

fn listen(connection: &Bound<'_, PyAny>, file: &Path) -> PyResult<()> {
    let files = Mutex::new(vec![file.to_owned()]);
    let authorizer = PyCFunction::new_closure(
        connection.py(),
        None,
        None,
        move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, pyo3::types::PyDict>>| {
            if is_of_import() {
                let _ = hear(arguments, &files);
            }
            // SQLITE_OK
            0
        },
    )?;
    connection.call_method1("set_authorizer", (authorizer,)).map(drop)
}

/// `SQLite` asks whether a statement may do something with the database, or with an attached one.
fn hear(arguments: &Bound<'_, PyTuple>, files: &Mutex<Vec<PathBuf>>) -> Option<()> {
    let word = |at: usize| arguments.get_item(at).ok()?.extract::<String>().ok();
    let action: i32 = arguments.get_item(0).ok()?.extract().ok()?;
    if word(3).is_some_and(|database| database == "temp") {
        return None;
    }
    if action == ATTACH {
        let file = file_of(Path::new(&word(1)?))?;
        note_database(file.clone())?;
        files.lock().ok()?.push(file);
        return Some(());
    }
    let table = word(1).unwrap_or_default();
    // The tables themselves are watched in any case.
    let is_of_rows = !table.starts_with("sqlite_") && !table.starts_with("pragma_");
    for file in files.lock().ok()?.iter() {
        use_database(file, |used| match action {
            READ => used.is_read |= is_of_rows,
            DELETE | INSERT | UPDATE => used.is_written |= is_of_rows,
            // Create, drop and alter; a pragma that sets a value.
            1..=17 | 26..=30 => used.is_written = true,
            PRAGMA => used.is_written |= word(2).is_some(),
            _ => {}
        });
    }
    Some(())
}

fn use_database(file: &Path, note: impl FnOnce(&mut Used)) {
    change(|consulted| note(consulted.databases.entry(file.to_owned()).or_default()));
}
