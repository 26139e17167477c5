//! Objects that the collector does not track: which types they have, and where they are.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};

use super::known::Nature;
use super::raw::{self, Class, Referent, Traverse};
use super::survey::{AddressHasher, Addresses, Finding, Survey};

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
    /// list, all of them tracked, lead: `all`, or one.
    pub(super) fn untracked(
        &mut self,
        objects: &Bound<'py, PyAny>,
        all: bool,
    ) -> PyResult<Vec<Finding<'py>>> {
        let mut search = Search::new(self, self.roots())?;
        for object in objects.cast::<PyList>()?.iter() {
            if !search.follow(Referent::new(&object)) {
                search.others.push(object);
            }
        }
        search.follow_all()?;
        let candidates = search.found;
        let mut found = Vec::new();
        for object in candidates {
            let nature = self.nature(Class::from_object(&object));
            found.extend(self.judge(object, nature)?);
            if !all && !found.is_empty() {
                break;
            }
        }
        Ok(found)
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

type OfClasses<T> = HashMap<Class, T, BuildHasherDefault<AddressHasher>>;

/// The search from tracked objects for those that are not tracked.
struct Search<'s, 'py> {
    survey: &'s Survey<'py>,
    get_referents: Bound<'py, PyAny>,
    tuple: Class,
    dictionary: Class,
    kinds: OfClasses<Kind>,
    last: Option<(Class, Kind)>,
    traversals: OfClasses<Option<Traverse>>,
    seen: Addresses,
    /// Tuples and dictionaries that are still to be followed. No Python code runs until there are none.
    pending: Vec<Referent>,
    /// What is still to be followed by `gc.get_referents`, which passes over objects that are not the collector's.
    others: Vec<Bound<'py, PyAny>>,
    found: Vec<Bound<'py, PyAny>>,
}

impl<'s, 'py> Search<'s, 'py> {
    fn new(survey: &'s Survey<'py>, others: Vec<Bound<'py, PyAny>>) -> PyResult<Self> {
        Ok(Self {
            survey,
            get_referents: survey.gc.getattr("get_referents")?,
            tuple: Class::new(&survey.py.get_type::<PyTuple>()),
            dictionary: Class::new(&survey.py.get_type::<PyDict>()),
            kinds: OfClasses::default(),
            last: None,
            traversals: OfClasses::default(),
            seen: Addresses::default(),
            pending: Vec::new(),
            others,
            found: Vec::new(),
        })
    }

    /// Follows all that is still to be followed.
    fn follow_all(&mut self) -> PyResult<()> {
        // They keep alive what they lead to.
        let mut lists = Vec::new();
        loop {
            while let Some(one) = self.pending.pop() {
                if !self.follow(one) {
                    self.others.push(one.bound(self.survey.py));
                }
            }
            if self.others.is_empty() {
                return Ok(());
            }
            let batch = PyTuple::new(self.survey.py, std::mem::take(&mut self.others))?;
            let referents = self.get_referents.call1(batch)?.cast_into::<PyList>()?;
            for object in referents.iter() {
                self.see(Referent::new(&object));
            }
            lists.push(referents);
        }
    }

    /// Looks at what an object refers to. False if its type does not tell.
    fn follow(&mut self, one: Referent) -> bool {
        let class = one.class();
        let traverse = *self.traversals.entry(class).or_insert_with(|| class.traverse());
        if let Some(traverse) = traverse {
            traverse.each(one, &mut |one| self.see(one));
        }
        traverse.is_some()
    }

    fn see(&mut self, one: Referent) {
        let class = one.class();
        let kind = match self.last {
            Some((last, kind)) if last == class => kind,
            _ => self.kind(class),
        };
        self.last = Some((class, kind));
        let address = one.address();
        match kind {
            Kind::Harmless => {}
            Kind::Sought => {
                if !self.survey.skipped.contains(&address) && self.seen.insert(address) {
                    self.found.push(one.bound(self.survey.py));
                }
            }
            Kind::Followed => {
                if one.is_tracked() || !self.seen.insert(address) {
                    return;
                }
                if class == self.tuple || class == self.dictionary {
                    self.pending.push(one);
                } else {
                    self.others.push(one.bound(self.survey.py));
                }
            }
        }
    }

    fn kind(&mut self, class: Class) -> Kind {
        *self.kinds.entry(class).or_insert_with(|| {
            match self.survey.sought.contains(&class.address()) {
                true => Kind::Sought,
                false if class.is_collected() => Kind::Followed,
                false => Kind::Harmless,
            }
        })
    }
}
