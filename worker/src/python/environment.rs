//! `os.environ`, and the environment of the C library behind it, in a process that was started without a request.

use cgi2wsgi::cgi::variables::Variables;
use cgi2wsgi::system;
use cgi2wsgi::zygotes::threads::{READ_BY_PYTHON, variables_to_limit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict};

/// Adds the variables that a process started for this request would have had (E16). What Python's start or an import
/// has set stays as it is.
pub(crate) fn become_requests(
    py: Python<'_>,
    variables: &Variables,
    is_of_a_request: impl Fn(&[u8]) -> bool,
) -> PyResult<()> {
    let os = py.import("os")?;
    let environ = os.getattr("environb")?;
    let recognized;
    let plain = if let Some(zygotes) = OF_ZYGOTE.get(py) {
        zygotes.as_ref().filter(|plain| plain.is_behind(&os, &environ).unwrap_or(false))
    } else {
        recognized = Plain::recognize(py, &environ).unwrap_or_default();
        recognized.as_ref()
    };
    for (name, value) in variables.iter() {
        // The front has withheld the last two from Python's start.
        let is_missing =
            is_of_a_request(name) || matches!(name, b"PYTHONINSPECT" | b"PYTHONSTARTUP");
        // E10: an HTTP client would take HTTP_PROXY for its proxy.
        if !is_missing || name == b"HTTP_PROXY" || name.is_empty() {
            continue;
        }
        let name = PyBytes::new(py, name);
        if let Some(plain) = plain {
            plain.add(name, PyBytes::new(py, value))?;
        } else if !environ.contains(&name)? {
            environ.set_item(name, PyBytes::new(py, value))?;
        }
    }
    Ok(())
}

/// What is behind `os.environb`. It takes names and values that are bytes as they are, and raises no exception for each
/// name that is not there yet.
struct Plain {
    /// `os.environb` and its parts, as they were recognized.
    environ: Py<PyAny>,
    check: Py<PyAny>,
    set_item: Py<PyAny>,
    get_item: Py<PyAny>,
    data: Py<PyDict>,
    putenv: Py<PyAny>,
}

/// What a zygote has recognized for its children.
static OF_ZYGOTE: PyOnceLock<Option<Plain>> = PyOnceLock::new();

/// What `os._Environ.__setitem__` uses, from Python 3.9 on.
const USED: [&str; 4] = ["encodekey", "encodevalue", "putenv", "_data"];

/// In a zygote, after the import: looks at `os.environb` for its children. Between this and a request only an
/// application's hooks for forks run, and a child sees whether they have put something else in place.
pub(crate) fn recognize(py: Python<'_>) {
    OF_ZYGOTE.get_or_init(py, || {
        let environ = py.import("os").and_then(|os| os.getattr("environb"));
        environ.and_then(|environ| Plain::recognize(py, &environ)).unwrap_or_default()
    });
}

impl Plain {
    /// None if the class, one of its methods or what encodes names is not Python's own, or has an unknown form: an
    /// application may have replaced it.
    fn recognize(py: Python<'_>, environ: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let os = py.import("os")?;
        let class = environ.get_type();
        if !class.is(os.getattr("_Environ")?) {
            return Ok(None);
        }
        let (methods, own) = (class.getattr("__dict__")?, os.getattr("__dict__")?);
        let check = environ.getattr("encodekey")?;
        let functions =
            [check.clone(), methods.get_item("__setitem__")?, methods.get_item("__getitem__")?];
        for function in &functions {
            if !function.getattr("__globals__")?.is(&own) {
                return Ok(None);
            }
        }
        if !check.is(environ.getattr("encodevalue")?)
            || !check.getattr("__qualname__")?.eq("_check_bytes")?
        {
            return Ok(None);
        }
        let [_, set_item, get_item] = functions;
        let code = set_item.getattr("__code__")?;
        if methods.contains("__contains__")? || !code.getattr("co_names")?.eq(USED)? {
            return Ok(None);
        }
        Ok(Some(Self {
            environ: environ.clone().unbind(),
            check: check.unbind(),
            set_item: set_item.unbind(),
            get_item: get_item.unbind(),
            data: environ.getattr("_data")?.cast_into_exact::<PyDict>()?.unbind(),
            putenv: os.getattr("putenv")?.unbind(),
        }))
    }

    /// Whether `os.environb` and its parts are still those that were recognized.
    fn is_behind(&self, os: &Bound<'_, PyModule>, environ: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (py, class) = (os.py(), environ.get_type());
        Ok(environ.is(&self.environ)
            && os.getattr(intern!(py, "putenv"))?.is(&self.putenv)
            && environ.getattr(intern!(py, "_data"))?.is(&self.data)
            && environ.getattr(intern!(py, "encodekey"))?.is(&self.check)
            && environ.getattr(intern!(py, "encodevalue"))?.is(&self.check)
            && class.getattr(intern!(py, "__setitem__"))?.is(&self.set_item)
            && class.getattr(intern!(py, "__getitem__"))?.is(&self.get_item))
    }

    /// Adds a variable that is not there yet.
    fn add(&self, name: Bound<'_, PyBytes>, value: Bound<'_, PyBytes>) -> PyResult<()> {
        let py = name.py();
        let data = self.data.bind(py);
        if data.contains(&name)? {
            return Ok(());
        }
        self.putenv.bind(py).call1((&name, &value))?;
        data.set_item(name, value)
    }
}

/// Removes a variable.
pub(crate) fn remove(py: Python<'_>, name: &str) -> PyResult<()> {
    let environ = py.import("os")?.getattr("environ")?;
    environ.call_method1("pop", (name, py.None())).map(drop)
}

/// Variables that keep libraries from starting threads while a zygote imports. They are set in the C library's
/// environment. Only the one that Python code reads is also set in `os.environ`, Python's copy from its own start.
pub(crate) struct ThreadLimits(Vec<&'static str>);

/// One thread, written as an application would hardly write it.
const ONE: &str = "01";

impl ThreadLimits {
    /// Sets those that the operator has not set. Only to be used while there is no other thread.
    pub(crate) fn set(py: Python<'_>) -> PyResult<Self> {
        let names = variables_to_limit(|name| std::env::var_os(name).is_some());
        for name in &names {
            if *name == READ_BY_PYTHON {
                py.import("os")?.getattr("environ")?.set_item(name, ONE)?;
            } else {
                system::set_variable(name, ONE);
            }
        }
        Ok(Self(names))
    }

    /// Removes them, except those that the application has set itself. Only to be used while there is no other thread.
    pub(crate) fn lift(self, py: Python<'_>) -> PyResult<()> {
        let environ = py.import("os")?.getattr("environ")?;
        for name in self.0 {
            let value = environ.call_method1("get", (name,))?;
            if value.eq(ONE)? {
                environ.del_item(name)?;
            } else if value.is_none() {
                system::remove_variable(name);
            }
        }
        Ok(())
    }
}
