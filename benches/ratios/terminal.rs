//! What a run writes to the terminal: progress on standard error, results on standard output.

use std::io::{self, Write as _};

use anyhow::{Context, Result};

/// A line about the progress, on standard error.
pub(crate) fn progress(line: &str) {
    // A closed standard error is no reason to stop.
    let _ = writeln!(io::stderr(), "{line}");
}

/// A result.
pub(crate) fn say(text: &str) -> Result<()> {
    writeln!(io::stdout(), "{text}").context("cannot write to standard output")
}
