//! Whether the application is still what was imported.
//!
//! What counts is every file that was loaded as a module or opened for reading while the application was imported (a
//! settings file, say), the application itself, `pyvenv.cfg` and the directories of installed packages. An edit, a
//! replacement, a removal and a `touch` of any of them is a change. So is a moved directory on the path to it, a link
//! that leads elsewhere, and a name that was looked for and comes or goes: see [`questions`](super::questions).
//!
//! The kernel reports changes (inotify). Each child checks, with two system calls, when it has a request, so that the
//! very next request after an edit sees it. What the kernel does not watch is polled once a second: see
//! [`cgi2wsgi::zygotes::polling`].

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;

use cgi2wsgi::handoff::{Application, Source, ZygoteOrder};
use cgi2wsgi::zygotes::memory::SharedNumbers;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::Stat;
use rustix::io::Errno;

use super::consulted;
use super::databases::Used;
use super::edited::{Edited, now};
use super::kernel::Kernel;
use super::questions::{self, Questions};
use cgi2wsgi::zygotes::names::Names;
use cgi2wsgi::zygotes::polling::{self, FileSystems, Kept, Part, PolledFiles};

/// Indexes into the numbers that the zygote and its children share: whether something has changed, when files were last
/// polled, and whether the zygote has read events whose meaning it does not know yet.
const IS_STALE: usize = 0;
const LOOKED: usize = 1;
const IS_IN_DOUBT: usize = 2;

/// In how many directories the kernel watches names, and in how many names are watched at all. An import that walks
/// through a tree of uploads would use up the watches that all programs of a user share (8192 by default on small
/// machines).
const MOST_WATCHED: usize = 1024;
const MOST: usize = 8192;

pub(super) struct Watch {
    kernel: Option<Kernel>,
    polled_files: PolledFiles,
    systems: FileSystems,
    edited: Edited,
    /// What people change, and requests do not: modules and what Python is made of.
    code: HashSet<PathBuf>,
    /// What changed while the application was imported.
    early: Option<PathBuf>,
    /// The directories and links on the paths to the files.
    passed: HashSet<PathBuf>,
    /// Directories to which the path leads through no link.
    plain: HashSet<PathBuf>,
    /// None: children then check for themselves.
    shared: Option<SharedNumbers>,
    /// In how many directories the import has looked, if these are too many.
    too_many: Option<usize>,
}

impl Watch {
    /// Watches all that the import, which began then, has looked at.
    pub(super) fn new(py: Python<'_>, order: &ZygoteOrder, began: (i64, i64)) -> Self {
        let application = &order.service.application;
        let mut consulted = consulted::take();
        consulted.ignore(&order.limits);
        let packages = packages(py);
        let mut code: HashSet<PathBuf> = loaded_files(py).into_iter().collect();
        code.extend(surroundings(py, application));
        code.extend(mapped_files());
        // An executable that contains its worker is not mapped here.
        code.insert(order.worker.clone());
        let mut files: Vec<PathBuf> = code.iter().cloned().chain(consulted.read.drain()).collect();
        code.extend(packages.iter().cloned());
        let edited = Edited::from_application(application);
        files.sort_unstable_by(|a, b| (!edited.has(a), a).cmp(&(!edited.has(b), b)));
        files.dedup();
        let mut watch = Self {
            kernel: Kernel::new(),
            code,
            shared: SharedNumbers::new(3),
            ..Self::of_nothing(order)
        };
        for file in files {
            let is_own = consulted.written.contains(&file);
            watch.add(file, began, is_own);
        }
        for (database, used) in consulted.databases.drain() {
            watch.add_database(&database, used, began);
        }
        for directory in &packages {
            watch.watch(directory, Part::Entries);
        }
        watch.add_questions(py, Questions::from_consulted(py, consulted, &packages), began);
        watch
    }

    /// A watch without files.
    pub(super) fn of_nothing(order: &ZygoteOrder) -> Self {
        Self {
            kernel: None,
            polled_files: PolledFiles::default(),
            systems: FileSystems::default(),
            edited: Edited::from_application(&order.service.application),
            code: HashSet::new(),
            early: None,
            passed: HashSet::new(),
            plain: HashSet::new(),
            shared: None,
            too_many: None,
        }
    }

    /// Watches the tables of a database, and its rows if the import has read some.
    fn add_database(&mut self, database: &Path, used: Used, began: (i64, i64)) {
        if !database.exists() {
            return;
        }
        self.add_way_to(database);
        self.watch(database, if used.is_read { Part::Rows } else { Part::Tables });
        // Others may have written to it after the import read it.
        if used.is_read && !used.is_written {
            let stats = [Some(database.to_owned()), polling::write_ahead_log(database)]
                .map(|file| file.and_then(|file| rustix::fs::stat(&file).ok()));
            // A process that only reads makes an empty log.
            if stats.iter().flatten().any(|file| file.st_size > 0 && is_newer(file, began)) {
                self.is_early(database.to_owned());
            }
        }
    }

    /// Whether a changed file is code, which people change and requests do not, or leads to code.
    pub(super) fn is_code(&self, file: &Path) -> bool {
        let suffix = file.extension().and_then(OsStr::to_str).unwrap_or_default();
        self.code.contains(file)
            || matches!(suffix, "py" | "pyc" | "so" | "pth")
            || file.symlink_metadata().is_ok_and(|found| found.is_symlink() || found.is_dir())
    }

    /// Watches what the import has looked for, whether found or not.
    fn add_questions(&mut self, py: Python<'_>, mut questions: Questions, began: (i64, i64)) {
        for path in questions.missed() {
            match self.add_way_to(&path) {
                Some((directory, name)) => questions.ask(directory, name, false),
                // It has appeared since.
                None if questions.is_own(&path) => {}
                None => self.is_early(path),
            }
        }
        questions.ask_for_found(&self.edited);
        let count = questions.count();
        self.too_many = Some(count).filter(|count| *count > MOST);
        if self.too_many.is_some() {
            return;
        }
        let suffixes = questions::suffixes(py);
        for (watched, (directory, question)) in questions.take(&self.edited).into_iter().enumerate()
        {
            self.add_way_to(&directory);
            if self.passed.insert(directory.clone()) {
                self.watch(&directory, Part::Directory);
            }
            let is_asked = self.edited.has(&directory);
            let is_watched =
                watched < MOST_WATCHED && self.systems.are_local(&directory, Part::Entries);
            let look = || {
                Names::new(directory.clone(), question.asked.clone(), suffixes.clone(), is_asked)
            };
            let kernel = self.kernel.as_mut().filter(|_| is_watched);
            let names = kernel.and_then(|kernel| kernel.watch_names(&directory, look));
            let early = if let Some(names) = names {
                questions.changed_during_import(names, &question, began)
            } else {
                let names = look();
                let early = questions.changed_during_import(&names, &question, began);
                self.polled_files.keep(Kept::Names(names));
                early
            };
            if let Some(path) = early {
                self.is_early(path);
            }
        }
    }

    fn is_early(&mut self, path: PathBuf) {
        self.early.get_or_insert(path);
    }

    /// Why an application is not served by forked children: what it depends on cannot be watched.
    pub(super) fn check(&self) -> Result<(), String> {
        self.too_many.map_or(Ok(()), |count| {
            Err(format!(
                "while it was imported, the application has looked into {count} directories, and no more than {MOST} \
                 can be watched for changes; have it list large directories in the request"
            ))
        })
    }

    /// `is_own`: the import itself may have written it.
    fn add(&mut self, mut file: PathBuf, began: (i64, i64), is_own: bool) {
        if let Some(stat) = self.watch_file(&file) {
            if !is_own && is_newer(&stat, began) {
                self.is_early(file);
            }
            return;
        }
        let mut stat = rustix::fs::stat(&file);
        // A file in an archive changes with the archive.
        while stat.is_err_and(|error| error == Errno::NOTDIR) && file.pop() {
            stat = rustix::fs::stat(&file);
        }
        let stat = stat.ok();
        self.add_way_to(&file);
        self.watch(&file, Part::File);
        // It may have changed after it was read and before it was watched.
        if !is_own && rustix::fs::stat(&file).ok().or(stat).is_some_and(|it| is_newer(&it, began)) {
            self.is_early(file);
        }
    }

    /// Watches the directories and links on the path to a file: the file itself does not show that a directory is moved
    /// or that a link leads elsewhere. Returns the first name on the path that is missing, and where it is missing.
    fn add_way_to(&mut self, file: &Path) -> Option<(PathBuf, OsString)> {
        let known = file.parent().filter(|directory| self.plain.contains(*directory));
        let mut here = known.unwrap_or(Path::new("/")).to_owned();
        let left = known.and_then(|known| file.strip_prefix(known).ok()).unwrap_or(file);
        let mut ahead: Vec<OsString> = names_of(left).rev().collect();
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                here.pop();
                continue;
            }
            here.push(&name);
            let target = match std::fs::read_link(&here) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    here.pop();
                    return Some((here, name));
                }
                target => target.ok().filter(|_| links < 40),
            };
            let is_new = self.passed.insert(here.clone());
            if let Some(target) = target {
                links += 1;
                if is_new {
                    self.watch(&here, Part::Link);
                }
                here.pop();
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                ahead.extend(names_of(&target).rev());
            } else if !ahead.is_empty() {
                if is_new {
                    self.watch(&here, Part::Directory);
                }
                if links == 0 && file.starts_with(&here) {
                    self.plain.insert(here.clone());
                }
            }
        }
        None
    }

    /// The plain case, with few system calls: a file that is no link, in a directory to which the way is watched.
    /// Returns its state, or nothing if it is another case.
    fn watch_file(&mut self, file: &Path) -> Option<Stat> {
        file.parent().filter(|directory| self.plain.contains(*directory))?;
        let stat = rustix::fs::lstat(file).ok()?;
        let is_local = is_regular(&stat) && self.systems.has_local(file, &stat);
        self.kernel.as_mut().filter(|_| is_local)?.watch_file(file)
    }

    /// With the kernel, or by polling.
    fn watch(&mut self, path: &Path, part: Part) {
        let is_local = self.systems.are_local(path, part);
        let mut kernel = self.kernel.as_mut().filter(|_| is_local);
        if !kernel.as_mut().is_some_and(|kernel| kernel.watch(path, part)) {
            self.polled_files.add(path.to_owned(), part, self.edited.has(path));
        }
    }

    /// The descriptors that the zygote polls.
    pub(super) fn polled(&self) -> Vec<PollFd<'_>> {
        let descriptor = self.kernel.iter().map(Kernel::descriptor);
        descriptor.map(|kernel| PollFd::new(kernel, PollFlags::IN)).collect()
    }

    /// For the zygote: a file that has changed.
    pub(super) fn changed(&self) -> Option<PathBuf> {
        if let Some(early) = &self.early {
            return Some(early.clone());
        }
        if let Some(path) = self.read_kernel().or_else(|| self.changed_polled_files()) {
            return Some(path);
        }
        // A child may have seen a change that can no longer be seen.
        self.is_told(IS_STALE).then(|| "a file".into())
    }

    fn read_kernel(&self) -> Option<PathBuf> {
        let kernel = self.kernel.as_ref().filter(|kernel| kernel.is_pending())?;
        // Children that look after these events have been read check for themselves, until their meaning is known.
        self.tell(IS_IN_DOUBT, 1);
        let changed = kernel.read();
        if changed.is_some() {
            self.spread();
        }
        self.tell(IS_IN_DOUBT, 0);
        changed
    }

    /// Tells the children that wait.
    pub(super) fn spread(&self) {
        self.tell(IS_STALE, 1);
    }

    fn tell(&self, what: usize, value: u64) {
        if let Some(told) = &self.shared {
            told[what].store(value, SeqCst);
        }
    }

    fn is_told(&self, what: usize) -> bool {
        self.shared.as_ref().is_some_and(|told| told[what].load(SeqCst) != 0)
    }

    /// For a child: whether something has changed. It checks the zygote's flags last: the zygote sets one before it
    /// reads events, and another when it knows their meaning.
    pub(super) fn is_stale(&self) -> bool {
        self.early.is_some()
            || self.has_changed()
            || self.is_told(IS_STALE)
            || self.changed_polled_files().is_some()
    }

    fn has_changed(&self) -> bool {
        let Some(kernel) = &self.kernel else { return false };
        let is_in_doubt = kernel.is_pending() || self.shared.is_none() || self.is_told(IS_IN_DOUBT);
        let has_changed = is_in_doubt && kernel.look().is_some();
        if has_changed {
            self.spread();
        }
        has_changed
    }

    fn changed_polled_files(&self) -> Option<PathBuf> {
        let changed = self.polled_files.changed(self.shared.as_ref().map(|told| &told[LOOKED]))?;
        self.spread();
        Some(changed)
    }
}

/// Whether a regular file has changed since `began`.
fn is_newer(file: &Stat, began: (i64, i64)) -> bool {
    #[allow(clippy::useless_conversion, reason = "types differ by system")]
    let changed = (i64::from(file.st_ctime), polling::nanoseconds(file.st_ctime_nsec));
    // A time in the future means that a clock was wrong.
    is_regular(file) && changed > began && changed <= now()
}

fn is_regular(file: &Stat) -> bool {
    file.st_mode & libc::S_IFMT == libc::S_IFREG
}

/// The names along a path, without those that lead nowhere.
fn names_of(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

/// Where packages are installed.
fn packages(py: Python<'_>) -> Vec<PathBuf> {
    let path = py.import("sys").and_then(|sys| sys.getattr("path")?.extract::<Vec<PathBuf>>());
    let is_installed =
        |path: &PathBuf| ["site-packages", "dist-packages"].iter().any(|name| path.ends_with(name));
    path.unwrap_or_default().into_iter().filter(is_installed).collect()
}

/// The files of all modules.
fn loaded_files(py: Python<'_>) -> Vec<PathBuf> {
    let modules =
        py.import("sys").and_then(|sys| Ok(sys.getattr("modules")?.cast_into::<PyDict>()?));
    let Ok(modules) = modules else { return Vec::new() };
    modules
        .values()
        .iter()
        .filter_map(|module| module.getattr_opt("__file__").ok()??.extract::<PathBuf>().ok())
        .filter(|file| file.is_absolute())
        .collect()
}

/// This executable, libpython and all other libraries: an upgrade of Python is
/// a change too.
fn mapped_files() -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let executable = maps.lines().filter(|line| {
        line.split_ascii_whitespace().nth(1).is_some_and(|permissions| permissions.contains('x'))
    });
    let paths = executable.filter_map(|line| line.find('/').map(|at| &line[at..]));
    // The path of a worker in memory leads nowhere.
    paths.filter(|path| !path.starts_with("/memfd:")).map(PathBuf::from).collect()
}

/// The application, `pyvenv.cfg` and the `.pth` files, which Python has read before anything is recorded.
fn surroundings(py: Python<'_>, application: &Application) -> Vec<PathBuf> {
    let mut files = Vec::new();
    if let Source::File(file) = &application.source {
        files.push(file.clone());
    }
    files.extend(application.venv.iter().map(|venv| venv.join("pyvenv.cfg")));
    for packages in packages(py) {
        let entries = std::fs::read_dir(&packages).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        files.extend(paths.filter(|path| path.extension() == Some(OsStr::new("pth"))));
    }
    files
}
