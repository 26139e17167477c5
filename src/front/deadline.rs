//! When a request is given up (`--timeout`).

use std::time::Duration;

use crate::timings::Moment;

/// When to give up.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// The moment, counted from the front's start.
    pub at: Moment,
    /// `--timeout`.
    pub timeout: Duration,
}
