//! The log of all zygotes of one user: `warm.log` in the private directory, and `warm.log.1`, which it becomes when it
//! is large. Several processes write at once.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, OFlags, flock, fstat};

use super::directory::{Directory, LOG, OLD_LOG};
use crate::report::printable;

/// The size beyond which another file is begun, in bytes.
pub const LARGEST: u64 = 1 << 20;

/// The log of a private directory.
#[derive(Debug, Clone, Copy)]
pub struct Log<'d> {
    directory: &'d Directory,
    largest: u64,
}

impl<'d> Log<'d> {
    /// The log of `directory`.
    pub fn new(directory: &'d Directory) -> Self {
        Self { directory, largest: LARGEST }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join(LOG)
    }

    /// Adds the lines of `text`, each with the time, the process and its
    /// application.
    pub fn write(&self, pid: u32, application: &str, text: &str) -> io::Result<()> {
        let lines = lines(SystemTime::now(), pid, application, text);
        // One write for all, so that those of several zygotes do not mix.
        self.open()?.write_all(lines.as_bytes())
    }

    /// The file to append to: a new one, if the last is too large.
    pub fn open(&self) -> io::Result<File> {
        loop {
            let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
            let file = self.directory.open_file(LOG, flags)?;
            if file.metadata()?.len() < self.largest {
                return Ok(file);
            }
            // Of the processes that find it too large, one renames it; the others then find another file at its path.
            flock(&file, FlockOperation::LockExclusive)?;
            if self.is_at_its_path(&file) {
                self.directory.rename(LOG, OLD_LOG)?;
            }
        }
    }

    /// Whether `file` is still the log, and is not too large.
    pub fn is_current(&self, file: &File) -> bool {
        self.is_at_its_path(file) && file.metadata().is_ok_and(|file| file.len() < self.largest)
    }

    fn is_at_its_path(&self, file: &File) -> bool {
        match (fstat(file), self.directory.stat(LOG)) {
            (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
            _ => false,
        }
    }

    /// The whole log, the oldest lines first. Nothing: it was never written to.
    pub fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let mut all: Option<Vec<u8>> = None;
        for name in [OLD_LOG, LOG] {
            if let Some(text) = self.directory.read(name, 2 * self.largest)? {
                all.get_or_insert_default().extend(text);
            }
        }
        Ok(all)
    }
}

fn lines(time: SystemTime, pid: u32, application: &str, text: &str) -> String {
    let head = format!("{} {pid} {}", shown_time(time), printable(application).replace('\n', " "));
    let lines = text.trim_end().lines();
    lines.map(|line| [&head, ": ", &printable(line), "\n"].concat()).collect()
}

/// A moment as RFC 3339 writes it, in UTC, which needs no time zone data.
pub fn shown_time(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The Gregorian date of a day after 1970-01-01.
fn date(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::zygotes::directory::tests::directory;

    fn log(directory: &Directory, largest: u64) -> Log<'_> {
        Log { directory, largest }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(shown_time(UNIX_EPOCH + Duration::from_secs(seconds)), shown);
        }
    }

    #[test]
    fn every_line_tells_whose_it_is_and_shows_control_characters() {
        let time = UNIX_EPOCH + Duration::from_secs(60);
        assert_eq!(
            lines(time, 7, "/srv/a.py", "one\ntwo\x1b[2J\n\n"),
            "1970-01-01T00:01:00Z 7 /srv/a.py: one\n\
             1970-01-01T00:01:00Z 7 /srv/a.py: two\\u{1b}[2J\n"
        );
    }

    #[test]
    fn a_large_log_has_one_predecessor_and_no_line_is_cut() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = directory(temporary.path());
        let log = log(&directory, 4000);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let log = &log;
                scope.spawn(move || {
                    for number in 0..100 {
                        let text = format!("line {number} {}", "x".repeat(50));
                        log.write(writer, "app", &text).expect("written");
                    }
                });
            }
        });
        let names: Vec<_> = fs::read_dir(directory.path())
            .expect("listed")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
        let text = String::from_utf8(log.read().expect("read").expect("there is one"));
        let text = text.expect("UTF-8");
        assert!(text.len() > 4000 && text.len() < 9000, "{} bytes", text.len());
        for line in text.lines() {
            assert!(line.starts_with("20") && line.ends_with(&"x".repeat(50)), "{line}");
        }
    }

    #[test]
    fn who_holds_the_old_file_is_told() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = directory(temporary.path());
        let log = log(&directory, 100);
        assert!(log.read().expect("no error").is_none());
        let held = log.open().expect("opened");
        assert!(log.is_current(&held));
        log.write(1, "app", &"x".repeat(100)).expect("written");
        assert!(!log.is_current(&held), "it is too large");
        log.write(1, "app", "y").expect("written");
        assert!(!log.is_current(&held), "it is another file");
    }
}
