//! What is known of the request that this process answers, for `--log` and `--record`. There is one for a process, as
//! there is one request: whoever learns something tells it here, and nothing is kept where neither option is on.
//!
//! - [`lines`]: what is written to standard error meanwhile;
//! - [`log`]: the line of a request, and its file; [`place`]: where such a file may be.

pub mod lines;
pub mod log;
pub mod place;

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use self::log::Log;
use super::number;
use crate::cgi::variables::Variables;
use crate::handoff::call::Told;
use crate::timings::Moment;
use crate::zygotes::log::shown_time;
use crate::{report, system};

static ACCOUNT: Mutex<Option<Account>> = Mutex::new(None);

/// What is to be kept of a request, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `--log`.
    pub log: Option<Log>,
}

impl Settings {
    fn is_anything(&self) -> bool {
        self.log.is_some()
    }
}

/// What is known of a request.
#[derive(Debug)]
pub struct Account {
    settings: Settings,
    /// When this process began.
    time: SystemTime,
    began: Moment,
    /// The process of the worker, or else this one.
    pid: u32,
    application: String,
    method: String,
    address: String,
    response: Response,
}

/// What became of the response.
#[derive(Debug, Default)]
struct Response {
    /// Nothing: there was none.
    status: Option<u16>,
    /// The bytes of its body, as far as they are known.
    bytes: Option<u64>,
    is_whole: bool,
}

/// Begins to keep what `settings` want of the request of `variables`, to which this process was started when it `began`.
pub fn open(settings: Settings, variables: &Variables, application: &str, began: Moment) {
    if !settings.is_anything() {
        return;
    }
    report::keep_lines();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let account = Account {
        settings,
        time: SystemTime::now(),
        began,
        pid: std::process::id(),
        application: application.to_owned(),
        method: text(variables.get("REQUEST_METHOD").unwrap_or(b"GET")),
        address: text(&number::address(variables)),
        response: Response::default(),
    };
    *lock() = Some(account);
}

/// How much of the response a worker is to tell.
pub fn told() -> Told {
    if lock().is_some() { Told::Numbers } else { Told::Nothing }
}

/// Whether anything is kept.
pub fn is_open() -> bool {
    lock().is_some()
}

/// The application's own name, once it is found.
pub fn application(name: &str) {
    with(|account| name.clone_into(&mut account.application));
}

/// The process of the worker that has begun the request.
pub fn begun(pid: u32) {
    with(|account| account.pid = pid);
}

/// An answer of this process' own, as bytes.
pub fn answered(status: u16, answer: &[u8]) {
    with(|account| {
        let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let body = head.map_or(0, |end| answer.len() - end - 4);
        account.response =
            Response { status: Some(status), bytes: Some(body as u64), is_whole: true };
    });
}

/// The worker sends a response with this status.
pub fn headed(status: u16) {
    with(|account| account.response.status = Some(status));
}

/// The worker has sent so many bytes of the body.
pub fn delivered(bytes: u64) {
    with(|account| account.response.bytes = Some(bytes));
}

/// The worker has ended the response.
pub fn done(is_whole: bool) {
    with(|account| account.response.is_whole = is_whole);
}

/// From here on a server that has the whole response does not end this process before [`close`]: Apache's `mod_cgid` and
/// lighttpd send SIGTERM then.
pub fn outlive_server() {
    if is_open() {
        for signal in ENDS {
            system::set_ignored(signal, true);
        }
    }
}

/// What servers send.
const ENDS: [i32; 2] = [libc::SIGTERM, libc::SIGHUP];

/// The request is over: writes what is wanted of it.
pub fn close() {
    let Some(account) = lock().take() else { return };
    let lines = lines::of(&report::take_lines());
    if let Some(log) = &account.settings.log
        && let Err(reason) = log.write(&account.entry(&lines))
    {
        report::warning(&format!("--log: the request is not in the log: {reason}"));
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

    /// From the start of this process until now.
    fn milliseconds(&self) -> f64 {
        let nanoseconds = Moment::now().to_nanos().saturating_sub(self.began.to_nanos());
        // Three digits after the point, which are exact for all that can be waited for.
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
