//! What is known of the request that this process answers, for `--log` and `--record`. A process answers one request,
//! so that the account is a static. Other modules report here what they learn; without these options nothing is kept.
//!
//! - [`lines`]: what is written to standard error meanwhile; [`body`]: the request body;
//! - [`log`]: the line of a request, and its file.

pub mod body;
pub mod lines;
pub mod log;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use self::body::Spooled;
use self::log::RequestLog;
use super::number;
use super::record::{self, Record, Versions, contents};
use crate::cgi::digest::Digest;
use crate::cgi::variables::Variables;
use crate::handoff::build::BUILD;
use crate::handoff::call::Told;
use crate::timings::Moment;
use crate::zygotes::log::shown_time;
use crate::{report, system};

static ACCOUNT: Mutex<Option<Account>> = Mutex::new(None);

/// What is to be kept of a request, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `--log`.
    pub log: Option<RequestLog>,
    /// `--record`.
    pub record: Option<record::Settings>,
}

impl Settings {
    fn is_anything(&self) -> bool {
        self.log.is_some() || self.record.is_some()
    }
}

/// What is known of a request.
#[derive(Debug)]
pub struct Account {
    settings: Settings,
    /// When this process began.
    time: SystemTime,
    began: Moment,
    /// The worker's process; without a worker, this process.
    pid: u32,
    application: String,
    method: String,
    address: String,
    /// The variables of the request, if it may be recorded.
    variables: Option<Variables>,
    body: Option<Body>,
    versions: Versions,
    response: Response,
}

/// A request body.
#[derive(Debug)]
enum Body {
    /// Read from the server.
    Spooled(Spooled),
    /// Not kept; its length in bytes.
    TooLarge(u64),
}

/// What became of the response.
#[derive(Debug, Default)]
struct Response {
    /// Nothing if there was no response.
    status: Option<u16>,
    /// The bytes of its body, as far as they are known.
    bytes: Option<u64>,
    /// The digest of its body, as far as it is known.
    digest: Option<u64>,
    /// The head as it was sent.
    head: Vec<u8>,
    is_whole: bool,
    is_own: bool,
}

/// Begins to keep what `settings` ask for about the request in `variables`. `began`: when this process was started.
pub fn open(settings: Settings, variables: &Variables, application: &str, began: Moment) {
    if !settings.is_anything() {
        return;
    }
    report::keep_lines();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let is_recorded = settings.record.is_some();
    let account = Account {
        settings,
        time: SystemTime::now(),
        began,
        pid: std::process::id(),
        application: application.to_owned(),
        method: text(variables.get("REQUEST_METHOD").unwrap_or(b"GET")),
        address: text(&number::address(variables)),
        variables: is_recorded.then(|| variables.clone()),
        body: None,
        versions: Versions {
            cgi2wsgi: env!("CARGO_PKG_VERSION").to_owned(),
            build: BUILD.to_owned(),
            ..Versions::default()
        },
        response: Response::default(),
    };
    *lock() = Some(account);
}

/// How much the worker must report about the response.
pub fn told() -> Told {
    match lock().as_ref() {
        None => Told::Nothing,
        Some(account) if account.variables.is_some() => Told::Everything,
        Some(_) => Told::Numbers,
    }
}

/// Whether the request may be recorded, so that its body must be kept.
pub fn is_recorded() -> bool {
    told() == Told::Everything
}

/// Whether anything is kept.
pub fn is_open() -> bool {
    lock().is_some()
}

/// Notes the application's own name, once it is found.
pub fn application(name: &str) {
    with(|account| name.clone_into(&mut account.application));
}

/// Notes the Python that runs the application.
pub fn executable(python: &Path) {
    with(|account| account.versions.executable = Some(python.display().to_string()));
}

/// Notes the version of that Python.
pub fn python(version: String) {
    with(|account| account.versions.python = Some(version));
}

/// Notes the request body. `length`: of a body that is not kept, in bytes.
pub fn body(spooled: Option<Spooled>, length: u64) {
    with(|account| {
        account.body = match spooled {
            Some(spooled) => Some(Body::Spooled(spooled)),
            None => (length > 0).then_some(Body::TooLarge(length)),
        };
    });
}

/// Notes the process of the worker that has begun the request.
pub fn begun(pid: u32) {
    with(|account| account.pid = pid);
}

/// Notes a response that this process itself has written, as bytes.
pub fn answered(status: u16, answer: &[u8]) {
    with(|account| {
        let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let body = head.map_or(&[][..], |end| &answer[end + 4..]);
        let mut digest = Digest::default();
        digest.add(body);
        account.response = Response {
            status: Some(status),
            bytes: Some(body.len() as u64),
            digest: Some(digest.value()),
            head: answer[..answer.len() - body.len()].to_vec(),
            is_whole: true,
            is_own: true,
        };
    });
}

/// Notes that the worker sends a response with this status.
pub fn headed(status: u16, head: Vec<u8>) {
    with(|account| {
        account.response.status = Some(status);
        account.response.head = head;
    });
}

/// Notes that the worker has sent this many bytes of the body.
pub fn delivered(bytes: u64, digest: Option<u64>) {
    with(|account| {
        account.response.bytes = Some(bytes);
        account.response.digest = digest;
    });
}

/// Notes that the worker has ended the response.
pub fn done(is_whole: bool) {
    with(|account| account.response.is_whole = is_whole);
}

/// Ignores the signals by which a server ends this process, until [`close`]: Apache's `mod_cgid` and lighttpd send
/// SIGTERM as soon as they have the whole response.
pub fn outlive_server() {
    if is_open() {
        for signal in ENDS {
            system::set_ignored(signal, true);
        }
    }
}

/// The signals by which servers end a program.
const ENDS: [i32; 2] = [libc::SIGTERM, libc::SIGHUP];

/// The request is over: writes the log entry and the record.
pub fn close(exit: u8) {
    let Some(account) = lock().take() else { return };
    let lines = lines::shown(&report::take_lines());
    if let Some(log) = &account.settings.log
        && let Err(reason) = log.write(&account.entry(&lines))
    {
        report::warning(&format!("--log: the request is not in the log: {reason}"));
    }
    if let Some(wanted) = &account.settings.record
        && let Some(reason) = account.reason(wanted, exit, &lines)
        && let Err(why) =
            record::directory::write(&account.record(wanted, reason, lines), &wanted.target)
    {
        report::warning(&format!("--record: the request is not recorded: {why}"));
    }
    for signal in ENDS {
        system::set_ignored(signal, false);
    }
}

impl Account {
    fn entry<'a>(&'a self, lines: &'a [String]) -> log::Entry<'a> {
        log::Entry {
            time: time(self.time),
            number: number::of_request(),
            pid: self.pid,
            application: &self.application,
            method: &self.method,
            address: &self.address,
            status: self.response.status,
            bytes: self.response.bytes,
            is_whole: self.response.is_whole,
            milliseconds: self.milliseconds(),
            lines,
        }
    }

    /// Why the request is recorded; nothing if it is not.
    fn reason(&self, wanted: &record::Settings, exit: u8, lines: &[String]) -> Option<String> {
        let says = |text: &str| lines.iter().any(|line| line.contains(text));
        match self.response.status {
            None => Some("no response".to_owned()),
            Some(status @ 500..) => Some(format!("status {status}")),
            _ if says("Traceback (most recent call last)") => Some("a traceback".to_owned()),
            // A client that disconnects is no failure, and causes no line.
            _ if exit != 0 && !self.response.is_whole && !lines.is_empty() => {
                Some("the response was cut".to_owned())
            }
            _ => wanted.all.then(|| "all requests are recorded".to_owned()),
        }
    }

    fn record(&self, wanted: &record::Settings, reason: String, lines: Vec<String>) -> Record {
        let variables = self.variables.clone().unwrap_or_default();
        let content_type = variables.get("CONTENT_TYPE").unwrap_or_default();
        let mut left_out = Vec::new();
        let kept = contents::variables(&variables, wanted.secrets, &mut left_out);
        let body = self.body.as_ref().map(|body| {
            let (content, length) = match body {
                Body::Spooled(spooled) => (spooled.content(), spooled.length),
                Body::TooLarge(length) => (None, *length),
            };
            let content = content.as_deref();
            contents::body(content, length, content_type, wanted.secrets, &mut left_out)
        });
        let head = contents::head(&self.response.head, wanted.secrets);
        Record {
            form: Record::form(),
            time: time(self.time),
            request: number::of_request().to_owned(),
            reason,
            run: wanted.run.clone(),
            versions: self.versions.clone(),
            variables: kept,
            body,
            response: record::Response {
                status: self.response.status,
                whole: self.response.is_whole,
                own: self.response.is_own,
                head,
                bytes: self.response.bytes,
                digest: self.response.digest.map(|digest| format!("{digest:016x}")),
            },
            milliseconds: self.milliseconds(),
            lines,
            left_out,
        }
    }

    /// From the start of this process until now.
    fn milliseconds(&self) -> f64 {
        let nanoseconds = Moment::now().to_nanos().saturating_sub(self.began.to_nanos());
        // Three decimals, exact for any realistic duration.
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a century fit")]
        let microseconds = (nanoseconds / 1000) as f64;
        microseconds / 1000.0
    }
}

/// A moment as RFC 3339 writes it, in UTC, with milliseconds.
fn time(time: SystemTime) -> String {
    let milliseconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_millis());
    let seconds = shown_time(time);
    format!("{}.{milliseconds:03}Z", seconds.trim_end_matches('Z'))
}

fn with(act: impl FnOnce(&mut Account)) {
    if let Some(account) = lock().as_mut() {
        act(account);
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<Account>> {
    ACCOUNT.lock().unwrap_or_else(PoisonError::into_inner)
}
