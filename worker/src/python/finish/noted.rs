//! What a zygote notes about its import for its children: the objects that they must not finalize, and the files that
//! they flush.

use pyo3::prelude::*;

use super::in_place;
use super::survey::{Addresses, Survey};

/// A child finalizes what it made itself. If the import made nothing with a finalizer, which is the rule, a whole
/// tear-down does just that. But a tear-down writes to the memory of every object of the import, which the child then
/// has to copy. So if a request leaves few objects, only these are finalized.
#[derive(Default)]
pub(crate) struct Noted {
    /// Objects whose end could be seen. They are held, so that no object of a child gets the address of one.
    kept: Vec<Py<PyAny>>,
    writers: Vec<Py<PyAny>>,
    /// `weakref.finalize` objects that would run at exit.
    at_exit: Vec<Py<PyAny>>,
    /// What the survey learned of types, so that a child looks only at new ones.
    foreign: bool,
    sought: Addresses,
}

impl Noted {
    /// Surveys what the import made. Call it before `gc.freeze`. Without a garbage collection before it, garbage that
    /// has a finalizer is noted too, and held.
    pub(crate) fn of_import(py: Python<'_>) -> PyResult<Self> {
        let objects = py.import("gc")?.call_method0("get_objects")?;
        let mut survey = Survey::new(py)?;
        survey.finalize_is_over = true;
        let mut found = survey.all(&objects)?;
        if survey.seeks()? {
            found.extend(survey.untracked(&objects, true)?);
        }
        let kept = found.into_iter().map(|finding| finding.object.unbind()).collect();
        let writers = survey.writers_from_above().into_iter().map(Bound::unbind).collect();
        let registry = super::imported(py, "weakref")?
            .map(|weakref| weakref.getattr("finalize")?.getattr("_registry"))
            .transpose()?;
        let at_exit = registry
            .map(|registry| registry.try_iter()?.collect::<PyResult<Vec<_>>>())
            .transpose()?
            .unwrap_or_default()
            .into_iter()
            .filter(|f| f.getattr("atexit").and_then(|f| f.is_truthy()).unwrap_or(false))
            .map(Bound::unbind)
            .collect();
        Ok(Self { kept, writers, at_exit, foreign: survey.foreign, sought: survey.sought })
    }

    /// In the zygote: collects the garbage of the import, and surveys the rest.
    ///
    /// A collection writes to the memory of every object, which a child would then no longer share. So if there is a
    /// child (`is_shared`), and the survey before it has found no object whose end could be seen, garbage stays where
    /// it is, as it does in a process that answers one request.
    pub(crate) fn settle(&mut self, py: Python<'_>, is_shared: bool) -> PyResult<()> {
        if is_shared && self.kept.is_empty() {
            return Ok(());
        }
        self.kept.clear();
        self.writers.clear();
        self.at_exit.clear();
        py.import("gc")?.call_method0("collect")?;
        *self = Self::of_import(py)?;
        Ok(())
    }

    /// In the zygote, before a fork, so that nothing is written twice. In a child, before it ends.
    pub(crate) fn flush(&self, py: Python<'_>) {
        for writer in &self.writers {
            // A closed file raises an error; and an error in writing cannot be mended.
            let _ = writer.bind(py).call_method0("flush");
        }
        super::flush_standard_streams(py);
    }

    /// In a child, before the application runs: only the zygote removes a temporary directory that the import made.
    pub(crate) fn begin_child(&self, py: Python<'_>) -> PyResult<()> {
        self.at_exit.iter().try_for_each(|f| f.bind(py).setattr("atexit", false))
    }

    /// In a child, after atexit handlers: why Python has to be torn down; None if everything that the child made has
    /// ended and what it wrote is written.
    pub(crate) fn finish(&self, py: Python<'_>) -> Option<String> {
        let reason = self.finish_young(py).unwrap_or_else(|error| Some(super::unseen(&error)));
        self.flush(py);
        if reason.is_some() {
            let _ = py.import("gc").and_then(|gc| gc.call_method0("unfreeze"));
        }
        reason
    }

    fn finish_young(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let mut looked_through = None;
        let reason = self.finish_what_is_young(py, &mut looked_through)?;
        if reason.is_none() {
            // Dropping a list of all objects takes as long as making it.
            std::mem::forget(looked_through);
        }
        Ok(reason)
    }

    fn finish_what_is_young<'py>(
        &self,
        py: Python<'py>,
        looked_through: &mut Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<String>> {
        let gc = py.import("gc")?;
        let mut survey = Survey::new(py)?;
        survey.skipped.extend(self.kept.iter().map(|object| object.as_ptr() as usize));
        survey.sought.clone_from(&self.sought);
        let mut young = gc.call_method0("get_objects")?;
        let mut found = survey.all(&young)?;
        if !found.is_empty() && gc.call_method0("isenabled")?.is_truthy()? {
            // The collection finalizes what is garbage.
            drop((found, young));
            gc.call_method0("collect")?;
            young = gc.call_method0("get_objects")?;
            found = survey.all(&young)?;
        }
        let of_process = survey.of_process()?;
        survey.foreign |= self.foreign;
        let seeks = if survey.extensions { survey.seeks()? } else { !survey.sought.is_empty() };
        if seeks {
            // An object of the import may hold what the child made.
            gc.call_method0("unfreeze")?;
            let objects = looked_through.insert(gc.call_method0("get_objects")?);
            found.extend(survey.untracked(objects, true)?);
        }
        let is_of_process = of_process.is_some();
        let reason = found.first().map(|finding| finding.reason.clone()).or(of_process);
        let reason = if reason.is_none() { survey.write_out()? } else { reason };
        let can_be_torn_down = self.kept.is_empty();
        if reason.is_none() || (can_be_torn_down && (is_of_process || !in_place::is_easy(&found))) {
            return Ok(reason);
        }
        let mut left = in_place::finalize(py, found, &young)?;
        // Flushes what was open before, and what finalizers have opened.
        survey.all(&gc.call_method0("get_objects")?)?;
        for writer in survey.writers_from_above() {
            let _ = writer.call_method0("flush");
        }
        // A tear-down finalizes the rest, except what is held, here or by `kept`.
        Ok(left.pop())
    }

    /// In a child whose Python is torn down: what only the zygote may finalize stays; files are closed.
    pub(crate) fn keep(self) {
        std::mem::forget(self.kept);
    }
}
