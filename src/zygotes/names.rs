//! Names in directories that an import has asked for: modules that it missed, files that were not there, listings. The
//! names that existed must stay, and those that did not exist must not appear. Other names in these directories do not
//! matter.
//!
//! This module knows neither Python nor how the kernel reports changes: it reads the directories.

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::remote::ask;

/// Which names of a directory matter to the code that listed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Listing {
    /// All of them, except those of files that Python and databases put beside their own.
    All,
    /// Those of modules and packages (`pkgutil`).
    Modules,
    /// Those of installed distributions (`importlib.metadata`, `pkg_resources`).
    Distributions,
}

/// The endings of the names of files that are modules: `.py`, `.abi3.so`.
pub type Suffixes = Arc<[OsString]>;

/// What was asked of one directory.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Names as they are.
    pub names: BTreeSet<OsString>,
    /// Names of modules, whatever kind of file or directory they would be.
    pub modules: HashSet<OsString>,
    /// What it was listed for.
    pub listings: BTreeSet<Listing>,
}

impl Asked {
    /// Whether it could matter that this name appears or disappears.
    fn concerns(&self, name: &OsStr, suffixes: &Suffixes) -> bool {
        self.names.contains(name) || self.is_found(name, suffixes, || true)
    }

    /// Whether it matters as a module, or in a listing.
    fn is_found(&self, name: &OsStr, suffixes: &Suffixes, is_directory: impl Fn() -> bool) -> bool {
        let mut modules = modules_of(name, suffixes);
        modules.any(|module| self.modules.contains(module))
            || self.listings.iter().any(|one| one.has(name, suffixes, &is_directory))
            // A file without a suffix is no module, whatever its name.
            || (self.modules.contains(name) && is_directory())
    }

    /// Those of the names asked for that exist. Nothing: there is no such directory, or it cannot be read.
    fn look(&self, directory: &Path, suffixes: &Suffixes) -> Option<BTreeSet<OsString>> {
        let is_there = |name: &&OsString| directory.join(name).symlink_metadata().is_ok();
        let mut found: BTreeSet<OsString> = self.names.iter().filter(is_there).cloned().collect();
        if self.modules.is_empty() && self.listings.is_empty() {
            return Some(found);
        }
        for entry in fs::read_dir(directory).ok()?.flatten() {
            let name = entry.file_name();
            if self.is_found(&name, suffixes, || entry.path().is_dir()) {
                found.insert(name);
            }
        }
        Some(found)
    }
}

impl Listing {
    fn has(self, name: &OsStr, suffixes: &Suffixes, is_directory: impl Fn() -> bool) -> bool {
        let ends = |ends: &[&str]| ends.iter().any(|end| name.as_bytes().ends_with(end.as_bytes()));
        match self {
            Self::All => name != "__pycache__" && !ends(&["-journal", "-wal", "-shm", ".pyc"]),
            Self::Modules => {
                let may_be_package = name != "__pycache__" && !name.as_bytes().contains(&b'.');
                modules_of(name, suffixes).next().is_some() || (may_be_package && is_directory())
            }
            Self::Distributions => ends(&[".dist-info", ".egg-info", ".egg", ".egg-link"]),
        }
    }
}

/// The modules that a file of this name could be.
fn modules_of<'n>(name: &'n OsStr, suffixes: &'n Suffixes) -> impl Iterator<Item = &'n OsStr> {
    let stem = |suffix: &OsString| name.as_bytes().strip_suffix(suffix.as_bytes());
    suffixes.iter().filter_map(stem).map(OsStr::from_bytes)
}

/// A directory, what was asked about it, and the answer.
#[derive(Debug)]
pub struct Names {
    directory: PathBuf,
    asked: Asked,
    suffixes: Suffixes,
    /// Whether the directory is on another machine, which has to be asked.
    is_asked: bool,
    found: Option<BTreeSet<OsString>>,
}

impl Names {
    /// Records the present answer, for [`Self::changed`].
    pub fn new(directory: PathBuf, asked: Asked, suffixes: Suffixes, is_asked: bool) -> Self {
        let mut names = Self { directory, asked, suffixes, is_asked, found: None };
        names.found = names.look();
        names
    }

    fn look(&self) -> Option<BTreeSet<OsString>> {
        if self.is_asked {
            ask(&self.directory);
        }
        self.asked.look(&self.directory, &self.suffixes)
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Those that existed.
    pub fn found(&self) -> impl Iterator<Item = &OsStr> {
        self.found.iter().flatten().map(OsString::as_os_str)
    }

    /// Whether this was one of them.
    pub fn had(&self, name: &OsStr) -> bool {
        self.found.as_ref().is_some_and(|found| found.contains(name))
    }

    /// Whether this name matters to code that listed the directory.
    pub fn is_listed(&self, name: &OsStr) -> bool {
        let mut listings = self.asked.listings.iter();
        listings.any(|listing| listing.has(name, &self.suffixes, || true))
    }

    /// Whether it matters only because a module could have it.
    pub fn is_module_only(&self, name: &OsStr) -> bool {
        !self.asked.names.contains(name) && !self.is_listed(name)
    }

    /// Whether the directory has to be read when this name appears or disappears.
    pub fn concerns(&self, name: &OsStr) -> bool {
        self.asked.concerns(name, &self.suffixes)
    }

    /// A name that has appeared or disappeared, or the directory itself if that has.
    pub fn changed(&self) -> Option<PathBuf> {
        let now = self.look();
        match (&self.found, &now) {
            (Some(before), Some(now)) => {
                before.symmetric_difference(now).next().map(|name| self.directory.join(name))
            }
            (None, None) => None,
            _ => Some(self.directory.clone()),
        }
    }
}

/// All names of a directory, for [`Asked::concerns`] to select from.
pub fn names_in(directory: &Path) -> io::Result<BTreeSet<OsString>> {
    Ok(fs::read_dir(directory)?.flatten().map(|entry| entry.file_name()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suffixes() -> Suffixes {
        [".py", ".pyc", ".cpython-311-x86_64-linux-gnu.so", ".abi3.so", ".so"]
            .map(OsString::from)
            .into()
    }

    fn modules(names: &[&str]) -> Asked {
        Asked { modules: names.iter().map(OsString::from).collect(), ..Asked::default() }
    }

    fn listed(listing: Listing) -> Asked {
        Asked { listings: BTreeSet::from([listing]), ..Asked::default() }
    }

    #[test]
    fn a_missed_module_is_of_interest_as_any_kind_of_file_and_no_other_name_is() {
        let asked = modules(&["local_settings"]);
        for (name, expected) in [
            ("local_settings.py", true),
            ("local_settings.pyc", true),
            ("local_settings", true),
            ("local_settings.abi3.so", true),
            ("local_settings.cpython-311-x86_64-linux-gnu.so", true),
            ("local_settings.cpython-39-x86_64-linux-gnu.so", false),
            ("local_settings.txt", false),
            ("local_settings.py~", false),
            ("settings.py", false),
            ("app.log", false),
            ("db.sqlite3-journal", false),
            ("__pycache__", false),
        ] {
            assert_eq!(asked.concerns(OsStr::new(name), &suffixes()), expected, "{name}");
        }
    }

    #[test]
    fn what_a_listing_is_for_decides_which_names_count() {
        for (listing, counts, counts_not) in [
            (
                Listing::All,
                &["page.html", "app.log", ".hidden", "wal"][..],
                &["__pycache__", "db-journal", "db-wal", "db-shm", "x.pyc"][..],
            ),
            (
                Listing::Modules,
                &["plugin.py", "package", "x.abi3.so"],
                &["app.log", "__pycache__", "page.html"],
            ),
            (
                Listing::Distributions,
                &["flask-3.0.dist-info", "x.egg-info", "x.egg-link"],
                &["flask", "app.log", "x.py"],
            ),
        ] {
            let asked = listed(listing);
            for name in counts {
                assert!(asked.concerns(OsStr::new(name), &suffixes()), "{listing:?} {name}");
            }
            for name in counts_not {
                assert!(!asked.concerns(OsStr::new(name), &suffixes()), "{listing:?} {name}");
            }
        }
    }

    #[test]
    fn what_comes_and_goes_is_seen_where_it_was_asked_for() {
        let place = tempfile::tempdir().expect("a directory");
        let path = |name: &str| place.path().join(name);
        let names = |asked: Asked| Names::new(place.path().into(), asked, suffixes(), true);
        let write = |name: &str| fs::write(path(name), "").expect("written");
        fs::create_dir(path("data")).expect("made");
        write("run");
        write("there.ini");

        let exact = names(Asked {
            names: ["config.ini", "there.ini"].map(OsString::from).into(),
            ..Asked::default()
        });
        let missed = names(modules(&["local", "data", "run", "other"]));
        let all = names(listed(Listing::All));
        assert_eq!((exact.changed(), missed.changed(), all.changed()), (None, None, None));
        assert_eq!(missed.found().collect::<Vec<_>>(), ["data"], "a file `run` is no module");

        let packages = names(listed(Listing::Modules));
        write("upload-1");
        assert_eq!(packages.changed(), None, "a file without a suffix is no package");
        fs::remove_file(path("upload-1")).expect("removed");
        write("db.sqlite3-journal");
        assert_eq!((exact.changed(), missed.changed(), all.changed()), (None, None, None));
        write("app.log");
        assert_eq!((exact.changed(), missed.changed()), (None, None));
        assert_eq!(all.changed(), Some(path("app.log")));
        fs::remove_file(path("app.log")).expect("removed");
        assert_eq!(all.changed(), None, "it is as it was");

        write("config.ini");
        assert_eq!((exact.changed(), missed.changed()), (Some(path("config.ini")), None));
        fs::remove_file(path("config.ini")).expect("removed");
        fs::remove_file(path("there.ini")).expect("removed");
        assert_eq!(exact.changed(), Some(path("there.ini")));
        fs::create_dir(path("local")).expect("made");
        assert_eq!(missed.changed(), Some(path("local")));
        assert_eq!(packages.changed(), Some(path("local")));
    }

    #[test]
    fn a_directory_that_is_gone_or_comes_has_changed() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = place.path().join("plugins");
        let names = || Names::new(directory.clone(), listed(Listing::All), suffixes(), false);
        let missing = names();
        assert_eq!(missing.changed(), None);
        fs::create_dir(&directory).expect("made");
        assert_eq!(missing.changed(), Some(directory.clone()));
        let empty = names();
        assert_eq!(empty.changed(), None);
        fs::remove_dir(&directory).expect("removed");
        assert_eq!(empty.changed(), Some(directory));
    }
}
