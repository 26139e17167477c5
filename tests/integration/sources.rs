//! `CONTRIBUTING.md` names the files that have `unsafe` in them, all of them and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::table::failed;

pub(crate) fn trial() -> Trial {
    Trial::test("docs::CONTRIBUTING.md names every file that has unsafe in it", || {
        check().map_err(|error| failed(&error))
    })
}

fn check() -> Result<()> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(project.join("CONTRIBUTING.md")).context("CONTRIBUTING.md")?;
    let (_, list) = page.split_once("\n## Where `unsafe` is\n").context("the section is gone")?;
    let list = list.split("\n## ").next().unwrap_or_default();
    let rows = list.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let named: BTreeSet<String> = rows.map(str::to_owned).collect();
    let mut found = BTreeSet::new();
    for directory in ["src", "worker/src"] {
        find(project, Path::new(directory), &mut found)?;
    }
    ensure!(!found.is_empty(), "no source was read");
    let missing: Vec<_> = found.difference(&named).collect();
    let surplus: Vec<_> = named.difference(&found).collect();
    ensure!(missing.is_empty(), "CONTRIBUTING.md does not name {missing:?}, which have unsafe");
    ensure!(surplus.is_empty(), "CONTRIBUTING.md names {surplus:?}, which have no unsafe");
    Ok(())
}

/// Adds the sources below `directory` that use the word, outside of comments.
fn find(project: &Path, directory: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    let unread = || format!("cannot read {}", directory.display());
    for entry in fs::read_dir(project.join(directory)).with_context(unread)? {
        let path = directory.join(entry.with_context(unread)?.file_name());
        if project.join(&path).is_dir() {
            find(project, &path, found)?;
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            let text = fs::read_to_string(project.join(&path)).with_context(unread)?;
            let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
            let is_unsafe = |line: &str| {
                line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|w| w == "unsafe")
            };
            if code.into_iter().any(is_unsafe) {
                found.insert(path.display().to_string());
            }
        }
    }
    Ok(())
}
