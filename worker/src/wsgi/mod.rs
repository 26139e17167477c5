//! PEP 3333, the server's side: Python objects and bytes. Knows nothing of
//! argv, settings or the process environment.

pub(crate) mod call;
pub(crate) mod caught;
pub(crate) mod environ;
pub(crate) mod exchange;
pub(crate) mod file_wrapper;
pub(crate) mod input;
pub(crate) mod start_response;

use pyo3::prelude::*;

/// In a zygote, after the import: does once what each child would do before the call. A type of this module takes as
/// long to make as the rest of a small environ.
pub(crate) fn prepare(py: Python<'_>, debug: bool) {
    for make in [
        Python::get_type::<input::Input>,
        Python::get_type::<file_wrapper::FileWrapper>,
        Python::get_type::<start_response::StartResponse>,
        Python::get_type::<start_response::Write>,
    ] {
        make(py);
    }
    caught::note(py, debug);
}
