//! Finds `cgi2wsgi-python`, the executable that embeds Python, and makes sure
//! that the loader will find its libpython: once it is executed, a failure
//! would be the loader's riddle and no response (P10).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::fs::Access;

use crate::application::Venv;

const NAME: &str = "cgi2wsgi-python";

/// The executable for `venv`, or for no virtual environment: beside this one,
/// or in `../libexec/cgi2wsgi/`. A name that ends in the version goes first.
pub fn find(venv: Option<&Venv>) -> Result<PathBuf> {
    let here = std::env::current_exe().context("where cgi2wsgi is installed cannot be found")?;
    let directory = here.parent().unwrap_or(Path::new("/"));
    let directories = [directory.to_owned(), directory.join("../libexec/cgi2wsgi")];
    let version = venv.and_then(|venv| venv.version);
    let in_either = |name: &str| {
        directories.iter().map(|directory| directory.join(name)).find(|path| path.is_file())
    };
    let of_version =
        version.and_then(|(major, minor)| in_either(&format!("{NAME}{major}.{minor}")));
    let any = || match version {
        None => in_either(NAME).or_else(|| newest(&directories)),
        Some(_) => in_either(NAME),
    };
    let Some(found) = of_version.or_else(any) else {
        let wanted = version.map_or_else(
            || NAME.to_owned(),
            |(major, minor)| {
                format!("{NAME}{major}.{minor} (the version of the virtual environment)")
            },
        );
        bail!(
            "{wanted} is installed neither in {} nor in its ../libexec/cgi2wsgi: `cargo install` \
             puts it beside cgi2wsgi, so copy both",
            directory.display()
        );
    };
    rustix::fs::access(&found, Access::EXEC_OK)
        .map_err(io::Error::from)
        .with_context(|| format!("{} cannot be executed by {}", found.display(), this_user()))?;
    check_libpython(&found)?;
    Ok(found)
}

/// The one with the highest version in its name, where none is without one.
fn newest(directories: &[PathBuf]) -> Option<PathBuf> {
    let entries = directories.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten();
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (major, minor) = name.strip_prefix(NAME)?.split_once('.')?;
            let version: (u8, u8) = (major.parse().ok()?, minor.parse().ok()?);
            Some((version, entry.path()))
        })
        .max()
        .map(|(_, path)| path)
}

/// P10: says in words what the loader would say to nobody.
fn check_libpython(executable: &Path) -> Result<()> {
    let Ok(Some(needed)) = File::open(executable).and_then(|file| LibPython::needed_by(&file))
    else {
        return Ok(());
    };
    if needed.candidates(executable).any(|path| can_read(&path)) {
        return Ok(());
    }
    // Not where the executable was built to find it. The loader looks in other
    // places too, so only itself can tell.
    let tried = Command::new(executable).arg("--version").output();
    if tried.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    let name = &needed.name;
    let places: Vec<String> =
        needed.candidates(executable).map(|path| path.display().to_string()).collect();
    bail!(
        "{} needs {name}, and {} cannot read {}: build cgi2wsgi with a Python that the web \
         server's user can read, such as the system's (PYO3_PYTHON=/usr/bin/python3 cargo install \
         --path .), or open the directories on the way to it",
        executable.display(),
        this_user(),
        if places.is_empty() { "it anywhere".to_owned() } else { places.join(" or ") }
    )
}

fn can_read(path: &Path) -> bool {
    rustix::fs::access(path, Access::READ_OK).is_ok()
}

fn this_user() -> String {
    format!("user {} (the one this process runs as)", rustix::process::geteuid().as_raw())
}

/// What the dynamic section of an ELF executable says about libpython.
#[derive(Debug, PartialEq, Eq)]
struct LibPython {
    /// The file name, such as `libpython3.11.so.1.0`.
    name: String,
    /// Where the loader is told to look first.
    run_path: String,
}

impl LibPython {
    fn candidates(&self, executable: &Path) -> impl Iterator<Item = PathBuf> {
        let origin = executable.parent().unwrap_or(Path::new("/")).display().to_string();
        self.run_path.split(':').filter(|directory| !directory.is_empty()).map(move |directory| {
            Path::new(&directory.replace("$ORIGIN", &origin)).join(&self.name)
        })
    }

    /// Reads a 64-bit little-endian ELF file; `None` for any other, and for one
    /// that needs no libpython. Five small reads.
    fn needed_by(file: &File) -> io::Result<Option<Self>> {
        const LOAD: u64 = 1;
        const DYNAMIC: u64 = 2;
        const NEEDED: u64 = 1;
        const STRINGS: u64 = 5;
        const RPATH: u64 = 15;
        const RUNPATH: u64 = 29;

        let mut start = [0; 2048];
        let length = file.read_at(&mut start, 0)?;
        let start = Fields(&start[..length]);
        if !start.0.starts_with(b"\x7fELF\x02\x01") {
            return Ok(None);
        }
        let headers = start.number(0x20, 8);
        let (size, count) = (start.number(0x36, 2), start.number(0x38, 2));
        let header = |index: u64, at: u64, width| start.number(headers + index * size + at, width);
        let of_kind = |kind| (0..count).filter(move |index| header(*index, 0, 4) == kind);

        let Some(dynamic) = of_kind(DYNAMIC).next() else { return Ok(None) };
        let mut section =
            vec![0; usize::try_from(header(dynamic, 32, 8)).unwrap_or(0).min(1 << 16)];
        let length = file.read_at(&mut section, header(dynamic, 8, 8))?;
        let section = Fields(&section[..length]);
        let entries: Vec<(u64, u64)> = (0..length as u64 / 16)
            .map(|index| (section.number(index * 16, 8), section.number(index * 16 + 8, 8)))
            .take_while(|(tag, _)| *tag != 0)
            .collect();
        let value_of = |wanted| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, v)| *v);

        // The string table is given by its address; the segment that is loaded
        // there tells where it stands in the file.
        let Some(address) = value_of(STRINGS) else { return Ok(None) };
        let table = of_kind(LOAD).find_map(|index| {
            let (offset, start) = (header(index, 8, 8), header(index, 16, 8));
            let inside = (start..start.saturating_add(header(index, 32, 8))).contains(&address);
            inside.then(|| address - start + offset)
        });
        let Some(table) = table else { return Ok(None) };
        let string = |at: u64| -> io::Result<String> {
            let mut text = [0; 1024];
            let length = file.read_at(&mut text, table.saturating_add(at))?;
            let end = text[..length].iter().position(|byte| *byte == 0).unwrap_or(length);
            Ok(String::from_utf8_lossy(&text[..end]).into_owned())
        };

        for (_, at) in entries.iter().filter(|(tag, _)| *tag == NEEDED) {
            let name = string(*at)?;
            if name.starts_with("libpython") {
                let run_path = match value_of(RUNPATH).or_else(|| value_of(RPATH)) {
                    Some(at) => string(at)?,
                    None => String::new(),
                };
                return Ok(Some(Self { name, run_path }));
            }
        }
        Ok(None)
    }
}

/// Little-endian numbers at offsets; 0 outside.
struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    fn number(&self, at: u64, width: u64) -> u64 {
        let range = usize::try_from(at).ok().zip(usize::try_from(at.saturating_add(width)).ok());
        let bytes = range.and_then(|(start, end)| self.0.get(start..end)).unwrap_or_default();
        bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn p10_a_file_that_is_no_elf_executable_or_needs_no_libpython_is_let_pass() {
        let this_test = File::open(std::env::current_exe().expect("its path")).expect("readable");
        assert_eq!(LibPython::needed_by(&this_test).expect("it is read"), None);
        let mut script = tempfile::tempfile().expect("a file");
        script.write_all(b"#!/bin/sh\n").expect("room");
        assert_eq!(LibPython::needed_by(&script).expect("it is read"), None);
    }

    #[test]
    fn p10_a_damaged_executable_is_read_without_harm() {
        let whole = std::fs::read(std::env::current_exe().expect("its path")).expect("readable");
        for at in (0..1024).step_by(3) {
            let mut damaged = whole[..4096].to_vec();
            damaged[at] ^= 0xff;
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(&damaged).expect("room");
            // Whatever it finds there, it ends.
            let _ = LibPython::needed_by(&file);
        }
    }
}
