//! What is known of the streams of `io`, whatever objects are alive.

use std::collections::HashSet;

use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// Whether a class derived from one of `io`'s overrides a method that `io`'s finalizer calls. If it overrides none, the
/// finalizer only sets a flag.
pub(super) fn overrides_closing(class: &Bound<'_, PyAny>) -> PyResult<bool> {
    let io = class.py().import("_io")?;
    let is_subclass =
        |name: &str| -> PyResult<bool> { class.cast::<PyType>()?.is_subclass(&io.getattr(name)?) };
    let base = match () {
        () if is_subclass("BytesIO")? => "BytesIO",
        () if is_subclass("StringIO")? => "StringIO",
        () => "_IOBase",
    };
    let base = io.getattr(base)?;
    for name in ["close", "closed", "flush", "__getattribute__"] {
        if !class.getattr(name)?.is(&base.getattr(name)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a `ResourceWarning` is shown, by the first filter that it could match. Python's own filters ignore it.
pub(super) fn shows_resource_warnings(py: Python<'_>) -> PyResult<bool> {
    let module = match super::imported(py, "warnings")? {
        Some(module) => module,
        None => py.import("_warnings")?.into_any(),
    };
    let filters = module.getattr("filters")?;
    for filter in filters.try_iter()? {
        let filter = filter?;
        let category = filter.get_item(2)?.cast_into::<PyType>()?;
        if !py.get_type::<PyResourceWarning>().is_subclass(&category)? {
            continue;
        }
        let is_for_all = filter.get_item(1)?.is_none()
            && filter.get_item(3)?.is_none()
            && !filter.get_item(4)?.is_truthy()?;
        return Ok(!(is_for_all && filter.get_item(0)?.eq("ignore")?));
    }
    Ok(true)
}

/// The standard streams and what is below them: they are flushed in any case.
pub(super) fn standard_streams(py: Python<'_>) -> PyResult<HashSet<usize>> {
    let sys = py.import("sys")?;
    let mut streams = HashSet::new();
    for name in ["stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__"] {
        let mut layer = sys.getattr(name).ok();
        for below in ["buffer", "raw", ""] {
            let Some(stream) = layer.filter(|stream| !stream.is_none()) else { break };
            if !stream.get_type().getattr("__module__")?.eq("_io")? {
                break;
            }
            streams.insert(stream.as_ptr() as usize);
            layer = stream.getattr(below).ok();
        }
    }
    Ok(streams)
}
