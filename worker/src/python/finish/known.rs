//! What types written in C do when one of their objects is destroyed.
//!
//! `Plain` was read in the source of `CPython` 3.9 to 3.14: the dealloc frees memory and drops references, nothing
//! else. A name that is not here is `Unknown`, and one living object of it makes a tear-down necessary. A type that is
//! missing here costs time; a type that is wrongly here costs data.

/// What the end of an object of a type can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// Frees memory and drops references.
    Plain,
    /// Plain by itself; a class derived from it in Python may override what its
    /// finalizer calls (`io.BytesIO`, `io.RawIOBase`).
    Overridable,
    /// `io.FileIO`: holds no data, warns when it is not closed.
    RawFile,
    /// `io.BufferedReader`: closes what it reads.
    Reader,
    /// `io.BufferedWriter`, `io.BufferedRandom`: writes what it holds.
    Writer,
    /// `io.TextIOWrapper`: writes what it holds and closes what is below.
    Text,
    /// A socket or `os.scandir`: warns when it is not closed.
    Warns,
    /// Generator, coroutine, asynchronous generator: runs what is pending.
    Generator,
    /// Calls its callback if its object is destroyed first.
    Weakref,
    /// A class derived from a weak reference.
    DerivedWeakref,
    /// A module of an extension: it may have an `m_free`.
    Module,
    /// Calls the destructor that C code gave it.
    Capsule,
    /// Refers to objects that no traversal shows.
    ThreadLocal,
    /// A class: plain, but possibly a new type to look at.
    Class,
    /// Has a `__del__` written in Python.
    Finalizer,
    /// Its source has not been read.
    Unknown,
}

/// Modules of the standard library all of whose types are plain.
const PLAIN_MODULES: &[&str] = &[
    "_abc",
    "_blake2",
    "_bz2",
    "_collections",
    "_contextvars",
    "_csv",
    "_ctypes",
    "_elementtree",
    "_hashlib",
    "_json",
    "_lzma",
    "_md5",
    "_multibytecodec",
    "_pickle",
    "_queue",
    "_random",
    "_sha1",
    "_sha2",
    "_sha256",
    "_sha3",
    "_sha512",
    "_sre",
    "_ssl",
    "_struct",
    "_tokenize",
    "array",
    "ast",
    "collections",
    "datetime",
    "decimal",
    "functools",
    "grp",
    "itertools",
    "mmap",
    "operator",
    "os",
    "parser",
    "pwd",
    "pyexpat",
    "re",
    "resource",
    "select",
    "signal",
    "spwd",
    "string.templatelib",
    "sys",
    "time",
    "types",
    "typing",
    "unicodedata",
    "xml.etree.ElementTree",
    "zlib",
    "zoneinfo",
];

/// Third-party packages whose C types all hold only memory and references; each was read in its source. Python code
/// cannot make a type that is taken for one of theirs.
///
/// The list is short on purpose: an extension that is missing here costs the time of a tear-down; one that is wrongly
/// here could cost data.
const PLAIN_PACKAGES: &[&str] = &[
    // This program's own.
    "cgi2wsgi_worker",
    // Cython, without a `__dealloc__`.
    "falcon.cyutil",
    "sqlalchemy",
    // libyaml's parser and emitter, which free their memory and write nothing.
    "yaml._yaml",
    // Specifications and lookups, which drop their references.
    "_zope_interface_coptimizations",
    "zope.interface",
];

/// Types of `lxml.etree`, read in 4.2 to 7.0: their ends free trees, parsers and what libxml2 made of schemas. Not here
/// is `_IncrementalFileWriter`, which writes what it holds.
const PLAIN_OF_LXML: &[&str] = &[
    // Documents and elements.
    "CDATA",
    "CommentBase",
    "DocInfo",
    "ElementBase",
    "EntityBase",
    "PIBase",
    "QName",
    "_Attrib",
    "_Comment",
    "_Document",
    "_Element",
    "_ElementTree",
    "_ElementUnicodeResult",
    "_Entity",
    "_IDDict",
    "_ProcessingInstruction",
    "_XSLTProcessingInstruction",
    "_XSLTResultTree",
    "__ContentOnlyElement",
    // Iterators.
    "AncestorsIterator",
    "ElementChildIterator",
    "ElementDepthFirstIterator",
    "ElementTextIterator",
    "SiblingsIterator",
    "_AttribIterator",
    "_ElementIterator",
    "_ElementMatchIterator",
    "_ElementTagMatcher",
    "_MultiTagMatcher",
    // How elements are made.
    "AttributeBasedElementClassLookup",
    "CustomElementClassLookup",
    "ElementClassLookup",
    "ElementDefaultClassLookup",
    "ElementNamespaceClassLookup",
    "FallbackElementClassLookup",
    "ParserBasedElementClassLookup",
    "PythonElementClassLookup",
    "_ClassNamespaceRegistry",
    "_FunctionNamespaceRegistry",
    "_NamespaceRegistry",
    "_XPathFunctionNamespaceRegistry",
    // Parsers. A file that they read belongs to Python or is only closed.
    "ETCompatXMLParser",
    "HTMLParser",
    "HTMLPullParser",
    "Resolver",
    "TreeBuilder",
    "XMLParser",
    "XMLPullParser",
    "_BaseContext",
    "_BaseParser",
    "_FeedParser",
    "_InputDocument",
    "_ParseEventsIterator",
    "_ParserContext",
    "_ParserDictionaryContext",
    "_ParserSchemaValidationContext",
    "_PythonSaxParserTarget",
    "_ResolverContext",
    "_ResolverRegistry",
    "_SaxParserContext",
    "_SaxParserTarget",
    "_TargetParserContext",
    "iterparse",
    "iterwalk",
    // Schemas, XPath and XSLT.
    "DTD",
    "ETXPath",
    "RelaxNG",
    "Schematron",
    "XInclude",
    "XMLSchema",
    "XPath",
    "XPathDocumentEvaluator",
    "XPathElementEvaluator",
    "XSLT",
    "XSLTAccessControl",
    "XSLTExtension",
    "_ExsltRegExp",
    "_Validator",
    "_XPathContext",
    "_XPathEvaluatorBase",
    "_XSLTContext",
    "_XSLTQuotedStringParam",
    "_XSLTResolverContext",
    // Errors and what they note.
    "Enum",
    "PyErrorLog",
    "_BaseErrorLog",
    "_DomainErrorLog",
    "_ErrorLog",
    "_ErrorLogContext",
    "_ExceptionContext",
    "_ListErrorLog",
    "_LogEntry",
    "_MemDebug",
    "_OpaqueDocumentWrapper",
    "_OpaqueNodeWrapper",
    "_RotatingErrorLog",
    "_TempStore",
    // Cython's views of memory.
    "array",
    "memoryview",
    "_memoryviewslice",
];

/// Types of numpy, read in 1.21 to 2.4: single values, which free their memory. Not here are those that hold
/// references, which numpy does not show to the collector: arrays, `void`, dtypes.
#[rustfmt::skip]
const NUMBERS_OF_NUMPY: &[&str] = &[
    "bool", "bool_", "byte", "bytes_", "cdouble", "clongdouble", "complex128", "complex192", "complex256",
    "complex64", "csingle", "datetime64", "double", "float16", "float32", "float64", "float96", "float128", "half",
    "int16", "int32", "int64", "int8", "int_", "intc", "long", "longdouble", "longlong", "short", "single", "str_",
    "timedelta64", "ubyte", "uint", "uint16", "uint32", "uint64", "uint8", "uintc", "ulong", "ulonglong", "ushort",
];

/// Third-party extensions that define no types, or only those above, and make no capsule with a destructor.
const PLAIN_EXTENSIONS: &[&str] = &[
    "cgi2wsgi_worker",
    // Their ends drop what their global variables refer to.
    "lxml._elementpath",
    "lxml.etree",
    // Only functions.
    "markupsafe._speedups",
    "yaml._yaml",
    "zope.interface._zope_interface_coptimizations",
];

/// Capsules of the standard library: tables of functions for other C code.
const PLAIN_CAPSULES: &[&str] = &[
    "_curses._C_API",
    "_socket.CAPI",
    "datetime.datetime_CAPI",
    "pyexpat.expat_CAPI",
    "unicodedata._ucnhash_CAPI",
    "unicodedata.ucnhash_CAPI",
];

/// The end of these modules ends more than Python's objects.
const NEVER_PLAIN: &[&str] =
    &["_interpreters", "_xxsubinterpreters", "_interpchannels", "_xxinterpchannels"];

pub(super) fn is_plain_extension(name: &str) -> bool {
    PLAIN_EXTENSIONS.contains(&name)
}

pub(super) fn is_plain_capsule(name: &str) -> bool {
    PLAIN_CAPSULES.contains(&name)
}

pub(super) fn is_never_plain(name: &str) -> bool {
    NEVER_PLAIN.contains(&name)
}

/// The nature of a type that C code defined, by its `__module__` and `__qualname__`, and by whether the collector knows
/// its objects.
pub(super) fn nature(module: &str, name: &str, is_collected: bool) -> Nature {
    match module {
        "builtins" => of_builtins(name),
        "_io" => of_io(name),
        "weakref" => match name {
            "ReferenceType" | "ProxyType" | "CallableProxyType" => Nature::Weakref,
            _ => Nature::Unknown,
        },
        "_thread" => match name {
            "_local" => Nature::ThreadLocal,
            "lock" | "RLock" | "_localdummy" | "_ThreadHandle" | "ExceptHookArgs"
            | "_ExceptHookArgs" => Nature::Plain,
            _ => Nature::Unknown,
        },
        "_socket" if name == "socket" => Nature::Warns,
        "posix" => match name {
            "ScandirIterator" => Nature::Warns,
            "DirEntry" => Nature::Plain,
            _ => Nature::Unknown,
        },
        "sqlite3" => match name {
            // Python 3.9: the collector does not see its connection through it.
            "Cursor" if !is_collected => Nature::Unknown,
            // They keep their connection alive, and the connection decides.
            "Blob" | "Cache" | "Cursor" | "Node" | "PrepareProtocol" | "Row" | "Statement" => {
                Nature::Plain
            }
            _ => Nature::Unknown,
        },
        // Its end is sem_close; multiprocessing's own finalizers unlink the name.
        "_multiprocessing" if name == "SemLock" => Nature::Plain,
        "pickle" if name == "PickleBuffer" => Nature::Plain,
        "lxml.etree" if PLAIN_OF_LXML.contains(&name) => Nature::Plain,
        "numpy" if NUMBERS_OF_NUMPY.contains(&name) => Nature::Plain,
        "Token" if name == "MISSING" => Nature::Plain,
        // Functions that Cython compiled; its generators are not plain.
        _ if module.starts_with("_cython_") => match name {
            "cython_function_or_method" | "fused_cython_function" | "_common_types_metatype" => {
                Nature::Plain
            }
            _ => Nature::Unknown,
        },
        _ if PLAIN_MODULES.contains(&module) => Nature::Plain,
        _ if PLAIN_PACKAGES.iter().any(|package| is_in(module, package)) => Nature::Plain,
        _ => Nature::Unknown,
    }
}

/// Whether a module is a package or in it.
fn is_in(module: &str, package: &str) -> bool {
    module.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn of_io(name: &str) -> Nature {
    match name {
        "FileIO" => Nature::RawFile,
        "BufferedReader" => Nature::Reader,
        "BufferedWriter" | "BufferedRandom" => Nature::Writer,
        "TextIOWrapper" => Nature::Text,
        "BytesIO" | "StringIO" | "_IOBase" | "_RawIOBase" | "_BufferedIOBase" | "_TextIOBase" => {
            Nature::Overridable
        }
        "IncrementalNewlineDecoder" | "_BytesIOBuffer" => Nature::Plain,
        _ => Nature::Unknown,
    }
}

fn of_builtins(name: &str) -> Nature {
    match name {
        "weakref" | "weakproxy" | "weakcallableproxy" => Nature::Weakref,
        "generator" | "coroutine" | "async_generator" => Nature::Generator,
        "module" => Nature::Module,
        "type" => Nature::Class,
        "PyCapsule" => Nature::Capsule,
        // Values and containers.
        "object" | "NoneType" | "NotImplementedType" | "ellipsis" | "NoDefaultType"
        | "bool" | "int" | "float" | "complex" | "str" | "bytes" | "bytearray" | "tuple"
        | "list" | "dict" | "set" | "frozenset" | "slice" | "range" | "memoryview"
        | "managedbuffer" | "mappingproxy" | "UnraisableHookArgs" | "asyncgen_hooks"
        | "EncodingMap" | "FrameLocalsProxy" | "moduledef" | "InterpreterID" | "stderrprinter"
        | "symtable entry" | "InstructionSequence"
        // Functions and what classes are made of.
        | "function" | "code" | "cell" | "frame" | "traceback" | "method" | "instancemethod"
        | "builtin_function_or_method" | "builtin_method" | "method-wrapper"
        | "wrapper_descriptor" | "method_descriptor" | "classmethod_descriptor"
        | "getset_descriptor" | "member_descriptor" | "property" | "staticmethod"
        | "classmethod" | "super"
        // Context variables.
        | "Context" | "ContextVar" | "Token" | "hamt" | "hamt_array_node" | "hamt_bitmap_node"
        | "hamt_collision_node" | "keys" | "values" | "items"
        // Iterators and views.
        | "iterator" | "callable_iterator" | "enumerate" | "reversed" | "zip" | "map" | "filter"
        | "str_iterator" | "str_ascii_iterator" | "bytes_iterator" | "bytearray_iterator"
        | "tuple_iterator" | "list_iterator" | "list_reverseiterator" | "set_iterator"
        | "range_iterator" | "longrange_iterator" | "memory_iterator" | "line_iterator"
        | "positions_iterator" | "generic_alias_iterator" | "formatteriterator"
        | "fieldnameiterator" | "dict_keys" | "dict_values" | "dict_items" | "dict_keyiterator"
        | "dict_valueiterator" | "dict_itemiterator" | "dict_reversekeyiterator"
        | "dict_reversevalueiterator" | "dict_reverseitemiterator" | "odict_iterator"
        | "odict_keys" | "odict_values" | "odict_items" | "coroutine_wrapper"
        // Of extensions of the standard library that name no module.
        | "CArgObject" | "StgDict" | "MultibyteCodec" | "MultibyteIncrementalDecoder"
        | "MultibyteIncrementalEncoder" | "MultibyteStreamReader" | "MultibyteStreamWriter"
        | "TaskStepMethWrapper" | "TaskWakeupMethWrapper" | "_RunningLoopHolder"
        | "sqlite3Node" => Nature::Plain,
        _ => Nature::Unknown,
    }
}

/// What a `__del__` of Python code does, if its source was read and it shows nothing. It is known by its module, its
/// name and the names that it uses (`co_names`): if it uses others, it does something else now.
pub(super) fn of_finalizer(module: &str, qualname: &str, uses: &[String]) -> Nature {
    let uses_only = |names: &[&str]| uses.iter().all(|name| names.contains(&name.as_str()));
    match (module, qualname) {
        // Checks whether the child process has ended; warns if not.
        ("subprocess", "Popen.__del__") => Nature::Warns,
        // Removes from `threading._active` a thread that C code started.
        ("threading", "_DeleteDummyThreadOnDel.__del__") => Nature::Plain,
        // Django 6.1 breaks reference cycles itself.
        ("django.db.models.base", "ModelState.__del__")
            if uses_only(&["fields_cache", "clear"]) =>
        {
            Nature::Plain
        }
        ("django.db.utils", "DatabaseErrorWrapper.__del__") if uses_only(&["wrapper"]) => {
            Nature::Plain
        }
        _ if module.starts_with("django.db.backends.base.") && uses_only(&["connection"]) => {
            Nature::Plain
        }
        _ => Nature::Finalizer,
    }
}

/// Types whose end is their `close`, and nothing else.
pub(super) fn ends_by_closing(module: &str, name: &str) -> bool {
    matches!((module, name), ("sqlite3", "Connection") | ("_gdbm", "gdbm") | ("_dbm", "dbm"))
}

/// Callbacks of weak references that only tidy a container of their module.
pub(super) fn is_quiet_callback(module: &str, qualname: &str) -> bool {
    match module {
        // `WeakMethod`'s callback calls another that was given to it.
        "weakref" => !qualname.starts_with("WeakMethod"),
        "_weakrefset"
        | "importlib._bootstrap"
        | "_frozen_importlib"
        | "concurrent.futures.thread" => true,
        "logging" => qualname == "_removeHandlerRef",
        "sqlalchemy.event.registry" => qualname == "_collection_gced",
        // They remove a receiver from the signal's list, or note that there is one to remove.
        "django.dispatch.dispatcher" => {
            matches!(qualname, "Signal._flag_dead_receivers" | "Signal._remove_receiver")
        }
        _ => false,
    }
}
