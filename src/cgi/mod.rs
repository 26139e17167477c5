//! CGI as RFC 3875 and the real servers have it: bytes in, bytes out.
//!
//! Nothing here knows of Python, of settings, of a clock or of the command line, and only
//! [`body`], [`output`], [`file_id`] and [`response`] touch descriptors.

pub mod argv;
pub mod body;
pub mod digest;
pub mod file_id;
pub mod handler;
pub mod head;
pub mod mount;
pub mod output;
pub mod path;
pub mod refusal;
pub mod request;
pub mod response;
pub mod variables;
