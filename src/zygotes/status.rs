//! The status of a zygote, in a file of its private directory that `cgi2wsgi warm` reads: lines of a name and a value.

use std::collections::HashSet;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{OFlags, fstat};

use super::churn::Churn;
use super::directory::{Directory, file_identity, status_name};
use super::process;
use crate::handoff::Application;
use crate::report::printable;

/// The first line: files of another version are not read.
const FORMAT: &str = "cgi2wsgi warm status 1";

/// How many of the last restarts are kept.
const RESTARTS_KEPT: usize = 3;

/// More than a status file has, in bytes.
const LARGEST: u64 = 64 << 10;

/// The most status files that are read in one directory.
const MOST: usize = 1000;

/// How long the status of a zygote that has ended is kept.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// How far a zygote is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// It imports the application, until this deadline.
    Importing(SystemTime),
    /// Its children answer.
    Ready,
    /// All requests are served cold, and why.
    Cold(String),
    /// It has ended, and why.
    Ended(String),
}

/// Why a zygote took another one's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// When.
    pub at: SystemTime,
    /// Why.
    pub why: String,
}

/// The status of a zygote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// [`Application::shown`].
    pub application: String,
    /// The process.
    pub pid: u32,
    /// [`process::started`] of it.
    pub started: u64,
    /// When it was started.
    pub since: SystemTime,
    /// How far it is.
    pub phase: Phase,
    /// Why the last zygote of this name that was ready for requests could not serve them.
    pub refused: Option<String>,
    /// The zygotes before it that ended because a file had changed.
    pub churn: Option<Churn>,
    /// Something that a person should know, such as a ceiling that was reached.
    pub remark: Option<String>,
    /// Requests that its children have taken.
    pub requests: u64,
    /// Children that wait for one.
    pub waiting: usize,
    /// Children that have one.
    pub busy: usize,
    /// How often a zygote of this name has taken another one's place.
    pub restarts: u64,
    /// The last of them, in order.
    pub last_restarts: Vec<Restart>,
}

impl Status {
    /// The status of this process, which begins to import `application`. `last` is the status of the zygote before it,
    /// and `why` the reason that its front gives.
    pub fn begin(
        application: &Application,
        last: Option<&Self>,
        why: &str,
        deadline: SystemTime,
    ) -> Self {
        let now = SystemTime::now();
        let mut status = Self {
            application: application.shown(),
            pid: 0,
            started: 0,
            since: now,
            phase: Phase::Importing(deadline),
            refused: last.and_then(|last| last.refused.clone()),
            churn: last.and_then(|last| last.churn.clone()),
            remark: None,
            requests: 0,
            waiting: 0,
            busy: 0,
            restarts: 0,
            last_restarts: Vec::new(),
        };
        status.is_of_this_process();
        if let Some(last) = last {
            let why = match &last.phase {
                Phase::Ended(why) => why.clone(),
                _ if last.is_alive() => why.to_owned(),
                _ => last.why_gone().unwrap_or_else(|| "the one before was killed".to_owned()),
            };
            status.restarts = last.restarts + 1;
            status.last_restarts.clone_from(&last.last_restarts);
            status.last_restarts.push(Restart { at: now, why });
            let surplus = status.last_restarts.len().saturating_sub(RESTARTS_KEPT);
            status.last_restarts.drain(..surplus);
        }
        status
    }

    /// From here on it is the status of this process.
    pub fn is_of_this_process(&mut self) {
        self.pid = std::process::id();
        self.started = process::started(self.pid).unwrap_or_default();
    }

    /// Why a process has ended that gave no reason, if it is known: if its import takes too long, it has no time to
    /// give one.
    pub fn why_gone(&self) -> Option<String> {
        match self.phase {
            Phase::Importing(deadline) if deadline <= SystemTime::now() => Some(format!(
                "the import did not end within {} s",
                deadline.duration_since(self.since).unwrap_or_default().as_secs()
            )),
            _ => None,
        }
    }

    /// Why the next zygote imports nothing: a file ends one zygote after another.
    pub fn rest(&self) -> Option<String> {
        match &self.phase {
            Phase::Ended(why) => {
                let churn = self.churn.as_ref()?;
                // A change of a file that requests write does not make the application able to serve.
                let refused = self.refused.clone().filter(|_| churn.has_ended(why));
                refused.or_else(|| churn.rest(why))
            }
            _ => None,
        }
    }

    /// Whether its process exists, and is not another one of the same number.
    pub fn is_alive(&self) -> bool {
        process::started(self.pid) == Some(self.started)
    }

    /// The text of the file.
    pub fn encode(&self) -> String {
        let mut text = format!("{FORMAT}\n");
        let mut put = |name: &str, value: &str| {
            let value = printable(&value.replace(['\n', '\t'], " "));
            text += &[name, ": ", &value, "\n"].concat();
        };
        put("application", &self.application);
        put("pid", &self.pid.to_string());
        put("started", &self.started.to_string());
        put("since", &seconds(self.since).to_string());
        match &self.phase {
            Phase::Importing(deadline) => {
                put("phase", &format!("importing {}", seconds(*deadline)));
            }
            Phase::Ready => put("phase", "ready"),
            Phase::Cold(why) => put("phase", &format!("cold {why}")),
            Phase::Ended(why) => put("phase", &format!("ended {why}")),
        }
        if let Some(why) = &self.refused {
            put("refused", why);
        }
        if let Some(churn) = &self.churn {
            put("churn", &churn.encode());
        }
        if let Some(remark) = &self.remark {
            put("remark", remark);
        }
        put("requests", &self.requests.to_string());
        put("waiting", &self.waiting.to_string());
        put("busy", &self.busy.to_string());
        put("restarts", &self.restarts.to_string());
        for restart in &self.last_restarts {
            put("restarted", &format!("{} {}", seconds(restart.at), restart.why));
        }
        text
    }

    /// What [`Self::encode`] gave, or nothing if it is damaged.
    pub fn decode(text: &str) -> Option<Self> {
        let (FORMAT, fields) = text.split_once('\n')? else { return None };
        let all = |name: &'static str| {
            fields.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let one = |name| all(name).next();
        // In another user's directory, root may find anything.
        let text = |value: &str| printable(value);
        let (phase, why) = one("phase")?.split_once(' ').unwrap_or((one("phase")?, ""));
        Some(Self {
            application: text(one("application")?),
            pid: one("pid")?.parse().ok()?,
            started: one("started")?.parse().ok()?,
            since: moment(one("since")?)?,
            phase: match phase {
                "importing" => Phase::Importing(moment(why)?),
                "ready" => Phase::Ready,
                "cold" => Phase::Cold(text(why)),
                "ended" => Phase::Ended(text(why)),
                _ => return None,
            },
            refused: one("refused").map(text),
            churn: one("churn").and_then(|churn| Churn::decode(&text(churn))),
            remark: one("remark").map(text),
            requests: one("requests")?.parse().ok()?,
            waiting: one("waiting")?.parse().ok()?,
            busy: one("busy")?.parse().ok()?,
            restarts: one("restarts")?.parse().ok()?,
            last_restarts: all("restarted")
                .map(|value| {
                    let (at, why) = value.split_once(' ')?;
                    Some(Restart { at: moment(at)?, why: text(why) })
                })
                .collect::<Option<_>>()?,
        })
    }

    /// The status of the zygote of this name, if there is one and it is whole.
    pub fn read(directory: &Directory, name: &str) -> Option<Self> {
        Self::read_file(directory, &status_name(name))
    }

    fn read_file(directory: &Directory, file: &str) -> Option<Self> {
        let bytes = directory.read(file, LARGEST).ok()??;
        Self::decode(std::str::from_utf8(&bytes).ok()?)
    }

    /// The statuses of all zygotes in `directory`, with their names.
    fn said(directory: &Directory) -> io::Result<Vec<(String, Self)>> {
        let files = directory.names()?.all;
        let named = files.iter().filter_map(|file| file.strip_suffix(".status")).take(MOST);
        let said = named.filter_map(|name| Some((name.to_owned(), Self::read(directory, name)?)));
        Ok(said.collect())
    }

    /// The statuses of all zygotes in `directory` that are alive, sorted by application, with their names.
    pub fn all(directory: &Directory) -> io::Result<Vec<(String, Self)>> {
        let mut all = Self::said(directory)?;
        let mut seen = HashSet::new();
        all.retain(|(_, status)| status.is_alive() && seen.insert(status.pid));
        all.sort_by(|(_, a), (_, b)| (&a.application, a.since).cmp(&(&b.application, b.since)));
        Ok(all)
    }

    /// For each application in `directory` of which no zygote is alive: the status of the last one, and when it was
    /// written.
    pub fn gone(directory: &Directory) -> io::Result<Vec<(SystemTime, Self)>> {
        let mut gone: Vec<(SystemTime, Self)> = Vec::new();
        let said = Self::said(directory)?;
        let (living, dead): (Vec<_>, Vec<_>) =
            said.into_iter().partition(|(_, status)| status.is_alive());
        let living: HashSet<&str> =
            living.iter().map(|(_, status)| status.application.as_str()).collect();
        for (name, status) in dead {
            let Some(at) = written(directory, &status_name(&name)) else { continue };
            if living.contains(status.application.as_str()) {
                continue;
            }
            match gone.iter_mut().find(|(_, other)| other.application == status.application) {
                Some(last) if last.0 >= at => {}
                Some(last) => *last = (at, status),
                None => gone.push((at, status)),
            }
        }
        gone.sort_by(|(_, a), (_, b)| a.application.cmp(&b.application));
        Ok(gone)
    }

    /// Writes it as the status of the zygote of this name, atomically. Returns the
    /// [`file_identity`].
    pub fn write(&self, directory: &Directory, name: &str) -> io::Result<u64> {
        let file = status_name(name);
        let temporary = format!("{file}.{}", self.pid);
        let written = (|| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
            let mut opened = directory.open_file(&temporary, flags)?;
            opened.write_all(self.encode().as_bytes())?;
            directory.rename(&temporary, &file)?;
            Ok(file_identity(&fstat(&opened)?))
        })();
        if written.is_err() {
            // An incomplete file is of no use, and a full disk needs its space.
            let _ = directory.remove(&temporary);
        }
        written
    }
}

/// Removes the statuses of zygotes that ended long ago.
pub fn sweep(directory: &Directory) {
    let is_old = |file: &str| {
        written(directory, file).is_some_and(|at| at.elapsed().is_ok_and(|age| age > KEPT))
    };
    for file in directory.names().map(|names| names.all).unwrap_or_default() {
        // The name of an incomplete file ends with the number of the process that wrote it.
        let is_alive = || Status::read_file(directory, &file).is_some_and(|s| s.is_alive());
        if file.contains(".status") && is_old(&file) && !is_alive() {
            let _ = directory.remove(&file);
        }
    }
}

/// When a file was written.
fn written(directory: &Directory, file: &str) -> Option<SystemTime> {
    let seconds = directory.stat(file).ok()?.st_mtime;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds.try_into().ok()?))
}

fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn moment(seconds: &str) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds.parse().ok()?))
}

#[cfg(test)]
pub(crate) mod tests;
