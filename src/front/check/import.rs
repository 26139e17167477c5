//! The import of the application: how long it took, and what it wrote.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::exception::{FRAMES, raised};
use super::finding::{Finding, word};
use super::inside::{Import, Inside};
use super::main_thread::{Frame, is_server};
use super::site::Site;
use super::user::User;
use crate::front::supervise::ended;

pub(super) const ABOUT: &str = "import";

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
        findings.push(raised(ABOUT, error, site, user));
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

#[cfg(test)]
pub(super) mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::front::find::python::Interpreter;
    use crate::handoff::{Application, Callable, Source};

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
        Site { application, interpreter, version: (3, 11) }
    }

    #[test]
    fn slow_packages_are_summed_up() {
        let import = |name: &str, own| Import { name: name.into(), own };
        let profile = [import("a.b", 1500), import("a", 1000), import("c", 9000), import("d", 10)];
        assert_eq!(slowest(&profile), "; slowest: c 9 ms, a 2 ms");
        assert_eq!(slowest(&[]), "");
    }
}
