//! The names of objects and of their types, from which it is known what their end does.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

/// `__module__` and `__qualname__`. A class may define a `__module__` for its objects instead of its own; then
/// `type.__repr__` has the name that C gave it.
pub(super) fn names(object: &Bound<'_, PyAny>) -> PyResult<(String, String)> {
    let name = object.getattr("__qualname__")?.to_string();
    let module = object.getattr("__module__")?;
    if !module.is_instance_of::<PyString>() && object.is_instance_of::<PyType>() {
        let repr = object.py().get_type::<PyType>().getattr("__repr__")?.call1((object,))?;
        let repr = repr.to_string();
        let full = repr.strip_prefix("<class '").and_then(|rest| rest.strip_suffix("'>"));
        if let Some((module, name)) = full.and_then(|full| full.rsplit_once('.')) {
            return Ok((module.to_owned(), name.to_owned()));
        }
    }
    Ok((module.to_string(), name))
}

pub(super) fn label(object: &Bound<'_, PyAny>) -> String {
    let named = names(object).or_else(|_| names(&object.get_type()));
    named.map_or_else(|_| "an object".to_owned(), |(module, name)| format!("{module}.{name}"))
}

pub(super) fn describe(object: &Bound<'_, PyAny>, reason: &str) -> String {
    let class = label(&object.get_type());
    match object.getattr("__name__") {
        Ok(name) if name.is_exact_instance_of::<PyString>() => {
            format!("{class} {name}: {reason}")
        }
        _ => format!("{class}: {reason}"),
    }
}
