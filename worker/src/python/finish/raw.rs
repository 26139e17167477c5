//! What only the C API tells about objects and their types. Everything `unsafe` of the decision is here. The slots of a
//! type, the destructor of a capsule and the end of a module have no Python name, and reading a type must take only a
//! few nanoseconds when 90,000 objects are looked at.
//!
//! A [`Class`] is only made of a living object. Nothing is freed during a survey, because the list of the objects keeps
//! each alive.

use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::sync::OnceLock;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};

/// A type.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Class(*mut ffi::PyTypeObject);

/// A slot of a type on the heap.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    Dealloc,
    Del,
    Finalize,
}

impl Class {
    pub(super) fn from_object(object: &Bound<'_, PyAny>) -> Self {
        Self(object.get_type().as_type_ptr())
    }

    pub(super) fn new(class: &Bound<'_, PyType>) -> Self {
        Self(class.as_type_ptr())
    }

    pub(super) fn of_capsules() -> Self {
        Self(&raw mut ffi::PyCapsule_Type)
    }

    pub(super) fn address(self) -> usize {
        self.0 as usize
    }

    pub(super) fn object(self, py: Python<'_>) -> Bound<'_, PyAny> {
        // SAFETY: types are objects, and this one lives.
        unsafe { Bound::from_borrowed_ptr(py, self.0.cast()) }
    }

    fn has(self, flag: std::ffi::c_ulong) -> bool {
        // SAFETY: the type lives.
        unsafe { ffi::PyType_GetFlags(self.0) & flag != 0 }
    }

    /// Whether the collector knows its objects.
    pub(super) fn is_collected(self) -> bool {
        self.has(ffi::Py_TPFLAGS_HAVE_GC)
    }

    pub(super) fn is_on_heap(self) -> bool {
        self.has(ffi::Py_TPFLAGS_HEAPTYPE)
    }

    pub(super) fn is_exception(self) -> bool {
        self.has(ffi::Py_TPFLAGS_BASE_EXC_SUBCLASS)
    }

    /// A function of a type on the heap: Python 3.9 does not give those of other types.
    pub(super) fn slot(self, slot: Slot) -> *mut c_void {
        debug_assert!(self.is_on_heap());
        self.pointer(match slot {
            Slot::Dealloc => ffi::Py_tp_dealloc,
            Slot::Del => ffi::Py_tp_del,
            Slot::Finalize => ffi::Py_tp_finalize,
        })
    }

    /// The base of a type on the heap.
    pub(super) fn base(self) -> Option<Self> {
        let base = self.pointer(ffi::Py_tp_base).cast::<ffi::PyTypeObject>();
        (!base.is_null()).then_some(Self(base))
    }

    /// The function that shows the collector what an object refers to. None for types that are not on the heap, with
    /// Python 3.9.
    pub(super) fn traverse(self) -> Option<Traverse> {
        let function = self.pointer(ffi::Py_tp_traverse);
        if function.is_null() {
            // SAFETY: Python's lock is held; the error says only that the slot cannot be had.
            unsafe { ffi::PyErr_Clear() };
            return None;
        }
        // SAFETY: a type has nothing else in this slot.
        Some(Traverse(unsafe { std::mem::transmute::<*mut c_void, ffi::traverseproc>(function) }))
    }

    fn pointer(self, slot: c_int) -> *mut c_void {
        // SAFETY: the type lives, and asking for a slot changes nothing.
        unsafe { ffi::PyType_GetSlot(self.0, slot) }
    }
}

/// Shows what the objects of a type refer to.
#[derive(Clone, Copy)]
pub(super) struct Traverse(ffi::traverseproc);

/// An object, without a reference of its own. It is valid as long as something else refers to it.
#[derive(Clone, Copy)]
pub(super) struct Referent(*mut ffi::PyObject);

impl Referent {
    pub(super) fn new(object: &Bound<'_, PyAny>) -> Self {
        Self(object.as_ptr())
    }

    pub(super) fn class(self) -> Class {
        // SAFETY: the object lives, because what is being traversed refers to it.
        Class(unsafe { ffi::Py_TYPE(self.0) })
    }

    pub(super) fn bound(self, py: Python<'_>) -> Bound<'_, PyAny> {
        // SAFETY: the same.
        unsafe { Bound::from_borrowed_ptr(py, self.0) }
    }

    /// Whether the collector tracks it. Its type must be collected.
    pub(super) fn is_tracked(self) -> bool {
        // SAFETY: the same.
        unsafe { ffi::PyObject_GC_IsTracked(self.0) != 0 }
    }

    pub(super) fn address(self) -> usize {
        self.0 as usize
    }
}

impl Traverse {
    /// Calls `see` with each object to which `object` refers. Unlike `gc.get_referents`, this writes to none of them:
    /// in a child of a zygote, each page that is written to is copied. `object` must be tracked, a tuple or a
    /// dictionary, and of the type that this is of; `see` runs no Python code.
    pub(super) fn each(self, object: Referent, see: &mut dyn FnMut(Referent)) {
        extern "C" fn visit(object: *mut ffi::PyObject, see: *mut c_void) -> c_int {
            // SAFETY: the address that is handed over below, and nothing else uses it meanwhile.
            let see = unsafe { &mut *see.cast::<&mut dyn FnMut(Referent)>() };
            see(Referent(object));
            0
        }
        let mut see = see;
        // SAFETY: the function is called as the collector calls it.
        unsafe { (self.0)(object.0, visit, (&raw mut see).cast()) };
    }
}

/// The types of some objects of a list, and their indexes in it. Memory access takes the time: in a batch, the
/// processor waits for many objects at once.
pub(super) fn classes(
    list: &Bound<'_, PyList>,
    range: Range<usize>,
    classes: &mut Vec<(usize, Class)>,
) {
    classes.clear();
    classes.extend(range.filter_map(|index| {
        // SAFETY: the list keeps its objects alive, and nothing else refers to the list. Null beyond its end.
        unsafe {
            let object = ffi::PyList_GetItem(list.as_ptr(), index.cast_signed());
            (!object.is_null()).then(|| (index, Class(ffi::Py_TYPE(object))))
        }
    }));
}

/// A class that is itself an object of a list.
pub(super) fn class_at(list: &Bound<'_, PyList>, index: usize) -> Option<Class> {
    list.get_item(index).ok()?.cast_into::<PyType>().ok().map(|class| Class::new(&class))
}

/// Whether the collector tracks an object.
pub(super) fn is_tracked(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object lives; PyObject_GC_IsTracked is called only if its type is collected.
    Class::from_object(object).is_collected()
        && unsafe { ffi::PyObject_GC_IsTracked(object.as_ptr()) != 0 }
}

/// What a weak reference, or a proxy, refers to.
pub(super) fn referent<'py>(reference: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: for a weak reference this gives a borrowed reference, otherwise null with an exception.
    let object = unsafe {
        let object = ffi::PyWeakref_GetObject(reference.as_ptr());
        Bound::from_borrowed_ptr_or_opt(reference.py(), object)
    };
    if object.is_none() {
        let _ = PyErr::take(reference.py());
    }
    object
}

/// Whether a module is written in C, and if so, whether code of its own runs when it ends.
pub(super) fn module_end(module: &Bound<'_, PyAny>) -> Option<bool> {
    // SAFETY: null, with or without an exception, if the module has no definition; the definition of a loaded module
    // stays.
    let ends = unsafe {
        let definition = ffi::PyModule_GetDef(module.as_ptr());
        (!definition.is_null())
            .then(|| (*definition).m_clear.is_some() || (*definition).m_free.is_some())
    };
    if ends.is_none() {
        let _ = PyErr::take(module.py());
    }
    ends
}

/// Whether a capsule has a destructor, and its name.
pub(super) fn capsule(capsule: &Bound<'_, PyAny>) -> (bool, Option<String>) {
    // SAFETY: both set an exception if the object is no capsule; the name is valid while the capsule lives.
    let found = unsafe {
        let name = ffi::PyCapsule_GetName(capsule.as_ptr());
        let name = (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned());
        (ffi::PyCapsule_GetDestructor(capsule.as_ptr()).is_some(), name)
    };
    let _ = PyErr::take(capsule.py());
    found
}

/// The dictionaries to which only C structures refer: that of this thread and that of the interpreter.
pub(super) fn hidden_dictionaries(py: Python<'_>) -> Vec<Bound<'_, PyAny>> {
    // SAFETY: attached to the interpreter; both give borrowed references or null.
    unsafe {
        let thread = ffi::PyThreadState_GetDict();
        let interpreter = ffi::PyInterpreterState_GetDict(ffi::PyInterpreterState_Get());
        [thread, interpreter]
            .into_iter()
            .filter_map(|dictionary| Bound::from_borrowed_ptr_or_opt(py, dictionary))
            .collect()
    }
}

/// Whether C code has registered anything with `Py_AtExit`. It has 32 places, and the only way to count the free ones
/// is to take them.
pub(super) fn has_exit_functions() -> bool {
    const PLACES: usize = 32;
    static TAKEN: OnceLock<bool> = OnceLock::new();
    extern "C" fn nothing() {}
    *TAKEN.get_or_init(|| {
        // SAFETY: the function stays, because extensions are not unloaded.
        let free = (0..PLACES).take_while(|_| unsafe { ffi::Py_AtExit(Some(nothing)) } == 0);
        free.count() < PLACES
    })
}
