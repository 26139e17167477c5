//! The private directory, in a place where other users can write.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn variables(temporary: &Path) -> Variables {
    [("TMPDIR", temporary.to_str().expect("UTF-8"))].into_iter().collect()
}

/// The private directory in a test's own temporary directory.
pub(crate) fn directory(temporary: &Path) -> Directory {
    Directory::open(&variables(temporary)).expect("a directory")
}

#[test]
fn it_is_made_closed_to_all_others_and_found_again() {
    let temporary = tempfile::tempdir().expect("a directory");
    for _ in 0..2 {
        let directory = directory(temporary.path());
        let mode = fs::metadata(directory.path()).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}

#[test]
fn what_others_may_enter_and_what_is_no_directory_is_refused() {
    let temporary = tempfile::tempdir().expect("a directory");
    let variables = variables(temporary.path());
    let path = Directory::path_for(&variables);
    fs::create_dir(&path).expect("made");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("opened");
    let error = Directory::open(&variables).expect_err("others may enter");
    assert!(error.contains("mode 755"), "{error}");
    fs::remove_dir(&path).expect("removed");

    let elsewhere = temporary.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("made");
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o700)).expect("closed");
    symlink(&elsewhere, &path).expect("linked");
    assert!(Directory::open(&variables).is_err(), "a symbolic link");
    fs::remove_file(&path).expect("removed");

    fs::write(&path, "").expect("written");
    assert!(Directory::open(&variables).is_err(), "a file");
}

#[test]
fn zygotes_are_looked_for_where_a_server_would_start_them_too() {
    let temporary = tempfile::tempdir().expect("a directory");
    let runtime = tempfile::tempdir().expect("a directory");
    let mut both = variables(temporary.path());
    both.set("XDG_RUNTIME_DIR", runtime.path().to_str().expect("UTF-8").as_bytes().to_vec());
    // Root finds those of others too, wherever they are.
    let existing = || -> Vec<PathBuf> {
        let (found, unusable) = Directory::existing(&both);
        assert!(unusable.is_empty(), "{unusable:?}");
        let paths = found.into_iter().map(|directory| directory.path().to_owned());
        let own = [temporary.path(), runtime.path()];
        paths.filter(|path| own.iter().any(|own| path.starts_with(own))).collect()
    };
    assert!(existing().is_empty());
    let of_server = directory(temporary.path());
    let of_shell = Directory::open(&both).expect("a directory");
    assert_eq!(existing(), [of_shell.path(), of_server.path()]);
}

#[test]
fn a_directory_that_is_of_no_use_is_named_and_hides_no_other() {
    let temporary = tempfile::tempdir().expect("a directory");
    let runtime = tempfile::tempdir().expect("a directory");
    let mut both = variables(temporary.path());
    both.set("XDG_RUNTIME_DIR", runtime.path().to_str().expect("UTF-8").as_bytes().to_vec());
    fs::write(runtime.path().join("cgi2wsgi"), "").expect("written");
    let usable = directory(temporary.path());
    let (found, unusable) = Directory::existing(&both);
    assert!(found.iter().any(|one| one.file == usable.file));
    assert!(unusable.len() == 1 && unusable[0].contains("is no directory"), "{unusable:?}");
}

#[test]
fn u4_another_directory_in_its_place_changes_nothing() {
    let temporary = tempfile::tempdir().expect("a directory");
    let opened = directory(temporary.path());
    fs::write(opened.path().join("x"), "mine").expect("written");
    fs::rename(opened.path(), temporary.path().join("moved")).expect("moved");
    let other = temporary.path().join("other");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("x"), "theirs").expect("written");
    symlink(&other, opened.path()).expect("linked");
    assert_eq!(opened.read("x", 9).expect("read").expect("a file"), b"mine");
    assert_eq!(opened.names().expect("listed").all.len(), 3, "with . and ..");
    opened.rename("x", "y").expect("renamed");
    opened.remove("y").expect("removed");
    assert!(other.join("x").exists(), "the other's was removed");
}

#[test]
fn only_the_end_of_regular_files_is_read_and_nothing_is_waited_for() {
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = directory(temporary.path());
    let path = |name: &str| directory.path().join(name);
    fs::write(path("text"), "a long text").expect("written");
    symlink("text", path("link")).expect("linked");
    fs::create_dir(path("folder")).expect("made");
    rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), Mode::RWXU).expect("made");
    fs::File::create(path("sparse")).and_then(|f| f.set_len(1 << 30)).expect("made");
    assert_eq!(directory.read("text", 4).expect("read").expect("a file"), b"text");
    assert_eq!(directory.read("sparse", 100).expect("read").expect("a file").len(), 100);
    assert!(directory.read("nothing", 4).expect("no error").is_none());
    for name in ["link", "folder", "pipe"] {
        assert!(directory.read(name, 4).is_err(), "{name}");
    }
}

#[test]
fn a_path_that_is_too_long_for_an_address_says_so() {
    let temporary = tempfile::tempdir().expect("a directory");
    let deep = temporary.path().join("x".repeat(90));
    fs::create_dir(&deep).expect("made");
    let directory = directory(&deep);
    let error = directory.socket(&"f".repeat(32)).expect_err("too long");
    assert!(error.contains("at most 107"), "{error}");
}
