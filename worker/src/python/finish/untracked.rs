//! Objects that the collector does not track: which types they have, and where they are.

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple, PyType};

use super::known::Nature;
use super::raw::{self, Class};
use super::survey::{Addresses, Finding, Survey};

/// What the search for untracked objects does with an object, by its type.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Harmless,
    Sought,
    /// Of a collected type: to be followed if the collector does not track it.
    Followed,
}

impl<'py> Survey<'py> {
    /// Finds the types whose objects the collector does not know and whose end could be seen. Returns whether there are
    /// any. Call it after modules were looked at.
    pub(super) fn seeks(&mut self) -> PyResult<bool> {
        let subclasses = self.py.get_type::<PyType>().getattr("__subclasses__")?;
        let object = self.py.import("builtins")?.getattr("object")?;
        let mut classes = vec![object];
        if self.foreign {
            // Python 3.13 and later: their type is collected, and yet they are not tracked.
            self.sought.insert(Class::of_capsules().address());
        }
        while let Some(class) = classes.pop() {
            for class in subclasses.call1((class,))?.cast_into::<PyList>()?.iter() {
                let address = Class::new(class.cast::<PyType>()?);
                if !address.is_collected() {
                    self.seek(address);
                    classes.push(class);
                }
            }
        }
        Ok(!self.sought.is_empty())
    }

    /// Adds a type that is not collected to the types to look for, unless it is plain.
    pub(super) fn seek(&mut self, class: Class) {
        let is_sought = match self.nature(class) {
            Nature::Plain | Nature::Overridable | Nature::ThreadLocal => false,
            // If that cannot be found out, its objects are looked for.
            Nature::Warns => self.warns().unwrap_or(true),
            Nature::Capsule => self.foreign,
            _ => true,
        };
        if is_sought {
            self.sought.insert(class.address());
        }
    }

    /// Objects that the collector does not track and whose end could be seen, among those to which the objects of a
    /// list lead: `all`, or one.
    pub(super) fn untracked(
        &mut self,
        objects: &Bound<'py, PyAny>,
        all: bool,
    ) -> PyResult<Vec<Finding<'py>>> {
        let mut found = Vec::new();
        let get_referents = self.gc.getattr("get_referents")?;
        let mut to_follow = self.roots();
        let mut seen = Addresses::default();
        let mut kinds: HashMap<Class, Kind> = HashMap::new();
        let mut classes = Vec::new();
        let mut referents = get_referents.call1(objects.cast::<PyList>()?.to_tuple())?;
        loop {
            let list = referents.cast::<PyList>()?;
            raw::classes(list, 0..list.len(), &mut classes);
            for (index, class) in &classes {
                let kind = *kinds.entry(*class).or_insert_with(|| {
                    match self.sought.contains(&class.address()) {
                        true => Kind::Sought,
                        false if class.is_collected() => Kind::Followed,
                        false => Kind::Harmless,
                    }
                });
                if kind == Kind::Harmless {
                    continue;
                }
                let object = list.get_item(*index)?;
                let address = object.as_ptr() as usize;
                if kind == Kind::Followed {
                    if !raw::is_tracked(&object) && seen.insert(address) {
                        to_follow.push(object);
                    }
                } else if !self.skipped.contains(&address) && seen.insert(address) {
                    let nature = self.nature(*class);
                    if let Some(finding) = self.judge(object, nature)? {
                        found.push(finding);
                        if !all {
                            return Ok(found);
                        }
                    }
                }
            }
            if to_follow.is_empty() {
                return Ok(found);
            }
            let batch = PyTuple::new(self.py, std::mem::take(&mut to_follow))?;
            referents = get_referents.call1(batch)?;
        }
    }

    /// What only C structures refer to: the dictionaries of the thread, of the interpreter and of thread locals.
    fn roots(&self) -> Vec<Bound<'py, PyAny>> {
        let mut roots = raw::hidden_dictionaries(self.py);
        for local in &self.thread_locals {
            // If its class has an `__init__`, this runs it in a thread that is new to it. As a rule this thread has
            // made it.
            roots.extend(local.getattr("__dict__").ok());
        }
        roots
    }
}
