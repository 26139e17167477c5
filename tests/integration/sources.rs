//! The sources: `CONTRIBUTING.md` names the files that have `unsafe` in them, all of them and no other; and no file is longer
//! than 450 lines.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::table::failed;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("docs::CONTRIBUTING.md names every file that has unsafe in it", || {
            unsafe_is_listed().map_err(|error| failed(&error))
        }),
        Trial::test("docs::no source of front and worker has more than 450 lines", || {
            none_is_long().map_err(|error| failed(&error))
        }),
    ]
}

fn unsafe_is_listed() -> Result<()> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(project.join("CONTRIBUTING.md")).context("CONTRIBUTING.md")?;
    let (_, list) = page.split_once("\n## Where `unsafe` is\n").context("the section is gone")?;
    let list = list.split("\n## ").next().unwrap_or_default();
    let rows = list.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let named: BTreeSet<String> = rows.map(str::to_owned).collect();
    let sources = sources()?;
    let used = sources.into_iter().filter(|(_, text)| has_unsafe(text));
    let found: BTreeSet<String> = used.map(|(path, _)| path).collect();
    let missing: Vec<_> = found.difference(&named).collect();
    let surplus: Vec<_> = named.difference(&found).collect();
    ensure!(missing.is_empty(), "CONTRIBUTING.md does not name {missing:?}, which have unsafe");
    ensure!(surplus.is_empty(), "CONTRIBUTING.md names {surplus:?}, which have no unsafe");
    Ok(())
}

fn none_is_long() -> Result<()> {
    let counted = sources()?.into_iter().map(|(path, text)| (path, text.lines().count()));
    let long: Vec<_> = counted.filter(|(_, lines)| *lines > 450).collect();
    ensure!(long.is_empty(), "these have more than 450 lines: {long:?}");
    Ok(())
}

/// Paths and texts of what front and worker are made of.
fn sources() -> Result<Vec<(String, String)>> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for directory in ["src", "worker/src"] {
        find(project, Path::new(directory), &mut found)?;
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

/// Whether a source uses the word, outside of comments.
fn has_unsafe(text: &str) -> bool {
    let mut code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.any(|line| {
        line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == "unsafe")
    })
}
