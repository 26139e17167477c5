//! What a status file contains, and how it is read.

use std::fs::{self, OpenOptions};

use super::*;
use crate::zygotes::directory::tests::directory;

pub(crate) fn status() -> Status {
    Status {
        application: "/srv/site/app.py".into(),
        pid: std::process::id(),
        started: process::started(std::process::id()).expect("this process"),
        since: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        phase: Phase::Ready,
        refused: None,
        churn: None,
        remark: None,
        requests: 12,
        waiting: 2,
        busy: 1,
        restarts: 0,
        last_restarts: Vec::new(),
    }
}

fn application() -> Application {
    Application {
        source: crate::handoff::Source::Module("site.wsgi".into()),
        callable: crate::handoff::Callable::default(),
        directory: "/srv".into(),
        import_directories: Vec::new(),
        venv: None,
    }
}

#[test]
fn what_a_zygote_tells_is_read() {
    let mut status = status();
    status.phase = Phase::Cold("it has started 1 thread(s): cold".into());
    status.refused = Some("it has started 1 thread(s): cold".into());
    status.churn = Some(Churn { count: 3, file: "/srv/site/a b.json".into() });
    status.remark = Some("more than --warm-memory".into());
    status.restarts = 7;
    status.last_restarts = vec![Restart { at: status.since, why: "app.py changed".into() }; 2];
    let text = status.encode();
    assert_eq!(Status::decode(&text), Some(status.clone()));
    for end in 0..text.rfind("restarted").expect("a line") - 15 {
        assert_ne!(Status::decode(&text[..end]), Some(status.clone()), "{end}");
    }
}

#[test]
fn no_text_of_an_application_makes_a_line_of_its_own() {
    let mut status = status();
    status.phase = Phase::Cold("a\npid: 1\n\x1b[31m".into());
    let read = Status::decode(&status.encode()).expect("it is whole");
    assert_eq!(read.pid, std::process::id());
    assert_eq!(read.phase, Phase::Cold("a pid: 1 \\u{1b}[31m".into()));
}

#[test]
fn what_another_user_has_written_reaches_no_terminal_as_it_is() {
    let text = status().encode().replace("/srv/site", "\x1b]0;x\x07\u{202e}");
    let read = Status::decode(&text).expect("it is whole");
    assert_eq!(read.application, "\\u{1b}]0;x\\u{7}\\u{202e}/app.py");
}

#[test]
fn a_restart_continues_the_count_and_tells_why() {
    let application = application();
    let later = SystemTime::now() + Duration::from_secs(60);
    let first = Status::begin(&application, None, "the first request", later);
    assert_eq!((first.restarts, first.last_restarts.len()), (0, 0));
    assert_eq!(first.application, "site.wsgi in /srv");

    let mut ended = first.clone();
    ended.phase = Phase::Ended("settings.py changed".into());
    let mut killed = first.clone();
    killed.started = 0;
    let mut late = killed.clone();
    late.phase = Phase::Importing(late.since);
    for (last, why) in [
        (ended, "settings.py changed"),
        (killed, "the one before was killed"),
        (late, "the import did not end within 0 s"),
        (first, "a file changed"),
    ] {
        let next = Status::begin(&application, Some(&last), "a file changed", later);
        assert_eq!((next.restarts, next.last_restarts[0].why.as_str()), (1, why));
    }
    let mut last = status();
    for _ in 0..9 {
        last = Status::begin(&application, Some(&last), "again", later);
    }
    assert_eq!((last.restarts, last.last_restarts.len()), (9, RESTARTS_KEPT));
}

#[test]
fn whether_the_next_zygote_rests_is_told_by_how_the_last_ended() {
    let mut status = status();
    status.churn = Some(Churn { count: 9, file: "/srv/site/state.json".into() });
    assert_eq!(status.rest(), None, "it has not ended");
    status.phase = Phase::Ended("/srv/site/state.json changed".into());
    let read = Status::decode(&status.encode()).expect("it is whole");
    assert!(read.rest().is_some_and(|why| why.contains("/srv/site/state.json")));
    status.phase = Phase::Ended("stopped by SIGTERM".into());
    assert_eq!(status.rest(), None);
    status.refused = Some("it has threads".into());
    assert_eq!(status.rest(), None);
    status.phase = Phase::Ended("/srv/site/state.json changed".into());
    status.churn = Some(Churn { count: 1, file: "/srv/site/state.json".into() });
    assert_eq!(status.rest().as_deref(), Some("it has threads"));
}

#[test]
fn only_those_that_live_are_listed() {
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = directory(temporary.path());
    let alive = status();
    let mut dead = status();
    dead.started += 1;
    for (name, status) in [("alive", &alive), ("dead", &dead)] {
        status.write(&directory, name).expect("written");
    }
    fs::write(directory.path().join("damaged.status"), "cgi2wsgi warm status 1\npid: 1\n")
        .expect("written");
    let all = Status::all(&directory).expect("listed");
    assert_eq!(all, [("alive".to_owned(), alive)]);
    let names = fs::read_dir(directory.path()).expect("listed").count();
    assert_eq!(names, 3, "nothing temporary is left");
}

#[test]
fn of_the_dead_the_last_of_each_application_is_told() {
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = directory(temporary.path());
    let write = |name: &str, application: &str, started: u64, why: &str, age: u64| {
        let mut status = status();
        status.application = application.into();
        (status.started, status.phase) = (started, Phase::Ended(why.into()));
        status.write(&directory, name).expect("written");
        let file = OpenOptions::new().append(true).open(directory.path().join(status_name(name)));
        let at = SystemTime::now() - Duration::from_secs(age);
        file.and_then(|file| file.set_modified(at)).expect("it is older");
    };
    write("a", "b.py", 1, "the first", 30);
    write("b", "b.py", 2, "the last", 10);
    write("c", "b.py", 3, "the second", 20);
    write("d", "a.py", 4, "alone", 5);
    write("e", "lives.py", 5, "before", 5);
    write("f", "lives.py", status().started, "it lives", 9);
    let gone = Status::gone(&directory).expect("listed");
    let told: Vec<_> = gone.iter().map(|(_, s)| (s.application.as_str(), &s.phase)).collect();
    let ended = |why: &str| Phase::Ended(why.into());
    assert_eq!(told, [("a.py", &ended("alone")), ("b.py", &ended("the last"))]);
    assert!(gone[1].0 < gone[0].0, "when it ended");
}

#[test]
fn what_is_old_is_swept_unless_its_zygote_lives() {
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = directory(temporary.path());
    let mut gone = status();
    gone.started += 1;
    for (name, status) in [("alive", &status()), ("gone", &gone), ("new", &gone)] {
        status.write(&directory, name).expect("written");
    }
    fs::write(directory.path().join("cut.status.77"), "cgi2").expect("written");
    fs::write(directory.path().join("warm.log"), "old").expect("written");
    let old = SystemTime::now() - KEPT - Duration::from_secs(60);
    for name in ["alive.status", "gone.status", "cut.status.77", "warm.log"] {
        let file = OpenOptions::new().append(true).open(directory.path().join(name));
        file.and_then(|file| file.set_modified(old)).expect("it is older");
    }
    sweep(&directory);
    let mut left: Vec<_> = fs::read_dir(directory.path())
        .expect("listed")
        .flatten()
        .map(|entry| entry.file_name().into_string().expect("UTF-8"))
        .collect();
    left.sort_unstable();
    assert_eq!(left, ["alive.status", "new.status", "warm.log"]);
}

#[test]
fn a_file_that_another_zygote_has_written_is_another_whatever_its_inode() {
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = directory(temporary.path());
    let own = status().write(&directory, "one").expect("written");
    let there = || file_identity(&directory.stat(&status_name("one")).expect("it is there"));
    assert_eq!(there(), own);
    let old = SystemTime::now() - Duration::from_secs(1);
    let file = OpenOptions::new().append(true).open(directory.path().join(status_name("one")));
    file.and_then(|file| file.set_modified(old)).expect("it is older");
    let own = there();
    // Each write makes a file, and the second of these may get the inode of the first file.
    for _ in 0..2 {
        status().write(&directory, "one").expect("written");
        assert_ne!(there(), own);
    }
}
