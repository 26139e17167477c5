//! The import of the application: how long it took, what it wrote, and what its exception means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::finding::{Finding, word};
use super::inside::{Import, Inside};
use super::main_thread::{Frame, is_server};
use super::packages::{around, package_of, successor};
use super::site::Site;
use super::user::User;
use super::way;
use crate::did_you_mean;
use crate::front::find::way::{Obstacle, obstacle};
use crate::front::supervise::ended;
use crate::handoff::Source;

pub(super) const ABOUT: &str = "import";

/// How many of the application's last frames are shown.
const FRAMES: usize = 4;

/// How many slow packages are named.
const SLOWEST: usize = 3;

/// Code that runs a server, or exits, at import belongs below this line.
const GUARD: &str = "if __name__ == \"__main__\":";

/// The findings, and whether the module was imported.
pub(super) fn judge(
    inside: &Inside,
    site: &Site,
    user: &User,
    patience: Duration,
) -> (Vec<Finding>, bool) {
    let mut findings = Vec::new();
    let Some(facts) = inside.about("import") else {
        return (vec![not_finished(inside, site, patience)], false);
    };
    if let Some(error) = facts.get("error") {
        findings.push(raised(error, site, user));
    } else {
        let milliseconds = facts["seconds"].as_f64().unwrap_or_default() * 1e3;
        let slowest = slowest(&inside.profile);
        findings.push(Finding::fine(ABOUT, format!("took {milliseconds:.0} ms{slowest}")));
    }
    if !inside.output.is_empty() {
        let bytes = inside.output.len();
        let first: String =
            inside.output.lines().next().unwrap_or_default().chars().take(60).collect();
        findings.push(Finding::fine(
            ABOUT,
            format!(
                "wrote {bytes} bytes to standard output, which go to the server's log: {first:?}"
            ),
        ));
    }
    if let Some(facts) = inside.about("requirements") {
        let missing: Vec<&str> =
            facts["missing"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let file = facts["file"].as_str().unwrap_or_default();
        findings.push(
            Finding::warning(
                "packages",
                format!("{file} names packages that are not installed: {}", missing.join(", ")),
            )
            .cure(site.pip_install(&format!("-r {}", word(file)))),
        );
    }
    (findings, facts.get("error").is_none())
}

/// `; slowest: django 120 ms, ...`, by package.
fn slowest(profile: &[Import]) -> String {
    let mut packages: BTreeMap<&str, u64> = BTreeMap::new();
    for import in profile {
        let top = import.name.split('.').next().unwrap_or_default();
        *packages.entry(top).or_default() += import.own;
    }
    let mut slow: Vec<(u64, &str)> = packages
        .into_iter()
        .map(|(name, own)| (own / 1000, name))
        .filter(|(own, _)| *own > 0)
        .collect();
    slow.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(other.1)));
    slow.truncate(SLOWEST);
    let slow: Vec<String> = slow.iter().map(|(own, name)| format!("{name} {own} ms")).collect();
    if slow.is_empty() { String::new() } else { format!("; slowest: {}", slow.join(", ")) }
}

/// The process ended, or had to be ended, in the middle of the import.
fn not_finished(inside: &Inside, site: &Site, patience: Duration) -> Finding {
    let frames = Frame::of_main_thread(&inside.errors);
    let own: Vec<String> = frames
        .iter()
        .filter(|frame| site.owns(&frame.file))
        .take(FRAMES)
        .map(|Frame { file, line, function }| format!("File {file:?}, line {line}, in {function}"))
        .collect();
    let timed_out = inside.errors.contains("Timeout (") || inside.ended.status.is_none();
    if !timed_out {
        let said = last_line(&inside.errors);
        let said = if said.is_empty() { said } else { format!("; it said: {said}") };
        return Finding::problem(
            ABOUT,
            format!("the process of the import {}{said}", ended(inside.ended.status)),
        )
        .detail(own);
    }
    let seconds = patience.as_secs_f64();
    if is_server(&frames) {
        let modules: Vec<_> =
            frames.iter().filter(|frame| frame.function == "<module>").cloned().collect();
        return Finding::problem(
            ABOUT,
            format!("runs a server and does not end: put the call that starts it, such as app.run(), below {GUARD}"),
        )
        .maybe_cure(edit(&modules, site))
        .detail(own);
    }
    Finding::problem(ABOUT, format!("did not end within {seconds} s"))
        .maybe_cure(edit(&frames, site))
        .detail(own)
}

/// A command that opens the first line in `frames` that is the site's own.
fn edit(frames: &[Frame], site: &Site) -> Option<String> {
    let Frame { file, line, .. } = frames.iter().find(|frame| site.owns(&frame.file))?;
    Some(format!("vi +{line} {}", word(file)))
}

fn last_line(text: &str) -> String {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.next_back().unwrap_or_default().trim().to_owned()
}

/// The application's frames of an exception, the innermost last.
pub(super) fn frames(error: &Value, site: &Site) -> Vec<String> {
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
        lines.push(format!("because of {}: {text}", cause["type"].as_str().unwrap_or_default()));
        lines.extend(of_cause);
    }
    let surplus = lines.len().saturating_sub(FRAMES * 2);
    lines.split_off(surplus)
}

/// What an exception of the import means.
pub(super) fn raised(error: &Value, site: &Site, user: &User) -> Finding {
    let text = error["text"].as_str().unwrap_or_default();
    let kind = error["type"].as_str().unwrap_or_default();
    let (hint, cure) = meaning(error, site, user);
    let hint = if hint.is_empty() { hint } else { format!("; {hint}") };
    Finding::problem(ABOUT, format!("{kind}: {text}{hint}"))
        .maybe_cure(cure)
        .detail(frames(error, site))
}

/// The cause of an exception, and what to do.
fn meaning(error: &Value, site: &Site, user: &User) -> (String, Option<String>) {
    let text = error["text"].as_str().unwrap_or_default();
    let file = error["filename"].as_str().unwrap_or_default();
    let is = |name: &str| {
        error["bases"].as_array().into_iter().flatten().any(|base| base.as_str() == Some(name))
    };
    if let Some(known) = around(text, &site.application.directory) {
        return known;
    }
    // A circular import: the module that lacks the name is still being imported, so that it is in the traceback.
    let of_module = text.strip_prefix("cannot import name").and_then(|rest| rest.rsplit_once(" ("));
    let of_module = of_module.and_then(|(_, file)| file.strip_suffix(')'));
    let frames = error["frames"].as_array().into_iter().flatten();
    if of_module.is_some() && { frames }.any(|frame| frame["file"].as_str() == of_module) {
        let hint = "the two modules import each other: move what both need into a third module";
        return (hint.to_owned(), last_own(error, site));
    }
    if is("ModuleNotFoundError") {
        return missing(error["name"].as_str().unwrap_or_default(), site);
    }
    if is("SyntaxError") {
        let line = error["lineno"].as_u64().unwrap_or(1);
        let cure = Some(format!("vi +{line} {}", word(file)));
        if text.contains("call to 'print'") || text.contains("call to 'exec'") {
            return ("this is Python 2".to_owned(), cure);
        }
        if !site.owns(file) && std::env::var_os("PYTHONPATH").is_some() {
            let hint = format!("{file} belongs to another Python: PYTHONPATH is set");
            return (hint, Some("unset PYTHONPATH".to_owned()));
        }
        return (format!("{file}:{line}"), cure);
    }
    if is("SystemExit") {
        return (
            format!(
                "it ends the program while it is imported: put the call that does so below {GUARD}"
            ),
            last_own(error, site),
        );
    }
    if is("PermissionError") {
        return (String::new(), forbidden(Path::new(file), user));
    }
    if is("FileNotFoundError") && !file.is_empty() && !Path::new(file).is_absolute() {
        let here = &site.application.directory;
        let above = here.ancestors().skip(1).take(2).find(|it| it.join(file).exists());
        let hint = format!("the name is relative to {}", here.display());
        let cure =
            above.map(|it| format!("cgi2wsgi check --chdir {} {}", word(it), word(site.name())));
        return (hint, cure.or_else(|| last_own(error, site)));
    }
    if is("KeyError") && error["in_os"] == true {
        let name = text.trim_matches('\'');
        let hint = format!(
            "the environment variable {name} is not set: a server passes on only what its \
             configuration sets"
        );
        return (hint, Some(format!("export {}=...", word(name))));
    }
    if is("ImproperlyConfigured") && text.contains("DJANGO_SETTINGS_MODULE") {
        let named = settings_modules(&site.application.directory).into_iter().next();
        return (
            String::new(),
            named.map(|named| format!("export DJANGO_SETTINGS_MODULE={named}")),
        );
    }
    (String::new(), last_own(error, site))
}

/// A command that opens the application's innermost line.
fn last_own(error: &Value, site: &Site) -> Option<String> {
    let all = error["frames"].as_array()?;
    let own = all.iter().rfind(|frame| site.owns(frame["file"].as_str().unwrap_or_default()))?;
    Some(format!("vi +{} {}", own["line"].as_u64()?, word(own["file"].as_str()?)))
}

fn missing(name: &str, site: &Site) -> (String, Option<String>) {
    if let Some(successor) = successor(name) {
        let hint = format!("{name} is a module of Python 2, which {successor} replaces");
        return (hint, None);
    }
    let is_application = match &site.application.source {
        Source::Module(app) => app == name || app.starts_with(&format!("{name}.")),
        Source::File(_) => false,
    };
    if let Some(directory) = site.directory_of(name) {
        let hint = format!("it is in {}", directory.display());
        let option = if is_application { "--chdir" } else { "--pythonpath" };
        return (
            hint,
            Some(format!("cgi2wsgi check {option} {} {}", word(directory), word(site.name()))),
        );
    }
    let (package, last) = name.rsplit_once('.').unwrap_or(("", name));
    let place = site.application.directory.join(package.replace('.', "/"));
    let there = modules_in(&place);
    if let Some(near) = did_you_mean::names(last, there.iter().map(String::as_str)).first() {
        let near =
            if package.is_empty() { (*near).to_owned() } else { format!("{package}.{near}") };
        let hint = format!("did you mean {near}?");
        let whole = site.name().replacen(name, &near, 1);
        let cure = is_application.then(|| format!("cgi2wsgi check {}", word(whole)));
        return (hint, cure);
    }
    if is_application || !package.is_empty() {
        return (format!("there is none in {}", place.display()), None);
    }
    (String::new(), Some(site.install(package_of(name))))
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

/// `mysite.settings` for each `mysite/settings.py`.
fn settings_modules(directory: &Path) -> Vec<String> {
    let is_there = |name: &String| directory.join(name).join("settings.py").is_file();
    let mut packages: Vec<String> = modules_in(directory).into_iter().filter(is_there).collect();
    packages.sort();
    packages.into_iter().map(|package| format!("{package}.settings")).collect()
}

/// A command that gives this user access to a file.
pub(super) fn forbidden(file: &Path, user: &User) -> Option<String> {
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
        Some(obstacle) => way::finding(&obstacle, ABOUT, file, user).cure,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::front::find::python::Interpreter;
    use crate::handoff::{Application, Callable};

    pub(in super::super) fn site(directory: &Path, venv: bool) -> Site {
        let application = Application {
            source: Source::File(directory.join("app.py")),
            callable: Callable::default(),
            directory: directory.to_owned(),
            import_directories: Vec::new(),
            venv: None,
        };
        let venv = venv.then(|| PathBuf::from("/v"));
        let interpreter = Interpreter { executable: "/v/bin/python".into(), venv };
        Site { application, interpreter }
    }

    fn user() -> User {
        User { uid: 33, gid: 33, groups: Vec::new(), name: "www-data".into(), home: "/".into() }
    }

    fn error(kind: &str, text: &str, more: &Value) -> Value {
        let mut error = json!({"type": kind, "text": text, "bases": [kind], "frames": [
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
        let place = Path::new("/s");
        for (error, venv, expected, cure) in [
            (
                error("ModuleNotFoundError", "No module named 'yaml'", &json!({"name": "yaml"})),
                true,
                "No module named",
                "/v/bin/python -m pip install PyYAML",
            ),
            (
                error("ModuleNotFoundError", "x", &json!({"name": "flask"})),
                false,
                "x",
                "/v/bin/python -m venv /s/.venv && /s/.venv/bin/pip install flask",
            ),
            (
                error(
                    "SyntaxError",
                    "Missing parentheses in call to 'print'",
                    &json!({"filename": "/s/m.py", "lineno": 7}),
                ),
                true,
                "this is Python 2",
                "vi +7 /s/m.py",
            ),
            (error("SystemExit", "1", &json!({})), true, "__main__", "vi +3 /s/app.py"),
            (error("ValueError", "bad", &json!({})), true, "ValueError: bad", "vi +3 /s/app.py"),
            (
                error("FileNotFoundError", "no", &json!({"filename": "config.ini"})),
                true,
                "relative to /s",
                "vi +3 /s/app.py",
            ),
        ] {
            let finding = raised(&error, &site(place, venv), &user());
            assert!(finding.seen.contains(expected), "{}", finding.seen);
            assert_eq!(finding.cure.as_deref(), Some(cure));
            assert_eq!(finding.detail, ["File \"/s/app.py\", line 3, in <module>: import flask"]);
        }
    }

    #[test]
    fn a_module_that_is_near_is_found() {
        let place = tempfile::tempdir().expect("a directory");
        let root = place.path().canonicalize().expect("it is there");
        fs::create_dir_all(root.join("web/deep")).expect("made");
        fs::create_dir(root.join("shop")).expect("made");
        let site = site(&root.join("web"), true);
        let (hint, cure) = missing("shop.models", &site);
        assert_eq!(hint, format!("it is in {}", root.display()));
        assert!(cure.is_some_and(|cure| cure.contains("--pythonpath")));
        assert!(missing("dep", &site).0.contains("did you mean deep?"));
        assert!(missing("urllib2", &site).0.contains("urllib.request"));
    }

    #[test]
    fn slow_packages_are_summed_up() {
        let import = |name: &str, own| Import { name: name.into(), own };
        let profile = [import("a.b", 1500), import("a", 1000), import("c", 9000), import("d", 10)];
        assert_eq!(slowest(&profile), "; slowest: c 9 ms, a 2 ms");
        assert_eq!(slowest(&[]), "");
    }
}
