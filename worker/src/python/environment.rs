//! `os.environ`, and the environment of the C library behind it, in a process that was started without a request.

use cgi2wsgi::cgi::variables::Variables;
use cgi2wsgi::system;
use cgi2wsgi::zygotes::threads::{READ_BY_PYTHON, variables_to_limit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// Adds the variables that a process started for this request would have had (E16). What Python's start or an import
/// has set stays as it is.
pub(crate) fn become_requests(
    py: Python<'_>,
    variables: &Variables,
    is_of_a_request: impl Fn(&[u8]) -> bool,
) -> PyResult<()> {
    let environ = py.import("os")?.getattr("environb")?;
    let plain = Plain::recognize(py, &environ).unwrap_or_default();
    for (name, value) in variables.iter() {
        // The front has withheld the last two from Python's start.
        let is_missing =
            is_of_a_request(name) || matches!(name, b"PYTHONINSPECT" | b"PYTHONSTARTUP");
        // E10: an HTTP client would take HTTP_PROXY for its proxy.
        if !is_missing || name == b"HTTP_PROXY" || name.is_empty() {
            continue;
        }
        let name = PyBytes::new(py, name);
        if let Some(plain) = &plain {
            plain.add(name, PyBytes::new(py, value))?;
        } else if !environ.contains(&name)? {
            environ.set_item(name, PyBytes::new(py, value))?;
        }
    }
    Ok(())
}

/// What is behind `os.environb`. It takes names and values that are bytes as they are, and raises no exception for each
/// name that is not there yet.
struct Plain<'py> {
    data: Bound<'py, PyDict>,
    putenv: Bound<'py, PyAny>,
}

/// What `os._Environ.__setitem__` uses, from Python 3.9 on.
const USED: [&str; 4] = ["encodekey", "encodevalue", "putenv", "_data"];

impl<'py> Plain<'py> {
    /// None if the class, one of its methods or what encodes names is not Python's own, or has an unknown form: an
    /// application may have replaced it.
    fn recognize(py: Python<'py>, environ: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
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
        let code = functions[1].getattr("__code__")?;
        if methods.contains("__contains__")? || !code.getattr("co_names")?.eq(USED)? {
            return Ok(None);
        }
        let data = environ.getattr("_data")?.cast_into_exact::<PyDict>()?;
        Ok(Some(Self { data, putenv: os.getattr("putenv")? }))
    }

    /// Adds a variable that is not there yet.
    fn add(&self, name: Bound<'py, PyBytes>, value: Bound<'py, PyBytes>) -> PyResult<()> {
        if self.data.contains(&name)? {
            return Ok(());
        }
        self.putenv.call1((&name, &value))?;
        self.data.set_item(name, value)
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
