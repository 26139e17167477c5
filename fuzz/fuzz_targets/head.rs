//! What an application may say in a head, and how it is sent (R1 to R5).
//!
//! `Status=` is the status and `Form=nph` the form of a whole HTTP response. All others are fields, in order;
//! `set:NAME` and `remove:NAME` are what the bridge itself does to them.

#![no_main]

use cgi2wsgi::cgi::head::{Form, Head, HeadError};
use cgi2wsgi_fuzz::{Pair, pairs, shown, take};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut given = pairs(input);
    let status = take(&mut given, "Status").unwrap_or_else(|| b"200 OK".into());
    let form = match take(&mut given, "Form") {
        Some(form) if form == b"nph" => Form::Nph,
        _ => Form::Cgi,
    };
    let mut head = match Head::parse(&status) {
        Ok(head) => head,
        Err(error) => {
            assert!(!is_status(&status), "the status {} is refused: {error}", shown(&status));
            return check_error(&error);
        }
    };
    assert!(is_status(&status), "the status {} is accepted", shown(&status));
    assert_eq!(head.code().to_string().as_bytes(), &status[..3]);

    let mut expected: Vec<Pair> = Vec::new();
    for (name, value) in given {
        if let Some(name) = operand(&name, "set:") {
            if !value.iter().any(|byte| is_control(*byte)) {
                head.set(name, &value);
                set(&mut expected, name, value);
            }
        } else if let Some(name) = operand(&name, "remove:") {
            head.remove(name);
            assert_eq!(head.get(name), None);
            expected.retain(|(found, _)| !same(found, name));
        } else {
            let well_formed = is_field(&name, &value) && !is_second_length(&name, &expected);
            let field = || format!("{}: {}", shown(&name), shown(&value));
            if let Err(error) = head.push(&name, &value) {
                assert!(!well_formed, "{} is refused: {error}", field());
                check_error(&error);
            } else {
                assert!(well_formed, "{} is accepted", field());
                let value =
                    if same(&name, "content-length") { value.trim_ascii().into() } else { value };
                expected.push((name, value));
            }
        }
    }
    let fields = expected.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    assert!(head.fields().eq(fields), "{head:?} is not {expected:?}");
    check_encoded(&head.encode(form), form, &status, expected);
});

/// The name behind `verb`, if it is one that a field can have.
fn operand<'n>(name: &'n [u8], verb: &str) -> Option<&'n str> {
    let name = name.strip_prefix(verb.as_bytes())?;
    std::str::from_utf8(name).ok().filter(|_| is_token(name))
}

fn set(fields: &mut Vec<Pair>, name: &str, value: Vec<u8>) {
    match fields.iter().position(|(found, _)| same(found, name)) {
        Some(at) => {
            fields[at].1 = value;
            let behind = fields.split_off(at + 1);
            fields.extend(behind.into_iter().filter(|(found, _)| !same(found, name)));
        }
        None => fields.push((name.into(), value)),
    }
}

fn same(one: &[u8], other: &str) -> bool {
    one.eq_ignore_ascii_case(other.as_bytes())
}

/// PEP 3333: "must not contain control characters, and must not be terminated
/// with a carriage return, linefeed, or combination thereof".
fn is_status(text: &[u8]) -> bool {
    let Some((code, reason)) = text.split_at_checked(3) else { return false };
    matches!(code, [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9'])
        && (reason.is_empty() || reason.starts_with(b" "))
        && !reason.iter().any(|byte| is_control(*byte))
}

fn is_field(name: &[u8], value: &[u8]) -> bool {
    let reserved = [
        "status",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    ];
    // The white space around a value is not part of it (RFC 9110 5.5), and the bridge removes it from this value (R7).
    let length = value.trim_ascii();
    let is_length =
        !length.is_empty() && length.len() < 19 && length.iter().all(u8::is_ascii_digit);
    is_token(name)
        && !value.iter().any(|byte| is_control(*byte))
        && !reserved.iter().any(|reserved| same(name, reserved))
        && (is_length || !same(name, "content-length"))
}

fn is_second_length(name: &[u8], fields: &[Pair]) -> bool {
    same(name, "content-length") && fields.iter().any(|(found, _)| same(found, "content-length"))
}

fn is_token(name: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(is_tchar)
}

fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// The application's author reads the message, perhaps in a log.
fn check_error(error: &HeadError) {
    let text = error.to_string();
    assert!(!text.is_empty());
    if !matches!(error, HeadError::Value(_) | HeadError::Forbidden(..)) {
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}

/// Checks every byte, and then reads the head as a server might.
fn check_encoded(bytes: &[u8], form: Form, status: &[u8], mut fields: Vec<Pair>) {
    if form == Form::Nph {
        fields.push((b"Connection".into(), b"close".into()));
    }
    let text = bytes.strip_suffix(b"\r\n\r\n").expect("an empty line at the end");
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.is_empty() && !line.contains(&b'\r'), "a stray CR or LF");
        line
    });
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), fields.len());
    assert_eq!(text.iter().filter(|byte| **byte == b'\r').count(), fields.len());

    let start: &[u8] = if form == Form::Nph { b"HTTP/1.1 " } else { b"Status: " };
    let line = lines.next().and_then(|line| line.strip_prefix(start)).expect("a status line");
    assert!(line.starts_with(&status[..3]) && line.len() > 4 && line[3] == b' ');
    let reason = status[3..].trim_ascii();
    assert!(reason.is_empty() || line[4..] == *reason, "another reason: {}", shown(line));
    let expected = fields.iter().map(|(name, value)| [name.as_slice(), b": ", value].concat());
    assert!(lines.eq(expected), "other fields: {}", shown(bytes));

    let mut parsed = vec![httparse::EMPTY_HEADER; fields.len() + 2];
    let parsed = if form == Form::Nph {
        let mut response = httparse::Response::new(&mut parsed);
        let outcome = response.parse(bytes).expect("an HTTP response");
        assert_eq!(outcome, httparse::Status::Complete(bytes.len()));
        response.headers
    } else {
        let outcome = httparse::parse_headers(bytes, &mut parsed).expect("header fields");
        let httparse::Status::Complete((length, headers)) = outcome else { panic!("no end") };
        assert_eq!(length, bytes.len());
        &headers[1..]
    };
    assert_eq!(parsed.len(), fields.len());
    for (parsed, (name, value)) in parsed.iter().zip(&fields) {
        assert_eq!(
            (parsed.name.as_bytes(), parsed.value.trim_ascii()),
            (name.as_slice(), value.trim_ascii())
        );
    }
}
