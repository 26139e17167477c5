//! Imports the application and finds the callable in it. If its name is wrong, the error says what was searched and
//! what is there; if the import fails, the error is the application's own exception.

use std::ffi::OsStr;
use std::path::Path;

use cgi2wsgi::did_you_mean;
use cgi2wsgi::handoff::application::{is_archive, package_root};
use cgi2wsgi::handoff::{Application, Callable, Source};
use cgi2wsgi::remedies::wsgi_beside;
use pyo3::exceptions::{PyModuleNotFoundError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyModule, PyTraceback};

/// The name of a module that no import finds, such as that of a `.wsgi` file. `multiprocessing` gives this name to the
/// program's own module in a spawned child, which finds by it what a parent has pickled (E3). It is not `__main__`:
/// code for that case would start a server of the application's own.
const MAIN: &str = "__mp_main__";

/// The callables to look for if the operator names none, in order.
const USUAL_NAMES: [&str; 2] = ["application", "app"];

/// Why there is no application.
pub(crate) enum LoadError {
    /// Its code raised.
    Raised(PyErr),
    /// It is not where the operator says.
    Setup(String),
}

impl From<PyErr> for LoadError {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

/// Imports the application and returns its callable.
pub(crate) fn load<'py>(
    py: Python<'py>,
    application: &Application,
) -> Result<Bound<'py, PyAny>, LoadError> {
    load_callable(py, application).map_err(|error| match error {
        LoadError::Raised(error) => LoadError::Raised(without_importing_frames(py, error)),
        setup @ LoadError::Setup(_) => setup,
    })
}

/// Makes the traceback begin in the application's own code.
fn without_importing_frames(py: Python<'_>, error: PyErr) -> PyErr {
    let is_importing = |traceback: &Bound<'_, PyTraceback>| -> PyResult<bool> {
        let code = traceback.getattr("tb_frame")?.getattr("f_code")?;
        Ok(code.getattr("co_filename")?.extract::<String>()?.starts_with("<frozen importlib"))
    };
    let mut traceback = error.traceback(py);
    while let Some(first) = traceback.take_if(|first| is_importing(first).unwrap_or(false)) {
        traceback = first.getattr("tb_next").ok().and_then(|next| next.cast_into().ok());
    }
    // Before Python 3.12 the exception and the error state each have a traceback.
    let _ = error.value(py).setattr("__traceback__", &traceback);
    error.set_traceback(py, traceback);
    error
}

fn load_callable<'py>(
    py: Python<'py>,
    application: &Application,
) -> Result<Bound<'py, PyAny>, LoadError> {
    let (module, named) = match &application.source {
        Source::Module(name) => (import(py, name, application)?, format!("the module {name}")),
        Source::File(file) => (execute(py, file)?, file.display().to_string()),
    };
    let callable = find(&module, &named, application)?;
    if callable.is_callable() {
        return Ok(callable);
    }
    let kind = callable.get_type().qualname().map_or_else(|_| "?".into(), |name| name.to_string());
    Err(LoadError::Setup(format!(
        "{} in {named} is a {kind} and cannot be called{}",
        shown_name(&application.callable),
        match kind.as_str() {
            "module" => ": name the application in it",
            "NoneType" if application.callable.is_factory =>
                ": the factory has to return the application; is there a return?",
            _ => ": an application is called with environ and start_response",
        }
    )))
}

fn shown_name(callable: &Callable) -> &str {
    if callable.attributes.is_empty() { USUAL_NAMES[0] } else { &callable.attributes }
}

fn import<'py>(
    py: Python<'py>,
    name: &str,
    application: &Application,
) -> Result<Bound<'py, PyAny>, LoadError> {
    py.import(name).map(Bound::into_any).map_err(|error| {
        // Only if this module is missing, not one that it imports.
        let missing = error
            .is_instance_of::<PyModuleNotFoundError>(py)
            .then(|| error.value(py).getattr("name").ok()?.extract::<String>().ok())
            .flatten()
            .filter(|missing| *missing == name || name.starts_with(&format!("{missing}.")));
        match missing {
            Some(missing) => LoadError::Setup(no_such_module(py, name, &missing, application)),
            None => LoadError::Raised(error),
        }
    })
}

fn no_such_module(py: Python<'_>, name: &str, missing: &str, application: &Application) -> String {
    let (package, last) = missing.rsplit_once('.').unwrap_or(("", missing));
    let mut directories = vec![application.directory.clone()];
    directories.extend(application.import_directories.iter().cloned());
    if !package.is_empty() {
        // Its package was imported, and says where its modules are.
        directories = py
            .import(package)
            .and_then(|module| {
                module.getattr("__path__")?.try_iter()?.map(|d| d?.extract()).collect()
            })
            .unwrap_or_default();
    }
    let there: Vec<String> =
        directories.iter().flat_map(|directory| modules_in(directory)).collect();
    // `sit.wsgi` may have been meant for the file site.wsgi.
    let mut meant = did_you_mean::question(last, there.iter().map(String::as_str));
    if meant.is_empty() && package.is_empty() {
        let files: Vec<String> =
            directories.iter().flat_map(|directory| names_in(directory)).collect();
        meant = did_you_mean::question(name, files.iter().map(String::as_str));
    }
    let searched: Vec<String> =
        directories.iter().map(|directory| format!("{}", directory.display())).collect();
    let environment = application.venv.as_ref().map_or_else(
        || "no virtual environment".to_owned(),
        |venv| format!("the virtual environment {}", venv.display()),
    );
    if let Some((package, last)) = name.rsplit_once('.')
        && py.import(package).is_ok_and(|module| module.hasattr(last).unwrap_or(false))
    {
        return format!(
            "there is no module {name:?}, but {package} has {last}: write {package}:{last}"
        );
    }
    let whole = if missing == name { String::new() } else { format!(" (of {name})") };
    format!(
        "there is no module {missing:?}{whole} in {}, nor in Python's own directories with \
         {environment}{}",
        searched.join(", "),
        if meant.is_empty() && package.is_empty() {
            ": give the directory that it is in with --chdir or --pythonpath"
        } else {
            &meant
        }
    )
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn modules_in(directory: &Path) -> Vec<String> {
    let modules =
        names_in(directory).into_iter().filter_map(|name| match name.strip_suffix(".py") {
            Some(module) => Some(module.to_owned()),
            None => directory.join(&name).is_dir().then_some(name),
        });
    modules.collect()
}

/// Executes a file as a module under the name that an import would give it, so that it is not imported a second time
/// under that name.
fn execute<'py>(py: Python<'py>, file: &Path) -> Result<Bound<'py, PyAny>, LoadError> {
    let stem = file.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let is_source = file.extension() == Some(OsStr::new("py"));
    if is_source
        && let Some(root) = package_root(file)
        && let Some(name) = dotted_name(&root, file)
    {
        return in_package(py, &name, file);
    }
    let modules =
        py.import("sys")?.getattr("modules")?.cast_into::<PyDict>().map_err(PyErr::from)?;
    let is_identifier = stem.chars().all(|c| c == '_' || c.is_alphanumeric())
        && stem.starts_with(|c: char| !c.is_numeric());
    let name = if is_source && is_identifier && stem != "__main__" && !modules.contains(stem)? {
        stem.to_owned()
    } else {
        MAIN.to_owned()
    };
    if is_source {
        return load_source(py, &name, file, &modules);
    }
    if is_archive(file) {
        return execute_archive(py, file, &modules);
    }
    // The cache would have app.wsgi and app.py share one entry.
    let source = std::fs::read(file).map_err(|error| {
        LoadError::Setup(format!("{} cannot be read by this user: {error}", file.display()))
    })?;
    let builtins = py.import("builtins")?;
    let arguments = PyDict::new(py);
    arguments.set_item("dont_inherit", true)?;
    let code = builtins
        .getattr("compile")?
        .call((PyBytes::new(py, &source), file.as_os_str(), "exec"), Some(&arguments))?;
    run(&PyModule::new(py, MAIN)?, file, &code, &modules)
}

/// Runs code as a module that no import finds.
fn run<'py>(
    module: &Bound<'py, PyModule>,
    file: &Path,
    code: &Bound<'py, PyAny>,
    modules: &Bound<'py, PyDict>,
) -> Result<Bound<'py, PyAny>, LoadError> {
    let builtins = module.py().import("builtins")?;
    module.setattr("__file__", file.as_os_str())?;
    module.setattr("__builtins__", &builtins)?;
    become_main(module, modules)?;
    builtins.getattr("exec")?.call1((code, module.dict()))?;
    Ok(module.clone().into_any())
}

/// Makes the module what a spawned child makes of its program's module: it has both names, and no `__spec__`, as if no
/// import had made it (E3). `multiprocessing` finds its file there, and makes [`MAIN`] an alias of `__main__`.
fn become_main(module: &Bound<'_, PyAny>, modules: &Bound<'_, PyDict>) -> PyResult<()> {
    module.setattr("__spec__", module.py().None())?;
    modules.set_item(MAIN, module)?;
    modules.set_item("__main__", module)
}

/// Executes an archive as `python -m zipapp` makes it: its `__main__.py`, which finds the rest on `sys.path`.
fn execute_archive<'py>(
    py: Python<'py>,
    file: &Path,
    modules: &Bound<'py, PyDict>,
) -> Result<Bound<'py, PyAny>, LoadError> {
    let unusable = |error: PyErr| {
        LoadError::Setup(format!(
            "{} is a zip archive, and its __main__.py cannot be loaded: {}; for a module in it, give \
             --pythonpath {0} and the module's name",
            file.display(),
            error.value(py)
        ))
    };
    let zipimport = py.import("zipimport")?;
    let importer =
        zipimport.getattr("zipimporter")?.call1((file.as_os_str(),)).map_err(unusable)?;
    let code = importer.call_method1("get_code", ("__main__",)).map_err(unusable)?;
    py.import("sys")?.getattr("path")?.call_method1("insert", (0, file.as_os_str()))?;
    let module = PyModule::new(py, MAIN)?;
    module.setattr("__loader__", importer)?;
    run(&module, &file.join("__main__.py"), &code, modules)
}

/// With the import system's own loader, and so with its cache of bytecode.
fn load_source<'py>(
    py: Python<'py>,
    name: &str,
    file: &Path,
    modules: &Bound<'py, PyDict>,
) -> Result<Bound<'py, PyAny>, LoadError> {
    // The frozen modules, because `importlib.util` would import more.
    let (external, bootstrap) =
        (py.import("_frozen_importlib_external")?, py.import("_frozen_importlib")?);
    let loader = external.getattr("SourceFileLoader")?.call1((name, file.as_os_str()))?;
    let arguments = PyDict::new(py);
    arguments.set_item("loader", &loader)?;
    let spec = external
        .getattr("spec_from_file_location")?
        .call((name, file.as_os_str()), Some(&arguments))?;
    if let Some(load) = bootstrap.getattr_opt("_load")?.filter(|_| name != MAIN) {
        return Ok(load.call1((spec,))?);
    }
    // A Python without `_load`, or a name that means another module as soon as `multiprocessing` is imported: the steps
    // that the documentation of `importlib` gives.
    let module = bootstrap.getattr("module_from_spec")?.call1((spec,))?;
    modules.set_item(name, &module)?;
    if name == MAIN {
        become_main(&module, modules)?;
    }
    if let Err(error) = loader.call_method1("exec_module", (&module,)) {
        let _ = modules.del_item(name);
        return Err(error.into());
    }
    Ok(module)
}

/// `shop/web/wsgi.py` below its root is `shop.web.wsgi`.
fn dotted_name(root: &Path, file: &Path) -> Option<String> {
    let relative = file.strip_prefix(root).ok()?.with_extension("");
    let names: Option<Vec<&str>> = relative.iter().map(OsStr::to_str).collect();
    Some(names?.join("."))
}

/// A file in a package is imported as part of the package, so that its relative imports work.
fn in_package<'py>(
    py: Python<'py>,
    name: &str,
    file: &Path,
) -> Result<Bound<'py, PyAny>, LoadError> {
    let module = py.import(name)?;
    let imported: Option<std::path::PathBuf> =
        module.getattr("__file__").ok().and_then(|path| path.extract().ok());
    let same = imported.as_ref().is_some_and(|imported| {
        imported == file || std::fs::canonicalize(imported).ok() == std::fs::canonicalize(file).ok()
    });
    if same {
        return Ok(module.into_any());
    }
    Err(LoadError::Setup(format!(
        "{} is {name} of a package, but importing {name} finds {}: something of the same name comes before it \
         on sys.path",
        file.display(),
        imported.map_or_else(|| "something else".into(), |path| path.display().to_string())
    )))
}

fn find<'py>(
    module: &Bound<'py, PyAny>,
    named: &str,
    application: &Application,
) -> Result<Bound<'py, PyAny>, LoadError> {
    let callable = &application.callable;
    if callable.attributes.is_empty() {
        for name in USUAL_NAMES {
            if let Some(found) = module.getattr_opt(name)? {
                return Ok(found);
            }
        }
        let there = callables(module);
        if let Some(wsgi) = wsgi_beside(application) {
            return Err(LoadError::Setup(format!(
                "{named} has neither application nor app: the application of a Django project is in {}",
                wsgi.display()
            )));
        }
        return Err(LoadError::Setup(format!(
            "{named} has neither application nor app{}",
            if there.is_empty() {
                ", nor any other callable of its own: give the file that has the application"
                    .to_owned()
            } else {
                format!(": name the callable after a colon; it has {}", there.join(", "))
            }
        )));
    }
    let mut found = module.clone();
    let mut place = named.to_owned();
    for name in callable.attributes.split('.') {
        found = match found.getattr_opt(name)? {
            Some(attribute) => attribute,
            None => return Err(LoadError::Setup(no_such_attribute(&found, &place, name))),
        };
        place = format!("{name} in {place}");
    }
    if !callable.is_factory {
        return Ok(found);
    }
    if !found.is_callable() {
        return Err(LoadError::Setup(format!(
            "{place} is a {} and not a factory: write its name without ()",
            found.get_type().qualname()?
        )));
    }
    found.call0().map_err(|error| {
        let py = found.py();
        let is_signature = error.is_instance_of::<PyTypeError>(py) && error.traceback(py).is_none();
        if is_signature {
            return LoadError::Setup(format!(
                "{place} is called without arguments, and that fails: {}; write a module with \
                 application = {}(...)",
                error.value(py),
                callable.attributes
            ));
        }
        error.into()
    })
}

fn no_such_attribute(object: &Bound<'_, PyAny>, place: &str, name: &str) -> String {
    let names: Vec<String> = object.dir().and_then(|names| names.extract()).unwrap_or_default();
    let meant = did_you_mean::question(name, names.iter().map(String::as_str));
    let there = if meant.is_empty() { callables(object) } else { Vec::new() };
    let there = match there.as_slice() {
        [] => String::new(),
        names => format!("; it has {}", names.join(", ")),
    };
    format!("{place} has no {name:?}{meant}{there}")
}

/// The names of callables that `object` defines itself, at most eight.
fn callables(object: &Bound<'_, PyAny>) -> Vec<String> {
    let py = object.py();
    let own = object.getattr(intern!(py, "__name__")).ok();
    let is_own = |value: &Bound<'_, PyAny>| {
        let module = value.getattr(intern!(py, "__module__")).ok();
        value.is_callable()
            && own.as_ref().zip(module).is_none_or(|(own, module)| module.eq(own).unwrap_or(true))
    };
    let names: Vec<String> = object.dir().and_then(|names| names.extract()).unwrap_or_default();
    let mut found: Vec<String> = names
        .into_iter()
        .filter(|name| !name.starts_with('_'))
        .filter(|name| object.getattr(name.as_str()).is_ok_and(|value| is_own(&value)))
        .collect();
    found.truncate(8);
    found
}
