//! What the command line under a server means, where a server may have appended the words of the query string (P1).
//!
//! Nobody tells whether a server does: Apache does, Caddy and lighttpd do not, and what a server says of itself is no
//! proof. So the words at the end that the query explains are dropped where they cannot be the operator's, and the
//! request is refused where they can: a visitor neither adds a word to the command line nor takes one away. They cannot
//! be the operator's
//!
//! - behind an application, which an operator writes last;
//! - where the application is named elsewhere and they change no option. An operator names it once, so that such a word
//!   is no application of his either.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Error, anyhow};
use clap::Parser;

use crate::cgi::argv;
use crate::cgi::variables::Variables;
use crate::front::cli::{Options, UnderAServer};

/// The words behind the executable's name.
pub(super) struct Words {
    /// All of them.
    all: Vec<OsString>,
    /// Those that the query does not explain.
    pub(super) operators: Vec<OsString>,
    /// Those that it does.
    explained: Vec<OsString>,
}

/// Why they are not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The operator's are wrong.
    Wrong(Error),
    /// Some may be the visitor's, or the operator's.
    Visitors(String),
}

impl Words {
    pub(super) fn new(words: Vec<OsString>, variables: &Variables) -> Self {
        let mut operators = argv::without_query_words(words.clone(), variables);
        let explained = words[operators.len()..].to_vec();
        operators = argv::with_interpreter_line(operators, first_line);
        Self { all: argv::with_interpreter_line(words, first_line), operators, explained }
    }

    /// The application, if these name it, and the options.
    pub(super) fn read(self, variables: &Variables) -> Result<(Option<OsString>, Options), Unread> {
        let is_set = |name| variables.get_nonempty(name).is_some();
        let parsed = parse(&self.operators);
        if !self.explained.is_empty() {
            let is_safe = parsed.as_ref().is_ok_and(|parsed| {
                let is_handler = parsed.options.handler.is_some() || is_set("CGI2WSGI_HANDLER");
                match parsed.words.first() {
                    // An option that is misread, such as a #! line without its script, is no application.
                    Some(app) => !app.as_bytes().starts_with(b"-"),
                    None if is_handler || is_set("CGI2WSGI_APP") => {
                        // What cannot be read as a whole is no command line of an operator's.
                        !parse(&self.all).is_ok_and(|all| all.options != parsed.options)
                    }
                    None => false,
                }
            });
            if !is_safe {
                return Err(Unread::Visitors(format!(
                    "the query string consists of the last words of the command line, {:?}, which \
                     are an application or options there: whether they are the operator's or a \
                     visitor's cannot be known",
                    self.explained
                )));
            }
        }
        let UnderAServer { options, words } = parsed.map_err(Unread::Wrong)?;
        let is_handler = options.handler.is_some() || is_set("CGI2WSGI_HANDLER");
        let mut words = words.into_iter();
        let app = words.next();
        let surplus: Vec<OsString> = words.collect();
        if !surplus.is_empty() {
            return Err(Unread::Wrong(anyhow!(
                "{surplus:?} behind the application is not read under a web server, where a \
                 visitor's query string can stand there: write options before the application"
            )));
        }
        if let (Some(app), Some(named), false) =
            (&app, variables.get_os("CGI2WSGI_APP").filter(|app| !app.is_empty()), is_handler)
        {
            return Err(Unread::Wrong(anyhow!(
                "the application is specified twice, as {app:?} on the command line and as {named:?} \
                 in CGI2WSGI_APP: under a web server specify it once, for a visitor's query string \
                 can stand on the command line"
            )));
        }
        Ok((app, options))
    }
}

fn parse(words: &[OsString]) -> Result<UnderAServer, Error> {
    UnderAServer::try_parse_from([OsString::from("cgi2wsgi")].iter().chain(words))
        .map_err(|error| anyhow!("{}", error.render().to_string().trim_end()))
}

fn first_line(script: &OsStr) -> Option<Vec<u8>> {
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
