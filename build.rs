//! Gives the front and the worker the identity of their build: a hash of all their sources.
//!
//! Both contain it, and the worker's file name does too: a front never works with a worker of other sources.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

const SOURCES: [&str; 7] = [
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "worker/build.rs",
    "worker/Cargo.toml",
    "worker/src",
];

fn main() {
    let mut files = BTreeSet::new();
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
        collect(Path::new(source), &mut files);
    }
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.hash(&mut hasher);
        fs::read(&file).unwrap_or_default().hash(&mut hasher);
    }
    println!("cargo:rustc-env=BUILD_IDENTITY={:016x}", hasher.finish());
}

fn collect(path: &Path, files: &mut BTreeSet<PathBuf>) {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().for_each(|entry| collect(&entry.path(), files)),
        Err(_) => {
            files.insert(path.to_owned());
        }
    }
}
