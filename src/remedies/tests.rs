use std::fs;
use std::path::{Path, PathBuf};

use super::{Frame, Python, Raised, Remedy, remedy, word};
use crate::handoff::{Application, Callable, Source};

/// A Python 3.11 whose process is in the application's directory.
struct Usual {
    here: PathBuf,
    settings: Option<&'static str>,
}

impl Python for Usual {
    fn version(&self) -> (u8, u8) {
        (3, 11)
    }

    fn executable(&self) -> String {
        "/v/bin/python".to_owned()
    }

    fn here(&self) -> PathBuf {
        self.here.clone()
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.settings.filter(|_| name == "DJANGO_SETTINGS_MODULE").map(str::to_owned)
    }

    fn includes(&self, _module: &str) -> bool {
        false
    }

    fn file_of(&self, _module: &str) -> Option<PathBuf> {
        None
    }

    fn version_of(&self, _package: &str) -> Option<String> {
        None
    }
}

fn application(directory: &Path, venv: bool) -> Application {
    Application {
        source: Source::File(directory.join("wsgi.py")),
        callable: Callable::default(),
        directory: directory.to_owned(),
        import_directories: Vec::new(),
        venv: venv.then(|| "/v".into()),
    }
}

fn raised(kind: &str, text: &str) -> Raised {
    Raised { types: vec![kind.to_owned()], text: text.to_owned(), ..Raised::default() }
}

fn missing(name: &str) -> Raised {
    let mut raised = raised("ModuleNotFoundError", "No module named ...");
    raised.types.push("ImportError".to_owned());
    Raised { name: Some(name.to_owned()), ..raised }
}

fn of(raised: &Raised, directory: &Path, venv: bool, settings: Option<&'static str>) -> Remedy {
    let python = Usual { here: directory.to_owned(), settings };
    remedy(raised, &application(directory, venv), true, &python).expect("a remedy")
}

fn project() -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a directory");
    for package in ["mysite", "blog", "web/deep"] {
        fs::create_dir_all(place.path().join(package)).expect("a directory");
    }
    for file in ["mysite/__init__.py", "mysite/settings.py", "blog/__init__.py", "manage.py"] {
        fs::write(place.path().join(file), "").expect("a file");
    }
    place
}

#[test]
fn a_package_is_installed_by_its_name() {
    for (module, venv, command) in [
        ("yaml.loader", true, "/v/bin/python -m pip install PyYAML"),
        ("google.cloud.storage", true, "/v/bin/python -m pip install google-cloud-storage"),
        ("google.ads", true, "/v/bin/python -m pip install google"),
        ("flask", false, "/v/bin/python -m venv /s/.venv && /s/.venv/bin/pip install flask"),
    ] {
        let found = of(&missing(module), Path::new("/s"), venv, None);
        assert_eq!(found.command.as_deref(), Some(command), "{module}");
    }
    assert!(of(&missing("jinja"), Path::new("/s"), true, None).why.contains("jinja2"));
    assert!(of(&missing("urllib2"), Path::new("/s"), true, None).why.contains("urllib.request"));
}

#[test]
fn a_module_of_the_site_is_no_package_to_install() {
    let place = project();
    let root = place.path();
    let slip = of(&missing("blogg"), root, true, None);
    assert!(slip.advice.starts_with("did you mean blog? If blogg is a package: "), "{slip:?}");
    let inside = of(&missing("blog.views"), root, true, None);
    assert_eq!(inside.why, format!("{}/blog has no views.py", root.display()));
    let above = of(&missing("blog"), &root.join("web"), true, None);
    let command = above.command.unwrap_or_default();
    assert!(command.starts_with(&format!("cgi2wsgi check --pythonpath {} ", root.display())));
    let none = of(&missing("deep"), &root.join("web/deep"), true, None);
    assert_eq!(none.command, Some(format!("touch {}/web/deep/__init__.py", root.display())));
}

#[test]
fn settings_of_django_that_are_missing_are_named() {
    let place = project();
    let root = place.path();
    for (name, missed) in [
        ("mysite.setings", "mysite.setings"),
        ("mysit.settings", "mysit"),
        ("other.settings", "other"),
    ] {
        let found = of(&missing(missed), root, true, Some(name));
        assert!(found.why.starts_with(&format!("DJANGO_SETTINGS_MODULE is {name}, ")), "{found:?}");
        assert!(found.advice.starts_with("did you mean mysite.settings?"), "{found:?}");
    }
    let unset = raised("ImproperlyConfigured", "... DJANGO_SETTINGS_MODULE or call ...");
    let unset = of(&unset, root, true, None);
    assert_eq!(unset.command.as_deref(), Some("export DJANGO_SETTINGS_MODULE=mysite.settings"));
    let mut driver = raised("ImproperlyConfigured", "Error loading MySQLdb module.");
    driver.cause = Some(Box::new(missing("MySQLdb")));
    let driver = of(&driver, root, true, Some("mysite.settings"));
    assert!(driver.why.starts_with("because of ModuleNotFoundError: "), "{driver:?}");
    assert_eq!(driver.command.as_deref(), Some("/v/bin/python -m pip install mysqlclient"));
}

#[test]
fn tables_are_made_by_the_project() {
    let place = project();
    let root = place.path();
    let plain = raised("OperationalError", "no such table: t");
    assert!(of(&plain, root, true, None).command.is_none());
    let of_django = Raised { module: "django.db.utils".to_owned(), ..plain };
    let found = of(&of_django, &root.join("mysite"), true, None);
    let command = format!("cd {} && /v/bin/python manage.py migrate", root.display());
    assert_eq!(found.command, Some(command));
}

#[test]
fn a_remedy_is_one_sentence() {
    let frame = Frame { file: "<frozen os>".into(), function: "__getitem__".to_owned() };
    let mut lacking = raised("KeyError", "'KEY'");
    (lacking.key, lacking.frames) = (Some("KEY".to_owned()), vec![frame]);
    let found = of(&lacking, Path::new("/s"), true, None);
    assert!(found.sentence().starts_with("the environment variable KEY is not set: a server "));
    let readonly = raised("OperationalError", "attempt to write a readonly database");
    let sentence = of(&readonly, Path::new("/s"), true, None).sentence();
    assert!(sentence.ends_with("a relative path begins at /s"), "{sentence}");
}

#[test]
fn a_word_of_a_command_stays_one_word() {
    assert_eq!(word("/srv/site/app.py"), "/srv/site/app.py");
    assert_eq!(word("/srv/my site"), "'/srv/my site'");
    assert_eq!(word("it's;rm -rf"), "'it'\\''s;rm -rf'");
    assert_eq!(word(""), "''");
}
