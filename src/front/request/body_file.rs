//! The file that `@FILE` names, as in curl.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Seek};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, bail};

/// The file behind `@`, and how many bytes are left to read; `-` is standard input.
pub(super) fn open(path: &[u8]) -> Result<(File, u64)> {
    let shown = || format!("@{}", String::from_utf8_lossy(path));
    let mut file = if path == b"-" {
        File::from(rustix::stdio::stdin().try_clone_to_owned()?)
    } else {
        File::open(OsStr::from_bytes(path)).with_context(shown)?
    };
    let metadata = file.metadata().with_context(shown)?;
    if metadata.is_dir() {
        bail!("{} is a directory", shown());
    }
    if metadata.is_file() {
        let position = file.stream_position().unwrap_or(0);
        return Ok((file, metadata.len().saturating_sub(position)));
    }
    // A pipe: its length is known when it has ended.
    let mut spooled = tempfile::tempfile().context("no temporary file for the body")?;
    let length = io::copy(&mut file, &mut spooled).with_context(shown)?;
    spooled.rewind()?;
    Ok((spooled, length))
}
