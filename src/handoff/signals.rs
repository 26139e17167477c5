//! The signals between front and worker that have no name of their own. C libraries count real-time signals from
//! different beginnings, so these are numbers.

/// Has a worker write the tracebacks of all its threads, and [`super::Reply::Traced`] then. Applications leave alone
/// what is near the end of the real-time signals.
pub const TRACE: i32 = 61;

/// Has a worker look whether it runs a server of its own instead of being imported ([`super::Reply::Serves`]).
pub const QUESTION: i32 = 59;

/// What the kernel sends a worker whose connection to the front has changed in any way.
pub const CONNECTION: i32 = 60;
