//! Finalizes some objects of a process that is not torn down: those that a zygote's child made, if they are few, or if
//! the import made something that only the zygote may finalize. An object of the import may hold one of the child's, so
//! that no tear-down would reach it.
//!
//! Everything is still intact, as when the collector finalizes. An object that leads to others is finalized before
//! them: `gzip.GzipFile` before the file that it writes to. The objects are held, so nothing is finalized twice.

use std::collections::HashSet;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::known::{self, Nature};
use super::names::names;
use super::raw;
use super::survey::Finding;

/// From this number of objects on, a tear-down takes less time than the search for what each object leads to.
const MANY: usize = 16;

/// Whether the objects are few, and [`finalize`] knows how each of them ends.
pub(super) fn is_easy(found: &[Finding<'_>]) -> bool {
    found.len() < MANY
        && found.iter().all(|finding| match finding.nature {
            Nature::Finalizer | Nature::Reader | Nature::Writer | Nature::Text => true,
            Nature::Unknown => closes(&finding.object.get_type()),
            _ => false,
        })
}

/// Finalizes what was found among the `young` objects. Returns the reasons of those that it cannot finalize.
pub(super) fn finalize<'py>(
    py: Python<'py>,
    found: Vec<Finding<'py>>,
    young: &Bound<'py, PyAny>,
) -> PyResult<Vec<String>> {
    let young: HashSet<usize> =
        young.cast::<PyList>()?.iter().map(|object| object.as_ptr() as usize).collect();
    let all: HashSet<usize> = found.iter().map(|f| f.object.as_ptr() as usize).collect();
    let mut ordered = Vec::with_capacity(found.len());
    for finding in found {
        // An object that leads to another leads to all that the other leads to.
        let leads_to = reachable(py, &finding.object, &young)?;
        ordered.push((leads_to.intersection(&all).count(), finding));
    }
    ordered.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let mut left = Vec::new();
    for (_, finding) in ordered {
        if finalize_one(py, &finding) {
            // The object stays until the process ends, so that it is not finalized again.
            std::mem::forget(finding);
        } else {
            left.push(finding.reason);
        }
    }
    Ok(left)
}

/// The young objects to which `object` leads, directly or through others.
fn reachable<'py>(
    py: Python<'py>,
    object: &Bound<'py, PyAny>,
    young: &HashSet<usize>,
) -> PyResult<HashSet<usize>> {
    let get_referents = py.import("gc")?.getattr("get_referents")?;
    let mut seen = HashSet::new();
    let mut batch = vec![object.clone()];
    while !batch.is_empty() {
        let referents = get_referents.call1(PyTuple::new(py, std::mem::take(&mut batch))?)?;
        for referent in referents.cast::<PyList>()?.iter() {
            let address = referent.as_ptr() as usize;
            if (young.contains(&address) || !raw::is_tracked(&referent)) && seen.insert(address) {
                batch.push(referent);
            }
        }
    }
    Ok(seen)
}

fn closes(class: &Bound<'_, pyo3::types::PyType>) -> bool {
    names(class).is_ok_and(|(module, name)| known::ends_by_closing(&module, &name))
}

/// Calls what Python would call at the object's end. An exception is shown as Python shows it, through
/// `sys.unraisablehook`.
fn finalize_one(py: Python<'_>, finding: &Finding<'_>) -> bool {
    let object = &finding.object;
    let class = object.get_type();
    let (called, result) = match finding.nature {
        Nature::Finalizer => {
            let finalizer = class.getattr("__del__").ok();
            let result = finalizer.as_ref().map(|finalizer| finalizer.call1((object,)));
            (finalizer, result)
        }
        Nature::Generator if object.hasattr("aclose").unwrap_or(false) => {
            // One step only: if a `finally` awaits, no event loop would resume it.
            let result = object.call_method0("aclose").and_then(|closing| {
                match closing.call_method1("send", (py.None(),)) {
                    Err(error) if error.is_instance_of::<pyo3::exceptions::PyStopIteration>(py) => {
                        Ok(closing)
                    }
                    other => other,
                }
            });
            (Some(object.clone()), Some(result))
        }
        Nature::Generator => {
            let was_never_awaited = finding.reason.ends_with("would be shown");
            let result = if was_never_awaited {
                py.import("warnings")
                    .and_then(|w| w.call_method1("_warn_unawaited_coroutine", (object,)))
            } else {
                object.call_method0("close")
            };
            (Some(object.clone()), Some(result))
        }
        Nature::Unknown if !closes(&class) => return false,
        Nature::Unknown | Nature::Reader | Nature::Writer | Nature::Text => {
            (Some(object.clone()), object.getattr("close").ok().map(|close| close.call0()))
        }
        _ => return false,
    };
    match result {
        None => false,
        Some(Ok(_)) => true,
        Some(Err(error)) => {
            error.write_unraisable(py, called.as_ref());
            true
        }
    }
}
