//! An application and its surroundings, as the front found them and a worker needs them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::encoding::{Reader, Writer};

/// Where the application's code is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, absolute.
    File(PathBuf),
    /// A module, by its dotted name.
    Module(String),
}

/// Which object of the module is the application.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callable {
    /// Dotted attributes; empty for `application` or `app`, whichever is there.
    pub attributes: String,
    /// Whether they name a factory, which is called without arguments.
    pub is_factory: bool,
}

/// An application and its surroundings, all paths absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its code.
    pub source: Source,
    /// What is called.
    pub callable: Callable,
    /// The directory in which it is imported; the first import directory.
    pub directory: PathBuf,
    /// Further import directories.
    pub import_directories: Vec<PathBuf>,
    /// The virtual environment (PEP 405) whose Python runs it.
    pub venv: Option<PathBuf>,
}

impl Application {
    /// As a person would name it.
    pub fn shown(&self) -> String {
        match &self.source {
            Source::File(file) => file.display().to_string(),
            Source::Module(name) => format!("{name} in {}", self.directory.display()),
        }
    }

    pub(super) fn write(&self, fields: &mut Writer) {
        match &self.source {
            Source::File(file) => {
                fields.put("file");
                fields.put_path(file);
            }
            Source::Module(name) => {
                fields.put("module");
                fields.put(name);
            }
        }
        fields.put(&self.callable.attributes);
        fields.put_number(self.callable.is_factory);
        fields.put_path(&self.directory);
        fields.put_number(self.import_directories.len() as u64);
        for directory in &self.import_directories {
            fields.put_path(directory);
        }
        fields.put_path(self.venv.as_deref().unwrap_or(Path::new("")));
    }

    pub(super) fn read(fields: &mut Reader<'_>) -> Option<Self> {
        let source = match fields.text()? {
            "file" => Source::File(fields.path()?),
            "module" => Source::Module(fields.text()?.to_owned()),
            _ => return None,
        };
        let callable =
            Callable { attributes: fields.text()?.to_owned(), is_factory: fields.switch()? };
        let directory = fields.path()?;
        let count: usize = fields.number()?;
        let import_directories = (0..count).map(|_| fields.path()).collect::<Option<_>>()?;
        let venv = Some(fields.path()?).filter(|venv| !venv.as_os_str().is_empty());
        Some(Self { source, callable, directory, import_directories, venv })
    }
}

/// Whether a file is a zip archive that Python can import from, with a `#!` line or without (`python -m zipapp`).
pub fn is_archive(file: &Path) -> bool {
    let mut beginning = Vec::new();
    let read = File::open(file).and_then(|file| file.take(4096).read_to_end(&mut beginning));
    if read.is_err() {
        return false;
    }
    let rest = match beginning.iter().position(|byte| *byte == b'\n') {
        Some(end) if beginning.starts_with(b"#!") => &beginning[end + 1..],
        _ => &beginning,
    };
    // The header of a file, or of the end of an empty archive.
    rest.starts_with(b"PK\x03\x04") || rest.starts_with(b"PK\x05\x06")
}

/// The directory that holds the outermost package of `file`, if it lies in one.
pub fn package_root(file: &Path) -> Option<PathBuf> {
    let mut directory = file.parent()?;
    let mut root = None;
    while directory.join("__init__.py").is_file() {
        directory = directory.parent()?;
        root = Some(directory.to_owned());
    }
    root
}
