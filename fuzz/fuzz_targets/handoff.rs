//! What `cgi2wsgi` tells `cgi2wsgi-python`: any bytes are read without harm,
//! and what is written arrives.
//!
//! An input that begins with `raw=` is a handoff behind its identity. Else
//! its pairs are the fields of one.

#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use cgi2wsgi::application::{Application, Callable, Source, Venv};
use cgi2wsgi::cgi::head::Form;
use cgi2wsgi::cgi::mount::Mount;
use cgi2wsgi::handoff::Handoff;
use cgi2wsgi::timings::Moment;
use cgi2wsgi_fuzz::{Pair, number, pairs, take, take_all};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    check_decode(input);
    if let Some(fields) = input.strip_prefix(b"raw=") {
        return check_decode(&[identity().as_slice(), fields].concat());
    }
    let handoff = handoff(&mut pairs(input));
    let encoded = handoff.encode().into_vec();
    assert_eq!(Handoff::decode(&encoded).as_ref(), Ok(&handoff));
    for end in [encoded.len() - 1, encoded.len() / 2] {
        assert!(Handoff::decode(&encoded[..end]).is_err(), "{end} of {} bytes", encoded.len());
    }
});

/// What can be read can be told again, and means the same.
fn check_decode(bytes: &[u8]) {
    match Handoff::decode(bytes) {
        Ok(handoff) => assert_eq!(Handoff::decode(handoff.encode().as_bytes()), Ok(handoff)),
        Err(reason) => assert!(!reason.contains(char::is_control), "{reason:?}"),
    }
}

/// The field that all handoffs of this build begin with.
fn identity() -> Vec<u8> {
    let mut encoded = handoff(&mut Vec::new()).encode().into_vec();
    let colon = encoded.iter().position(|byte| *byte == b':').expect("a length");
    let length = number(&encoded[..colon]).expect("a length");
    encoded.truncate(colon + 1 + usize::try_from(length).expect("it is short"));
    encoded
}

/// A handoff as the settings can make it.
fn handoff(given: &mut Vec<Pair>) -> Handoff {
    let file = take(given, "file").map(|file| Source::File(path(file)));
    let module = text(take(given, "module"));
    let venv = take(given, "venv").filter(|directory| !directory.is_empty());
    let version = text(take(given, "version"));
    let version = version.split_once('.').and_then(|(major, minor)| {
        Some((major.parse().ok()?, minor.parse().ok()?)).filter(|version| *version != (0, 0))
    });
    let mount = take(given, "mount").unwrap_or_default();
    let nanoseconds = take(given, "timeout").as_deref().and_then(number);
    Handoff {
        application: Application {
            source: file.unwrap_or(Source::Module(module)),
            callable: Callable {
                attributes: text(take(given, "callable")),
                is_factory: take(given, "factory").is_some(),
            },
            directory: path(take(given, "directory").unwrap_or_default()),
            import_directories: take_all(given, "import").into_iter().map(path).collect(),
            venv: venv.map(|directory| Venv { directory: path(directory), version }),
        },
        mount: match mount.as_slice() {
            b"" => Mount::Server,
            b"auto" => Mount::Auto,
            digits if digits[0].is_ascii_digit() => {
                let rest = number(digits).and_then(|rest| usize::try_from(rest).ok());
                Mount::Handler { rest: rest.unwrap_or_default() }
            }
            root => Mount::At(root.to_vec()),
        },
        form: if take(given, "nph").is_some() { Form::Nph } else { Form::Cgi },
        timeout: nanoseconds.filter(|count| *count > 0).map(Duration::from_nanos),
        max_body: take(given, "max").as_deref().and_then(number),
        debug: take(given, "debug").is_some(),
        timed_since: take(given, "timed").as_deref().and_then(number).map(Moment::from_nanos),
    }
}

fn path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

fn text(bytes: Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}
