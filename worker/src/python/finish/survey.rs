//! A survey of the objects of a process: which of them would show their end.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use std::hash::{BuildHasherDefault, Hasher};

use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};

use super::known::{self, Nature};
use super::names::{describe, names};
use super::raw::{self, Class, Slot};
use super::streams::{overrides_closing, shows_resource_warnings, standard_streams};

/// An object whose end could be seen.
pub(super) struct Finding<'py> {
    pub(super) object: Bound<'py, PyAny>,
    pub(super) reason: String,
    pub(super) nature: Nature,
}

/// Hashes addresses, without the bits that alignment leaves 0.
#[derive(Default)]
pub(super) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("addresses are hashed as usize")
    }
    fn write_usize(&mut self, address: usize) {
        self.0 = (address as u64 >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

pub(super) type Addresses = HashSet<usize, BuildHasherDefault<AddressHasher>>;

/// How many objects are looked at together.
const BATCH: usize = 256;

const NOT_KNOWN: &str = "what its end does is not known";

#[allow(clippy::struct_excessive_bools, reason = "four facts that are found one after the other")]
pub(super) struct Survey<'py> {
    pub(super) py: Python<'py>,
    pub(super) gc: Bound<'py, PyAny>,
    natures: HashMap<usize, Nature, BuildHasherDefault<AddressHasher>>,
    /// `CPython`'s dealloc of the classes that Python code defines.
    class_dealloc: *mut c_void,
    /// The same for `os.stat_result` and similar types.
    struct_sequence_dealloc: *mut c_void,
    pub(super) function: Bound<'py, PyAny>,
    /// Whether a `ResourceWarning` would be shown; found out when it matters.
    warns: OnceCell<bool>,
    /// The standard streams and what is below them; the same.
    standard: OnceCell<HashSet<usize>>,
    /// Objects that are not looked at.
    pub(super) skipped: HashSet<usize>,
    pub(super) writers: Vec<Bound<'py, PyAny>>,
    pub(super) thread_locals: Vec<Bound<'py, PyAny>>,
    /// An extension has been seen that may make any capsule.
    pub(super) foreign: bool,
    /// An extension has been seen; its types may not be tracked objects.
    pub(super) extensions: bool,
    /// `weakref.finalize` does nothing: its atexit handler has run, or will have run.
    pub(super) finalize_is_over: bool,
    /// Types that are not collected and not plain.
    pub(super) sought: Addresses,
}

impl<'py> Survey<'py> {
    pub(super) fn new(py: Python<'py>) -> PyResult<Self> {
        let class = py.import("abc")?.getattr("ABC")?.cast_into::<PyType>()?;
        let struct_sequence = py.import("os")?.getattr("stat_result")?.cast_into::<PyType>()?;
        Ok(Self {
            py,
            gc: py.import("gc")?.into_any(),
            natures: HashMap::with_capacity_and_hasher(448, BuildHasherDefault::default()),
            class_dealloc: Class::new(&class).slot(Slot::Dealloc),
            struct_sequence_dealloc: Class::new(&struct_sequence).slot(Slot::Dealloc),
            // `types.FunctionType`, without an import.
            function: py.import("os")?.getattr("walk")?.get_type().into_any(),
            warns: OnceCell::new(),
            standard: OnceCell::new(),
            skipped: HashSet::new(),
            writers: Vec::new(),
            thread_locals: Vec::new(),
            foreign: false,
            extensions: false,
            finalize_is_over: false,
            sought: Addresses::default(),
        })
    }

    /// Whether a `ResourceWarning` would be shown.
    pub(super) fn warns(&self) -> PyResult<bool> {
        if let Some(warns) = self.warns.get() {
            return Ok(*warns);
        }
        let warns = shows_resource_warnings(self.py)?;
        Ok(*self.warns.get_or_init(|| warns))
    }

    /// Whether this is a standard stream, or below one.
    pub(super) fn is_standard(&self, stream: &Bound<'py, PyAny>) -> PyResult<bool> {
        if self.standard.get().is_none() {
            let _ = self.standard.set(standard_streams(self.py)?);
        }
        let address = stream.as_ptr() as usize;
        Ok(self.standard.get().is_some_and(|standard| standard.contains(&address)))
    }

    /// The first object of a list that would show its end.
    pub(super) fn first(&mut self, objects: &Bound<'py, PyAny>) -> PyResult<Option<Finding<'py>>> {
        Ok(self.look(objects.cast::<PyList>()?, false)?.into_iter().next())
    }

    /// All objects of a list that would show their end.
    pub(super) fn all(&mut self, objects: &Bound<'py, PyAny>) -> PyResult<Vec<Finding<'py>>> {
        self.look(objects.cast::<PyList>()?, true)
    }

    fn look(&mut self, objects: &Bound<'py, PyList>, all: bool) -> PyResult<Vec<Finding<'py>>> {
        self.writers.clear();
        self.thread_locals.clear();
        let (mut weakrefs, mut closer, mut uncollected) = (Vec::new(), Vec::new(), Vec::new());
        let mut batch = Vec::with_capacity(BATCH);
        let mut last = None;
        let length = objects.len();
        for start in (0..length).step_by(BATCH) {
            raw::classes(objects, start..length.min(start + BATCH), &mut batch);
            for (index, class) in &batch {
                let nature = match last {
                    Some((known, nature)) if known == *class => nature,
                    _ => self.nature(*class),
                };
                last = Some((*class, nature));
                match nature {
                    Nature::Plain | Nature::Overridable => {}
                    Nature::Class => uncollected.extend(
                        raw::class_at(objects, *index).filter(|class| !class.is_collected()),
                    ),
                    Nature::Weakref => weakrefs.push(objects.get_item(*index)?),
                    nature => closer.push((*index, nature)),
                }
            }
        }
        for class in uncollected {
            self.seek(class);
        }
        let mut found = Vec::new();
        for (index, nature) in closer {
            let object = objects.get_item(index)?;
            if self.skipped.contains(&(object.as_ptr() as usize)) {
                continue;
            }
            if let Some(finding) = self.judge(object, nature)? {
                found.push(finding);
                if !all {
                    return Ok(found);
                }
            }
        }
        if !self.callbacks_are_quiet(&weakrefs)? {
            for weakref in weakrefs {
                found.extend(self.judge(weakref, Nature::DerivedWeakref)?);
            }
        }
        Ok(found)
    }

    /// What the end of a type's objects can do, from its slots and its name.
    pub(super) fn nature(&mut self, class: Class) -> Nature {
        if let Some(nature) = self.natures.get(&class.address()) {
            return *nature;
        }
        let nature = self.nature_of_new(class).unwrap_or(Nature::Unknown);
        self.natures.insert(class.address(), nature);
        nature
    }

    fn nature_of_new(&mut self, class: Class) -> PyResult<Nature> {
        let object = class.object(self.py);
        if !class.is_on_heap() || class.slot(Slot::Dealloc) != self.class_dealloc {
            if class.is_on_heap() && class.slot(Slot::Dealloc) == self.struct_sequence_dealloc {
                return Ok(Nature::Plain);
            }
            let (module, name) = names(&object)?;
            let nature = known::nature(&module, &name, class.is_collected());
            let is_exception = class.is_exception() && module == "builtins";
            return Ok(match nature {
                Nature::Unknown if is_exception => Nature::Plain,
                nature => nature,
            });
        }
        let Some(base) = class.base().filter(|_| class.slot(Slot::Del).is_null()) else {
            return Ok(Nature::Unknown);
        };
        if !class.slot(Slot::Finalize).is_null() {
            let finalizer = object.getattr("__del__")?;
            if finalizer.get_type().name()? != "wrapper_descriptor" {
                let nature = of_finalizer(&finalizer)?;
                // Its base may do something else as well.
                return Ok(match nature {
                    nature if matches!(self.nature(base), Nature::Plain | Nature::Warns) => nature,
                    _ => Nature::Finalizer,
                });
            }
            // The finalizer is C's, and comes from a base whose nature includes it.
            let definer = Class::new(&finalizer.getattr("__objclass__")?.cast_into::<PyType>()?);
            if definer.is_on_heap() && definer.slot(Slot::Dealloc) == self.class_dealloc {
                return Ok(Nature::Unknown);
            }
        }
        Ok(match self.nature(base) {
            Nature::Weakref => Nature::DerivedWeakref,
            Nature::RawFile | Nature::Reader | Nature::Writer | Nature::Text => Nature::Finalizer,
            Nature::Overridable if overrides_closing(&object)? => Nature::Finalizer,
            nature => nature,
        })
    }

    pub(super) fn judge(
        &mut self,
        object: Bound<'py, PyAny>,
        nature: Nature,
    ) -> PyResult<Option<Finding<'py>>> {
        const WARNING: &str = "a warning about it would be shown";
        let told = |is_told: bool, reason: &str| is_told.then(|| reason.to_owned());
        let reason = match nature {
            Nature::Plain | Nature::Overridable | Nature::Class => None,
            Nature::Finalizer => told(true, "its class has a finalizer"),
            Nature::Unknown => told(true, NOT_KNOWN),
            Nature::Generator => of_generator(&object)?,
            Nature::Weakref | Nature::DerivedWeakref => {
                return Ok(self.of_weakref(&object)?.map(|(object, reason)| Finding {
                    reason: describe(&object, &reason),
                    object,
                    nature,
                }));
            }
            Nature::Warns => told(self.warns()?, WARNING),
            Nature::RawFile => told(self.warns_of(&object)?, WARNING),
            Nature::Reader | Nature::Writer | Nature::Text => self.of_file(&object, nature)?,
            Nature::Module => self.of_module(&object)?,
            Nature::ThreadLocal => {
                self.thread_locals.push(object.clone());
                None
            }
            Nature::Capsule => told(self.foreign && has_destructor(&object), NOT_KNOWN),
        };
        Ok(reason.map(|reason| Finding { reason: describe(&object, &reason), object, nature }))
    }

    fn of_module(&mut self, module: &Bound<'py, PyAny>) -> PyResult<Option<String>> {
        let Some(ends) = raw::module_end(module) else { return Ok(None) };
        self.extensions = true;
        let name = module.getattr("__name__")?.to_string();
        if known::is_never_plain(&name) {
            return Ok(Some("it has interpreters of its own".to_owned()));
        }
        // The modules of the standard library are built in, or in a directory of their own.
        let is_standard = match module.getattr("__file__") {
            Err(_) => true,
            Ok(file) => file.is_none() || file.to_string().contains("/lib-dynload/"),
        };
        if is_standard || known::is_plain_extension(&name) {
            return Ok(None);
        }
        self.foreign = true;
        Ok(ends.then(|| "its end runs code of its own".to_owned()))
    }

    /// What would show the end of the process itself, not of an object. Call it after the objects were looked at.
    pub(super) fn of_process(&self) -> PyResult<Option<String>> {
        if self.gc.call_method0("get_debug")?.is_truthy()?
            || self.gc.getattr("garbage")?.is_truthy()?
            || self.gc.getattr("callbacks")?.is_truthy()?
        {
            return Ok(Some("the collector would be heard".to_owned()));
        }
        // Only third-party extensions use it.
        Ok((self.foreign && raw::has_exit_functions())
            .then(|| "an extension has used Py_AtExit".to_owned()))
    }
}

fn of_finalizer(finalizer: &Bound<'_, PyAny>) -> PyResult<Nature> {
    let (module, name) = names(finalizer)?;
    let uses = finalizer.getattr("__code__")?.getattr("co_names")?;
    Ok(known::of_finalizer(&module, &name, &uses.extract::<Vec<String>>()?))
}

/// A suspended generator would run on to its `finally`, and what it does there cannot be known from outside.
fn of_generator(generator: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let prefix = match names(&generator.get_type())?.1.as_str() {
        "generator" => "gi",
        "coroutine" => "cr",
        _ => "ag",
    };
    let frame = generator.getattr(format!("{prefix}_frame"))?;
    // A generator expression has no `try`, and no `with`.
    let is_expression =
        !frame.is_none() && frame.getattr("f_code")?.getattr("co_name")?.eq("<genexpr>")?;
    if frame.is_none() || is_expression {
        return Ok(None);
    }
    let waits = match generator.getattr(format!("{prefix}_suspended")) {
        Ok(suspended) => suspended.is_truthy()?,
        // Python 3.10 and before lack it; 3.11 lacks it for asynchronous ones.
        Err(_) => frame.getattr("f_lasti")?.extract::<i64>()? >= 0,
    };
    let is_running = generator.getattr(format!("{prefix}_running"))?.is_truthy()?;
    Ok(match prefix {
        _ if waits || is_running => Some("it would run on to its end".to_owned()),
        "cr" => Some("that it was never awaited would be shown".to_owned()),
        _ => None,
    })
}

/// Whether a capsule has a destructor, other than those that free a table.
fn has_destructor(capsule: &Bound<'_, PyAny>) -> bool {
    let (has_destructor, name) = raw::capsule(capsule);
    has_destructor && !name.is_some_and(|name| known::is_plain_capsule(&name))
}
