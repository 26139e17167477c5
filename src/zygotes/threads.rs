//! The threads of this process other than its first: which library runs each, and how numerical libraries are kept from
//! starting theirs.
//!
//! `OpenBLAS`, and so numpy and all that is built on it, starts a thread for each core when it is loaded; OpenMP and
//! MKL do when they first compute. A process for one request gains little from these threads, and a process that has
//! them cannot be forked. Each library reads its number of threads from the environment.
//!
//! Left out: Python's own names of its threads, which only Python knows.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// Variables that a library reads its number of threads from. Each of them falls back to [`OPENMP`].
const OF_LIBRARIES: [&str; 4] =
    ["OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS"];

/// OpenMP's own.
const OPENMP: &str = "OMP_NUM_THREADS";

/// Other variables that `OpenBLAS` and numexpr read.
const SYNONYMS: [(&str, &[&str]); 2] = [
    ("OPENBLAS_NUM_THREADS", &["GOTO_NUM_THREADS", "OPENBLAS_DEFAULT_NUM_THREADS"]),
    ("NUMEXPR_NUM_THREADS", &["NUMEXPR_MAX_THREADS"]),
];

/// The variable that is read from Python's `os.environ` and not from the C library's environment.
pub const READ_BY_PYTHON: &str = "NUMEXPR_NUM_THREADS";

/// The variables that are set to `1` while a zygote imports: those that the operator has not set.
pub fn variables_to_limit(is_set: impl Fn(&str) -> bool) -> Vec<&'static str> {
    if is_set(OPENMP) {
        return Vec::new();
    }
    let is_said = |name: &&str| {
        let mut synonyms = SYNONYMS.iter().filter(|(synonym, _)| synonym == name);
        is_set(name) || synonyms.any(|(_, others)| others.iter().any(|other| is_set(other)))
    };
    OF_LIBRARIES.into_iter().filter(|name| !is_said(name)).chain([OPENMP]).collect()
}

/// A thread of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Its number.
    pub id: i32,
    /// Its name, or nothing if it has none of its own.
    pub name: String,
    /// What has started it, if that is known: a library's file name, or [`PYTHON`].
    pub library: Option<String>,
}

/// How much of a stack is looked at, in bytes.
const DEEPEST: usize = 64 << 10;

/// How often a running thread is looked at again: its stack can be found only while it waits.
const LOOKS: u32 = 20;
const AGAIN: Duration = Duration::from_millis(1);

/// All threads but the first.
pub fn others() -> Vec<Thread> {
    let first = std::process::id().to_string();
    let entries = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mut ids: Vec<i32> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|id| *id != first)
        .filter_map(|id| id.parse().ok())
        .collect();
    ids.sort_unstable();
    if ids.is_empty() {
        return Vec::new();
    }
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mappings = mappings(&maps);
    let name_of = |id: &str| {
        let name = fs::read_to_string(format!("/proc/self/task/{id}/comm")).unwrap_or_default();
        name.trim_end().to_owned()
    };
    let programs = name_of(&first);
    let thread = |id: i32| {
        let name = Some(name_of(&id.to_string())).filter(|name| *name != programs);
        Thread { id, name: name.unwrap_or_default(), library: library(id, &mappings) }
    };
    ids.into_iter().map(thread).collect()
}

/// A part of this process' memory.
#[derive(Debug, PartialEq, Eq)]
struct Mapping<'m> {
    start: u64,
    end: u64,
    /// The library whose code this is.
    library: Option<&'m str>,
}

fn mappings(maps: &str) -> Vec<Mapping<'_>> {
    let mapping = |line| -> Option<Mapping<'_>> {
        let (range, rest) = str::split_once(line, ' ')?;
        let (start, end) = range.split_once('-')?;
        let is_code = rest.get(..4)?.contains('x');
        let file = rest.find('/').map(|at| Path::new(&rest[at..]));
        let name = file.and_then(|file| file.file_name()?.to_str());
        Some(Mapping {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            library: name.filter(|name| is_code && !is_everybodys(name)),
        })
    };
    maps.lines().filter_map(mapping).collect()
}

/// Whether code of this file on a stack does not show what started the thread: the C library, those of compilers, and
/// Python.
fn is_everybodys(name: &str) -> bool {
    ["libc.", "libc-", "libpthread", "libm.", "ld-", "libstdc++", "libgcc", "libpython", "python"]
        .iter()
        .any(|beginning| name.starts_with(beginning))
}

/// The library whose code a thread has called last, as its stack shows while it waits.
fn library(id: i32, mappings: &[Mapping<'_>]) -> Option<String> {
    let syscall = format!("/proc/self/task/{id}/syscall");
    for _ in 0..LOOKS {
        // The last two numbers are its stack pointer and its program counter.
        let text = fs::read_to_string(&syscall).ok()?;
        if let [.., stack, _] = text.split_whitespace().collect::<Vec<_>>().as_slice() {
            let stack = u64::from_str_radix(stack.strip_prefix("0x")?, 16).ok()?;
            let mapping = mappings.iter().find(|one| (one.start..one.end).contains(&stack))?;
            let length = usize::try_from(mapping.end - stack).ok()?.min(DEEPEST);
            let mut bytes = vec![0; length];
            File::open("/proc/self/mem").ok()?.read_exact_at(&mut bytes, stack).ok()?;
            return first_library(&bytes, mappings).map(str::to_owned);
        }
        std::thread::sleep(AGAIN);
    }
    None
}

/// The library of the first address on a stack that is in a library's code.
fn first_library<'m>(stack: &[u8], mappings: &[Mapping<'m>]) -> Option<&'m str> {
    let addresses = stack.chunks_exact(size_of::<usize>()).map(|bytes| {
        let address = bytes.try_into().map_or(0, usize::from_ne_bytes);
        u64::try_from(address).unwrap_or_default()
    });
    addresses.into_iter().find_map(|address| {
        mappings.iter().find(|one| (one.start..one.end).contains(&address))?.library
    })
}

/// The most names of one library's threads that are shown.
const MOST_NAMES: usize = 4;

/// Why a process with these threads cannot be forked, and what to do about it.
pub fn why_not_forked(threads: &[Thread]) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for thread in threads {
        let library = thread.library.as_deref().unwrap_or("an unknown library");
        match groups.iter_mut().find(|(other, _)| *other == library) {
            Some((_, names)) => names.push(&thread.name),
            None => groups.push((library, vec![&thread.name])),
        }
    }
    let shown: Vec<String> = groups.iter().map(|(library, names)| group(library, names)).collect();
    let cure = groups
        .iter()
        .find_map(|(library, _)| cure(library))
        .unwrap_or_else(|| "start them in the request, or when they are first needed".to_owned());
    format!(
        "the application has started {} thread(s) while it was imported ({}), and a process with \
         threads cannot be forked safely: {cure}",
        threads.len(),
        shown.join("; ")
    )
}

/// The number of threads of one library, and their names.
fn group(library: &str, names: &[&str]) -> String {
    let mut different: Vec<&str> = names.iter().copied().filter(|name| !name.is_empty()).collect();
    different.dedup();
    let more = different.len().saturating_sub(MOST_NAMES);
    different.truncate(MOST_NAMES);
    let colon = if different.is_empty() { String::new() } else { ": ".to_owned() };
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} of {library}{colon}{}{rest}", names.len(), different.join(", "))
}

/// The value of [`Thread::library`] for threads that Python has started.
pub const PYTHON: &str = "Python";

/// What keeps a library from starting threads.
fn cure(library: &str) -> Option<String> {
    let variable = [
        ("openblas", "OPENBLAS_NUM_THREADS"),
        ("mkl", "MKL_NUM_THREADS"),
        ("blis", "BLIS_NUM_THREADS"),
        ("omp", OPENMP),
    ];
    let (_, variable) = variable.iter().find(|(part, _)| library.contains(part))?;
    Some(format!("set {variable}=1, or remove the code that sets its number of threads"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operator_has_said_of_threads_stands() {
        let set = |names: &'static [&str]| variables_to_limit(|name| names.contains(&name));
        assert_eq!(set(&[]).len(), 5);
        assert_eq!(set(&["OMP_NUM_THREADS"]), Vec::<&str>::new());
        let without = set(&["GOTO_NUM_THREADS", "MKL_NUM_THREADS"]);
        assert_eq!(without, ["BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OMP_NUM_THREADS"]);
    }

    #[test]
    fn a_thread_that_waits_is_found_with_its_name_and_its_code() {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = std::sync::mpsc::channel();
        let waits = move || {
            begun.send(()).expect("it is awaited");
            let _ = ended.recv();
        };
        let thread = std::thread::Builder::new().name("poller".into()).spawn(waits);
        begins.recv().expect("it begins");
        let found = others().into_iter().find(|thread| thread.name == "poller");
        drop(end);
        thread.expect("a thread").join().expect("it ends");
        let me = std::env::current_exe().expect("a path");
        let me = me.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let found = found.expect("it is there");
        assert!(found.library == me, "{found:?} {me:?}");
    }

    #[test]
    fn libraries_are_told_from_what_everybody_has_on_the_stack() {
        let maps = "1000-2000 r-xp 00000000 00:00 0  /lib/libc.so.6\n\
                    2000-3000 r-xp 00000000 00:00 0  /v/numpy.libs/libscipy_openblas64_-3.so\n\
                    3000-4000 rw-p 00000000 00:00 0  /v/numpy.libs/libother.so\n\
                    4000-5000 rw-p 00000000 00:00 0\n";
        let mappings = mappings(maps);
        let stack: Vec<u8> =
            [0_usize, 0x3004, 0x1fff, 0x2abc].iter().flat_map(|one| one.to_ne_bytes()).collect();
        assert_eq!(first_library(&stack, &mappings), Some("libscipy_openblas64_-3.so"));
        assert_eq!(first_library(&stack[..24], &mappings), None);
    }

    #[test]
    fn the_message_names_each_thread_and_the_cure() {
        let thread = |name: &str, library: Option<&str>| Thread {
            id: 1,
            name: name.into(),
            library: library.map(str::to_owned),
        };
        assert_eq!(
            why_not_forked(&[thread("Thread-1 (poll)", Some(PYTHON))]),
            "the application has started 1 thread(s) while it was imported (1 of Python: Thread-1 \
             (poll)), and a process with threads cannot be forked safely: start them in the \
             request, or when they are first needed"
        );
        let blas = thread("", Some("libscipy_openblas64_-3.so"));
        let why = why_not_forked(&[blas.clone(), blas, thread("mystery", None)]);
        assert!(why.contains("(2 of libscipy_openblas64_-3.so; 1 of an unknown library: mystery)"));
        assert!(why.ends_with(
            "set OPENBLAS_NUM_THREADS=1, or remove the code that sets its number of threads"
        ));
        let many: Vec<_> = (0..6).map(|one| thread(&format!("t{one}"), Some("x.so"))).collect();
        assert!(why_not_forked(&many).contains("(6 of x.so: t0, t1, t2, t3 and 2 more)"));
    }
}
