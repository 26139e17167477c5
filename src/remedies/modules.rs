//! Modules, and names of modules, that cannot be imported.

use std::path::{Path, PathBuf};

use super::tables::{package_of, written};
use super::{Case, Remedy, names_in, word};
use crate::did_you_mean;

/// What the system's loader says about an extension module that was built for another system.
const DAMAGED: [&str; 5] =
    ["undefined symbol", "wrong ELF class", "invalid ELF header", "file too short", "version `"];

impl Case<'_> {
    /// A file of the application that hides a module which the application, or a library, means.
    pub(super) fn of_shadow(&self) -> Option<Remedy> {
        if !(self.is("ImportError") || self.is("AttributeError")) {
            return None;
        }
        let text = self.text();
        let is_no_package = text.contains("is not a package");
        let name = if self.is("AttributeError") {
            text.split("module '").nth(1)?.split('\'').next()?.to_owned()
        } else {
            let named = || Some(text.split('\'').nth(1)?.to_owned()).filter(|_| is_no_package);
            self.raised.name.clone().or_else(named)?
        };
        let first = name.split('.').next()?;
        // A module whose import failed is not in `sys.modules`.
        let of_frame = || {
            let mut files = self.raised.frames.iter().map(|frame| &frame.file);
            files.find(|file| file.file_stem().is_some_and(|stem| stem == first)).cloned()
        };
        let file = self.python.file_of(first).or_else(of_frame)?;
        let is_own = self.import_directories().any(|directory| file.parent() == Some(directory));
        // If another file imports it back, that is a circular import within the application.
        let imports_itself = text.contains("partially initialized module")
            && self.raised.frames.first().is_some_and(|innermost| innermost.file == file);
        let is_meant_otherwise = self.python.includes(first) || imports_itself || is_no_package;
        (is_own && is_meant_otherwise).then(|| {
            let why = format!("{} hides the module {first} that is imported", file.display());
            let other = file.with_file_name(format!("my_{first}.py"));
            Remedy::new(why, "give the file another name").command(format!(
                "mv {} {}",
                word(&file),
                word(other)
            ))
        })
    }

    /// Modules of the application that import each other.
    pub(super) fn of_circle(&self) -> Option<Remedy> {
        let text = self.text();
        let is_circular = text.contains("circular import") && self.is("ImportError");
        is_circular.then(|| {
            let module = text.split("partially initialized module '").nth(1);
            let module = module.and_then(|rest| rest.split('\'').next()).unwrap_or("a module");
            Remedy::new(
                format!("{module} is imported again by a module that it imports"),
                "move what both need into a third module, or move the import into the function that needs it",
            )
        })
    }

    /// A package of another version than the code was written for.
    pub(super) fn of_version(&self) -> Option<Remedy> {
        if !self.is("ImportError") {
            return None;
        }
        let name = self.raised.name.as_deref()?;
        let place = if self.is("ModuleNotFoundError") {
            // If its extension module is there, but for another Python, its name is no package to install.
            if let Some(file) = self.extension_of(name) {
                let why = format!(
                    "{} is for another Python than this one, {}",
                    file.display(),
                    self.version()
                );
                let advice = format!("install its package again with {}", self.pip());
                return Some(Remedy::new(why, advice));
            }
            self.python.file_of(name.split('.').next().filter(|first| *first != name)?)?
        } else if self.text().starts_with("cannot import name") {
            PathBuf::from(self.raised.path.as_ref()?)
        } else {
            return None;
        };
        let package = name.split('.').next().unwrap_or_default();
        let place = place.to_string_lossy();
        let is_installed = place.contains("/site-packages/") || place.contains("/dist-packages/");
        is_installed.then(|| {
            let version = self.python.version_of(package);
            let shown = version.map_or_else(String::new, |version| format!(" {version}"));
            let advice = format!(
                "the code was written for another version; {} install '{package}==...', or change the code",
                self.pip()
            );
            Remedy::new(format!("the installed {package}{shown} does not have it"), advice)
        })
    }

    /// A file that would be this module in another Python.
    fn extension_of(&self, module: &str) -> Option<PathBuf> {
        let path = module.replace('.', "/");
        let (package, last) = path.rsplit_once('/').unwrap_or(("", &path));
        let mut places: Vec<PathBuf> = self.import_directories().cloned().collect();
        places.extend(self.application.venv.iter().flat_map(|venv| {
            let libraries = std::fs::read_dir(venv.join("lib")).into_iter().flatten().flatten();
            libraries.map(|library| library.path().join("site-packages"))
        }));
        let start = format!("{last}.cpython-");
        let files = places.into_iter().flat_map(|place| {
            std::fs::read_dir(place.join(package)).into_iter().flatten().flatten()
        });
        let mut names = files.map(|file| file.path());
        names.find(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&start) && file.extension() == Some("so".as_ref())
        })
    }

    /// A module or a name that cannot be imported.
    pub(super) fn of_import(&self) -> Option<Remedy> {
        let text = self.text();
        if text.contains("attempted relative import") {
            return Some(Remedy::new(
                "the file is not in a package, because there is no __init__.py beside it or APP names it as a single file",
                "write an absolute import, or give --chdir with the directory around the package and APP as \
                 package.module",
            ));
        }
        if self.is("ModuleNotFoundError") {
            return self.missing_module(self.raised.name.as_deref()?);
        }
        let is_extension = DAMAGED.iter().any(|part| text.contains(part));
        (self.is("ImportError") && is_extension).then(|| {
            let why = format!(
                "an extension module was built for another Python or system than this one, Python {}",
                self.version()
            );
            Remedy::new(why, format!("install the package again with {}", self.pip()))
        })
    }

    fn missing_module(&self, name: &str) -> Option<Remedy> {
        let first = name.split('.').next().unwrap_or(name);
        if let Some(place) = self.package_of_site(first) {
            return (first != name).then(|| missing_in_site(name, &place));
        }
        let remedy = self
            .of_no_package(first)
            .or_else(|| self.of_other_directory(first))
            .unwrap_or_else(|| self.missing_package(name));
        Some(remedy)
    }

    /// The import directory of the site's own package.
    fn package_of_site(&self, first: &str) -> Option<PathBuf> {
        self.import_directories().find(|directory| has_module(directory, first)).cloned()
    }

    /// The application's own directory is imported as a package, and is none.
    fn of_no_package(&self, first: &str) -> Option<Remedy> {
        let directory = &self.application.directory;
        let is_it = directory.file_name().is_some_and(|name| name == first);
        (is_it && !directory.join("__init__.py").exists()).then(|| {
            let file = directory.join("__init__.py");
            let why = format!(
                "the file {} is missing, without which {} is no package",
                file.display(),
                directory.display()
            );
            Remedy::new(why, format!("touch {}", word(&file)))
                .command(format!("touch {}", word(&file)))
        })
    }

    /// The module is there, but in no import directory.
    fn of_other_directory(&self, first: &str) -> Option<Remedy> {
        let here = &self.application.directory;
        let above = here.ancestors().skip(1).take(2).filter(|it| it.parent().is_some());
        let below = ["src", "app", "lib", "site"].map(|name| here.join(name));
        let mut places = above.map(Path::to_owned).chain(below);
        let place = places.find(|place| has_module(place, first))?;
        let why = format!("{first} is in {}, which is not an import directory", place.display());
        let command = format!("cgi2wsgi check --pythonpath {} {}", word(&place), word(self.name()));
        let advice = format!("give --pythonpath {}", place.display());
        Some(Remedy::new(why, advice).command(command))
    }

    /// A module of the site's own whose name differs in a letter or two.
    fn slip_of(&self, first: &str) -> Option<String> {
        let near = self.import_directories().find_map(|directory| near_module(first, directory))?;
        let most = if first.len() < 6 { 1 } else { 2 };
        (strsim::osa_distance(first, &near) <= most).then_some(near)
    }

    fn missing_package(&self, name: &str) -> Remedy {
        let first = name.split('.').next().unwrap_or(name);
        if let Some(written) = written(first) {
            return Remedy::new(format!("the module is called {written}"), "change the import");
        }
        let package = package_of(name);
        let directory = &self.application.directory;
        let Some(venv) = &self.application.venv else {
            let executable = self.python.executable();
            let why = format!(
                "no virtual environment is in use, and Python {} ({executable}) does not have it",
                self.version()
            );
            let advice = format!(
                "give the virtual environment that has it with --venv, or put .venv into {}",
                directory.display()
            );
            let new = word(directory.join(".venv"));
            let made = format!("{} -m venv {new} && {new}/bin/pip", word(executable));
            return Remedy::new(why, advice).command(format!("{made} install {}", word(package)));
        };
        let version = self.version();
        let library = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let other = name.strip_prefix("python")?.to_owned();
            let it_is = has_module(&entry.path().join("site-packages"), first);
            (it_is && other != version).then_some(other)
        };
        let mut entries = std::fs::read_dir(venv.join("lib")).into_iter().flatten().flatten();
        if let Some(other) = entries.find_map(library) {
            let why = format!(
                "the virtual environment {} has it for Python {other}, and its Python is {version} now",
                venv.display()
            );
            let advice = format!(
                "make it again (python3 -m venv --clear {}) and install the site's packages again",
                venv.display()
            );
            let command = format!("python{version} -m venv --clear {}", word(venv));
            return Remedy::new(why, advice).command(command);
        }
        let why = format!("its packages come from the virtual environment {}", venv.display());
        let install = format!("{} install {}", self.pip(), word(package));
        if let Some(near) = self.slip_of(first) {
            let why = format!("{why}, and the site has a module {near}");
            let advice = format!("did you mean {near}? If {first} is a package: {install}");
            return Remedy::new(why, advice);
        }
        Remedy::new(why, format!("is it installed there? {install}")).command(install)
    }
}

/// A module that its package, which is the site's own, does not have.
fn missing_in_site(name: &str, place: &Path) -> Remedy {
    let (package, last) = name.rsplit_once('.').unwrap_or(("", name));
    let directory = place.join(package.replace('.', "/"));
    let near = near_module(last, &directory);
    let advice = match near {
        Some(near) => format!("did you mean {package}.{near}?"),
        None => "write it, or leave out what imports it".to_owned(),
    };
    Remedy::new(format!("{} has no {last}.py", directory.display()), advice)
}

/// Whether an import would find a module, or a package with or without `__init__.py`, in a directory.
fn has_module(directory: &Path, name: &str) -> bool {
    let package = directory.join(name);
    let is_source = |name: &String| Path::new(name).extension() == Some("py".as_ref());
    directory.join(format!("{name}.py")).is_file()
        || package.join("__init__.py").is_file()
        || names_in(&package).iter().any(is_source)
}

/// The module in a directory whose name is nearest to one that is not there.
pub(super) fn near_module(name: &str, directory: &Path) -> Option<String> {
    let there: Vec<String> = names_in(directory)
        .into_iter()
        .filter_map(|entry| match entry.strip_suffix(".py") {
            Some(module) => Some(module.to_owned()),
            None => has_module(directory, &entry).then_some(entry),
        })
        .filter(|module| module != "__init__" && module != "__main__")
        .collect();
    let near = did_you_mean::names(name, there.iter().map(String::as_str));
    near.first().map(|near| (*near).to_owned())
}
