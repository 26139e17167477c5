//! Tries whether a zygote would answer (`--warm`): two requests, with a private runtime directory.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use super::finding::Finding;
use super::request;
use super::trial;
use crate::cgi::variables::Variables;
use crate::front::cli::{Options, WarmStopArgs, WarmVerb};
use crate::front::warm;

const ABOUT: &str = "warm";

/// The text before the reason in the line that a fallback writes.
const FALLBACK: &str = "falling back to a normal (cold) start: ";

/// In seconds: after this the zygote of a check exits by itself, if nothing else ends it.
const IDLE: &str = "20";

/// Tries `--warm`. `is_on`: the site has switched it on.
pub(super) fn run(
    app: &OsString,
    options: &Options,
    variables: &Variables,
    host: &str,
    patience: Duration,
    is_on: bool,
) -> io::Result<Finding> {
    // A socket's path must be short.
    let place = tempfile::Builder::new().prefix("c2w-").tempdir()?;
    let mut variables = variables.clone();
    variables.set("XDG_RUNTIME_DIR", place.path().as_os_str().as_encoded_bytes());
    let mut options = options.clone();
    options.warm = true;
    options.warm_idle = Some(IDLE.into());
    let first = request::run(app, &options, &variables, host, patience)?;
    let second = request::run(app, &options, &variables, host, patience)?;
    let _ = trial::run(Duration::from_secs(10), |_| {
        let all = WarmStopArgs { all: true, ..WarmStopArgs::default() };
        let _ = warm::run(WarmVerb::Stop(Box::new(all)), &variables);
        0
    });
    let said =
        [&first.stderr, &second.stderr].map(|said| String::from_utf8_lossy(said).into_owned());
    let is_answered = second.status.is_some() && !second.stdout.is_empty();
    Ok(judge(&said, is_answered.then_some(second.took), is_on))
}

/// `took`: how long the second request took, if it was answered.
fn judge(said: &[String; 2], took: Option<Duration>, is_on: bool) -> Finding {
    let reason = said.iter().rev().find_map(|said| {
        let line = said.lines().find_map(|line| line.split_once(FALLBACK))?;
        Some(line.1.to_owned())
    });
    match (reason, took) {
        (Some(reason), _) if is_on => {
            Finding::warning(ABOUT, format!("--warm does not help: {reason}"))
                .cure("cgi2wsgi warm log")
        }
        (Some(reason), _) => Finding::fine(ABOUT, format!("off, and would not help: {reason}")),
        (None, None) if is_on => Finding::warning(ABOUT, "a request with --warm is not answered"),
        (None, None) => Finding::fine(ABOUT, "off, and a request with --warm is not answered"),
        (None, Some(took)) => {
            let milliseconds = took.as_secs_f64() * 1e3;
            if is_on {
                Finding::fine(ABOUT, format!("a request takes {milliseconds:.0} ms"))
            } else {
                Finding::fine(
                    ABOUT,
                    format!("off; with it a request would take {milliseconds:.0} ms"),
                )
                .cure("SetEnv CGI2WSGI_WARM 1")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_reason_is_a_warning_only_where_warm_is_wanted() {
        let line = format!("cgi2wsgi: warning: --warm: {FALLBACK}it has started 1 thread(s)\nx\n");
        let said = [line, String::new()];
        let some = Some(Duration::from_millis(7));
        let on = judge(&said, some, true);
        assert_eq!(
            (on.level, on.seen.as_str()),
            (Level::Warning, "--warm does not help: it has started 1 thread(s)")
        );
        assert_eq!(judge(&said, some, false).level, Level::Fine);
        let none = [String::new(), String::new()];
        assert!(judge(&none, some, true).seen.contains("7 ms"));
        assert!(judge(&none, some, false).cure.is_some());
        assert_eq!(judge(&none, None, true).level, Level::Warning);
    }
}
