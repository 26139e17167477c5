//! `docs/specification.md` stays true: what it cites is there, and every requirement has a proof or a reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::table::failed;

/// The trial that looks for the page's citations among all `others`, and among the names of the unit tests.
pub(crate) fn trial(others: &[Trial]) -> Trial {
    let names = others.iter().map(|trial| {
        let name = trial.name();
        // The server, or the group, is no part of a citation.
        name.split_once("::").map_or(name, |(_, name)| name).to_owned()
    });
    let rows = names.collect();
    Trial::test("docs::every requirement of docs/specification.md has its rows", move || {
        check(&rows).map_err(|error| failed(&error))
    })
}

fn check(rows: &BTreeSet<String>) -> Result<()> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = project.join("docs/specification.md");
    let page =
        fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let mut unit_tests = BTreeSet::new();
    find_unit_tests(&project.join("src"), &mut unit_tests)?;
    let mut wrong = Vec::new();
    let mut requirements = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let &[section, requirement, proof] = cells.as_slice() else {
            wrong.push(format!("not three columns: {line}"));
            continue;
        };
        if section == "Section" || section == "---" {
            continue;
        }
        requirements += 1;
        // Every second part stands between backquotes.
        let cited: Vec<_> = proof.split('`').skip(1).step_by(2).collect();
        if cited.is_empty() && !proof.starts_with("Not ours") {
            wrong.push(format!("{section}, {requirement}: neither a proof nor a reason"));
        }
        let unknown =
            cited.iter().filter(|name| !rows.contains(**name) && !unit_tests.contains(**name));
        wrong.extend(unknown.map(|name| format!("{section}, {requirement}: no test {name:?}")));
    }
    ensure!(requirements > 100, "only {requirements} requirements were found");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The names of the functions behind `#[test]`.
fn find_unit_tests(directory: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    let unread = || format!("cannot read {}", directory.display());
    for entry in fs::read_dir(directory).with_context(unread)? {
        let path = entry.with_context(unread)?.path();
        if path.is_dir() {
            find_unit_tests(&path, found)?;
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            let text = fs::read_to_string(&path).with_context(unread)?;
            let behind = text.split("#[test]").skip(1);
            let names =
                behind.filter_map(|rest| rest.trim_start().strip_prefix("fn ")?.split('(').next());
            found.extend(names.map(str::to_owned));
        }
    }
    Ok(())
}
