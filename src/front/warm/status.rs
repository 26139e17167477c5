//! `cgi2wsgi warm status`: a table of this user's zygotes, or everybody's for root.

use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::{
    NOTHING, Zygote, directories, gone, is_coloured, none, show, shown, user_name, zygotes,
};
use crate::cgi::variables::Variables;
use crate::report;
use crate::zygotes::process::{self, Memory};
use crate::zygotes::status::{Phase, Status};

/// How long the end of a zygote is shown.
const RECENT: Duration = Duration::from_secs(3600);

pub(super) fn run(variables: &Variables) -> Result<u8> {
    let directories = directories(variables);
    let zygotes = zygotes(&directories);
    let now = SystemTime::now();
    if zygotes.is_empty() {
        report::plain(&none(variables));
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    for (owner, at, status) in gone(&directories) {
        let since = now.duration_since(at).unwrap_or_default();
        if since < RECENT {
            report::plain(&ended(&user_name(&passwd, owner), &status, since));
        }
    }
    if zygotes.is_empty() {
        return Ok(NOTHING);
    }
    let rows: Vec<Row> = zygotes
        .into_iter()
        .map(|Zygote { directory, status, .. }| {
            let pids = process::children(status.pid).into_iter().chain([status.pid]);
            Row {
                user: user_name(&passwd, directory.owner()),
                age: now.duration_since(status.since).unwrap_or_default(),
                memory: process::memory(pids),
                status,
            }
        })
        .collect();
    show(table(&rows, is_coloured()).as_bytes())?;
    Ok(0)
}

/// One zygote, and what the system tells of it.
struct Row {
    status: Status,
    user: String,
    age: Duration,
    memory: Memory,
}

/// The heads of the columns; those of numbers are flush right.
const COLUMNS: [(&str, bool); 10] = [
    ("APPLICATION", false),
    ("PID", true),
    ("USER", false),
    ("AGE", true),
    ("MEMORY", true),
    ("REQUESTS", true),
    ("WAITING", true),
    ("BUSY", true),
    ("RESTARTS", true),
    ("LAST RESTART", false),
];

fn table(rows: &[Row], coloured: bool) -> String {
    let cells: Vec<[String; COLUMNS.len()]> = rows.iter().map(cells).collect();
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|column| {
            let widest = cells.iter().map(|row| row[column].chars().count()).max();
            widest.unwrap_or_default().max(COLUMNS[column].0.len())
        })
        .collect();
    let line = |cells: [&str; COLUMNS.len()]| {
        let mut line = String::new();
        for ((cell, (_, is_number)), width) in cells.into_iter().zip(COLUMNS).zip(&widths) {
            let space = " ".repeat(width - cell.chars().count());
            line += &if is_number { space + cell } else { cell.to_owned() + &space };
            line += "  ";
        }
        line.trim_end().to_owned()
    };
    let (bold, warn, end) =
        if coloured { ("\x1b[1m", "\x1b[33m", "\x1b[0m") } else { ("", "", "") };
    let mut text = format!("{bold}{}{end}\n", line(COLUMNS.map(|(head, _)| head)));
    for (row, cells) in rows.iter().zip(&cells) {
        text += &line(cells.each_ref().map(String::as_str));
        text.push('\n');
        for remark in remarks(&row.status) {
            text += &["  ", warn, remark.as_str(), end, "\n"].concat();
        }
    }
    if rows.iter().any(|row| !row.memory.is_proportional) {
        text += "RSS: this system does not report how much memory processes share, so shared pages are counted \
                 for each process.\n";
    }
    text
}

fn cells(row: &Row) -> [String; COLUMNS.len()] {
    let status = &row.status;
    let kind = if row.memory.is_proportional { "" } else { " RSS" };
    [
        shown(&status.application),
        status.pid.to_string(),
        row.user.clone(),
        age(row.age),
        format!("{}{kind}", size(row.memory.bytes)),
        status.requests.to_string(),
        status.waiting.to_string(),
        status.busy.to_string(),
        status.restarts.to_string(),
        status.last_restarts.last().map_or_else(|| "-".to_owned(), |last| shown(&last.why)),
    ]
}

/// A line on the last zygote of an application, outside the table: one that restarts for each request is rarely in it.
fn ended(user: &str, status: &Status, since: Duration) -> String {
    let why = match &status.phase {
        Phase::Ended(why) => why.clone(),
        _ => status.why_gone().unwrap_or_else(|| "it was killed".to_owned()),
    };
    format!(
        "no zygote of {user} runs {}: the last ended {} ago, after {} request(s) and {} restart(s): {why}",
        shown(&status.application),
        age(since),
        status.requests,
        status.restarts,
        why = shown(&why),
    )
}

/// What is wrong and does not fit into a column.
fn remarks(status: &Status) -> Vec<String> {
    let phase = match &status.phase {
        Phase::Importing(_) => Some("the application is being imported".to_owned()),
        Phase::Cold(why) => Some(format!("every request makes a normal (cold) start: {why}")),
        Phase::Ended(why) => Some(format!("it ends: {why}")),
        Phase::Ready => None,
    };
    phase.into_iter().chain(status.remark.clone()).map(|remark| shown(&remark)).collect()
}

/// In the largest unit that fits, as in `3 min`.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn size(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    if mebibytes < 1024.0 {
        format!("{mebibytes:.1} MiB")
    } else {
        format!("{:.1} GiB", mebibytes / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zygotes::status::Restart;

    fn row(application: &str, requests: u64) -> Row {
        let mut status = crate::zygotes::status::tests::status();
        status.application = application.into();
        (status.pid, status.requests) = (4711, requests);
        let memory = Memory { bytes: 45 << 20, is_proportional: true };
        Row { status, user: "www-data".into(), age: Duration::from_secs(200), memory }
    }

    #[test]
    fn columns_are_aligned_and_numbers_are_flush_right() {
        let mut second = row("mysite.wsgi in /srv/ü", 1234);
        second.status.restarts = 3;
        let at = second.status.since;
        second.status.last_restarts = vec![
            Restart { at, why: "too old a reason".into() },
            Restart { at, why: "views.py changed".into() },
        ];
        let shown = table(&[row("/srv/app.py", 7), second], false);
        assert_eq!(
            shown,
            "APPLICATION             PID  USER        AGE    MEMORY  REQUESTS  WAITING  BUSY  RESTARTS  LAST RESTART\n\
             /srv/app.py            4711  www-data  3 min  45.0 MiB         7        2     1         0  -\n\
             mysite.wsgi in /srv/ü  4711  www-data  3 min  45.0 MiB      1234        2     1         3  views.py changed\n"
        );
    }

    #[test]
    fn what_is_not_as_it_should_be_has_a_line_of_its_own() {
        let mut row = row("/srv/app.py", 0);
        row.status.phase = Phase::Cold("it has threads".into());
        row.status.remark = Some("too large".into());
        row.memory.is_proportional = false;
        let shown = table(&[row], false);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[2], "  every request makes a normal (cold) start: it has threads");
        assert_eq!(lines[3], "  too large");
        assert!(lines[1].contains("45.0 MiB RSS") && lines[4].starts_with("RSS: "), "{shown}");
        assert!(!shown.contains('\x1b'));
    }

    #[test]
    fn it_is_told_why_the_last_one_ended() {
        let mut status = row("/srv/app.py", 1).status;
        let told = |status: &Status| ended("www-data", status, Duration::from_secs(200));
        assert!(told(&status).ends_with("1 request(s) and 0 restart(s): it was killed"));
        (status.phase, status.restarts) = (Phase::Ended("state.json changed".into()), 7);
        assert_eq!(
            told(&status),
            "no zygote of www-data runs /srv/app.py: the last ended 3 min ago, after 1 request(s) and 7 \
             restart(s): state.json changed"
        );
    }

    #[test]
    fn colour_is_for_terminals() {
        assert!(table(&[row("a", 1)], true).starts_with("\x1b[1mAPPLICATION"));
    }

    #[test]
    fn ages_and_sizes_are_short() {
        for (seconds, shown) in [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h")] {
            assert_eq!(age(Duration::from_secs(seconds)), shown);
        }
        assert_eq!(age(Duration::from_secs(86_400 * 9)), "9 d");
        assert_eq!(size(1 << 19), "0.5 MiB");
        assert_eq!(size(3 << 30), "3.0 GiB");
    }
}
