//! Where records are: files of mode 0600 in a directory that nobody else can enter. The oldest are removed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fstat, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::{Record, Target};
use crate::front::trusted_directory::TrustedDirectory;
use crate::front::users::this_user;

/// What the names of records end in.
const SUFFIX: &str = ".json";

/// How many names of a directory are read at most.
const MOST_NAMES: usize = 100_000;

/// Writes a record to its target.
pub fn write(record: &Record, target: &Target) -> Result<(), String> {
    match target {
        Target::File(file) => {
            let name = file.file_name().ok_or("--save names no file")?;
            let parent = TrustedDirectory::of_file(file)?;
            let mut file = parent.open(name, OFlags::CREATE | OFlags::TRUNC)?;
            file.write_all(record.encode().as_bytes()).map_err(|error| error.to_string())
        }
        Target::Directory { path, most } => {
            let directory = open(path)?;
            add(&directory, record).map_err(|error| format!("{}: {error}", path.display()))?;
            // A directory that cannot be listed keeps more than `most`.
            let _ = thin_out(&directory, *most);
            Ok(())
        }
    }
}

/// Opens the directory, and makes it if it does not exist. It must be this user's own.
fn open(path: &Path) -> Result<OwnedFd, String> {
    let shown = path.display();
    let name = path.file_name().ok_or_else(|| format!("{shown} is not a directory for records"))?;
    let parent = TrustedDirectory::of_file(path)?;
    match mkdirat(&parent.directory, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(format!("{shown} cannot be made by {}: {error}", this_user())),
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(&parent.directory, name, flags, Mode::empty())
        .map_err(|error| format!("{shown} is not a directory, or is a link to one: {error}"))?;
    let stat = fstat(&directory).map_err(|error| format!("{shown}: {error}"))?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(format!("{shown} belongs to user {} and not to {}", stat.st_uid, this_user()));
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(format!(
            "others can enter {shown} (mode {:o}), and records have what visitors sent: chmod 700 \
             {shown}",
            stat.st_mode & 0o7777
        ));
    }
    Ok(directory)
}

/// Writes a record under another name, then renames it: a reader of the directory never sees half a record.
fn add(directory: &OwnedFd, record: &Record) -> io::Result<()> {
    let time = record.time.replace([':', '-'], "");
    let name = format!("{time}-{}{SUFFIX}", record.request);
    let draft = format!(".{name}");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(directory, &draft, flags, Mode::RUSR | Mode::WUSR)?;
    let written = File::from(file).write_all(record.encode().as_bytes());
    if let Err(error) = written {
        let _ = unlinkat(directory, &draft, AtFlags::empty());
        return Err(error);
    }
    Ok(renameat(directory, &draft, directory, &name)?)
}

/// Removes the oldest records, so that `most` are left.
fn thin_out(directory: &OwnedFd, most: u32) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)?.take(MOST_NAMES) {
        let entry = entry?;
        if is_record(entry.file_name().to_bytes()) {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    let surplus = names.len().saturating_sub(most as usize);
    for name in &names[..surplus] {
        // Another process may have removed it.
        let _ = unlinkat(directory, name.as_c_str(), AtFlags::empty());
    }
    Ok(())
}

/// Whether a name is that of a record, and not of a file that a person has put there.
fn is_record(name: &[u8]) -> bool {
    let Some(name) = name.strip_suffix(SUFFIX.as_bytes()) else { return false };
    let begins = name.iter().take_while(|byte| byte.is_ascii_digit()).count() == 8;
    begins && name.get(8) == Some(&b'T') && name.len() == 29
}

/// The records of a directory that a person names, the oldest first.
pub fn list(path: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
        if path.extension() == Some(OsStr::new("json")) && !is_hidden {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::tests::record;
    use super::*;

    fn target(path: &Path) -> Target {
        Target::Directory { path: path.to_owned(), most: 3 }
    }

    #[test]
    fn a_bounded_number_is_kept_for_this_user_alone() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = temporary.path().join("records");
        for number in 0..9 {
            let request = format!("7h3k9x2{number}");
            write(&Record { request, ..record() }, &target(&directory)).expect("written");
            fs::write(directory.join("own.json"), "{}").expect("written");
        }
        let files = list(&directory).expect("listed");
        let names: Vec<_> = files.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        let record = |number: u32| format!("20260102T030405.678Z-7h3k9x2{number}.json");
        assert_eq!(names, [&record(6), &record(7), &record(8), "own.json"]);
        assert_eq!(fs::read_dir(&directory).expect("listed").count(), 4);
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode();
        assert_eq!((mode(&directory) & 0o777, mode(&files[0]) & 0o777), (0o700, 0o600));
    }

    #[test]
    fn a_directory_that_is_not_this_users_alone_is_refused() {
        let temporary = tempfile::tempdir().expect("a directory");
        let inside = |name: &str| temporary.path().join(name);
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
        };
        let refusal = |name: &str| write(&record(), &target(&inside(name))).expect_err("refused");
        fs::create_dir(inside("open")).expect("made");
        mode(&inside("open"), 0o750);
        assert!(refusal("open").contains("chmod 700"), "{}", refusal("open"));
        fs::create_dir(inside("real")).expect("made");
        mode(&inside("real"), 0o700);
        symlink(inside("real"), inside("link")).expect("a link");
        assert!(refusal("link").contains("or is a link to one"), "{}", refusal("link"));
        fs::write(inside("file"), "").expect("written");
        assert!(refusal("file").contains("is not a directory"), "{}", refusal("file"));
        assert!(refusal("a/b").contains("cannot be opened"), "{}", refusal("a/b"));
        mode(temporary.path(), 0o1777);
        let reason = refusal("new");
        assert!(reason.contains("others can write to the directory"), "{reason}");
    }
}
