//! What the import has asked of directories: modules that it missed, files that it looked for, listings. Another import
//! may get other answers. This module finds the answers that changed during the import; [`watch`](super::watch) sees
//! those that change later.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cgi2wsgi::zygotes::names::{Asked, Names, Suffixes};
use cgi2wsgi::zygotes::polling::nanoseconds;
use pyo3::prelude::*;

use super::consulted::{Consulted, Listed};
use super::edited::{Edited, now};
use crate::python::imports::misses;

/// What was asked of one directory, and what it answered.
#[derive(Debug, Default)]
pub(super) struct Question {
    pub(super) asked: Asked,
    /// Whether the names that were asked for were there.
    were_there: BTreeMap<OsString, bool>,
    /// What it contained when it was listed.
    listed: Option<BTreeSet<OsString>>,
}

#[derive(Debug, Default)]
pub(super) struct Questions {
    looked_for: HashMap<PathBuf, bool>,
    /// What the import itself has made or removed.
    written: HashSet<PathBuf>,
    by_directory: HashMap<PathBuf, Question>,
}

impl Questions {
    /// `packages`: directories in which every name is watched.
    pub(super) fn from_consulted(
        py: Python<'_>,
        consulted: Consulted,
        packages: &[PathBuf],
    ) -> Self {
        super::stat_calls::stop(py);
        let Consulted { mut looked_for, written, listed, .. } = consulted;
        let mut by_directory: HashMap<PathBuf, Question> = HashMap::new();
        for (directory, module) in misses::take() {
            if !packages.contains(&directory) {
                by_directory.entry(directory).or_default().asked.modules.insert(module);
            }
        }
        for (directory, Listed { by, names }) in listed {
            let question = by_directory.entry(directory).or_default();
            question.asked.listings = by;
            question.listed = Some(names);
        }
        // A module directory that does not exist, such as an archive of the library, has no finder.
        let path = py.import("sys").and_then(|sys| sys.getattr("path")?.extract::<Vec<PathBuf>>());
        let absolute = path.unwrap_or_default().into_iter().map(std::path::absolute);
        for directory in absolute.flatten().filter(|directory| !directory.exists()) {
            looked_for.insert(directory, false);
        }
        Self { looked_for, written, by_directory }
    }

    /// What was looked for and not there.
    pub(super) fn missed(&self) -> Vec<PathBuf> {
        let missed = self.looked_for.iter().filter(|(_, is_there)| !**is_there);
        missed.map(|(path, _)| path.clone()).collect()
    }

    /// Whether the import itself has made or removed it.
    pub(super) fn is_own(&self, path: &Path) -> bool {
        self.written.contains(path)
    }

    pub(super) fn ask(&mut self, directory: PathBuf, name: OsString, was_there: bool) {
        let question = self.by_directory.entry(directory).or_default();
        question.asked.names.insert(name.clone());
        question.were_there.insert(name, was_there);
    }

    /// Asks, among what people edit, for what was looked for and found: it is to stay.
    pub(super) fn ask_for_found(&mut self, edited: &Edited) {
        let found =
            self.looked_for.iter().filter(|(path, is_there)| **is_there && edited.has(path));
        let found: Vec<PathBuf> = found.map(|(path, _)| path.clone()).collect();
        for path in found {
            if let (Some(directory), Some(name)) = (path.parent(), path.file_name()) {
                self.ask(directory.to_owned(), name.to_owned(), true);
            }
        }
    }

    /// The number of directories of which something was asked.
    pub(super) fn count(&self) -> usize {
        self.by_directory.len()
    }

    /// All of them, those of what people edit first.
    pub(super) fn take(&mut self, edited: &Edited) -> Vec<(PathBuf, Question)> {
        let mut all: Vec<_> = std::mem::take(&mut self.by_directory).into_iter().collect();
        all.sort_unstable_by(|(a, _), (b, _)| (!edited.has(a), a).cmp(&(!edited.has(b), b)));
        all
    }

    /// A name that others have made or removed since the import, which began then, asked for it.
    pub(super) fn changed_during_import(
        &self,
        names: &Names,
        question: &Question,
        began: (i64, i64),
    ) -> Option<PathBuf> {
        let path = |name: &OsStr| names.directory().join(name);
        let is_others = |path: &PathBuf| !self.is_own(path);
        let there: BTreeSet<&OsStr> = names.found().collect();
        let asked = question.were_there.iter();
        let turned = asked.filter(|(name, was)| there.contains(name.as_os_str()) != **was);
        let turned = turned.map(|(name, _)| path(name));
        let listed = question.listed.as_ref();
        let came = there.iter().filter(|name| {
            names.is_listed(name) && listed.is_some_and(|listed| !listed.contains(**name))
        });
        let went = listed
            .into_iter()
            .flatten()
            .filter(|name| names.is_listed(name) && path(name).symlink_metadata().is_err());
        let came_or_went = came.map(|name| path(name)).chain(went.map(|name| path(name)));
        let is_new = |path: &PathBuf| {
            path.symlink_metadata().is_ok_and(|found| {
                let changed = (found.ctime(), nanoseconds(found.ctime_nsec()));
                changed > began && changed <= now()
            })
        };
        let modules = there.iter().filter(|name| names.is_module_only(name)).map(|name| path(name));
        turned
            .chain(came_or_went)
            .find(is_others)
            .or_else(|| modules.filter(is_others).find(is_new))
    }
}

/// The suffixes of module files.
pub(super) fn suffixes(py: Python<'_>) -> Suffixes {
    let suffixes = py
        .import("importlib.machinery")
        .and_then(|machinery| machinery.call_method0("all_suffixes")?.extract::<Vec<OsString>>());
    suffixes.unwrap_or_else(|_| vec![".py".into(), ".pyc".into(), ".so".into()]).into()
}
