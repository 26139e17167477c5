//! Weak references: whether the effect of their callbacks can be seen.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::known;
use super::names::{label, names};
use super::raw;
use super::survey::{Addresses, Survey};

/// The callback of a weak reference or proxy, if it has one.
pub(super) fn callback<'py>(
    gc: &Bound<'py, PyAny>,
    reference: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let callback = if names(&reference.get_type())?.1.to_lowercase().contains("proxy") {
        // A proxy passes attribute access on to its object.
        gc.call_method1("get_referents", (reference,))?.get_item(0).ok()
    } else {
        Some(reference.getattr("__callback__")?)
    };
    Ok(callback.filter(|callback| !callback.is_none()))
}

impl<'py> Survey<'py> {
    /// Whether no callback of these weak references has a visible effect. The collector visits only the callback of a
    /// plain weak reference, so one call returns them all.
    pub(super) fn callbacks_are_quiet(&self, references: &[Bound<'py, PyAny>]) -> PyResult<bool> {
        let references = PyTuple::new(self.py, references)?;
        let callbacks = self.gc.getattr("get_referents")?.call1(references)?;
        let mut seen = Addresses::default();
        for callback in callbacks.cast::<PyList>()?.iter() {
            if seen.insert(callback.as_ptr() as usize) && !self.is_quiet(&callback)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The object that a weak reference waits for, and what would be called; None if no effect could be seen.
    pub(super) fn of_weakref(
        &self,
        reference: &Bound<'py, PyAny>,
    ) -> PyResult<Option<(Bound<'py, PyAny>, String)>> {
        let Some(callback) = callback(&self.gc, reference)? else { return Ok(None) };
        if self.is_quiet(&callback)? {
            return Ok(None);
        }
        let Some(object) = raw::referent(reference) else { return Ok(None) };
        Ok(Some((object, format!("{} would be called when it goes", label(&callback)))))
    }

    fn is_quiet(&self, callback: &Bound<'py, PyAny>) -> PyResult<bool> {
        let class = callback.get_type();
        if class.is(&self.function) {
            let (module, name) = names(callback)?;
            if module == "weakref" && name.starts_with("WeakMethod") {
                let free = callback.getattr("__code__")?.getattr("co_freevars")?;
                let index = free.call_method1("index", ("callback",))?;
                let cell = callback.getattr("__closure__")?.get_item(index)?;
                let inner = cell.getattr("cell_contents")?;
                return Ok(inner.is_none() || self.is_quiet(&inner)?);
            }
            return Ok(known::is_quiet_callback(&module, &name));
        }
        let (module, name) = names(&class)?;
        match (module.as_str(), name.as_str()) {
            ("builtins", "method") => self.is_quiet(&callback.getattr("__func__")?),
            ("builtins", "builtin_function_or_method") => {
                let owner = callback.getattr("__self__")?;
                let function = callback.getattr("__name__")?.to_string();
                let (module, name) = names(&owner.get_type())?;
                Ok(match (module.as_str(), name.as_str()) {
                    ("builtins", "dict" | "set" | "list") => true,
                    _ => matches!(
                        function.as_str(),
                        "_destroy" | "_localdummy_destroyed" | "clear_locals"
                    ),
                })
            }
            // Removes an array type from the dictionary of array types.
            ("_ctypes", "DictRemover") => Ok(true),
            // They do nothing after their atexit handler has run.
            ("weakref", "finalize") => {
                Ok(self.finalize_is_over || class.getattr("_shutdown")?.is_truthy()?)
            }
            _ => Ok(false),
        }
    }
}
