//! The meaning of the command line under a server, which may have appended the words of the query string (P1).
//!
//! cgi2wsgi cannot know whether a server does so: Apache does, Caddy and lighttpd do not, and what a server says about
//! itself is no proof. The words at the end that are the same as the query's are the doubtful ones. They are dropped if
//! they cannot be the operator's; otherwise the request is refused. So a visitor can neither add a word to the command
//! line nor remove one. The doubtful words cannot be the operator's
//!
//! - after an application, which an operator writes last;
//! - if the application is named elsewhere and they change no option. An operator names the application once, so that
//!   such a word does not name it either.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Error, anyhow};
use clap::{Arg, CommandFactory, Parser};

use crate::cgi::argv;
use crate::cgi::variables::Variables;
use crate::did_you_mean;
use crate::front::cli::{Options, UnderAServer, plain};

/// The words after the executable's name.
pub(super) struct Words {
    /// All of them.
    all: Vec<OsString>,
    /// Those that do not result from the query string.
    pub(super) operators: Vec<OsString>,
    /// Those at the end that may result from the query string.
    explained: Vec<OsString>,
    /// What is wrong with the `#!` line, if some of the words are from one.
    fault: Option<String>,
}

/// Why the words are not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The operator's words are wrong.
    Wrong(Error),
    /// It is unknown whether some words are the operator's or a visitor's.
    Visitors(String),
}

impl Words {
    pub(super) fn new(words: Vec<OsString>, variables: &Variables) -> Self {
        let mut operators = argv::without_query_words(words.clone(), variables);
        let explained = words[operators.len()..].to_vec();
        let fault = fault_of_script(&operators);
        operators = argv::with_interpreter_line(operators, first_line);
        let absolute = |script: &OsStr| std::path::absolute(script).ok().map(OsString::from);
        operators = argv::with_absolute_script(operators, first_line, absolute);
        Self { fault, all: argv::with_interpreter_line(words, first_line), operators, explained }
    }

    /// The application, if the words name it, and the options.
    pub(super) fn read(self, variables: &Variables) -> Result<(Option<OsString>, Options), Unread> {
        if let Some(fault) = self.fault {
            return Err(Unread::Wrong(anyhow!(fault)));
        }
        let is_set = |name| variables.get_nonempty(name).is_some();
        let parsed = parse(&self.operators);
        if !self.explained.is_empty() {
            let is_safe = parsed.as_ref().is_ok_and(|parsed| {
                let is_handler = parsed.options.handler.is_some() || is_set("CGI2WSGI_HANDLER");
                match parsed.words.first() {
                    // A misread option, such as a #! line without its script, is no application.
                    Some(app) => !app.as_bytes().starts_with(b"-"),
                    None if is_handler || is_set("CGI2WSGI_APP") => {
                        // If all words together cannot be parsed, an operator has not written them.
                        !parse(&self.all).is_ok_and(|all| all.options != parsed.options)
                    }
                    None => false,
                }
            });
            if !is_safe {
                return Err(Unread::Visitors(format!(
                    "the query string consists of the last words of the command line, {:?}, which would be an \
                     application or options there: cgi2wsgi cannot tell whether the operator or a visitor wrote them",
                    self.explained
                )));
            }
        }
        let UnderAServer { options, words } = parsed.map_err(Unread::Wrong)?;
        let is_handler = options.handler.is_some() || is_set("CGI2WSGI_HANDLER");
        let mut words = words.into_iter();
        let app = words.next();
        let surplus: Vec<OsString> = words.collect();
        if let Some(app) = &app
            && let Some(reason) = mistake(app, &surplus)
        {
            return Err(Unread::Wrong(anyhow!(reason)));
        }
        if let (Some(app), Some(named), false) =
            (&app, variables.get_os("CGI2WSGI_APP").filter(|app| !app.is_empty()), is_handler)
        {
            return Err(Unread::Wrong(anyhow!(
                "the application is specified twice, as {app:?} on the command line and as {named:?} \
                 in CGI2WSGI_APP: under a web server specify it once, because a visitor's query string can be \
                 on the command line"
            )));
        }
        Ok((app, options))
    }
}

/// What is wrong with an application and the words after it.
fn mistake(app: &OsStr, surplus: &[OsString]) -> Option<String> {
    let text = app.as_bytes();
    if text.starts_with(b"-") && text != b"-" {
        return Some(unknown_option(app));
    }
    let first = surplus.first()?;
    if first.as_bytes().starts_with(b"-") {
        return Some(format!(
            "{surplus:?} is after the application {app:?}, where cgi2wsgi reads nothing under a web server, \
             because a visitor's query string can be there: write options before the \
             application"
        ));
    }
    let is_name = |word: &OsStr| word.to_str().is_some_and(|word| !word.contains(['/', '.', ':']));
    let cure = if surplus.len() == 1 && is_name(first) && !text.contains(&b':') {
        format!(": write a callable after a colon, {}:{}", app.display(), first.display())
    } else {
        ": quote a path that has spaces, and write options before the application".to_owned()
    };
    Some(format!(
        "{surplus:?} after the application {app:?} is not read under a web server, because a visitor's query \
         string can be there{cure}"
    ))
}

fn unknown_option(option: &OsStr) -> String {
    let text = option.to_string_lossy();
    let name = text.split(['=', ' ']).next().unwrap_or_default();
    let command = UnderAServer::command();
    let known: Vec<&str> = command.get_arguments().filter_map(Arg::get_long).collect();
    let meant = did_you_mean::option(name, known);
    let cure = if meant.is_empty() { ": cgi2wsgi --help lists the options" } else { "" };
    format!("unknown option {name}{meant}{cure}")
}

/// What is wrong with the `#!` line of a script whose options come as one word before its path.
pub fn fault_of_script(words: &[OsString]) -> Option<String> {
    let [options, script, ..] = words else { return None };
    let options = options.as_bytes();
    if !options.starts_with(b"-") {
        return None;
    }
    let line = first_line(script).filter(|line| line.starts_with(b"#!"))?;
    let script = script.display();
    if options.ends_with(b"\r") {
        return Some(format!(
            "the #! line of {script} ends with a carriage return, a Windows line end, which becomes \
             part of its last option: sed -i 's/\\r$//' {script}"
        ));
    }
    let is_cut_at = |most: &&usize| {
        line.get(..**most).is_some_and(|read| read.trim_ascii_end().ends_with(options))
            && !line.trim_ascii_end().ends_with(options)
    };
    let most = INTERPRETER_LINES.iter().find(is_cut_at)?;
    Some(format!(
        "the #! line of {script} is longer than the {most} bytes that the system reads: set options with \
         variables such as CGI2WSGI_CHDIR, or in the server's configuration"
    ))
}

/// How many bytes of a `#!` line Linux reads: since 5.1, and before.
const INTERPRETER_LINES: [usize; 2] = [255, 127];

fn parse(words: &[OsString]) -> Result<UnderAServer, Error> {
    if let Some(read) = plain::read(words) {
        return Ok(read);
    }
    UnderAServer::try_parse_from([OsString::from("cgi2wsgi")].iter().chain(words))
        .map_err(|error| anyhow!("{}", first_paragraph(&error.render().to_string())))
}

/// The first paragraph of clap's message, as one line. Without `error: `, which the report adds.
fn first_paragraph(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let lines: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    lines.join(" ")
}

/// The first line of a script.
pub(in crate::front) fn first_line(script: &OsStr) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let file = File::open(script).ok()?;
    BufReader::with_capacity(512, file.take(4096)).read_until(b'\n', &mut line).ok()?;
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: (&str, &str) = ("CGI2WSGI_APP", "site.py");
    const HANDLER: (&str, &str) = ("CGI2WSGI_HANDLER", "1");

    /// The application's name and whether `--debug` is on, or the kind of refusal.
    fn read(
        words: &[&str],
        query: &str,
        set: Option<(&str, &str)>,
    ) -> Result<(Option<String>, bool), &'static str> {
        let given = [("QUERY_STRING", query)].into_iter().chain(set);
        let variables: Variables = given.collect();
        let words = words.iter().map(OsString::from).collect();
        match Words::new(words, &variables).read(&variables) {
            Ok((app, options)) => {
                Ok((app.map(|app| app.into_string().expect("UTF-8")), options.debug))
            }
            Err(Unread::Wrong(_)) => Err("wrong"),
            Err(Unread::Visitors(_)) => Err("visitor's"),
        }
    }

    #[test]
    fn p1_what_apache_appends_is_neither_an_option_nor_an_application() {
        for query in
            ["wsdl", "a+b+c", "-h", "--debug", "--timeout+5", "os:system", "--", "-d+x%3d1"]
        {
            let visitors: Vec<&str> = query.split('+').collect();
            let words = [&["app.py"], visitors.as_slice()].concat();
            assert_eq!(
                read(&words, query, None),
                Ok((Some("app.py".to_owned()), false)),
                "{query}"
            );
        }
        // Where a variable names the application, what may be the operator's option is refused.
        for set in [APP, HANDLER] {
            for (words, query, expected) in [
                (&["wsdl"][..], "wsdl", Ok((None, false))),
                (&["a", "b"], "a+b", Ok((None, false))),
                (&["os:system"], "os:system", Ok((None, false))),
                (&["-h"], "-h", Ok((None, false))),
                (&["--"], "--", Ok((None, false))),
                (&["-d", "x=1"], "-d+x%3d1", Ok((None, false))),
                (&["--timeout"], "--timeout", Ok((None, false))),
                (&["--debug", "wsdl"], "wsdl", Ok((None, true))),
                (&["--debug"], "--debug", Err("visitor's")),
                (&["--venv", "/tmp"], "--venv+/tmp", Err("visitor's")),
                (&["--chdir=/tmp"], "--chdir%3d/tmp", Err("visitor's")),
            ] {
                assert_eq!(read(words, query, Some(set)), expected, "{words:?} {query}");
            }
        }
        assert_eq!(read(&["os:system"], "os:system", None), Err("visitor's"));
    }

    #[test]
    fn p1_where_nothing_is_appended_a_visitor_takes_no_word_of_the_operators_away() {
        for query in ["app.py", "5+app.py", "--timeout+5+app.py", "--timeout+5+app.py+x", "ap=p.py"]
        {
            let said = read(&["--timeout", "5", "app.py"], query, None);
            assert_eq!(said, Err("visitor's"), "{query}");
        }
        for set in [APP, HANDLER] {
            for query in ["5", "--timeout+5", "--debug+--timeout+5", "--timeout+5+"] {
                let said = read(&["--debug", "--timeout", "5"], query, Some(set));
                let is_whole = query.ends_with('+');
                let expected = if is_whole { Ok((None, true)) } else { Err("visitor's") };
                assert_eq!(said, expected, "{query}");
            }
        }
        assert_eq!(read(&["app.py"], "a=1", None), Ok((Some("app.py".to_owned()), false)));
    }

    #[test]
    fn p1_under_a_server_the_application_is_specified_once() {
        assert_eq!(read(&["app.py"], "", Some(APP)), Err("wrong"));
        assert_eq!(read(&["app.py"], "x", Some(APP)), Err("wrong"));
        // A script is its own application, unless it is what Apache's Action starts.
        let script = read(&["--handler", "/w/x.cgi"], "", Some(APP));
        assert_eq!(script, Ok((Some("/w/x.cgi".to_owned()), false)));
        assert_eq!(read(&["app.py", "b"], "", None), Err("wrong"));
    }

    #[test]
    fn p1_the_path_of_a_script_and_the_options_of_its_first_line_are_the_operators() {
        let directory = tempfile::tempdir().expect("a directory");
        let script = directory.path().join("x.cgi");
        std::fs::write(&script, "#!/bin/cgi2wsgi --debug --timeout 5\n").expect("written");
        let path = script.to_str().expect("UTF-8");
        let words = ["--debug --timeout 5", path];
        let debugged = Ok((Some(path.to_owned()), true));
        assert_eq!(read(&words, "", None), debugged);
        let appended = [words[0], words[1], "--timeout", "9"];
        assert_eq!(read(&appended, "--timeout+9", None), debugged);
        let whole = format!("--debug%20--timeout%205+{path}");
        for query in [path, &whole] {
            assert_eq!(read(&words, query, None), Err("visitor's"), "{query}");
            assert_eq!(read(&words, query, Some(HANDLER)), Err("visitor's"), "{query}");
        }
    }
}
