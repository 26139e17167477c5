//! The sources: what CONTRIBUTING.md and ARCHITECTURE.md say of them is true, and no file is longer than 450 lines.

mod modules;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::table::failed;

type Check = fn() -> Result<()>;

pub(crate) fn trials() -> Vec<Trial> {
    let tests: &[(&str, Check)] = &[
        ("CONTRIBUTING.md names every file that has unsafe in it, at most eight", unsafe_is_listed),
        ("CONTRIBUTING.md and ARCHITECTURE.md name only files that exist", named_files_are_there),
        ("no source of front, worker and benchmark has more than 450 lines", none_is_long),
        ("each module uses only modules of lower layers", modules::arrows_go_down),
        ("no modules use each other in a circle", modules::no_circle),
        ("each unit test is in the library, where cargo test runs it", unit_tests_run),
        ("cgi uses no clock, no settings and no global variable", cgi_is_pure),
        ("wsgi uses neither argv nor the process environment", wsgi_knows_no_process),
    ];
    let trial = |&(name, check): &(&str, Check)| {
        Trial::test(format!("docs::{name}"), move || check().map_err(|error| failed(&error)))
    };
    tests.iter().map(trial).collect()
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn unsafe_is_listed() -> Result<()> {
    let page = fs::read_to_string(project().join("CONTRIBUTING.md")).context("CONTRIBUTING.md")?;
    let (_, list) = page.split_once("\n## Where `unsafe` is\n").context("the section is gone")?;
    let list = list.split("\n## ").next().unwrap_or_default();
    let rows = list.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let named: BTreeSet<String> = rows.map(str::to_owned).collect();
    let sources = sources()?;
    let installed = sources.into_iter().filter(|(path, _)| !path.starts_with("benches/"));
    let used = installed.filter(|(_, text)| has_word(text, "unsafe"));
    let found: BTreeSet<String> = used.map(|(path, _)| path).collect();
    let missing: Vec<_> = found.difference(&named).collect();
    let surplus: Vec<_> = named.difference(&found).collect();
    ensure!(missing.is_empty(), "CONTRIBUTING.md does not name {missing:?}, which have unsafe");
    ensure!(surplus.is_empty(), "CONTRIBUTING.md names {surplus:?}, which have no unsafe");
    ensure!(found.len() <= 8, "{} files have unsafe", found.len());
    Ok(())
}

/// Checks paths, and names of files and directories, between backquotes. Each may be relative to any of the roots.
fn named_files_are_there() -> Result<()> {
    const ROOTS: &[&str] = &[
        "",
        "benches/ratios",
        "docs",
        "fixtures",
        "src",
        "src/front",
        "src/front/check",
        "src/front/init",
        "src/front/launch",
        "tests",
        "tests/integration",
        "worker/src",
        "worker/src/zygote",
    ];
    let mut missing = Vec::new();
    let mut count = 0;
    for page in ["CONTRIBUTING.md", "ARCHITECTURE.md"] {
        let text = fs::read_to_string(project().join(page)).context(page)?;
        let quoted = text.split('`').skip(1).step_by(2);
        let paths = quoted.filter(|word| {
            let is_path = |c: char| c.is_alphanumeric() || "/._-".contains(c);
            let has_suffix = [".rs", ".py", ".md", ".toml"].iter().any(|end| word.ends_with(end));
            (word.contains('/') || has_suffix)
                && !word.starts_with('/')
                && !word.starts_with("target/")
                && word.chars().all(is_path)
        });
        for path in paths {
            count += 1;
            if !ROOTS.iter().any(|root| project().join(root).join(path).exists()) {
                missing.push(format!("{page}: {path}"));
            }
        }
    }
    ensure!(count > 60, "only {count} paths were found");
    ensure!(missing.is_empty(), "these do not exist: {missing:#?}");
    Ok(())
}

/// `cgi` uses no other module of the crate (see `modules`), so only the standard library remains to be checked.
fn cgi_is_pure() -> Result<()> {
    has_none(
        "src/cgi",
        &["static", "thread_local", "Instant", "SystemTime", "var", "var_os", "vars_os"],
    )
}

fn wsgi_knows_no_process() -> Result<()> {
    has_none("worker/src/wsgi", &["env", "args", "args_os", "environment"])
}

/// Fails if a source below `directory` has one of `words`.
fn has_none(directory: &str, words: &[&str]) -> Result<()> {
    let sources = sources()?
        .into_iter()
        .filter(|(path, _)| path.starts_with(directory) && !path.ends_with("tests.rs"));
    let mut count = 0;
    for (path, text) in sources {
        count += 1;
        let found = words.iter().find(|word| has_word(&text, word));
        ensure!(found.is_none(), "{path} has {found:?}");
    }
    ensure!(count > 5, "{directory} has {count} sources");
    Ok(())
}

/// The executable and the worker have no test binaries: `test = false` in their manifests.
fn unit_tests_run() -> Result<()> {
    let (run, not_run): (Vec<_>, Vec<_>) = sources()?
        .into_iter()
        .filter(|(_, text)| text.contains("#[test]"))
        .map(|(path, _)| path)
        .partition(|path| path.starts_with("src/") && path != "src/main.rs");
    ensure!(run.len() > 50, "only {} files have unit tests", run.len());
    ensure!(not_run.is_empty(), "these have unit tests that never run: {not_run:?}");
    Ok(())
}

fn none_is_long() -> Result<()> {
    let counted = sources()?.into_iter().map(|(path, text)| (path, text.lines().count()));
    let long: Vec<_> = counted.filter(|(_, lines)| *lines > 450).collect();
    ensure!(long.is_empty(), "these have more than 450 lines: {long:?}");
    Ok(())
}

/// Paths and texts of the sources of front, worker and benchmark.
fn sources() -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for directory in ["src", "worker/src", "benches/ratios"] {
        find(project(), Path::new(directory), &mut found)?;
    }
    ensure!(found.len() > 50, "{} sources were read", found.len());
    Ok(found)
}

/// Adds the sources below `directory`.
fn find(project: &Path, directory: &Path, found: &mut Vec<(String, String)>) -> Result<()> {
    let unread = || format!("cannot read {}", directory.display());
    for entry in fs::read_dir(project.join(directory)).with_context(unread)? {
        let path = directory.join(entry.with_context(unread)?.file_name());
        if project.join(&path).is_dir() {
            find(project, &path, found)?;
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            let text = fs::read_to_string(project.join(&path)).with_context(unread)?;
            found.push((path.display().to_string(), text));
        }
    }
    Ok(())
}

/// Whether a source has the word outside of comments. The lifetime `'static` is not the word `static`.
fn has_word(text: &str, wanted: &str) -> bool {
    let mut code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.any(|line| {
        line.split(|c: char| !(c.is_alphanumeric() || "_'".contains(c))).any(|word| word == wanted)
    })
}
