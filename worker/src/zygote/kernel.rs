//! What the kernel reports about changes (inotify), and what it means.
//!
//! For most of what is watched every event is a change. In a directory of which only some names matter it is a hint: a
//! log, a temporary file or the journal of a database beside the application is no change. The same goes for a database
//! of which only the tables matter. The zygote reads the events. Children share its descriptor and read nothing; while
//! there are events that the zygote has not read, a child checks itself whether anything has changed.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cgi2wsgi::zygotes::names::Names;
use cgi2wsgi::zygotes::polling::{Kept, Looked, Part, write_ahead_log};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Stat;
use rustix::fs::inotify::{self, CreateFlags, Event, ReadFlags, WatchFlags};

/// A name appears in a directory or disappears.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO);
const NAME_IS_GONE: ReadFlags = ReadFlags::DELETE.union(ReadFlags::MOVED_FROM);

/// The changes that the kernel is to report.
fn changes_of(part: Part) -> WatchFlags {
    let itself = WatchFlags::MOVE_SELF.union(WatchFlags::DELETE_SELF);
    match part {
        // An edit, a replacement, a removal and a `touch`.
        Part::File | Part::Tables | Part::Rows => {
            itself.union(WatchFlags::MODIFY).union(WatchFlags::ATTRIB)
        }
        Part::Link => itself.union(WatchFlags::ATTRIB).union(WatchFlags::DONT_FOLLOW),
        Part::Directory => itself.union(WatchFlags::ONLYDIR),
        // What an installation does.
        Part::Entries => itself.union(WatchFlags::ATTRIB).union(NAMES),
    }
}

/// What there is at one inode, which may have several paths.
#[derive(Default)]
struct Watched {
    path: PathBuf,
    /// Every event is a change, except those about names.
    is_all: bool,
    /// Those too: every name in it matters.
    is_of_entries: bool,
    /// Indexes into `kept`: of names in it, and of the tables of a database.
    names: Vec<usize>,
    tables: Vec<usize>,
    /// The names of write-ahead logs in it, each with the index of its database in `kept`.
    logs: Vec<(OsString, usize)>,
}

enum Meaning {
    Change(PathBuf),
    /// A check of these tells.
    Hint(Vec<usize>),
}

pub(super) struct Kernel {
    descriptor: OwnedFd,
    watched: HashMap<i32, Watched>,
    kept: Vec<Kept>,
}

impl Kernel {
    /// None if the kernel gives no inotify.
    pub(super) fn new() -> Option<Self> {
        let descriptor = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        Some(Self { descriptor, watched: HashMap::new(), kept: Vec::new() })
    }

    fn add(&mut self, path: &Path, flags: WatchFlags) -> Option<&mut Watched> {
        // One path may be watched for several reasons.
        let flags = flags.union(WatchFlags::MASK_ADD);
        let number = inotify::add_watch(&self.descriptor, path, flags).ok()?;
        let new = || Watched { path: path.to_owned(), ..Watched::default() };
        Some(self.watched.entry(number).or_insert_with(new))
    }

    /// From here on `path` is to stay as it is. False if the kernel does not watch it.
    pub(super) fn watch(&mut self, path: &Path, part: Part) -> bool {
        let index = self.kept.len();
        if part == Part::Rows && self.watch_log(path, index).is_none() {
            return false;
        }
        let Some(watched) = self.add(path, changes_of(part)) else { return false };
        let is_database = matches!(part, Part::Tables | Part::Rows);
        watched.is_all |= !is_database;
        watched.is_of_entries |= part == Part::Entries;
        if is_database {
            watched.tables.push(index);
        }
        self.kept.push(Kept::File(Looked::new(path.to_owned(), part, false)));
        true
    }

    /// The same for a file. Returns its state, which has not changed since the kernel watches it.
    pub(super) fn watch_file(&mut self, path: &Path) -> Option<Stat> {
        self.add(path, changes_of(Part::File))?.is_all = true;
        let stat = rustix::fs::stat(path).ok()?;
        self.kept.push(Kept::File(Looked::with_state(path.to_owned(), &stat)));
        Some(stat)
    }

    /// The write-ahead log of a database, which may come and go. None if the kernel does not watch it.
    fn watch_log(&mut self, database: &Path, index: usize) -> Option<()> {
        let Some(log) = write_ahead_log(database) else { return Some(()) };
        let flags = NAMES.union(WatchFlags::MODIFY).union(WatchFlags::ONLYDIR);
        self.add(log.parent()?, flags)?.logs.push((log.file_name()?.to_owned(), index));
        Some(())
    }

    /// The same for the names in a directory, which `look` reads. None if the kernel does not watch it.
    pub(super) fn watch_names(
        &mut self,
        directory: &Path,
        look: impl FnOnce() -> Names,
    ) -> Option<&Names> {
        let index = self.kept.len();
        self.add(directory, NAMES.union(WatchFlags::ONLYDIR))?.names.push(index);
        self.kept.push(Kept::Names(look()));
        self.names(index)
    }

    fn names(&self, index: usize) -> Option<&Names> {
        match self.kept.get(index) {
            Some(Kept::Names(names)) => Some(names),
            _ => None,
        }
    }

    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// Whether there are events that have not been read.
    pub(super) fn is_pending(&self) -> bool {
        let mut wait = [PollFd::new(&self.descriptor, PollFlags::IN)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut wait, Some(&at_once)).is_ok_and(|ready| ready > 0)
    }

    /// What has changed, whatever the kernel reported.
    pub(super) fn look(&self) -> Option<PathBuf> {
        self.kept.iter().find_map(Kept::changed)
    }

    /// Reads all events, and returns what has changed.
    pub(super) fn read(&self) -> Option<PathBuf> {
        let mut change = None;
        let mut hinted = BTreeSet::new();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.descriptor, &mut buffer);
        while let Ok(event) = reader.next() {
            match self.meaning(&event) {
                Meaning::Change(path) => change = change.or(Some(path)),
                Meaning::Hint(about) => hinted.extend(about),
            }
        }
        change.or_else(|| hinted.into_iter().find_map(|index| self.kept[index].changed()))
    }

    fn meaning(&self, event: &Event<'_>) -> Meaning {
        let events = event.events();
        let Some(watched) = self.watched.get(&event.wd()) else {
            // More has happened than the kernel's queue holds.
            let is_all = events.contains(ReadFlags::QUEUE_OVERFLOW);
            return Meaning::Hint(if is_all { (0..self.kept.len()).collect() } else { Vec::new() });
        };
        let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
        let of_logs = watched.logs.iter().filter(|(log, _)| Some(log.as_os_str()) == name);
        let mut about: Vec<usize> = of_logs.map(|(_, index)| *index).collect();
        if name.is_some() && events.contains(ReadFlags::MODIFY) {
            return Meaning::Hint(about);
        }
        let Some(name) = name.filter(|_| !watched.is_of_entries) else {
            if watched.is_all {
                return Meaning::Change(watched.path.clone());
            }
            return Meaning::Hint(watched.tables.iter().chain(&watched.names).copied().collect());
        };
        for &index in &watched.names {
            let Some(names) = self.names(index) else { continue };
            // Linux before 5.17 reports a removal before the name is gone: a check still finds it.
            if events.intersects(NAME_IS_GONE) && names.had(name) {
                return Meaning::Change(names.directory().join(name));
            }
            if names.concerns(name) {
                about.push(index);
            }
        }
        Meaning::Hint(about)
    }
}
