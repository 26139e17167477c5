//! The verbs of `cgi2wsgi`, one module each.

pub mod request;
pub mod serve;
mod warm_start;
