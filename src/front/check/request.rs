//! One real request, which takes the same path through this program as a server's, and how servers would treat the
//! response.

use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

use super::finding::{Finding, word};
use super::frameworks::manage;
use super::site::Site;
use super::trial::{self, Ended};
use crate::cgi::variables::Variables;
use crate::front::answer;
use crate::front::cli::{Options, RequestArgs};
use crate::front::exit::MISCONFIGURED;
use crate::front::plan::{Failure, Plan};
use crate::front::request::build;
use crate::front::supervise::ended;
use crate::timings::Moment;

pub(super) const ABOUT: &str = "request";

/// The longest header line that a server passes on, in bytes. With the line end, Caddy's plugin reads lines of 1,024
/// bytes, Apache of 8,192. In nginx all lines together must fit into a part of its buffer, by default 4 KiB.
const CADDY: usize = 1022;
const APACHE: usize = 8190;
const NGINX: usize = 4096;

/// How long the process may take beyond `patience`.
const GRACE: Duration = Duration::from_secs(10);

/// How many lines of what an application wrote are shown.
const LINES: usize = 8;

/// Requests `/` of a host.
pub(super) fn run(
    app: &OsString,
    options: &Options,
    variables: &Variables,
    host: &str,
    patience: Duration,
) -> std::io::Result<Ended> {
    // When --timeout passes, the front itself answers. GRACE leaves time for that.
    trial::run(patience + GRACE, |_| {
        let arguments = RequestArgs {
            app: Some(app.clone()),
            url: format!("http://{host}/"),
            ..RequestArgs::default()
        };
        let made = build::request(&arguments, variables.clone()).map_err(Failure::Setup).and_then(
            |(variables, _)| {
                let program = std::ffi::OsStr::new("cgi2wsgi");
                Plan::make(Some(app.clone()), options.clone(), &variables, program, Moment::now())
                    .map(|plan| (plan, variables))
            },
        );
        match made {
            Ok((plan, variables)) => answer::run(&plan, &variables),
            Err(Failure::Setup(error)) => said(&format!("{error:#}")),
            Err(Failure::Refused(refusal, ..)) => said(&refusal.reason),
        }
    })
}

fn said(text: &str) -> u8 {
    let _ = writeln!(std::io::stderr(), "{text}");
    MISCONFIGURED
}

/// Judges the response.
pub(super) fn judge(answer: &Ended, app: &OsString, host: &str, site: &Site) -> Vec<Finding> {
    let milliseconds = answer.took.as_secs_f64() * 1e3;
    let log = String::from_utf8_lossy(&answer.stderr);
    let said = of_log(&log, site);
    let url = format!("GET http://{host}/");
    let Some(head) = head(&answer.stdout) else {
        let how = match answer.status {
            None => format!("was not answered within {:.0} s", answer.took.as_secs_f64()),
            Some(_) => format!("got no response: the process {}", ended(answer.status)),
        };
        return vec![Finding::problem(ABOUT, format!("{url} {how}")).detail(said)];
    };
    let mut findings = Vec::new();
    let seen = format!("{url} gives {} in {milliseconds:.0} ms", head.status);
    let debugging = format!("cgi2wsgi request --debug {} /", word(app));
    findings.push(match head.code() {
        500.. if said.is_empty() => {
            Finding::problem(ABOUT, format!("{seen}, and nothing was written to the log"))
                .cure(debugging)
        }
        500.. => {
            let cure = cure(&log, site).unwrap_or(debugging);
            Finding::problem(ABOUT, seen).cure(cure).detail(said)
        }
        400 => Finding::warning(ABOUT, seen).cure(debugging).detail(said),
        404 => {
            let seen = format!("{seen}: is there a page other than / ?");
            Finding::warning(ABOUT, seen).cure(format!("cgi2wsgi request -i {} /page", word(app)))
        }
        _ if answer.status.is_none_or(|status| !status.success()) => {
            Finding::warning(ABOUT, format!("{seen}, and the process {}", ended(answer.status)))
                .detail(said)
        }
        _ if said.is_empty() => Finding::fine(ABOUT, seen),
        _ => Finding::fine(ABOUT, format!("{seen}, and writes to the log")).detail(said),
    });
    findings.extend(too_long(&head));
    findings
}

/// What to do if the log shows a known failure.
fn cure(log: &str, site: &Site) -> Option<String> {
    let lacks_tables = log.contains("no such table") || log.contains("no such column");
    (lacks_tables && log.contains("django")).then(|| manage(site, "migrate"))
}

/// The application's own frames of the last traceback in a log, and the last line. Without such frames: the last lines.
fn of_log(log: &str, site: &Site) -> Vec<String> {
    let traceback = log.rfind("Traceback (most recent call last)").map_or("", |at| &log[at..]);
    let mut lines = traceback.lines().peekable();
    let mut own = Vec::new();
    while let Some(line) = lines.next() {
        let file = line.trim().strip_prefix("File \"").and_then(|rest| rest.split('"').next());
        if file.is_some_and(|file| site.owns(file)) {
            let code = lines.peek().map_or("", |code| code.trim());
            own.push(format!("{}: {code}", line.trim()));
        }
    }
    if own.is_empty() {
        return last_lines(log);
    }
    let surplus = own.len().saturating_sub(LINES);
    own.drain(..surplus);
    own.extend(last_lines(log).pop());
    own
}

/// The head of a response.
struct Head<'a> {
    status: &'a str,
    lines: Vec<&'a [u8]>,
}

impl Head<'_> {
    fn code(&self) -> u16 {
        self.status.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(500)
    }
}

fn head(bytes: &[u8]) -> Option<Head<'_>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let mut lines: Vec<&[u8]> = bytes[..end]
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .collect();
    let first = std::str::from_utf8(lines.first()?).ok()?;
    let status = first.strip_prefix("Status: ").or_else(|| first.strip_prefix("HTTP/1.1 "))?;
    lines.remove(0);
    Some(Head { status, lines })
}

fn too_long(head: &Head<'_>) -> Option<Finding> {
    let longest = head.lines.iter().max_by_key(|line| line.len())?;
    let whole: usize = head.lines.iter().map(|line| line.len() + 2).sum();
    let name: Vec<u8> = longest.iter().copied().take_while(|byte| *byte != b':').collect();
    let name = String::from_utf8_lossy(&name).into_owned();
    let length = longest.len();
    let mut servers = Vec::new();
    if length > CADDY {
        servers.push(format!("Caddy's cgi plugin answers 500 beyond {CADDY}"));
    }
    if length > APACHE {
        servers.push(format!("Apache answers 500 beyond {APACHE}"));
    }
    if whole > NGINX {
        servers.push(format!(
            "nginx answers 502 beyond {NGINX} for all {whole}, unless fastcgi_buffer_size is larger"
        ));
    }
    if servers.is_empty() {
        return None;
    }
    let seen = format!("the header {name} has {length} bytes: {}", servers.join("; "));
    let finding = Finding::warning("header", seen);
    Some(if whole > NGINX {
        finding.cure("fastcgi_buffer_size 32k; fastcgi_buffers 4 32k;")
    } else {
        finding
    })
}

/// The last lines of a log.
pub(super) fn last_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> =
        text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    let surplus = lines.len().saturating_sub(LINES);
    lines.split_off(surplus)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::process::ExitStatus;

    use super::super::finding::Level;
    use super::super::import::tests::site;
    use super::*;

    fn judged(head: &str, stderr: &str, code: i32) -> Vec<Finding> {
        let ended = Ended {
            stdout: head.as_bytes().to_vec(),
            stderr: stderr.as_bytes().to_vec(),
            result: Vec::new(),
            status: Some(ExitStatus::from_raw(code << 8)),
            took: Duration::from_millis(12),
        };
        judge(&ended, &"app.py".into(), "h", &site(Path::new("/s"), true))
    }

    #[test]
    fn a_status_is_judged_with_what_was_logged() {
        for (head, stderr, code, level, expected) in [
            ("Status: 200 OK\r\n\r\n", "", 0, Level::Fine, "gives 200 OK in 12 ms"),
            ("Status: 302 Found\r\nLocation: /x\r\n\r\n", "", 0, Level::Fine, "302"),
            ("Status: 404 Not Found\r\n\r\n", "", 0, Level::Warning, "a page other than"),
            ("Status: 500 x\r\n\r\n", "", 1, Level::Problem, "nothing was written"),
            ("Status: 500 x\r\n\r\n", "no such table: t\n", 1, Level::Problem, "500 x"),
            ("", "", 1, Level::Problem, "got no response"),
            ("Status: 200 OK\r\n\r\n", "cut", 1, Level::Warning, "exit status 1"),
        ] {
            let finding = &judged(head, stderr, code)[0];
            assert_eq!(finding.level, level, "{}", finding.seen);
            assert!(finding.seen.contains(expected), "{}", finding.seen);
        }
        let log = "Traceback (most recent call last):\n  File \"/s/views.py\", line 3, in view\n    all()\n  \
                   File \"/v/site-packages/django/x.py\", line 1, in f\n    g()\nOperationalError: no such table: t\n";
        let migrate = &judged("Status: 500 x\r\n\r\n", log, 1)[0];
        assert_eq!(migrate.cure.as_deref(), Some("cd /s && /v/bin/python manage.py migrate"));
        let own =
            ["File \"/s/views.py\", line 3, in view: all()", "OperationalError: no such table: t"];
        assert_eq!(migrate.detail, own);
    }

    #[test]
    fn lines_that_a_server_does_not_pass_on_are_told() {
        for (length, servers) in [(1000, 0), (1100, 1), (5000, 2), (9000, 3)] {
            let head = format!("Status: 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(length));
            let findings = judged(&head, "", 0);
            let told = findings.get(1).map_or(0, |finding| {
                ["Caddy", "Apache", "nginx"].iter().filter(|it| finding.seen.contains(**it)).count()
            });
            assert_eq!(told, servers, "{findings:?}");
        }
    }
}
