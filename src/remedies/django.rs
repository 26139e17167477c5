//! What a new Django project lacks: its settings, its key, its tables.

use std::path::PathBuf;

use super::modules::near_module;
use super::{Case, Remedy, names_in, word, wsgi_beside};

const SETTINGS: &str = "DJANGO_SETTINGS_MODULE";

/// What databases say of tables and columns that they do not have.
const MISSING: [&str; 6] = [
    "no such table",
    "no such column",
    "has no column named",
    "relation \"",
    "doesn't exist",
    "Unknown column",
];

impl Case<'_> {
    /// Settings that are not named, cannot be imported, or lack the key.
    pub(super) fn of_settings(&self) -> Option<Remedy> {
        if self.is("ModuleNotFoundError") {
            return self.missing_settings();
        }
        if !self.is("ImproperlyConfigured") {
            return None;
        }
        if self.text().contains(SETTINGS) {
            return Some(self.unnamed_settings());
        }
        self.text().contains("SECRET_KEY setting must not be empty").then(|| {
            let settings = self.python.variable(SETTINGS);
            let settings = settings.unwrap_or_else(|| "the settings".to_owned());
            Remedy::new(
                format!("{settings} has none"),
                "if it comes from the environment, the server has to pass that variable on (Apache: SetEnv, nginx: \
                 fastcgi_param, Caddy: env)",
            )
        })
    }

    fn missing_settings(&self) -> Option<Remedy> {
        let missing = self.raised.name.as_deref()?;
        let named = self.python.variable(SETTINGS)?;
        let is_it = named == missing || named.starts_with(&format!("{missing}."));
        // A package that lacks its `__init__.py` has a reason of its own.
        let is_here = self.application.directory.file_name().is_some_and(|name| name == missing);
        if !is_it || is_here {
            return None;
        }
        let (package, last) = missing.rsplit_once('.').unwrap_or(("", missing));
        let mut near = self.import_directories().filter_map(|directory| {
            let near = near_module(last, &directory.join(package.replace('.', "/")))?;
            Some(if package.is_empty() { near } else { format!("{package}.{near}") })
        });
        let near = near.next().map(|near| format!("{near}{}", &named[missing.len()..]));
        let meant = near.or_else(|| self.settings_modules().into_iter().next());
        let advice = match meant {
            Some(meant) => {
                format!(
                    "did you mean {meant}? It is set in wsgi.py, or by the server's configuration"
                )
            }
            None => {
                "name the module of the settings in wsgi.py, and where else it is set".to_owned()
            }
        };
        let directories: Vec<String> =
            self.import_directories().map(|it| it.display().to_string()).collect();
        let why = format!(
            "{SETTINGS} is {named}, and no {missing} is in {}, nor among the installed packages",
            directories.join(" or ")
        );
        Some(Remedy::new(why, advice))
    }

    fn unnamed_settings(&self) -> Remedy {
        let why = format!("{SETTINGS} is not set");
        if let Some(wsgi) = wsgi_beside(self.application) {
            let advice = format!("{} sets it, and has the application: give that", wsgi.display());
            let command = format!("cgi2wsgi check {}", word(wsgi));
            return Remedy::new(why, advice).command(command);
        }
        let found = self.settings_modules().into_iter().next();
        let settings = found.as_deref().unwrap_or("mysite.settings");
        let advice = format!(
            "wsgi.py has to set it before it imports more of Django: os.environ.setdefault(\"{SETTINGS}\", \
             \"{settings}\")"
        );
        let remedy = Remedy::new(why, advice);
        match found {
            Some(found) => remedy.command(format!("export {SETTINGS}={}", word(found))),
            None => remedy,
        }
    }

    /// `mysite.settings` for each `mysite/settings.py` in an import directory.
    fn settings_modules(&self) -> Vec<String> {
        let all = self.import_directories().flat_map(|directory| {
            let names = names_in(directory).into_iter();
            names.filter(|name| directory.join(name).join("settings.py").is_file())
        });
        all.map(|package| format!("{package}.settings")).collect()
    }

    /// A database without the tables, or with those of an older version of the code.
    pub(super) fn of_tables(&self) -> Option<Remedy> {
        let text = self.text();
        let is_of_database = self.is("OperationalError") || self.is("ProgrammingError");
        if !(is_of_database && MISSING.iter().any(|part| text.contains(part))) {
            return None;
        }
        let here = self.python.here();
        let relative = format!(
            "if that was done, look at the database's path: a relative one begins at {}, and SQLite makes a new file \
             where there is none",
            here.display()
        );
        if self.raised.module != "django.db.utils" {
            return Some(Remedy::new(
                "the database is not the one that has the tables, or they were never made",
                format!("make them; {relative}"),
            ));
        }
        let executable = word(self.python.executable());
        let command = match self.project() {
            Some(project) => format!("cd {} && {executable} manage.py migrate", word(project)),
            None => "manage.py migrate".to_owned(),
        };
        let why = "the tables of the database were not made, or are older than the code";
        Some(Remedy::new(why, format!("{command}; {relative}")).command(command))
    }

    /// The directory that has `manage.py`.
    fn project(&self) -> Option<PathBuf> {
        let here = &self.application.directory;
        let mut places = std::iter::once(here.clone())
            .chain(here.parent().map(Into::into))
            .chain(self.application.import_directories.iter().cloned());
        places.find(|place| place.join("manage.py").is_file())
    }
}
