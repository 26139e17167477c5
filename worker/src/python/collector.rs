//! When the cyclic garbage collector runs, in a process that imports an
//! application, answers once and ends.
//!
//! An import makes tens of thousands of objects that stay, and hardly any garbage. By default the collector looks
//! through them again and again, which takes a quarter of the time of a Django import. So it waits while the
//! application is imported. Then `gc.freeze` sets aside what is there, and for the request itself the collector works
//! with Python's defaults: in a response that goes on for hours no garbage piles up.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// How many new objects make the collector run all the same: an import that makes cyclic garbage without end has to
/// stop growing. Django with its admin makes 90,000.
const WHILE_IMPORTING: u32 = 250_000;

/// A collector that waits.
pub(crate) struct Waiting<'py> {
    module: Bound<'py, PyModule>,
    usual: Bound<'py, PyTuple>,
}

/// Has the collector wait while an application is imported.
pub(crate) fn wait(py: Python<'_>) -> PyResult<Waiting<'_>> {
    let module = py.import("gc")?;
    let usual = module.call_method0("get_threshold")?.cast_into::<PyTuple>()?;
    module.call_method1("set_threshold", (WHILE_IMPORTING,))?;
    Ok(Waiting { module, usual })
}

impl Waiting<'_> {
    /// Sets aside what the import has made, and restores the usual thresholds, unless the application has set its own.
    pub(crate) fn end(&self) -> PyResult<()> {
        self.module.call_method0("freeze")?;
        let current = self.module.call_method0("get_threshold")?;
        if current.get_item(0)?.extract::<u32>()? == WHILE_IMPORTING {
            self.module.call_method1("set_threshold", &self.usual)?;
        }
        Ok(())
    }
}
