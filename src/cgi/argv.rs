//! Which words of argv are the operator's (P1).
//!
//! RFC 3875 4.4 lets a server append the words of the query string to argv, and Apache does. The client chooses these
//! words, so they are removed before anything is parsed. php-cgi parsed them: CVE-2012-1823 and CVE-2024-4577.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::path;
use super::variables::Variables;

/// `words` (argv without its first) without the words at the end that come from the request's query string.
///
/// A word comes from the query if it has the letters and digits of the query's word in the same place, raw or decoded.
/// Servers put backslashes before some characters and drop others. Only letters and digits are compared, so no such
/// change makes a client's word pass for the operator's.
pub fn without_query_words(mut words: Vec<OsString>, variables: &Variables) -> Vec<OsString> {
    let query = variables.get_nonempty("QUERY_STRING").unwrap_or_default();
    if query.is_empty() {
        return words;
    }
    let query_words: Vec<&[u8]> = query.split(|byte| *byte == b'+').take(MOST_OF_APACHE).collect();
    let count = query_words.len().min(words.len());
    let appended = &words[words.len() - count..];
    let explained = appended.iter().zip(&query_words).all(|(word, from)| explains(from, word));
    if explained {
        words.truncate(words.len() - count);
    }
    words
}

/// Apache passes at most this many words, the first ones.
const MOST_OF_APACHE: usize = 4095;

fn explains(from_query: &[u8], word: &OsStr) -> bool {
    let letters = |text: &[u8]| -> Vec<u8> {
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        text[..end].iter().filter(|byte| byte.is_ascii_alphanumeric()).copied().collect()
    };
    let word = letters(word.as_bytes());
    word == letters(from_query) || word == letters(&path::decode(from_query))
}

/// Splits the words of a `#!` line: the kernel passes everything after the interpreter as one word, before the script's
/// path.
///
/// `first_line` reads the first line of a file; the word is split only if the script's first line ends with it.
pub fn with_interpreter_line(
    words: Vec<OsString>,
    first_line: impl Fn(&OsStr) -> Option<Vec<u8>>,
) -> Vec<OsString> {
    let [options, script, ..] = words.as_slice() else { return words };
    let text = options.as_bytes();
    if !text.starts_with(b"-") || !text.iter().any(u8::is_ascii_whitespace) {
        return words;
    }
    let is_interpreter_line = first_line(script)
        .is_some_and(|line| line.starts_with(b"#!") && line.trim_ascii_end().ends_with(text));
    if !is_interpreter_line {
        return words;
    }
    let taken_apart = text
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map(|word| OsString::from_vec(word.to_vec()));
    taken_apart.chain(words[1..].iter().cloned()).collect()
}

/// Makes the path of a script absolute if the words before it are the options of its own `#!` line. Apache's suexec
/// starts a script by its name in the current directory, and a `--chdir` on that line must not change what the name means.
///
/// `absolute` is the absolute path of a file in the current directory.
pub fn with_absolute_script(
    mut words: Vec<OsString>,
    first_line: impl Fn(&OsStr) -> Option<Vec<u8>>,
    absolute: impl Fn(&OsStr) -> Option<OsString>,
) -> Vec<OsString> {
    let Some((script, options)) = words.split_last() else { return words };
    if options.is_empty() || script.as_bytes().starts_with(b"/") {
        return words;
    }
    let has_these_options = |line: &[u8]| {
        let line = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let options = options.iter().map(|option| option.as_bytes());
        line.collect::<Vec<_>>().ends_with(&options.collect::<Vec<_>>())
    };
    let is_its_own =
        first_line(script).is_some_and(|line| line.starts_with(b"#!") && has_these_options(&line));
    if let Some(absolute) = absolute(script).filter(|_| is_its_own) {
        words.pop();
        words.push(absolute);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(words: &[&str], query: &str) -> Vec<String> {
        let words = words.iter().map(OsString::from).collect();
        let variables = [("QUERY_STRING", query)].into_iter().collect();
        let left = without_query_words(words, &variables);
        left.into_iter().map(|word| word.into_string().expect("ASCII")).collect()
    }

    #[test]
    fn p1_words_of_the_query_are_dropped() {
        assert_eq!(left(&["app.py", "-h"], "-h"), ["app.py"]);
        assert_eq!(left(&["app.py", "--help"], "%2d%2dhelp"), ["app.py"]);
        assert_eq!(left(&["app.py", "-d", "x=1"], "-d+x%3d1"), ["app.py"]);
        assert_eq!(left(&["app.py", "\\;ls", "a\\*"], ";ls+a*"), ["app.py"]);
        assert_eq!(left(&["--debug", "app.py", "--debug"], "--debug"), ["--debug", "app.py"]);
        assert_eq!(left(&["app.py", "", ""], "+"), ["app.py"]);
        assert_eq!(left(&["app.py", "a"], "a%00b"), ["app.py"]);
        assert_eq!(left(&["app.py", "\u{ad}h"], "%C2%ADh"), ["app.py"]);
    }

    #[test]
    fn p1_a_visitors_word_never_becomes_the_application() {
        assert!(left(&["os:system"], "os:system").is_empty());
        assert!(left(&["--chdir", "/tmp"], "--chdir+/tmp").is_empty());
        assert!(left(&["a", "b"], "a+b+c").is_empty());
    }

    #[test]
    fn p1_the_operators_words_stay() {
        assert_eq!(left(&["app.py"], "a=1"), ["app.py"]);
        assert_eq!(left(&["app.py"], ""), ["app.py"]);
        assert_eq!(left(&["--venv", "v", "app.py"], "x+y"), ["--venv", "v", "app.py"]);
    }

    #[test]
    fn p1_no_variable_makes_a_word_of_the_query_the_operators() {
        for software in ["go", "Caddy", "lighttpd/1.4.69", "nginx/1.22.1", "Apache/2.4.71", ""] {
            let variables = [("QUERY_STRING", "--timeout+5"), ("SERVER_SOFTWARE", software)];
            let words: Vec<OsString> = ["app.py", "--timeout", "5"].map(Into::into).into();
            let left = without_query_words(words, &variables.into_iter().collect());
            assert_eq!(left, ["app.py"], "{software}");
        }
        assert!(
            left(&["--max-body", "10"], "maxbo=dy+10").is_empty(),
            "an equals sign proves nothing"
        );
    }

    #[test]
    fn p1_apache_passes_4095_words() {
        let visitors = vec!["--debug"; 4095];
        let words = [&["app.py"], visitors.as_slice()].concat();
        assert_eq!(left(&words, &vec!["--debug"; 4500].join("+")), ["app.py"]);
    }

    #[test]
    fn an_interpreter_line_is_taken_apart_and_nothing_else() {
        let split = |words: &[&str], line: &str| -> Vec<String> {
            let words = words.iter().map(OsString::from).collect();
            with_interpreter_line(words, |_| Some(line.into()))
                .into_iter()
                .map(|word| word.into_string().expect("ASCII"))
                .collect()
        };
        let line = "#!/usr/local/bin/cgi2wsgi --debug  --timeout 5\r\n";
        assert_eq!(
            split(&["--debug  --timeout 5", "/w/x.cgi"], line),
            ["--debug", "--timeout", "5", "/w/x.cgi"]
        );
        assert_eq!(
            split(&["--chdir=/a b", "/w/x.cgi"], "#!/bin/sh\n"),
            ["--chdir=/a b", "/w/x.cgi"]
        );
        assert_eq!(split(&["--debug"], line), ["--debug"]);
    }

    #[test]
    fn the_path_of_a_script_with_these_options_becomes_absolute_and_no_other() {
        let named = |words: &[&str], line: &str| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let absolute = |script: &OsStr| Some([OsStr::new("/w/"), script].into_iter().collect());
            let words = with_absolute_script(words, |_| Some(line.into()), absolute);
            words.last().cloned().unwrap_or_default().into_string().expect("ASCII")
        };
        for line in
            ["#!/bin/cgi2wsgi --chdir  /site\n", "#!/usr/bin/env -S cgi2wsgi --chdir /site\r\n"]
        {
            assert_eq!(named(&["--chdir", "/site", "x.cgi"], line), "/w/x.cgi");
            assert_eq!(named(&["--chdir", "/site", "/x.cgi"], line), "/x.cgi");
            assert_eq!(named(&["--chdir", "/other", "x.cgi"], line), "x.cgi");
            assert_eq!(named(&["x.cgi"], line), "x.cgi");
        }
        assert_eq!(named(&["--chdir", "/site", "x.py"], "# --chdir /site"), "x.py");
    }
}
