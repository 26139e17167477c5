//! What to do about an exception: takes from Python what [`cgi2wsgi::remedies`] decides on.

use std::path::PathBuf;

use cgi2wsgi::handoff::Application;
use cgi2wsgi::remedies::{self, Frame, Raised};
use pyo3::prelude::*;

/// How many causes of an exception are looked at.
const CAUSES: usize = 4;

/// What to do, with the words that join it to a sentence; None if the exception says all there is to say.
pub(crate) fn remedy(
    py: Python<'_>,
    error: &PyErr,
    application: &Application,
    is_import: bool,
) -> Option<String> {
    let raised = raised(py, error, CAUSES);
    let remedy = remedies::remedy(&raised, application, is_import, &Interpreter { py })?;
    Some(format!("; {}", remedy.sentence()))
}

fn raised(py: Python<'_>, error: &PyErr, causes: usize) -> Raised {
    let value = error.value(py);
    let attribute = |name: &str| value.getattr(name).ok();
    let text = |name: &str| attribute(name)?.extract::<String>().ok();
    let types = error.get_type(py).mro();
    let types = types.iter().filter_map(|kind| kind.getattr("__name__").ok()?.extract().ok());
    let module = error.get_type(py).getattr("__module__").and_then(|name| name.extract());
    let path = |name: &str| attribute(name)?.extract::<PathBuf>().ok();
    let shown = |path: PathBuf| path.to_string_lossy().into_owned();
    let key = || attribute("args")?.get_item(0).ok()?.extract().ok();
    let cause = || {
        let suppressed = attribute("__suppress_context__")?.is_truthy().unwrap_or(false);
        let explicit = attribute("__cause__").filter(|cause| !cause.is_none());
        explicit.or_else(|| attribute("__context__").filter(|it| !suppressed && !it.is_none()))
    };
    let cause = (causes > 0).then(cause).flatten();
    Raised {
        types: types.collect(),
        module: module.unwrap_or_default(),
        text: value.to_string(),
        name: text("name"),
        filename: path("filename").map(shown),
        path: path("path").map(shown),
        source: text("text"),
        key: key(),
        errno: attribute("errno").and_then(|number| number.extract().ok()),
        frames: frames(py, error),
        cause: cause.map(|cause| Box::new(raised(py, &PyErr::from_value(cause), causes - 1))),
    }
}

/// The traceback, from where the exception was raised outwards.
fn frames(py: Python<'_>, error: &PyErr) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut next = error.traceback(py).map(Bound::into_any);
    while let Some(traceback) = next.filter(|it| !it.is_none()) {
        let code = traceback.getattr("tb_frame").and_then(|frame| frame.getattr("f_code"));
        if let Ok(code) = code {
            let text = |name| code.getattr(name).and_then(|it| it.extract::<String>());
            if let (Ok(file), Ok(function)) = (text("co_filename"), text("co_name")) {
                frames.push(Frame { file: file.into(), function });
            }
        }
        next = traceback.getattr("tb_next").ok();
    }
    frames.reverse();
    frames
}

/// The Python of this process.
struct Interpreter<'py> {
    py: Python<'py>,
}

impl Interpreter<'_> {
    fn of_sys(&self, name: &str) -> Option<Bound<'_, PyAny>> {
        self.py.import("sys").and_then(|sys| sys.getattr(name)).ok()
    }
}

impl remedies::Python for Interpreter<'_> {
    fn version(&self) -> (u8, u8) {
        let version = self.py.version_info();
        (version.major, version.minor)
    }

    fn executable(&self) -> String {
        self.of_sys("executable").and_then(|it| it.extract().ok()).unwrap_or_default()
    }

    fn here(&self) -> PathBuf {
        std::env::current_dir().unwrap_or_default()
    }

    fn variable(&self, name: &str) -> Option<String> {
        Some(std::env::var_os(name)?.to_string_lossy().into_owned())
    }

    fn includes(&self, module: &str) -> bool {
        let names = self.of_sys("stdlib_module_names");
        names.is_some_and(|names| names.contains(module).unwrap_or(false))
    }

    fn file_of(&self, module: &str) -> Option<PathBuf> {
        let module = self.of_sys("modules")?.get_item(module).ok()?;
        module.getattr("__file__").ok()?.extract().ok()
    }

    fn version_of(&self, package: &str) -> Option<String> {
        let metadata = self.py.import("importlib.metadata").ok()?;
        metadata.call_method1("version", (package,)).ok()?.extract().ok()
    }
}
