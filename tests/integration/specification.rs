//! `docs/specification.md` and `docs/traps.md` stay true: the tests that they cite exist, and every requirement has a
//! proof or a reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::table::failed;

/// The trials that look for the pages' citations among all `others`, and among the names of the unit tests.
pub(crate) fn trials(others: &[Trial]) -> Vec<Trial> {
    let names = others.iter().map(|trial| {
        let name = trial.name();
        // A citation leaves out the server or the groups.
        let is_group =
            |start: &str| start.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let mut rest = name;
        while let Some((start, end)) = rest.split_once("::")
            && is_group(start)
        {
            rest = end;
        }
        rest.to_owned()
    });
    let rows: Arc<BTreeSet<String>> = Arc::new(names.collect());
    let pages: &[(&str, Check)] = &[
        ("every requirement of docs/specification.md cites existing tests", check_specification),
        ("every trap of docs/traps.md cites existing tests", check_traps),
    ];
    let trial = |&(name, check): &(&str, Check)| {
        let rows = Arc::clone(&rows);
        Trial::test(format!("docs::{name}"), move || {
            let tests = Tests::find(&rows);
            tests.and_then(|tests| check(&tests)).map_err(|error| failed(&error))
        })
    };
    pages.iter().map(trial).collect()
}

type Check = fn(&Tests) -> Result<()>;

/// What a page can cite.
struct Tests<'t> {
    rows: &'t BTreeSet<String>,
    unit_tests: BTreeSet<String>,
}

impl<'t> Tests<'t> {
    fn find(rows: &'t BTreeSet<String>) -> Result<Self> {
        let mut unit_tests = BTreeSet::new();
        for directory in ["src", "worker/src"] {
            find_unit_tests(&project().join(directory), &mut unit_tests)?;
        }
        Ok(Self { rows, unit_tests })
    }

    fn has(&self, name: &str) -> bool {
        self.rows.contains(name) || self.unit_tests.contains(name)
    }
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> Result<String> {
    let page = project().join(page);
    fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))
}

/// The parts between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn check_specification(tests: &Tests) -> Result<()> {
    let page = read("docs/specification.md")?;
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
        let cited: Vec<_> = quoted(proof).collect();
        if cited.is_empty() && !proof.starts_with("Not ours") {
            wrong.push(format!("{section}, {requirement}: neither a proof nor a reason"));
        }
        let unknown = cited.iter().filter(|name| !tests.has(name));
        wrong.extend(unknown.map(|name| format!("{section}, {requirement}: no test {name:?}")));
    }
    ensure!(requirements > 100, "only {requirements} requirements were found");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Each trap cites at least one proof, in a list with one proof on each line. The page explains each number that a
/// test's name cites.
fn check_traps(tests: &Tests) -> Result<()> {
    let page = read("docs/traps.md")?;
    let (mut trap, mut wrong, mut cited) = ("", Vec::new(), 0);
    let mut unproved = BTreeSet::new();
    let mut is_proof = false;
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            trap = heading;
            unproved.insert(trap);
        }
        let goes_on = is_proof && (line.is_empty() || line.starts_with("- "));
        is_proof = goes_on || line == "**Proved by:**";
        for name in Some(line).filter(|_| is_proof).into_iter().flat_map(quoted) {
            cited += 1;
            unproved.remove(trap);
            if !tests.has(name) {
                wrong.push(format!("{trap}: no test {name:?}"));
            }
        }
    }
    ensure!(cited > 250, "only {cited} citations were found");
    ensure!(unproved.is_empty(), "without a proof: {unproved:?}");
    let explained: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| {
            line.strip_prefix("### ")
                .or_else(|| line.strip_prefix("| ["))
                .or_else(|| line.strip_prefix("| "))
        })
        .filter_map(|rest| rest.split(['.', ']', ' ']).next())
        .collect();
    let named = tests.rows.iter().filter_map(|name| Some((name.split_once(':')?.0, name)));
    for (numbers, name) in named {
        let is_number = |word: &str| {
            let (letter, digits) = word.split_at(word.len().min(1));
            "EBRPWMVUL".contains(letter) && digits.parse::<u8>().is_ok()
        };
        let unknown =
            numbers.split([',', ' ']).find(|word| is_number(word) && !explained.contains(word));
        wrong.extend(unknown.map(|number| format!("{number} of {name:?} is not explained")));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The names of the functions after `#[test]`.
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
