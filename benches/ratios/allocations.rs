//! The allocations that `programs/allocations.c` noted: who asked, and why.

use std::collections::{BTreeMap, BTreeSet};
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

/// Why: the first rule that is part of one of the functions or their files is the one.
const REASONS: [(&str, &str); 18] = [
    ("create_type_object", CLASSES),
    ("lazy_type_object", CLASSES),
    ("collector.rs", "the collector's settings"),
    ("start_response.rs", "status and headers, copied out of Python to be checked"),
    ("application.rs", "the application's name, taken apart, and how messages call it"),
    ("environ.rs", "variables on their way into `environ`"),
    ("bytecode_of@", "the name of the file of bytecode"),
    ("imports.rs", "our functions in the import system, put in place and called"),
    ("interpreter.rs", "the import directories"),
    ("input.rs", "`wsgi.input`"),
    ("discard@", "the buffer for what the application left unread of the request's body"),
    ("take_head@", "the response's head, as it is written"),
    ("response.rs", "the response's head, as it is written"),
    ("call.rs", "the list of chunks, looked at before a byte is sent"),
    ("exchange.rs", "what body, response and application share"),
    ("termination.rs", "SIGTERM as an exception"),
    ("ending.rs", "Python's end: its threads, its `atexit` functions and its streams"),
    ("emergency.rs", "what is to happen at a crash"),
];
const CLASSES: &str = "the Python classes of `wsgi.input`, `start_response`, `write` and `wsgi.file_wrapper`, which pyo3 \
    builds at their first use";

/// Reads the report; addresses in `executable` get their functions' names.
pub(crate) fn read(report: &str, executable: &Path) -> Result<Vec<Allocation>> {
    let own = executable.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let functions = functions(report, executable, own)?;
    let (mut phase, mut all) = (String::new(), Vec::new());
    for line in report.lines() {
        let mut words = line.split(' ');
        let first = words.next().unwrap_or_default();
        if first == "phase" {
            words.next().unwrap_or_default().clone_into(&mut phase);
            continue;
        }
        let bytes = first.parse().with_context(|| format!("not a size: {line:?}"))?;
        let led = words.flat_map(|word| match address(word, own) {
            Some(address) => functions.get(&address).cloned().unwrap_or_default(),
            None => vec![word.split('+').next().unwrap_or_default().to_owned()],
        });
        let led = led.collect();
        all.push(Allocation { phase: phase.clone(), bytes, functions: led });
    }
    Ok(all)
}

/// Where in the object called `own` a call is: the report has the addresses to which calls return.
fn address(word: &str, own: &str) -> Option<u64> {
    let (object, offset) = word.rsplit_once('+')?;
    let address = u64::from_str_radix(offset, 16).ok()?.checked_sub(1)?;
    (object == own).then_some(address)
}

/// The functions at each address of the report, innermost first where one was merged into another, each as
/// `function@file`.
fn functions(report: &str, executable: &Path, own: &str) -> Result<BTreeMap<u64, Vec<String>>> {
    let addresses: BTreeSet<u64> =
        report.split_whitespace().filter_map(|word| address(word, own)).collect();
    let mut command = Command::new("addr2line");
    command.args(["-a", "-C", "-f", "-i", "-s", "-e"]).arg(executable);
    command.args(addresses.iter().map(|address| format!("{address:#x}")));
    let said = command
        .output()
        .context("there is no addr2line: install it (Debian: apt-get install binutils)")?;
    ensure!(said.status.success(), "addr2line failed");
    let text = String::from_utf8_lossy(&said.stdout);
    let (mut all, mut current) = (BTreeMap::<u64, Vec<String>>::new(), 0);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(address) = line.strip_prefix("0x") {
            current = u64::from_str_radix(address, 16).context("not an address")?;
        } else {
            let file = lines.next().unwrap_or_default().split(':').next().unwrap_or_default();
            all.entry(current).or_default().push(format!("{line}@{file}"));
        }
    }
    Ok(all)
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
    // What Python asks for while we are further out: its own objects, but for the classes that it makes for us.
    let is_library = functions.first().is_some_and(|name| !name.contains('@'));
    if is_library && !functions.iter().any(|name| name.contains("create_type_object")) {
        return "Python: objects of more than 512 bytes, tables, and the C library for Python"
            .to_owned();
    }
    // The innermost that is ours tells most.
    let found = functions
        .iter()
        .find_map(|name| REASONS.iter().find(|(part, _)| name.contains(part)))
        .map(|(_, why)| (*why).to_owned());
    found.unwrap_or_else(|| {
        let named = functions.iter().find(|name| name.contains("cgi2wsgi"));
        format!("{UNEXPLAINED}: `{}`", named.or(functions.first()).map_or("?", String::as_str))
    })
}
