//! Which words of argv are the operator's (P1).
//!
//! `word=` are the operator's words, `query=` the query string, with `plus=`
//! further `+` behind it, `server=` the server; `line=` is the first line of
//! the script and `argument=` a word that stands behind all.

#![no_main]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use cgi2wsgi::cgi::argv::{with_interpreter_line, without_query_words};
use cgi2wsgi::cgi::variables::Variables;
use cgi2wsgi_fuzz::{number, pairs, take, take_all};
use libfuzzer_sys::fuzz_target;

/// Apache passes at most this many words, the first ones (`APACHE_ARG_MAX`).
const MOST_WORDS: usize = 4095;

/// The characters before which Apache puts a backslash.
const FOR_A_SHELL: &[u8] = b"&;`'\"|*?~<>^()[]{}$\\\n";

fuzz_target!(|input: &[u8]| {
    let mut given = pairs(input);
    let mut query = take(&mut given, "query").unwrap_or_default();
    let plus = take(&mut given, "plus").as_deref().and_then(number).unwrap_or(0).min(8190);
    query.resize(query.len() + usize::try_from(plus).expect("it is small"), b'+');
    let server = take(&mut given, "server").unwrap_or_default();
    let line = take(&mut given, "line");
    let operators: Vec<OsString> = os(take_all(&mut given, "word"));
    let variables: Variables =
        [("QUERY_STRING", query.as_slice()), ("SERVER_SOFTWARE", &server)].into_iter().collect();

    let arguments = os(take_all(&mut given, "argument"));
    check_prefix(&[operators.clone(), arguments].concat(), &variables);
    check_apache(&operators, &query);
    check_interpreter_line(&operators, line.as_deref());
});

/// Whatever the words are, they are removed from the end or stay as they are.
fn check_prefix(words: &[OsString], variables: &Variables) {
    let left = without_query_words(words.to_vec(), variables);
    assert!(words.starts_with(&left), "{left:?} is not the beginning of {words:?}");
    let query = variables.get("QUERY_STRING").unwrap_or_default();
    let most = query.split(|byte| *byte == b'+').count();
    assert!(words.len() - left.len() <= most, "more words were removed than the query has");
    if query.is_empty() {
        assert_eq!(left, words, "no query explains a word");
    }
}

/// No word that Apache appends stays, and every word of the operator does.
fn check_apache(operators: &[OsString], query: &[u8]) {
    let appended = words_of_apache(query);
    if appended.is_empty() {
        return;
    }
    let variables = [("QUERY_STRING", query), ("SERVER_SOFTWARE", b"Apache/2.4.71 (Debian)")];
    let words = [operators, &appended].concat();
    let left = without_query_words(words, &variables.into_iter().collect());
    assert_eq!(left.len(), operators.len(), "of {operators:?} and {} of a query", appended.len());
    assert_eq!(left, operators);
}

/// `create_argv` in mod_cgi.c, with `ap_unescape_url` and `ap_escape_shell_cmd`.
fn words_of_apache(query: &[u8]) -> Vec<OsString> {
    if query.is_empty() || query.contains(&b'=') {
        return Vec::new();
    }
    let words = query.split(|byte| *byte == b'+').take(MOST_WORDS);
    let appended = words.map(|word| {
        let mut escaped = Vec::new();
        let mut rest = word;
        while let [byte, tail @ ..] = rest {
            let digits = tail.get(..2).filter(|two| two.iter().all(u8::is_ascii_hexdigit));
            let decoded =
                digits.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
            let (byte, behind) = match decoded.filter(|_| *byte == b'%') {
                Some(decoded) => (decoded, &tail[2..]),
                None => (*byte, tail),
            };
            if byte == 0 {
                break;
            }
            if FOR_A_SHELL.contains(&byte) {
                escaped.push(b'\\');
            }
            escaped.push(byte);
            rest = behind;
        }
        OsString::from_vec(escaped)
    });
    appended.collect()
}

/// A first word is split only if the script's first line ends with it.
fn check_interpreter_line(words: &[OsString], line: Option<&[u8]>) {
    let asked = std::cell::Cell::new(None);
    let split = with_interpreter_line(words.to_vec(), |script: &OsStr| {
        asked.set(Some(script.to_owned()));
        line.map(<[u8]>::to_vec)
    });
    if let Some(script) = asked.take() {
        assert_eq!(Some(&script), words.get(1), "another file was looked at");
    }
    if split == words {
        return;
    }
    let options = words[0].as_bytes();
    let line = line.expect("it was looked at").trim_ascii_end();
    assert!(line.starts_with(b"#!") && line.ends_with(options) && options.starts_with(b"-"));
    let count = split.len() - (words.len() - 1);
    assert_eq!(split[count..], words[1..]);
    let pieces: Vec<&[u8]> =
        options.split(u8::is_ascii_whitespace).filter(|piece| !piece.is_empty()).collect();
    assert!(split[..count].iter().map(|word| word.as_bytes()).eq(pieces));
}

fn os(words: Vec<Vec<u8>>) -> Vec<OsString> {
    words.into_iter().map(OsString::from_vec).collect()
}
