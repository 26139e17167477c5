//! The verbs of `cgi2wsgi`, one module each.

pub mod request;
pub mod serve;
pub mod warm;
mod warm_start;
