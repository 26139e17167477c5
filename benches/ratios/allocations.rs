//! The allocations that `programs/allocations.c` noted: who asked, and why.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::calls::{PHASES, UNEXPLAINED};
use crate::report::Table;

/// One call of the allocator.
#[derive(Clone, Debug)]
pub(crate) struct Allocation {
    /// The mark it came after.
    pub(crate) phase: String,
    bytes: u64,
    /// The functions that led to it, innermost first; those of a library by its name alone.
    functions: Vec<String>,
}

/// Why: the first rule that is part of one of the functions' names is the one.
const REASONS: [(&str, &str); 14] = [
    (
        "create_type_object",
        "the Python classes of `wsgi.input`, `start_response` and `wsgi.file_wrapper`, which pyo3 builds at their first use",
    ),
    (
        "LazyTypeObject",
        "the Python classes of `wsgi.input`, `start_response` and `wsgi.file_wrapper`, which pyo3 builds at their first use",
    ),
    ("StartResponse", "status and headers, copied out of Python to be checked"),
    ("start_response", "status and headers, copied out of Python to be checked"),
    ("application::", "the application's name, taken apart"),
    ("environ", "variables on their way into `environ`"),
    ("Exchange", "what body, response and application share"),
    ("take_head", "the response's head"),
    ("Response", "the response's head"),
    ("deliver", "the response's body, until it is known whether it is the whole of it"),
    ("conclude", "the end of the exchange"),
    ("of_python", "Python's end: its threads, its `atexit` functions and its streams"),
    ("interpreter::", "the import directories"),
    ("wsgi::", "the call"),
];

/// Reads the report; addresses in `executable` get their functions' names.
pub(crate) fn read(report: &str, executable: &Path) -> Result<Vec<Allocation>> {
    let symbols = symbols(executable)?;
    let own = executable.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (mut phase, mut all) = (String::new(), Vec::new());
    for line in report.lines() {
        let mut words = line.split(' ');
        let first = words.next().unwrap_or_default();
        if first == "phase" {
            words.next().unwrap_or_default().clone_into(&mut phase);
            continue;
        }
        let bytes = first.parse().with_context(|| format!("not a size: {line:?}"))?;
        let functions = words.filter_map(|word| {
            let (object, offset) = word.rsplit_once('+')?;
            let offset = u64::from_str_radix(offset, 16).ok()?;
            let named = || symbols.range(..=offset).next_back().map(|(_, name)| name.clone());
            if object == own { named() } else { Some(object.to_owned()) }
        });
        let functions = functions.collect();
        all.push(Allocation { phase: phase.clone(), bytes, functions });
    }
    Ok(all)
}

/// Address and name of each function.
fn symbols(executable: &Path) -> Result<BTreeMap<u64, String>> {
    let listed = Command::new("nm").args(["-C", "--defined-only"]).arg(executable).output();
    let listed = listed.context("there is no nm: install it (Debian: apt-get install binutils)")?;
    ensure!(listed.status.success(), "nm failed");
    let text = String::from_utf8_lossy(&listed.stdout);
    let functions = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ' ');
        let address = u64::from_str_radix(parts.next()?, 16).ok()?;
        let kind = parts.next()?;
        "tTwW".contains(kind).then(|| parts.next().map(|name| (address, name.to_owned())))?
    });
    Ok(functions.collect())
}

/// How many nobody has explained.
pub(crate) fn unexplained(all: &[Allocation]) -> usize {
    all.iter().filter(|allocation| reason(allocation).starts_with(UNEXPLAINED)).count()
}

/// How many for each reason, phase by phase.
pub(crate) fn explained(all: &[Allocation]) -> Table {
    let mut rows = Vec::new();
    for (mark, phase) in PHASES {
        let mut reasons: BTreeMap<String, (usize, u64)> = BTreeMap::new();
        for allocation in all.iter().filter(|allocation| allocation.phase == mark) {
            let (count, bytes) = reasons.entry(reason(allocation)).or_default();
            *count += 1;
            *bytes += allocation.bytes;
        }
        for (why, (count, bytes)) in reasons {
            rows.push(vec![phase.to_owned(), count.to_string(), bytes.to_string(), why]);
        }
    }
    let head = ["allocations", "times", "bytes", "why"];
    Table { head: head.map(str::to_owned).to_vec(), rows }
}

fn reason(allocation: &Allocation) -> String {
    let functions = &allocation.functions;
    let is_python = |name: &str| name.starts_with("libpython") || name.starts_with("lib");
    // What Python asks for while ours is further out: its own objects.
    let inner = functions.iter().take_while(|name| is_python(name)).count();
    let has_ours = functions.iter().any(|name| REASONS.iter().any(|(part, _)| name.contains(part)));
    if inner > 0 && !functions.iter().any(|name| name.contains("create_type_object")) {
        return "Python: objects of more than 512 bytes, tables, and the C library for Python"
            .to_owned();
    }
    if has_ours {
        let found =
            REASONS.iter().find(|(part, _)| functions.iter().any(|name| name.contains(part)));
        return found.map(|(_, why)| (*why).to_owned()).unwrap_or_default();
    }
    let named = functions.iter().find(|name| !name.contains("alloc::")).map_or("?", String::as_str);
    format!("{UNEXPLAINED}: `{named}`")
}
