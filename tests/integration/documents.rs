//! The documents are true: README's examples do what it says, and each link leads to something that exists.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{Test, run, trials_of};
use crate::harness::stage::Stage;
use crate::harness::world::World;

const TESTS: &[(&str, Test)] = &[
    ("README's examples at a shell do what it shows", examples),
    ("README has at most 250 lines", length),
    ("each link in a document leads to an existing file and heading", links),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("documents", TESTS, world)
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A line that a person types, and what README shows below it.
struct Example {
    line: String,
    shown: Vec<String>,
}

/// The lines after `$` that use this project's fixtures.
fn examples_of(page: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut is_open = false;
    for line in page.lines() {
        let code = line.strip_prefix("    ").or(line.is_empty().then_some(""));
        match code.map(|code| (code.strip_prefix("$ "), code)) {
            Some((Some(typed), _)) => {
                let line = typed.split("   #").next().unwrap_or_default().trim().to_owned();
                is_open = line.contains("fixtures/");
                found.extend(is_open.then(|| Example { line, shown: Vec::new() }));
            }
            Some((None, shown)) if is_open => {
                if let Some(example) = found.last_mut() {
                    example.shown.push(shown.to_owned());
                }
            }
            Some(_) => {}
            None => is_open = false,
        }
    }
    for example in &mut found {
        while example.shown.last().is_some_and(String::is_empty) {
            example.shown.pop();
        }
    }
    found
}

fn examples(stage: &Stage) -> Result<()> {
    let examples = examples_of(&fs::read_to_string(project().join("README.md"))?);
    let count = examples.iter().filter(|example| !example.shown.is_empty()).count();
    ensure!(examples.len() >= 5 && count >= 2, "README has {} examples", examples.len());
    let place = stage.workplace("documents")?;
    fs::copy(project().join("README.md"), place.join("README.md"))?;
    symlink(stage.path("fixtures"), place.join("fixtures"))?;
    for Example { line, shown } in &examples {
        let mut command = stage.command(Path::new("/bin/sh"));
        let path = format!("{}:/usr/bin:/bin", stage.path("bin").display());
        command.args(["-c", line]).current_dir(&place).env("PATH", path);
        command.env("CGI2WSGI_VENV", stage.python_env());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = run(stage, command)?;
        output.ends(0).with_context(|| line.clone())?;
        ensure!(!output.stdout.is_empty(), "{line} writes nothing");
        if !shown.is_empty() {
            let written = String::from_utf8_lossy(&output.stdout).replace('\r', "");
            ensure!(written.trim_end() == shown.join("\n"), "{line} writes {written}");
        }
    }
    Ok(())
}

fn length(_: &Stage) -> Result<()> {
    let lines = fs::read_to_string(project().join("README.md"))?.lines().count();
    ensure!(lines <= 250, "README.md has {lines} lines");
    Ok(())
}

/// The pages of the project.
fn pages() -> Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for directory in ["", "docs", "packaging"] {
        for entry in fs::read_dir(project().join(directory))? {
            let path = entry?.path();
            if path.extension().is_some_and(|suffix| suffix == "md") {
                pages.push(path);
            }
        }
    }
    ensure!(pages.len() > 8, "only {} pages were found", pages.len());
    Ok(pages)
}

fn links(_: &Stage) -> Result<()> {
    let mut count = 0;
    let mut wrong = Vec::new();
    for page in pages()? {
        let text = fs::read_to_string(&page)?;
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            count += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let directory = page.parent().context("a page in no directory")?;
            let target = if file.is_empty() { page.clone() } else { directory.join(file) };
            let leads = target.exists()
                && (heading.is_empty()
                    || headings(&fs::read_to_string(&target)?).contains(heading));
            if !leads {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    ensure!(count > 40, "only {count} links were found");
    ensure!(wrong.is_empty(), "these links lead nowhere: {wrong:#?}");
    Ok(())
}

/// The anchors of a page's headings: lower case, without punctuation, with hyphens for spaces.
fn headings(page: &str) -> BTreeSet<String> {
    let titles = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |title: &str| {
        let letters = title.trim_start_matches('#').trim().to_lowercase();
        letters
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect::<String>()
    };
    titles.map(anchor).collect()
}
