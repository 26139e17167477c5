//! PEP 3333, the server's side: Python objects and bytes. Knows nothing of
//! argv, settings or the process environment.

pub(crate) mod call;
pub(crate) mod caught;
pub(crate) mod environ;
pub(crate) mod exchange;
pub(crate) mod file_wrapper;
pub(crate) mod input;
pub(crate) mod start_response;
