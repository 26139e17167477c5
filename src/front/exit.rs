//! The exit statuses of this program.

/// Exit status: the application failed, the response was cut, or the front answered instead of the application.
pub const FAILED: u8 = 1;

/// Exit status: the command line or the set-up is wrong.
pub const MISCONFIGURED: u8 = 2;
