//! What the front and a zygote tell each other: any bytes are read without
//! harm, and what is written arrives.
//!
//! An input that begins with `raw-call=`, `raw-start=` or `raw-status=` is what
//! comes over the socket, in the variable or in the file. Else its pairs are
//! the fields of a call and a start; those without a meaning are variables.

#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use cgi2wsgi::warm::identity::Identity;
use cgi2wsgi::warm::message::Call;
use cgi2wsgi::warm::start::{Limits, Start};
use cgi2wsgi::warm::status::Status;
use cgi2wsgi_fuzz::{number, pairs, take};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let raw = |name: &[u8]| input.strip_prefix(name);
    check_call(raw(b"raw-call=").unwrap_or(input));
    check_start(raw(b"raw-start=").unwrap_or(input));
    check_status(raw(b"raw-status=").unwrap_or(input));

    let mut pairs = pairs(input);
    let identity = Identity::from_bytes(take(&mut pairs, "identity").unwrap_or_default());
    let mut small = |name| take(&mut pairs, name).as_deref().and_then(number).unwrap_or_default();
    let limits = Limits {
        idle: Duration::from_millis(small("idle")),
        spare: u32::try_from(small("spare")).unwrap_or(u32::MAX),
        max: u32::try_from(small("max")).unwrap_or(u32::MAX),
        memory: Some(small("memory")).filter(|bytes| *bytes > 0),
        request: take(&mut pairs, "request").map(OsString::from_vec).filter(|p| !p.is_empty()),
    };
    let start = Start {
        place: OsString::from_vec(take(&mut pairs, "place").unwrap_or_default()).into(),
        identity: identity.clone(),
        limits,
        why: String::from_utf8_lossy(&take(&mut pairs, "why").unwrap_or_default()).into_owned(),
    };
    let encoded = start.encode();
    assert_eq!(Start::decode(encoded.as_bytes()), Some(start));
    for end in [encoded.len() - 1, encoded.len() / 2] {
        assert_eq!(Start::decode(&encoded.as_bytes()[..end]), None, "{end} of {}", encoded.len());
    }

    let call = Call {
        identity,
        handoff: take(&mut pairs, "handoff").unwrap_or_default(),
        umask: 0o022,
        deadline: None,
        variables: pairs.iter().map(|(name, value)| (&name[..], &value[..])).collect(),
    };
    let encoded = call.encode();
    let cut = Call::decode(&encoded[..encoded.len() - 1]);
    assert!(cut != Some(call.clone()), "a call that is cut short is whole");
    assert_eq!(Call::decode(&encoded), Some(call));
});

/// What can be read can be told again, and means the same.
fn check_call(bytes: &[u8]) {
    if let Some(call) = Call::decode(bytes) {
        assert_eq!(Call::decode(&call.encode()), Some(call));
    }
}

fn check_start(bytes: &[u8]) {
    if let Some(start) = Start::decode(bytes) {
        assert_eq!(Start::decode(start.encode().as_bytes()), Some(start));
    }
}

/// A file that another program wrote is read without harm too, and no value of
/// it makes a line.
fn check_status(bytes: &[u8]) {
    if let Some(status) = std::str::from_utf8(bytes).ok().and_then(Status::decode) {
        let again = Status::decode(&status.encode()).expect("what was written is read");
        assert_eq!((again.pid, again.started), (status.pid, status.started));
    }
}
