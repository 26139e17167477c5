//! What the log says of a worker's process that did not end by itself after its response.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use super::Cause;

/// It ended before the head of a response went out.
pub(super) fn before_response(
    cause: Option<Cause>,
    how: Option<ExitStatus>,
    timeout: Option<Duration>,
) -> String {
    match cause {
        Some(Cause::Timeout) => {
            format!(
                "the application took longer than --timeout allows{}: the traceback above shows where it \
                 was",
                limit(timeout)
            )
        }
        Some(Cause::ConnectionLost) => {
            "the application has closed the descriptors that belong to cgi2wsgi, or its process was \
             lost, before it answered: it must not close descriptors that it did not open"
                .to_owned()
        }
        Some(Cause::OwnServer) | None => format!(
            "the application's process {} before it answered{}{}",
            ended(how),
            where_it_crashed(how),
            match how.and_then(|how| how.code()) {
                Some(_) => ": an application must return, and must not call os._exit(), exec or a library's exit()",
                None => "",
            }
        ),
    }
}

/// It ended in the middle of the response.
pub(super) fn in_response(
    cause: Option<Cause>,
    how: Option<ExitStatus>,
    timeout: Option<Duration>,
) -> String {
    const TRUNCATED: &str = "response truncated: headers were already sent";
    match cause {
        Some(Cause::Timeout) => {
            format!(
                "the response took longer than --timeout allows{} ({TRUNCATED})",
                limit(timeout)
            )
        }
        Some(Cause::ConnectionLost) => format!(
            "the application has closed the descriptors that belong to cgi2wsgi, or its process was \
             lost ({TRUNCATED})"
        ),
        Some(Cause::OwnServer) | None => format!(
            "the application's process {}{} ({TRUNCATED})",
            ended(how),
            where_it_crashed(how)
        ),
    }
}

/// It ended after the response; `None` if there is nothing to report.
pub(super) fn after_response(
    cause: Option<Cause>,
    how: Option<ExitStatus>,
    timeout: Option<Duration>,
) -> Option<String> {
    match (cause, how) {
        (Some(Cause::Timeout), _) => Some(format!(
            "after its response the application's process did not end within --timeout{}: killed",
            limit(timeout)
        )),
        (Some(Cause::ConnectionLost | Cause::OwnServer), _) | (None, None) => None,
        (None, Some(how)) if how.success() => None,
        (None, how) => Some(format!("after its response the application's process {}", ended(how))),
    }
}

/// Refers to what faulthandler has written (P9).
fn where_it_crashed(how: Option<ExitStatus>) -> &'static str {
    match how.and_then(|how| how.signal()) {
        Some(signal) if CRASHES.contains(&signal) => ", in the code shown above",
        _ => "",
    }
}

const CRASHES: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];

fn limit(timeout: Option<Duration>) -> String {
    timeout.map_or_else(String::new, |timeout| format!(", {} s", timeout.as_secs_f64()))
}

/// How a process ended, and what that most often means.
pub(in super::super) fn ended(how: Option<ExitStatus>) -> String {
    let Some(how) = how else { return "ended in an unknown way".to_owned() };
    if let Some(signal) = how.signal() {
        let name = signal_name(signal).map(|name| format!(", {name}")).unwrap_or_default();
        let hint = match signal {
            _ if CRASHES.contains(&signal) => {
                return format!("crashed (signal {signal}{name})");
            }
            libc::SIGKILL => {
                ": it was killed from outside, or the system was out of memory (see dmesg)"
            }
            libc::SIGXCPU => {
                ": it has used all the processor time that its limit allows (RLIMIT_CPU)"
            }
            libc::SIGXFSZ => ": a file has become larger than the limit allows (RLIMIT_FSIZE)",
            _ => "",
        };
        return format!("was killed by signal {signal}{name}{hint},");
    }
    format!("ended itself with exit status {}", how.code().unwrap_or_default())
}

fn signal_name(signal: i32) -> Option<&'static str> {
    const NAMES: [(i32, &str); 16] = [
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGQUIT, "SIGQUIT"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGPIPE, "SIGPIPE"),
        (libc::SIGALRM, "SIGALRM"),
        (libc::SIGTERM, "SIGTERM"),
        (libc::SIGUSR1, "SIGUSR1"),
        (libc::SIGXCPU, "SIGXCPU"),
        (libc::SIGXFSZ, "SIGXFSZ"),
        (libc::SIGSYS, "SIGSYS"),
    ];
    NAMES.iter().find(|(number, _)| *number == signal).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_with_what_it_means() {
        let killed = |signal: i32| ended(Some(ExitStatus::from_raw(signal)));
        assert!(killed(9).contains("signal 9, SIGKILL"), "{}", killed(9));
        assert!(killed(11).contains("crashed (signal 11, SIGSEGV)"), "{}", killed(11));
        let exited = before_response(None, Some(ExitStatus::from_raw(3 << 8)), None);
        assert!(exited.contains("ended itself with exit status 3 before it answered"), "{exited}");
        let late = in_response(Some(Cause::Timeout), None, Some(Duration::from_millis(2500)));
        assert!(late.contains("--timeout allows, 2.5 s"), "{late}");
        assert_eq!(after_response(None, Some(ExitStatus::from_raw(0)), None), None);
    }
}
