//! What an application has changed of its process while it was imported: the
//! directory, the umask, the environment. A process of its own keeps that for
//! its request, and so does a child.

use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use cgi2wsgi::cgi::variables::Variables;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use rustix::fs::Mode;
use rustix::process::umask;

/// As it was before the import.
pub(super) struct Before {
    directory: Option<PathBuf>,
    umask: u32,
    environment: HashMap<Vec<u8>, Vec<u8>>,
}

/// What was other after it.
#[derive(Debug)]
pub(super) struct Changes {
    directory: Option<PathBuf>,
    umask: Option<u32>,
    /// With a value, or removed.
    environment: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn current_umask() -> u32 {
    // The system tells the mask only to who sets another.
    let current = umask(Mode::empty());
    umask(current);
    current.bits()
}

impl Before {
    pub(super) fn import() -> Self {
        let variables = std::env::vars_os();
        Self {
            directory: std::env::current_dir().ok(),
            umask: current_umask(),
            environment: variables.map(|(n, v)| (n.into_vec(), v.into_vec())).collect(),
        }
    }

    /// The import is over.
    pub(super) fn compare(mut self, py: Python<'_>) -> PyResult<Changes> {
        let items = py.import("os")?.getattr("environb")?.call_method0("items")?;
        let mut environment = Vec::new();
        for item in items.try_iter()? {
            let (name, value): (Vec<u8>, Vec<u8>) = item?.extract()?;
            if self.environment.remove(&name).as_ref() != Some(&value) {
                environment.push((name, Some(value)));
            }
        }
        environment.extend(self.environment.into_keys().map(|name| (name, None)));
        let (directory, umask) = (std::env::current_dir().ok(), current_umask());
        Ok(Changes {
            directory: directory.filter(|now| Some(now) != self.directory.as_ref()),
            umask: Some(umask).filter(|now| *now != self.umask),
            environment,
        })
    }
}

impl Changes {
    /// Directory and umask become what they were for the request, or what the
    /// import has made of them.
    pub(super) fn take_over_process(&self, directory: &Path, mask: u32) -> io::Result<()> {
        umask(Mode::from_raw_mode(self.umask.unwrap_or(mask)));
        std::env::set_current_dir(self.directory.as_deref().unwrap_or(directory))
    }

    /// So do `os.environ`, the object that modules may have imported, and the C
    /// library's environment.
    pub(super) fn take_over_environment(
        &self,
        py: Python<'_>,
        variables: &Variables,
    ) -> PyResult<()> {
        let environ = py.import("os")?.getattr("environb")?;
        let wanted = PyDict::new(py);
        for (name, value) in variables.iter() {
            // E10: what an HTTP client would take for its proxy.
            if name != b"HTTP_PROXY" && !name.is_empty() {
                wanted.set_item(PyBytes::new(py, name), PyBytes::new(py, value))?;
            }
        }
        for (name, value) in &self.environment {
            let name = PyBytes::new(py, name);
            match value {
                Some(value) => wanted.set_item(name, PyBytes::new(py, value))?,
                None if wanted.contains(&name)? => wanted.del_item(name)?,
                None => {}
            }
        }
        let names: Vec<Bound<'_, PyAny>> = environ.try_iter()?.collect::<PyResult<_>>()?;
        for name in names {
            if !wanted.contains(&name)? {
                environ.del_item(name)?;
            }
        }
        for (name, value) in wanted {
            environ.set_item(name, value)?;
        }
        Ok(())
    }
}
