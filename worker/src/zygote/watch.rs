//! Whether the application is still what was imported.
//!
//! What counts is every file that was loaded as a module or opened for reading
//! while the application was imported (a settings file, say), the application
//! itself, `pyvenv.cfg` and the directories of installed packages. An edit, a
//! replacement, a removal and a `touch` of any of them is a change, and so is
//! a directory on the way to it that is moved, or a link that leads elsewhere.
//!
//! The kernel tells (inotify): each child looks, with one system call, when it
//! has a request in its hands, so that the very next request after an edit
//! sees it. What the kernel does not watch is looked at by hand, once a second:
//! see [`cgi2wsgi::zygotes::polling`].

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;

use cgi2wsgi::handoff::{Application, Source, ZygoteOrder};
use cgi2wsgi::zygotes::memory::SharedNumbers;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use super::opened_files::{self, Opened};
use cgi2wsgi::zygotes::polling::{FileSystems, Part, PolledFiles, nanoseconds};

/// Which changes of it the kernel is to tell of.
fn changes_of(part: Part) -> WatchFlags {
    let itself = WatchFlags::MOVE_SELF.union(WatchFlags::DELETE_SELF);
    let changes = match part {
        // An edit, a replacement, a removal and a `touch`.
        Part::File => itself.union(WatchFlags::MODIFY).union(WatchFlags::ATTRIB),
        Part::Link => itself.union(WatchFlags::ATTRIB).union(WatchFlags::DONT_FOLLOW),
        Part::Directory => itself.union(WatchFlags::ONLYDIR),
        // What an installation does.
        Part::Entries => itself
            .union(WatchFlags::ATTRIB)
            .union(WatchFlags::CREATE)
            .union(WatchFlags::DELETE)
            .union(WatchFlags::MOVED_FROM)
            .union(WatchFlags::MOVED_TO),
    };
    // One path may be several of these.
    changes.union(WatchFlags::MASK_ADD)
}

/// Where in the numbers that the zygote and its children share is what: whether something has changed, and when files
/// were last looked at.
const IS_STALE: usize = 0;
const LOOKED: usize = 1;

/// What people edit. It gets the watches first, if there are few, and where it is
/// on another machine, that is asked.
struct Own {
    directory: PathBuf,
    venv: Option<PathBuf>,
}

impl Own {
    fn of(application: &Application) -> Self {
        Self { directory: application.directory.clone(), venv: application.venv.clone() }
    }

    fn has(&self, file: &Path) -> bool {
        file.starts_with(&self.directory)
            && !self.venv.as_ref().is_some_and(|venv| file.starts_with(venv))
    }
}

pub(super) struct Watch {
    kernel: Option<OwnedFd>,
    names: HashMap<i32, PathBuf>,
    polled_files: PolledFiles,
    systems: FileSystems,
    own: Own,
    /// What changed while the application was imported.
    early: Option<PathBuf>,
    /// The directories and links on the way to the files.
    passed: HashSet<PathBuf>,
    /// None: children then look for themselves.
    shared: Option<SharedNumbers>,
}

/// This moment. File systems stamp by a clock that is up to a tick behind it,
/// which is less than Python takes to start and to read a first file.
pub(super) fn now() -> (i64, i64) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    (now.tv_sec, now.tv_nsec)
}

impl Watch {
    /// Watches all that the import, which began then, has looked at.
    pub(super) fn new(py: Python<'_>, order: &ZygoteOrder, began: (i64, i64)) -> Self {
        let application = &order.service.application;
        let Opened { read, written } = opened_files::take();
        let mut files = read;
        files.extend(loaded_files(py));
        files.extend(surroundings(py, application));
        files.extend(mapped_files());
        // An executable that carries its worker is not mapped here.
        files.push(order.worker.clone());
        let own = Own::of(application);
        files.sort_unstable_by(|a, b| (!own.has(a), a).cmp(&(!own.has(b), b)));
        files.dedup();
        let kernel = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        let mut watch = Self {
            kernel,
            names: HashMap::new(),
            polled_files: PolledFiles::default(),
            systems: FileSystems::default(),
            own,
            early: None,
            passed: HashSet::new(),
            shared: SharedNumbers::new(2),
        };
        for file in files {
            let is_own = written.contains(&file);
            watch.add(file, began, is_own);
        }
        for directory in packages(py) {
            watch.watch(&directory, Part::Entries);
        }
        watch
    }

    /// `is_own`: the import itself may have written it.
    fn add(&mut self, mut file: PathBuf, began: (i64, i64), is_own: bool) {
        let mut stat = rustix::fs::stat(&file);
        // What is in an archive changes with it.
        while stat.is_err_and(|error| error == Errno::NOTDIR) && file.pop() {
            stat = rustix::fs::stat(&file);
        }
        let stat = stat.ok();
        self.add_way_to(&file);
        self.watch(&file, Part::File);
        // It may have been changed after it was read and before it is watched.
        if let Some(stat) = rustix::fs::stat(&file).ok().or(stat)
            && stat.st_mode & libc::S_IFMT == libc::S_IFREG
            && !is_own
        {
            #[allow(clippy::useless_conversion, reason = "types differ by system")]
            let changed = (i64::from(stat.st_ctime), nanoseconds(stat.st_ctime_nsec));
            // One in the future tells of a clock that was wrong.
            if changed > began && changed <= now() && self.early.is_none() {
                self.early = Some(file);
            }
        }
    }

    /// A directory on the way to a file may be moved, and a symbolic link come
    /// to lead elsewhere, which the file itself knows nothing of.
    fn add_way_to(&mut self, file: &Path) {
        let mut ahead: Vec<OsString> = names_of(file).rev().collect();
        let mut here = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                here.pop();
                continue;
            }
            here.push(name);
            let target = std::fs::read_link(&here).ok().filter(|_| links < 40);
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
            } else if is_new && !ahead.is_empty() {
                self.watch(&here, Part::Directory);
            }
        }
    }

    /// By the kernel, or by hand.
    fn watch(&mut self, path: &Path, part: Part) {
        let watched = self
            .kernel
            .as_ref()
            .filter(|_| self.systems.are_local(path, part))
            .and_then(|kernel| inotify::add_watch(kernel, path, changes_of(part)).ok());
        match watched {
            Some(number) => {
                self.names.entry(number).or_insert_with(|| path.to_owned());
            }
            None => self.polled_files.add(path.to_owned(), part, self.own.has(path)),
        }
    }

    /// What the zygote waits for.
    pub(super) fn polled(&self) -> Vec<PollFd<'_>> {
        self.kernel.iter().map(|kernel| PollFd::new(kernel, PollFlags::IN)).collect()
    }

    /// A file that has changed, for the zygote.
    pub(super) fn changed(&self) -> Option<PathBuf> {
        if let Some(early) = &self.early {
            return Some(early.clone());
        }
        if let Some(kernel) = &self.kernel
            && readable(kernel)
        {
            // Children may look after this has read what they would have seen.
            self.spread();
            let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
            let mut reader = inotify::Reader::new(kernel, &mut buffer);
            let named = reader.next().ok().and_then(|event| self.names.get(&event.wd()).cloned());
            return Some(named.unwrap_or_else(|| "a file".into()));
        }
        if let Some(path) = self.changed_polled_files() {
            return Some(path.to_owned());
        }
        // A child may have seen what is not to be seen any more.
        self.is_told().then(|| "a file".into())
    }

    /// Tells the children that wait.
    pub(super) fn spread(&self) {
        if let Some(told) = &self.shared {
            told[IS_STALE].store(1, SeqCst);
        }
    }

    fn is_told(&self) -> bool {
        self.shared.as_ref().is_some_and(|told| told[IS_STALE].load(SeqCst) != 0)
    }

    /// Whether something has changed, for a child.
    pub(super) fn is_stale(&self) -> bool {
        self.early.is_some()
            || self.is_told()
            || self.kernel.as_ref().is_some_and(readable)
            || self.changed_polled_files().is_some()
    }

    fn changed_polled_files(&self) -> Option<&Path> {
        let changed = self.polled_files.changed(self.shared.as_ref().map(|told| &told[LOOKED]))?;
        self.spread();
        Some(changed)
    }
}

fn readable(descriptor: &OwnedFd) -> bool {
    let mut wait = [PollFd::new(descriptor, PollFlags::IN)];
    poll(&mut wait, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// The names on the way along a path, but for those that lead nowhere.
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
    // That of a worker in memory leads nowhere.
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
