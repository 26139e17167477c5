//! Files that the kernel does not watch: on file systems that others change too, if it gives no more watches, and in
//! directories that this user may pass through but not read. They are checked when a request comes, at most once a
//! second.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use super::names::Names;
use super::remote::force;
use crate::timings::Moment;
use rustix::fs::{AtFlags, CWD, Stat, statat};

/// The shortest time between two checks.
const INTERVAL: Duration = Duration::from_secs(1);

/// What must not change at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A file that was read; links are followed.
    File,
    /// A link itself.
    Link,
    /// Which directory it is, whatever its content.
    Directory,
    /// The names in a directory.
    Entries,
    /// Which tables a database of `SQLite` has, whatever their content.
    Tables,
    /// The content of its tables too.
    Rows,
}

/// Which file it is, and when it was changed last.
///
/// It includes the time of the last change of attributes (ctime). Programs that unpack or copy files restore the time
/// of the last modification, sizes are often the same, and a file system reuses the inode of a removed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    contents: Option<(i64, [(i64, i64); 2])>,
    /// The changes that are not in the database's own file yet.
    log: Option<Ahead>,
}

/// A write-ahead log of `SQLite` that is not empty: its size, the time of its last change, and the beginning of the
/// index in which the processes that have the database open keep the number of that change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ahead {
    size: i64,
    modified: (i64, i64),
    index: [u8; 48],
}

impl Ahead {
    fn from_database(database: &Path) -> Option<Self> {
        let log = beside(database, "-wal")?;
        let stat = rustix::fs::stat(log).ok().filter(|it| it.st_size > 0)?;
        let mut index = [0; 48];
        let read = File::open(beside(database, "-shm")?)
            .and_then(|shared| shared.read_exact_at(&mut index, 0));
        if read.is_err() {
            index = [0; 48];
        }
        #[allow(clippy::useless_conversion, reason = "types differ by system")]
        let modified = (stat.st_mtime.into(), nanoseconds(stat.st_mtime_nsec));
        Some(Self { size: stat.st_size, modified, index })
    }
}

/// The file beside a database that has this suffix; links to the database are followed.
fn beside(database: &Path, suffix: &str) -> Option<PathBuf> {
    let mut name = database.canonicalize().ok()?.into_os_string();
    name.push(suffix);
    Some(name.into())
}

/// The write-ahead log of a database of `SQLite`. Nothing: it keeps none.
pub fn write_ahead_log(database: &Path) -> Option<PathBuf> {
    // The version of the format that is needed to write it.
    let mut version = [0];
    File::open(database).ok()?.read_exact_at(&mut version, 18).ok()?;
    beside(database, "-wal").filter(|_| version == [2])
}

impl Stamp {
    /// `is_asked`: whether to ask another machine, on which the file is. The system caches its answers for up to a
    /// minute.
    fn read(path: &Path, part: Part, is_asked: bool) -> Option<Self> {
        let follow = if part == Part::Link { AtFlags::SYMLINK_NOFOLLOW } else { AtFlags::empty() };
        if is_asked {
            force(path, follow);
        }
        Some(Self::new(path, part, &statat(CWD, path, follow).ok()?))
    }

    fn new(path: &Path, part: Part, stat: &Stat) -> Self {
        #[allow(
            clippy::cast_lossless,
            clippy::useless_conversion,
            reason = "types differ by system"
        )]
        let contents = match part {
            Part::Directory => None,
            Part::Tables => version_of_tables(path).map(|version| (0, [version; 2])),
            Part::File | Part::Link | Part::Entries | Part::Rows => Some((
                stat.st_size,
                [
                    (stat.st_mtime.into(), nanoseconds(stat.st_mtime_nsec)),
                    (stat.st_ctime.into(), nanoseconds(stat.st_ctime_nsec)),
                ],
            )),
        };
        #[allow(clippy::useless_conversion, reason = "types differ by system")]
        Self {
            device: stat.st_dev.into(),
            inode: stat.st_ino.into(),
            contents,
            log: (part == Part::Rows).then(|| Ahead::from_database(path)).flatten(),
        }
    }
}

/// The version that `SQLite` changes with the tables of a database, and the version that applications set themselves
/// (`PRAGMA user_version`). Both are in the file's head, whose format does not change.
fn version_of_tables(path: &Path) -> Option<(i64, i64)> {
    let mut head = [0; 100];
    File::open(path).ok()?.read_exact_at(&mut head, 0).ok()?;
    let number = |at: usize| head.get(at..at + 4)?.try_into().ok().map(i32::from_be_bytes);
    Some((number(40)?.into(), number(60)?.into()))
}

/// As `i64`, whatever type the system has.
pub fn nanoseconds(part: impl TryInto<i64>) -> i64 {
    part.try_into().unwrap_or_default()
}

/// A path, and what must not change at it.
#[derive(Debug)]
pub struct Looked {
    path: PathBuf,
    part: Part,
    is_asked: bool,
    stamp: Option<Stamp>,
}

impl Looked {
    /// Records its present state, which must not change from now on.
    pub fn new(path: PathBuf, part: Part, is_asked: bool) -> Self {
        let stamp = Stamp::read(&path, part, is_asked);
        Self { path, part, is_asked, stamp }
    }

    /// The same for a file that is not on another machine, whose state is known.
    pub fn with_state(path: PathBuf, stat: &Stat) -> Self {
        let stamp = Some(Stamp::new(&path, Part::File, stat));
        Self { path, part: Part::File, is_asked: false, stamp }
    }

    /// Its path, if it has changed.
    fn changed(&self) -> Option<PathBuf> {
        let is_changed = Stamp::read(&self.path, self.part, self.is_asked) != self.stamp;
        is_changed.then(|| self.path.clone())
    }
}

/// Something that must not change.
#[derive(Debug)]
pub enum Kept {
    /// A file, a link or a directory.
    File(Looked),
    /// Names in a directory.
    Names(Names),
}

impl Kept {
    /// What has changed.
    pub fn changed(&self) -> Option<PathBuf> {
        match self {
            Self::File(file) => file.changed(),
            Self::Names(names) => names.changed(),
        }
    }
}

/// Files that are looked at, and names in directories.
#[derive(Debug, Default)]
pub struct PolledFiles(Vec<Kept>);

impl PolledFiles {
    /// Records its present state, which must not change from now on.
    pub fn add(&mut self, path: PathBuf, part: Part, is_asked: bool) {
        self.keep(Kept::File(Looked::new(path, part, is_asked)));
    }

    /// Adds something whose present state is recorded already.
    pub fn keep(&mut self, kept: Kept) {
        self.0.push(kept);
    }

    /// A path that has changed, if a check is due. `last` is the time of the last check by any of the processes that
    /// share it.
    pub fn changed(&self, last: Option<&AtomicU64>) -> Option<PathBuf> {
        let now = Moment::now().to_nanos();
        if self.0.is_empty() || last.is_some_and(|last| !is_my_turn(last, now)) {
            return None;
        }
        let changed = self.0.iter().find_map(Kept::changed)?;
        // The next process checks at once, and finds it too.
        if let Some(last) = last {
            last.store(0, SeqCst);
        }
        Some(changed)
    }
}

/// Of all processes that come at once, one checks.
fn is_my_turn(last: &AtomicU64, now: u64) -> bool {
    let before = last.load(SeqCst);
    let age = u128::from(now.saturating_sub(before));
    (before == 0 || age >= INTERVAL.as_nanos())
        && last.compare_exchange(before, now, SeqCst, SeqCst).is_ok()
}

/// Whether the kernel knows every change of a file system, by device.
#[derive(Debug, Default)]
pub struct FileSystems(HashMap<u64, bool>);

impl FileSystems {
    /// Whether the kernel knows every change of the file system of `path`: not if another machine, or a program, may
    /// change it.
    pub fn are_local(&mut self, path: &Path, part: Part) -> bool {
        let path = if part == Part::Link { path.parent().unwrap_or(path) } else { path };
        rustix::fs::stat(path).is_ok_and(|stat| self.has_local(path, &stat))
    }

    /// The same for a path that has this state.
    pub fn has_local(&mut self, path: &Path, stat: &Stat) -> bool {
        #[allow(clippy::useless_conversion, reason = "the type differs by system")]
        *self.0.entry(stat.st_dev.into()).or_insert_with(|| is_local(path))
    }
}

fn is_local(path: &Path) -> bool {
    const REMOTE: [i64; 18] = [
        0x6969,      // NFS
        0x517b,      // SMB
        0xff53_4d42, // CIFS
        0xfe53_4d42, // SMB2
        0x6573_5546, // FUSE
        0x0102_1997, // 9P
        0x00c3_6400, // Ceph
        0x5346_414f, // AFS
        0x6b41_4653, // the kernel's own AFS
        0x7375_7245, // Coda
        0x0bd0_0bd0, // Lustre
        0x4750_4653, // GPFS
        0x1983_0326, // BeeGFS
        0x7461_636f, // OCFS2
        0x0116_1970, // GFS2
        0x786f_4256, // VirtualBox
        0xbacb_acbc, // VMware
        0x7c7c_6673, // Parallels
    ];
    #[allow(clippy::useless_conversion, reason = "the type differs by system")]
    rustix::fs::statfs(path).is_ok_and(|system| !REMOTE.contains(&i64::from(system.f_type)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn of_all_that_come_within_a_second_one_looks() {
        const SECOND: u64 = 1_000_000_000;
        let last = AtomicU64::new(0);
        let start = 77 * SECOND;
        assert!(is_my_turn(&last, start), "it was not looked at yet");
        assert!(!is_my_turn(&last, start) && !is_my_turn(&last, start + SECOND - 1));
        assert!(is_my_turn(&last, start + SECOND) && !is_my_turn(&last, start + SECOND));
        // Two processes read the clock in one order and look in the other.
        assert!(!is_my_turn(&last, start));

        let turns: usize = std::thread::scope(|scope| {
            let turn = || (0..100).filter(|tick| is_my_turn(&last, (100 + tick) * SECOND)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(turn)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it ends")).sum()
        });
        assert_eq!(turns, 100, "one for each second");
    }

    #[test]
    fn who_finds_a_change_lets_the_next_look_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file");
        fs::write(&file, "1").expect("written");
        let mut polled_files = PolledFiles::default();
        let last = AtomicU64::new(0);
        polled_files.add(file.clone(), Part::File, true);
        assert_eq!(polled_files.changed(Some(&last)), None);
        fs::write(&file, "22").expect("written");
        assert_eq!(polled_files.changed(Some(&last)), None, "it has looked a moment ago");
        last.store(1, SeqCst);
        for _ in 0..2 {
            assert_eq!(polled_files.changed(Some(&last)), Some(file.clone()));
        }
        assert_eq!(polled_files.changed(None), Some(file.clone()));
    }

    /// Whether `change` is seen as a change of `part` at `path`.
    fn is_seen(path: &Path, part: Part, change: impl FnOnce()) -> bool {
        let mut polled_files = PolledFiles::default();
        polled_files.add(path.to_owned(), part, false);
        assert_eq!(polled_files.changed(None), None);
        // Two changes in one tick of the file systems' clock have the same time.
        let tick = || rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let now = tick();
        while tick() == now {
            std::thread::yield_now();
        }
        change();
        polled_files.changed(None).is_some()
    }

    #[test]
    fn what_keeps_its_size_and_time_is_seen_to_change() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file");
        fs::write(&file, "1").expect("written");
        let modified = fs::metadata(&file).and_then(|file| file.modified()).expect("a time");
        let write = |text: &str| {
            fs::write(&file, text)?;
            File::options().write(true).open(&file)?.set_modified(modified)
        };
        assert!(is_seen(&file, Part::File, || write("2").expect("written")));
        let replace = || {
            fs::remove_file(&file)?;
            write("3")
        };
        assert!(is_seen(&file, Part::File, || replace().expect("replaced")));
        assert!(is_seen(&file, Part::File, || fs::remove_file(&file).expect("removed")));
        assert!(is_seen(&file, Part::File, || write("4").expect("made")));
    }

    #[test]
    fn a_directory_is_told_from_what_is_in_it_and_a_link_from_where_it_leads() {
        let directory = tempfile::tempdir().expect("a directory");
        let [one, two, link] = ["one", "two", "link"].map(|name| directory.path().join(name));
        fs::create_dir(&one).expect("made");
        symlink(&one, &link).expect("made");
        let enter = |name: &str| fs::write(one.join(name), "").expect("written");
        assert!(!is_seen(&one, Part::Directory, || enter("a")));
        assert!(is_seen(&one, Part::Entries, || enter("b")));
        assert!(!is_seen(&link, Part::Link, || enter("c")));
        let lead = || {
            fs::remove_file(&link)?;
            symlink(&two, &link)
        };
        assert!(is_seen(&link, Part::Link, || lead().expect("another link")));
        let swap = || {
            fs::rename(&one, &two)?;
            fs::create_dir(&one)
        };
        assert!(is_seen(&one, Part::Directory, || swap().expect("another directory")));
    }

    #[test]
    fn what_is_nowhere_is_of_no_local_file_system() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut systems = FileSystems::default();
        assert!(systems.are_local(directory.path(), Part::Entries));
        let nowhere = directory.path().join("nowhere");
        assert!(!systems.are_local(&nowhere, Part::File));
        assert!(systems.are_local(&nowhere, Part::Link), "its directory is");
    }
}
