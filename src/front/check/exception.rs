//! An exception of the application: its frames, what it means, and a command that helps. `crate::remedies` decides; what
//! is only here is about APP itself.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::finding::{Finding, word};
use super::site::Site;
use super::user::User;
use super::way;
use crate::did_you_mean;
use crate::front::find::way::{Obstacle, obstacle};
use crate::handoff::{Application, Source};
use crate::remedies::{self, Frame, Raised};

/// How many of the application's last frames are shown.
pub(super) const FRAMES: usize = 4;

/// The finding for an exception.
pub(super) fn raised(about: &'static str, error: &Value, site: &Site, user: &User) -> Finding {
    let text = error["text"].as_str().unwrap_or_default();
    let kind = error["types"][0].as_str().unwrap_or_default();
    let (hint, cure) = meaning(error, site, user);
    let seen = match hint.as_str() {
        "" => format!("{kind}: {text}"),
        hint => format!("{kind}: {}; {hint}", text.trim_end_matches('.')),
    };
    Finding::problem(about, seen).maybe_cure(cure).detail(frames(error, site))
}

/// The application's frames of an exception, the innermost last.
fn frames(error: &Value, site: &Site) -> Vec<String> {
    let of = |error: &Value| -> Vec<String> {
        let all = error["frames"].as_array().into_iter().flatten();
        let text = |frame: &Value, name: &str| frame[name].as_str().unwrap_or_default().to_owned();
        all.filter(|frame| site.owns(frame["file"].as_str().unwrap_or_default()))
            .map(|frame| {
                let line = frame["line"].as_u64().unwrap_or_default();
                let (file, name) = (text(frame, "file"), text(frame, "name"));
                format!("File {file:?}, line {line}, in {name}: {}", text(frame, "code"))
            })
            .collect()
    };
    let mut lines = of(error);
    if let Some(cause) = error.get("cause") {
        let of_cause = of(cause);
        let text = cause["text"].as_str().unwrap_or_default();
        let kind = cause["types"][0].as_str().unwrap_or_default();
        lines.push(format!("because of {kind}: {text}"));
        lines.extend(of_cause);
    }
    let surplus = lines.len().saturating_sub(FRAMES * 2);
    lines.split_off(surplus)
}

/// The cause of an exception, and what to do.
fn meaning(error: &Value, site: &Site, user: &User) -> (String, Option<String>) {
    let facts = Facts { error, site };
    let raised = described(error);
    if let Some(found) = missing_application(&raised, site) {
        return found;
    }
    let application =
        Application { venv: site.interpreter.venv.clone(), ..site.application.clone() };
    let remedy = remedies::remedy(&raised, &application, true, &facts);
    let file = Path::new(raised.filename.as_deref().unwrap_or_default());
    let is = |name: &str| raised.types.iter().any(|it| it == name);
    let line = || {
        let line = error["lineno"].as_u64().unwrap_or(1);
        let opens = is("SyntaxError") && !file.as_os_str().is_empty();
        opens.then(|| format!("vi +{line} {}", word(file)))
    };
    let own = || line().or_else(|| last_own(error, site));
    match remedy {
        Some(remedy) if is("PermissionError") => {
            (remedy.why, forbidden(file, user).or_else(|| last_own(error, site)))
        }
        Some(remedy) if remedy.command.is_some() => (remedy.why, remedy.command),
        Some(remedy) => (remedy.sentence(), own()),
        None if is("SyntaxError") => {
            (format!("{}:{}", file.display(), error["lineno"].as_u64().unwrap_or(1)), own())
        }
        None => (String::new(), own()),
    }
}

/// APP names a module that is not there.
fn missing_application(raised: &Raised, site: &Site) -> Option<(String, Option<String>)> {
    let name = raised.name.as_deref().filter(|_| raised.types[0] == "ModuleNotFoundError")?;
    let Source::Module(app) = &site.application.source else { return None };
    if app != name && !app.starts_with(&format!("{name}.")) {
        return None;
    }
    // `mysite.wsgi.application` for `mysite.wsgi:application`.
    let place = site.application.directory.join(app.replace('.', "/"));
    if let Some((module, callable)) = app.rsplit_once('.')
        && place.parent().is_some_and(|parent| parent.with_extension("py").is_file())
    {
        let hint = format!("{module} is a module, and its callable comes after a colon");
        let whole = word(format!("{module}:{callable}"));
        return Some((hint, Some(format!("cgi2wsgi check {whole}"))));
    }
    if let Some(directory) = site.directory_of(name) {
        let hint = format!("it is in {}", directory.display());
        let whole = word(site.name());
        let cure = format!("cgi2wsgi check --chdir {} {whole}", word(directory));
        return Some((hint, Some(cure)));
    }
    let (package, last) = name.rsplit_once('.').unwrap_or(("", name));
    let place = site.application.directory.join(package.replace('.', "/"));
    let there = modules_in(&place);
    let Some(near) = did_you_mean::names(last, there.iter().map(String::as_str)).first().copied()
    else {
        return Some((format!("there is none in {}", place.display()), None));
    };
    let near = if package.is_empty() { near.to_owned() } else { format!("{package}.{near}") };
    let whole = word(site.name().replacen(name, &near, 1));
    Some((format!("did you mean {near}?"), Some(format!("cgi2wsgi check {whole}"))))
}

fn modules_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().take(2000);
    let names = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        match name.strip_suffix(".py") {
            Some(module) => Some(module.to_owned()),
            None => entry.path().is_dir().then_some(name),
        }
    });
    names.collect()
}

/// A command that opens the application's innermost line.
fn last_own(error: &Value, site: &Site) -> Option<String> {
    let all = error["frames"].as_array()?;
    let own = all.iter().rfind(|frame| site.owns(frame["file"].as_str().unwrap_or_default()))?;
    Some(format!("vi +{} {}", own["line"].as_u64()?, word(own["file"].as_str()?)))
}

/// A command that gives this user access to a file.
fn forbidden(file: &Path, user: &User) -> Option<String> {
    if file.as_os_str().is_empty() {
        return None;
    }
    match obstacle(file) {
        None => Some(format!("chown {} {}", word(&user.name), word(file))),
        Some(
            Obstacle::Absent(path)
            | Obstacle::Missing(path)
            | Obstacle::Dangling { target: path, .. },
        ) => {
            let directory = path.parent().map(PathBuf::from)?;
            Some(format!("chown {} {}", word(&user.name), word(directory)))
        }
        Some(obstacle) => way::finding(&obstacle, "import", file, user).cure,
    }
}

/// What `inside.py` has written about an exception.
fn described(error: &Value) -> Raised {
    let text = |name: &str| error[name].as_str().map(str::to_owned);
    let list = |name: &str| error[name].as_array().into_iter().flatten();
    let types: Vec<String> = list("types").filter_map(Value::as_str).map(str::to_owned).collect();
    let frame = |frame: &Value| Frame {
        file: frame["file"].as_str().unwrap_or_default().into(),
        function: frame["name"].as_str().unwrap_or_default().to_owned(),
    };
    let of_os = error["in_os"] == true;
    let of_os =
        of_os.then(|| Frame { file: "<frozen os>".into(), function: "__getitem__".to_owned() });
    Raised {
        types: if types.is_empty() { vec!["?".to_owned()] } else { types },
        module: text("module").unwrap_or_default(),
        text: text("text").unwrap_or_default(),
        name: text("name"),
        filename: text("filename"),
        path: text("path"),
        source: text("source"),
        key: text("key"),
        errno: error["errno"].as_i64().and_then(|number| number.try_into().ok()),
        frames: of_os.into_iter().chain(list("frames").rev().map(frame)).collect(),
        cause: error.get("cause").map(|cause| Box::new(described(cause))),
    }
}

/// The Python of the site, by what `inside.py` has written about an exception.
struct Facts<'f> {
    error: &'f Value,
    site: &'f Site,
}

impl Facts<'_> {
    /// The exception, and those that caused it.
    fn all(&self) -> impl Iterator<Item = &Value> {
        std::iter::successors(Some(self.error), |error| error.get("cause"))
    }

    fn of_module(&self, name: &str) -> Option<&Value> {
        self.all().find_map(|error| error["modules"].get(name))
    }
}

impl remedies::Python for Facts<'_> {
    fn version(&self) -> (u8, u8) {
        self.site.version
    }

    fn executable(&self) -> String {
        self.site.interpreter.executable.display().to_string()
    }

    fn here(&self) -> PathBuf {
        self.error["here"].as_str().unwrap_or_default().into()
    }

    fn variable(&self, name: &str) -> Option<String> {
        Some(self.error["variables"][name].as_str()?.to_owned())
    }

    fn includes(&self, module: &str) -> bool {
        self.of_module(module).is_some_and(|facts| facts["included"] == true)
    }

    fn file_of(&self, module: &str) -> Option<PathBuf> {
        Some(self.of_module(module)?["file"].as_str()?.into())
    }

    fn version_of(&self, package: &str) -> Option<String> {
        Some(self.of_module(package)?["version"].as_str()?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::import::tests::site;
    use super::*;

    fn user() -> User {
        User { uid: 33, gid: 33, groups: Vec::new(), name: "www-data".into(), home: "/".into() }
    }

    fn error(kind: &str, text: &str, more: &Value) -> Value {
        let mut error = json!({"types": [kind], "text": text, "here": "/s", "frames": [
            {"file": "/usr/lib/python3.11/x.py", "line": 1, "name": "f", "code": "x"},
            {"file": "/s/app.py", "line": 3, "name": "<module>", "code": "import flask"},
        ]});
        if let (Some(all), Some(more)) = (error.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        error
    }

    #[test]
    fn exceptions_have_their_cures_and_the_frames_of_the_application() {
        for (error, expected, cure) in [
            (
                error("ModuleNotFoundError", "No module", &json!({"name": "yaml"})),
                "No module; its packages come from",
                "/v/bin/python -m pip install PyYAML",
            ),
            (
                error(
                    "SyntaxError",
                    "Missing parentheses in call to 'print'",
                    &json!({"filename": "/s/m.py", "lineno": 7}),
                ),
                "this is code of Python 2",
                "vi +7 /s/m.py",
            ),
            (error("SystemExit", "1", &json!({})), "__main__", "vi +3 /s/app.py"),
            (error("ValueError", "bad", &json!({})), "ValueError: bad", "vi +3 /s/app.py"),
            (
                error("FileNotFoundError", "no", &json!({"filename": "config.ini"})),
                "relative to the current directory, /s",
                "vi +3 /s/app.py",
            ),
        ] {
            let finding = raised("import", &error, &site(Path::new("/s"), true), &user());
            assert!(finding.seen.contains(expected), "{}", finding.seen);
            assert_eq!(finding.cure.as_deref(), Some(cure));
            assert_eq!(finding.detail, ["File \"/s/app.py\", line 3, in <module>: import flask"]);
        }
    }

    #[test]
    fn damaged_facts_about_an_exception_are_no_panic() {
        for error in [json!(null), json!({}), json!({"types": 3, "frames": {}, "cause": []})] {
            let finding = raised("import", &error, &site(Path::new("/s"), true), &user());
            assert!(finding.seen.starts_with(':') || !finding.seen.is_empty());
        }
    }
}
