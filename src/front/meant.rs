//! What a person at a shell may have meant by words that cannot be parsed: a verb that was forgotten, words in the
//! wrong order, an option of another verb. Not used under a server.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory, Parser};

use super::answer::words;
use super::cli::{Cli, UnderAServer};
use crate::cgi::argv;
use crate::did_you_mean;

/// The words to read instead of `words` (argv without its first): people type `help` for `--help`, and a `#!` line
/// passes its words as one.
pub fn instead_of(mut words: Vec<OsString>) -> Vec<OsString> {
    if words.first().is_some_and(|word| word == "help") && !exists("help") {
        words.remove(0);
        words.push("--help".into());
    }
    argv::with_interpreter_line(words, words::first_line)
}

/// What to report about words that clap cannot parse, instead of clap's message.
pub fn unread(error: &clap::Error, words: &[OsString]) -> Option<String> {
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else {
                return None;
            };
            if given.starts_with('-') {
                Some(unknown_option(given, words.first()?.to_str().unwrap_or_default()))
            } else {
                behind(words)
            }
        }
        // Not for options of a verb that exclude each other.
        ErrorKind::ArgumentConflict if !begins_with_verb(words) => behind(words),
        _ => None,
    }
}

/// What to report if no application has this name, but the name is a verb of this program or of another one.
pub fn no_application(app: &OsStr) -> Option<String> {
    let name = app.to_str()?;
    if exists(name) {
        return None;
    }
    match name {
        "status" | "stop" | "log" => Some(format!("did you mean cgi2wsgi warm {name}?")),
        "run" | "serve" | "start" | "runserver" => Some(format!(
            "cgi2wsgi has no verb {name:?}: a web server starts it for each request, and cgi2wsgi \
             request APP [URL] makes a request without one"
        )),
        _ => None,
    }
}

/// Whether a name is a module or a file here.
fn exists(name: &str) -> bool {
    Path::new(name).exists() || Path::new(&format!("{name}.py")).exists()
}

fn unknown_option(given: &str, verb: &str) -> String {
    let name = given.split('=').next().unwrap_or(given);
    let command = Cli::command();
    let own = command.find_subcommand(verb);
    let long = |of: &Command| -> Vec<String> {
        let shown = of.get_arguments().filter(|it| !it.is_hide_set());
        shown.filter_map(Arg::get_long).map(str::to_owned).collect()
    };
    let short = |of: &Command| {
        of.get_arguments().any(|it| it.get_short().is_some_and(|it| format!("-{it}") == name))
    };
    let elsewhere = command.find_subcommand("request").filter(|_| own.is_none());
    let is_of_request =
        |it: &Command| short(it) || long(it).iter().any(|long| format!("--{long}") == name);
    if elsewhere.is_some_and(is_of_request) {
        return format!(
            "{name} is an option of cgi2wsgi request: write cgi2wsgi request {name} ... APP [URL]"
        );
    }
    let here = long(own.unwrap_or(&command));
    let meant = did_you_mean::option(name, here.iter().map(String::as_str));
    let verb = own.map_or_else(String::new, |_| format!(" {verb}"));
    let meant =
        if meant.is_empty() { format!(": cgi2wsgi{verb} --help lists the options") } else { meant };
    format!("unknown option {name}{meant}")
}

fn begins_with_verb(words: &[OsString]) -> bool {
    words.first().is_some_and(|word| Cli::command().find_subcommand(word).is_some())
}

/// What to report about words after the application.
fn behind(words: &[OsString]) -> Option<String> {
    let UnderAServer { words, .. } =
        UnderAServer::try_parse_from([OsString::from("cgi2wsgi")].iter().chain(words)).ok()?;
    let mut words =
        words.iter().map(|word| word.to_string_lossy()).filter(|word| !word.starts_with('-'));
    let (app, first) = (words.next()?, words.next()?);
    if first.starts_with('/') || first.contains("://") {
        return Some(format!(
            "{first:?} after the application {app:?} is not read: did you mean cgi2wsgi request {app} \
             {first}?"
        ));
    }
    if no_application(OsStr::new(&*app)).is_some() {
        return no_application(OsStr::new(&*app));
    }
    let cure = if first.contains(['/', '.']) || app.contains(':') {
        ": give one application, and quote a path that has spaces".to_owned()
    } else {
        format!(": write a callable after a colon, {app}:{first}")
    };
    Some(format!("{first:?} after the application {app:?} is not read{cure}"))
}

/// What to report about `request URL APP`, which is curl's order.
pub fn swapped(app: &OsStr, url: &str) -> Option<String> {
    let text = app.to_str()?;
    let is_url = text.contains("://") || (text.starts_with('/') && !Path::new(text).is_file());
    let file = url.split(':').next().unwrap_or_default();
    let is_app = Path::new(file).is_file() || (!url.contains('/') && url.contains(['.', ':']));
    (is_url && is_app).then(|| {
        format!("the application comes before the URL: did you mean cgi2wsgi request {url} {text}?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[&str]) -> Option<String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let error = Cli::try_parse_from([OsString::from("cgi2wsgi")].iter().chain(&words));
        unread(&error.expect_err("it is wrong"), &words)
    }

    #[test]
    fn what_was_typed_is_answered_with_what_was_meant() {
        for (words, part) in [
            (&["app.py", "/"][..], "did you mean cgi2wsgi request app.py /?"),
            (&["--debug", "app.py", "http://x/"], "cgi2wsgi request app.py http://x/?"),
            (&["app.py", "main"], "app.py:main"),
            (&["my", "site/app.py"], "quote a path"),
            (&["serve", "app.py"], "has no verb \"serve\""),
            (&["--vnev", "x", "app.py"], "unknown option --vnev; did you mean --venv?"),
            (&["-v", "app.py"], "is an option of cgi2wsgi request"),
            (&["request", "--wrong", "app.py"], "cgi2wsgi request --help"),
        ] {
            let said = said(words).expect("an explanation");
            assert!(said.contains(part), "{words:?}: {said}");
        }
    }

    #[test]
    fn curls_order_is_noticed_and_the_right_one_is_not() {
        assert!(swapped("http://localhost/".as_ref(), "app.py").is_some());
        assert!(swapped("/path".as_ref(), "shop.wsgi:app").is_some());
        assert!(swapped("app.py".as_ref(), "/path").is_none());
        assert!(swapped("shop:app".as_ref(), "/").is_none());
    }
}
