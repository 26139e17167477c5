//! `--log FILE`: one entry for each request, with what was written to standard error meanwhile; as text for people, or
//! as JSON, one object a line, for programs.
//!
//! An entry is one write to the end of the file, so that entries of several processes do not mix. A file that has
//! become large is renamed to `FILE.1`, which replaces an older one. A stranger may have chosen parts of an entry:
//! control characters are escaped.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use rustix::fs::{AtFlags, FlockOperation, OFlags, flock, fstat, renameat, statat};
use serde::Serialize;

use crate::front::json::printable;
use crate::front::trusted_directory::TrustedDirectory;
use crate::report::printable_line;

/// The size beyond which another file is begun, in bytes, without `--log-size`.
pub const LARGEST: u64 = 10 << 20;

/// The longest address, application or line in an entry, in characters.
const LONGEST: usize = 8192;

/// The form of an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// An object of JSON in a line.
    Json,
}

/// The settings of `--log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLog {
    /// The file, by an absolute path.
    pub file: PathBuf,
    /// `--log-format`.
    pub format: Format,
    /// `--log-size`, in bytes.
    pub largest: u64,
}

/// What the log says of a request.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    /// When it began.
    pub time: String,
    /// [`crate::front::number`].
    #[serde(rename = "request")]
    pub number: &'a str,
    /// The process that ran the application; if none did, the front.
    pub pid: u32,
    /// The application's file or module.
    pub application: &'a str,
    /// The method.
    pub method: &'a str,
    /// Path and query.
    #[serde(rename = "url")]
    pub address: &'a str,
    /// The status of the response; nothing if there was none.
    pub status: Option<u16>,
    /// The length of its body, in bytes; nothing if the worker's process ended before it reported it.
    pub bytes: Option<u64>,
    /// Whether the whole response was sent.
    #[serde(rename = "whole")]
    pub is_whole: bool,
    /// How long it took.
    pub milliseconds: f64,
    /// What was written to standard error.
    pub lines: &'a [String],
}

impl RequestLog {
    /// Adds an entry.
    pub fn write(&self, entry: &Entry<'_>) -> Result<(), String> {
        let name = self.file.file_name().ok_or("--log names no file")?;
        let directory = TrustedDirectory::of_file(&self.file)?;
        let text = match self.format {
            Format::Text => entry.text(),
            Format::Json => entry.json(),
        };
        let mut file = self.open(&directory, name)?;
        file.write_all(text.as_bytes()).map_err(|error| format!("{}: {error}", self.file.display()))
    }

    /// The file to append to. A file that is too large is renamed, and a new one begun.
    fn open(&self, directory: &TrustedDirectory, name: &OsStr) -> Result<File, String> {
        loop {
            let file = directory.open(name, OFlags::APPEND | OFlags::CREATE)?;
            if file.metadata().map_or(0, |file| file.len()) < self.largest {
                return Ok(file);
            }
            // Of several processes that find the file too large, the first to lock it renames it. The others then see
            // another file at `name`. If locking or renaming fails, a log that is too large is better than none.
            if flock(&file, FlockOperation::LockExclusive).is_err()
                || (is_at(directory, name, &file) && rename(directory, name).is_err())
            {
                return Ok(file);
            }
        }
    }
}

fn is_at(directory: &TrustedDirectory, name: &OsStr, file: &File) -> bool {
    match (fstat(file), statat(&directory.directory, name, AtFlags::SYMLINK_NOFOLLOW)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

fn rename(directory: &TrustedDirectory, name: &OsStr) -> rustix::io::Result<()> {
    let mut old = OsString::from(name);
    old.push(".1");
    renameat(&directory.directory, name, &directory.directory, old)
}

impl Entry<'_> {
    /// `TIME NUMBER PID APPLICATION "METHOD ADDRESS" STATUS BYTES MILLISECONDS`, and below it each line with time and
    /// number.
    fn text(&self) -> String {
        let Self { time, number, pid, milliseconds, .. } = self;
        let quoted = |text: &str| printable_line(text, LONGEST).replace(['"', '\\'], "_");
        let application = printable_line(self.application, LONGEST).replace(' ', "_");
        let status = self.status.map_or("-".to_owned(), |status| status.to_string());
        let bytes = self.bytes.map_or("-".to_owned(), |bytes| bytes.to_string());
        let (method, address) = (quoted(self.method), quoted(self.address));
        let cut = if self.is_whole || self.status.is_none() { "" } else { " (cut)" };
        let mut text = format!(
            "{time} {number} {pid} {application} \"{method} {address}\" {status} {bytes} \
             {milliseconds:.1} ms{cut}\n"
        );
        for line in self.lines {
            let _ = writeln!(text, "{time} {number} | {}", printable_line(line, LONGEST));
        }
        text
    }

    fn json(&self) -> String {
        // Serializing strings, numbers and lists of them cannot fail.
        printable(&serde_json::to_string(self).unwrap_or_default()) + "\n"
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    fn entry<'a>(address: &'a str, lines: &'a [String]) -> Entry<'a> {
        Entry {
            time: "2026-01-02T03:04:05.678Z".into(),
            number: "7h3k9x2m",
            pid: 42,
            application: "/srv/my app.py",
            method: "GET",
            address,
            status: Some(500),
            bytes: Some(7),
            is_whole: true,
            milliseconds: 12.34,
            lines,
        }
    }

    fn log(directory: &Path) -> RequestLog {
        RequestLog { file: directory.join("a.log"), format: Format::Text, largest: 4000 }
    }

    #[test]
    fn an_entry_is_columns_with_its_lines_below_and_nothing_that_a_terminal_obeys() {
        let lines = ["Traceback:".to_owned(), "\x1b[2J\rx".to_owned()];
        assert_eq!(
            entry("/a\" 200\n\u{202e}", &lines).text(),
            "2026-01-02T03:04:05.678Z 7h3k9x2m 42 /srv/my_app.py \"GET /a_ 200 _u{202e}\" 500 7 12.3 ms\n\
             2026-01-02T03:04:05.678Z 7h3k9x2m | Traceback:\n\
             2026-01-02T03:04:05.678Z 7h3k9x2m | \\u{1b}[2J\\u{d}x\n"
        );
        let cut = Entry { is_whole: false, bytes: None, ..entry("/", &[]) };
        assert!(cut.text().ends_with("\"GET /\" 500 - 12.3 ms (cut)\n"), "{}", cut.text());
    }

    #[test]
    fn json_is_one_line_that_says_the_same_and_is_safe_to_show() {
        let lines = ["\x1b\u{9b}\u{202e}\u{e0001}ü\n".to_owned()];
        let json = entry("/\u{7f}", &lines).json();
        assert!(json.ends_with("}\n") && json.lines().count() == 1, "{json}");
        assert!(!json.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'), "{json}");
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(value["lines"][0], lines[0].as_str());
        assert_eq!(value["url"], "/\u{7f}");
        assert_eq!(value["status"], 500);
    }

    #[test]
    fn a_large_log_has_one_predecessor_and_no_entry_is_cut() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = log(directory.path());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        log.write(&entry("/", &["x".repeat(50)])).expect("written");
                    }
                });
            }
        });
        let names = fs::read_dir(directory.path()).expect("listed").count();
        assert_eq!(names, 2);
        for name in ["a.log", "a.log.1"] {
            let text = fs::read_to_string(directory.path().join(name)).expect("a file");
            assert!(text.len() < 4400, "{}", text.len());
            for (at, line) in text.lines().enumerate() {
                let end = if at % 2 == 0 { " 12.3 ms" } else { "xxx" };
                assert!(line.starts_with("2026-") && line.ends_with(end), "{line}");
            }
        }
        let mode = fs::metadata(&log.file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_others_could_have_put_there_is_not_written_to() {
        let refusal = |prepare: &dyn Fn(&Path)| {
            let directory = tempfile::tempdir().expect("a directory");
            prepare(directory.path());
            log(directory.path()).write(&entry("/", &[])).expect_err("it is refused")
        };
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
        };
        for (expected, prepare) in [
            (
                "others can write to the directory",
                &(|at: &Path| mode(at, 0o1777)) as &dyn Fn(&Path),
            ),
            ("others can write to the directory", &|at| mode(at, 0o775)),
            ("is a symbolic link", &|at| {
                symlink(at.join("other"), at.join("a.log")).expect("a link");
            }),
            ("is not a regular file", &|at| {
                let status = std::process::Command::new("mkfifo").arg(at.join("a.log")).status();
                assert!(status.expect("mkfifo").success());
                // It has a reader, so that it can be opened for writing.
                let reader = OFlags::RDONLY | OFlags::NONBLOCK;
                let open = rustix::fs::open(at.join("a.log"), reader, rustix::fs::Mode::empty());
                std::mem::forget(open.expect("a pipe"));
            }),
            ("has another name too", &|at| {
                fs::write(at.join("other"), "").expect("written");
                fs::hard_link(at.join("other"), at.join("a.log")).expect("a link");
            }),
            ("can be written by others", &|at| {
                fs::write(at.join("a.log"), "").expect("written");
                mode(&at.join("a.log"), 0o666);
            }),
            ("cannot be opened", &|at| fs::remove_dir(at).expect("it is empty")),
        ] {
            let reason = refusal(prepare);
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
