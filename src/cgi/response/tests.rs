//! How a response is written.

use std::io::Read;

use super::super::mount::Mount;
use super::*;

/// What a server reads, and the warnings, of a response with `head` and
/// `chunks` to a request with `variables`.
fn answered(
    variables: &[(&str, &str)],
    status: &str,
    fields: &[(&str, &str)],
    chunks: &[&str],
) -> (String, Vec<String>, bool) {
    let variables: Variables = variables.iter().copied().collect();
    let request = Request::from_variables(variables, &Mount::Server, None).expect("a request");
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let (nothing, _) = rustix::pipe::pipe().expect("a pipe");
    let body = Mutex::new(Body::new(nothing, 0));
    let mut response = Response::to(&request, Output::new(writer), Form::Cgi, None);
    let mut head = Head::parse(status.as_bytes()).expect("a status");
    for (name, value) in fields {
        head.push(name.as_bytes(), value.as_bytes()).expect("well formed");
    }
    response.set_head(head);
    for chunk in chunks {
        if !response.write(chunk.as_bytes(), &body, &|| Ok(())).expect("room") {
            break;
        }
    }
    let whole = response.finish(&body, &|| Ok(())).expect("room");
    let warnings = response.take_warnings();
    response.close(&body, &|| Ok(())).expect("room");
    let mut text = String::new();
    File::from(reader).read_to_string(&mut text).expect("UTF-8");
    (text, warnings, whole)
}

/// What a server receives of a response, and the byte that is held back until the process ends.
fn held(
    variables: &[(&str, &str)],
    fields: &[(&str, &str)],
    chunks: &[&str],
) -> (String, Option<u8>) {
    let variables: Variables = variables.iter().copied().collect();
    let request = Request::from_variables(variables, &Mount::Server, None).expect("a request");
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let (nothing, _) = rustix::pipe::pipe().expect("a pipe");
    let body = Mutex::new(Body::new(nothing, 0));
    let mut response = Response::to(&request, Output::new(writer), Form::Cgi, None);
    let mut head = Head::parse(b"200 OK").expect("a status");
    for (name, value) in fields {
        head.push(name.as_bytes(), value.as_bytes()).expect("well formed");
    }
    response.set_head(head);
    for chunk in chunks {
        response.write(chunk.as_bytes(), &body, &|| Ok(())).expect("room");
    }
    response.finish(&body, &|| Ok(())).expect("room");
    let last = response.last;
    drop(response);
    let mut text = String::new();
    File::from(reader).read_to_string(&mut text).expect("UTF-8");
    (text, last)
}

#[test]
fn p8_the_last_byte_of_a_known_length_is_held_back_and_no_other() {
    let counted = [TEXT, ("Content-Length", "5")];
    let (text, last) = held(&[], &counted, &["he", "llo", "!"]);
    assert!(text.ends_with("\r\n\r\nhell") && last == Some(b'o'), "{text}");
    let (text, last) = held(&[], &counted, &["hell"]);
    assert!(text.ends_with("\r\n\r\nhell") && last.is_none(), "{text}");
    let (text, last) = held(&[], &[TEXT], &["hello"]);
    assert!(text.ends_with("\r\n\r\nhello") && last.is_none(), "{text}");
    let (text, last) = held(&[], &[TEXT], &[]);
    assert!(text.ends_with("Content-Length: 0\r\n\r") && last == Some(b'\n'), "{text}");
    let (text, last) = held(&[("REQUEST_METHOD", "HEAD")], &counted, &["hello"]);
    assert!(text.ends_with("Content-Length: 5\r\n\r") && last == Some(b'\n'), "{text}");
}

const TEXT: (&str, &str) = ("Content-Type", "text/plain");

#[test]
fn an_empty_body_is_declared() {
    let (text, warnings, whole) = answered(&[], "200 OK", &[TEXT], &["", ""]);
    let expected = "Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n";
    assert_eq!((text.as_str(), warnings, whole), (expected, vec![], true));
}

#[test]
fn r6_head_keeps_the_length_and_has_no_body() {
    let head = [("REQUEST_METHOD", "HEAD")];
    let fields = [TEXT, ("Content-Length", "5")];
    let (text, warnings, whole) = answered(&head, "200 OK", &fields, &["hello"]);
    assert!(text.ends_with("Content-Length: 5\r\n\r\n"), "{text}");
    assert!(warnings.is_empty() && whole);
    let (text, ..) = answered(&head, "200 OK", &[TEXT], &[]);
    assert!(!text.contains("Content-Length"), "{text}");
}

#[test]
fn r6_204_and_304_have_no_body_and_204_no_length() {
    let fields = [("Content-Length", "5")];
    let (text, _, whole) = answered(&[], "204 No Content", &fields, &["hello"]);
    assert_eq!((text.as_str(), whole), ("Status: 204 No Content\r\n\r\n", true));
    let (text, _, whole) = answered(&[], "304 Not Modified", &fields, &["hello"]);
    let expected = "Status: 304 Not Modified\r\nContent-Length: 5\r\n\r\n";
    assert_eq!((text.as_str(), whole), (expected, true));
}

#[test]
fn r7_a_body_is_cut_at_its_declared_length() {
    let fields = [TEXT, ("Content-Length", "5")];
    let (text, warnings, whole) = answered(&[], "200 OK", &fields, &["hel", "lo, world", "!"]);
    assert!(text.ends_with("\r\n\r\nhello"), "{text}");
    assert!(whole && warnings[0].contains("longer than its Content-Length, 5"));
}

#[test]
fn r7_a_body_shorter_than_declared_is_said() {
    let fields = [TEXT, ("Content-Length", "9")];
    let (_, warnings, whole) = answered(&[], "200 OK", &fields, &["hello"]);
    assert!(!whole && warnings[0].contains("5 bytes and its Content-Length says 9"));
}

#[test]
fn r8_a_missing_content_type_is_supplied_and_said() {
    let (text, warnings, _) = answered(&[], "200 OK", &[], &["x"]);
    assert!(text.contains("\r\nContent-Type: application/octet-stream\r\n"), "{text}");
    assert!(warnings[0].contains("no Content-Type"));
}

#[test]
fn a_cgi_field_is_sent_once_and_none_without_a_value() {
    let html = ("content-type", "text/html");
    let fields = [TEXT, ("Location", ""), html, ("Content-Type", " ")];
    let (text, warnings, _) = answered(&[], "200 OK", &fields, &["x"]);
    assert_eq!(text, "Status: 200 OK\r\ncontent-type: text/html\r\n\r\nx");
    assert!(warnings[0].contains("2 Content-Type headers"), "{warnings:?}");
}

#[test]
fn r9_r19_a_location_with_status_200_is_made_relative_and_has_no_host_of_the_clients() {
    let forged = ("HTTP_HOST", "evil.example");
    for (uri, expected) in [
        ("/", "./x?y#z"),
        ("/a?b/c/d", "./x?y#z"),
        ("/a/", "./../x?y#z"),
        ("/a/b/c", "./../../x?y#z"),
    ] {
        let variables = [("REQUEST_URI", uri), ("SERVER_NAME", "evil.example"), forged];
        let fields = [TEXT, ("Location", "/x?y#z")];
        let (text, warnings, _) = answered(&variables, "200 OK", &fields, &[]);
        assert!(text.contains(&format!("\r\nLocation: {expected}\r\n")), "{text}");
        assert!(warnings[0].contains("3xx") && warnings[0].contains(expected));
    }
    let variables = [("SCRIPT_NAME", "/app"), ("PATH_INFO", "/p"), forged];
    let (text, ..) = answered(&variables, "200 OK", &[TEXT, ("Location", "/a:b")], &[]);
    assert!(text.contains("\r\nLocation: ./../a:b\r\n"), "{text}");
    let fields = [TEXT, ("Location", "//other.example/x")];
    let (text, ..) = answered(&[("HTTPS", "on"), forged], "200 OK", &fields, &[]);
    assert!(text.contains("\r\nLocation: https://other.example/x\r\n"), "{text}");
    for status in ["302 Found", "201 Created"] {
        let (text, warnings, _) = answered(&[], status, &[("Location", "/x")], &[]);
        assert!(text.contains("\r\nLocation: /x\r\n") && warnings.is_empty(), "{text}");
    }
}

#[test]
fn r19_a_205_has_no_body_and_says_so() {
    let fields = [TEXT, ("Content-Length", "5")];
    let (text, warnings, whole) = answered(&[], "205 Reset Content", &fields, &["hello"]);
    assert!(text.ends_with("\r\nContent-Length: 0\r\n\r\n"), "{text}");
    assert!(whole && warnings.is_empty(), "{warnings:?}");
}

#[test]
fn r15_a_line_longer_than_the_server_passes_is_said() {
    let long = "x".repeat(2000);
    let warned = |software, length: usize| {
        let variables = [("SERVER_SOFTWARE", software)];
        let fields = [TEXT, ("X-Long", &long[..length])];
        !answered(&variables, "200 OK", &fields, &[]).1.is_empty()
    };
    assert!(!warned("go", 1000) && warned("go", 1100) && warned("", 1100));
    assert!(!warned("Apache/2.4.71 (Debian)", 2000));
}
