//! The signals between front and worker that have no name of their own. C libraries count real-time signals from
//! different starts, so these are absolute numbers.

/// Makes a worker write the tracebacks of all its threads and then send [`super::Reply::Traced`]. Applications do not
/// use signals near the end of the real-time range.
pub const TRACE: i32 = 61;

/// Makes a worker check whether the application runs a server of its own during its import ([`super::Reply::Serves`]).
pub const QUESTION: i32 = 59;

/// The kernel sends it to a worker when the connection to the front changes in any way.
pub const CONNECTION: i32 = 60;
