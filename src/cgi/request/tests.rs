//! What a request is made of.

use super::*;

fn request(pairs: &[(&str, &str)]) -> Result<Request, u16> {
    let variables = pairs.iter().map(|(name, value)| (*name, *value)).collect();
    Request::from_variables(variables, &Mount::Server, Some(1000)).map_err(|r| r.status)
}

/// The variable `name` of a request made of `pairs`.
fn seen(pairs: &[(&str, &str)], name: &str) -> Option<String> {
    let request = request(pairs).expect("a request");
    request.variables.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
}

#[test]
fn with_no_variables_it_is_a_get_of_the_root_of_localhost() {
    let made = request(&[]).expect("a request");
    let expected: Variables = [
        ("SCRIPT_NAME", ""),
        ("PATH_INFO", "/"),
        ("REQUEST_METHOD", "GET"),
        ("QUERY_STRING", ""),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", "localhost"),
        ("SERVER_PORT", "80"),
    ]
    .into_iter()
    .collect();
    assert_eq!(made.variables, expected);
    assert_eq!((made.body, made.scheme), (BodyLength::Known(0), Scheme::Http));
}

#[test]
fn e5_the_server_name_has_no_port_and_is_never_empty() {
    for (name, host, expected) in [
        ("example.org", "", "example.org"),
        ("example.org:8080", "", "example.org"),
        ("[::1]:8080", "", "[::1]"),
        ("::1", "", "::1"),
        ("", "h.test:81", "h.test"),
        ("", "[::1]:81", "[::1]"),
        ("", "", "localhost"),
        (":80", "", "localhost"),
    ] {
        let pairs = [("SERVER_NAME", name), ("HTTP_HOST", host)];
        assert_eq!(seen(&pairs, "SERVER_NAME").as_deref(), Some(expected), "{name} {host}");
    }
}

#[test]
fn e6_the_port_is_derived_when_it_is_missing_or_impossible() {
    for (port, https, host, expected) in [
        ("8080", "", "x", "8080"),
        ("", "", "x:81", "81"),
        ("", "", "[::1]:81", "81"),
        ("", "", "x", "80"),
        ("80", "on", "x", "443"),
        ("80", "on", "x:8443", "8443"),
        ("http", "", "x", "80"),
    ] {
        let pairs = [("SERVER_PORT", port), ("HTTPS", https), ("HTTP_HOST", host)];
        assert_eq!(seen(&pairs, "SERVER_PORT").as_deref(), Some(expected), "{pairs:?}");
    }
}

#[test]
fn e7_the_scheme_is_the_servers_word_alone() {
    let scheme = |pairs: &[(&str, &str)]| request(pairs).expect("a request").scheme;
    for on in ["on", "ON", "1", "yes", "true"] {
        assert_eq!(scheme(&[("HTTPS", on)]), Scheme::Https);
    }
    assert_eq!(scheme(&[("HTTPS", "off"), ("REQUEST_SCHEME", "https")]), Scheme::Http);
    assert_eq!(scheme(&[("HTTPS", ""), ("REQUEST_SCHEME", "HTTPS")]), Scheme::Https);
    assert_eq!(scheme(&[("HTTP_X_FORWARDED_PROTO", "https")]), Scheme::Http);
}

#[test]
fn e8_empty_means_absent() {
    for name in ["CONTENT_LENGTH", "CONTENT_TYPE", "REMOTE_USER"] {
        assert_eq!(seen(&[(name, "")], name), None);
    }
    assert_eq!(seen(&[("QUERY_STRING", "")], "QUERY_STRING").as_deref(), Some(""));
}

#[test]
fn e9_e10_e12_misleading_variables_go() {
    for name in [
        "HTTP_CONTENT_TYPE",
        "HTTP_CONTENT_LENGTH",
        "HTTP_PROXY",
        "HTTP_X.DOT",
        "HTTP_x",
        "HTTP_X-Y",
        "HTTP_X Y",
    ] {
        assert_eq!(seen(&[(name, "v")], name), None);
    }
    assert_eq!(seen(&[("HTTP_X_1", "v")], "HTTP_X_1").as_deref(), Some("v"));
    assert_eq!(seen(&[("http_proxy", "v")], "http_proxy").as_deref(), Some("v"));
}

#[test]
fn e11_authorization_survives_redirects_at_any_depth() {
    let at = |pairs: &[(&str, &str)]| seen(pairs, "HTTP_AUTHORIZATION");
    assert_eq!(at(&[("REDIRECT_HTTP_AUTHORIZATION", "a")]).as_deref(), Some("a"));
    let deep = [
        ("REDIRECT_REDIRECT_REDIRECT_HTTP_AUTHORIZATION", "old"),
        ("REDIRECT_REDIRECT_HTTP_AUTHORIZATION", "b"),
        ("REDIRECT_HTTP_AUTHORIZATION", ""),
    ];
    assert_eq!(at(&deep).as_deref(), Some("b"));
    let both = [("HTTP_AUTHORIZATION", "c"), ("REDIRECT_HTTP_AUTHORIZATION", "d")];
    assert_eq!(at(&both).as_deref(), Some("c"));
    assert_eq!(at(&[("HTTP_REDIRECT_HTTP_AUTHORIZATION", "forged")]), None);
}

#[test]
fn e20_the_user_survives_redirects_but_for_those_to_an_errors_page() {
    let user = ("REDIRECT_REMOTE_USER", "ann");
    let at = |pairs: &[(&str, &str)]| seen(pairs, "REMOTE_USER");
    let ok = ("REDIRECT_STATUS", "200");
    assert_eq!(at(&[user, ok]).as_deref(), Some("ann"));
    assert_eq!(at(&[user, ok, ("REMOTE_USER", "bob")]).as_deref(), Some("bob"));
    assert_eq!(
        seen(&[("REDIRECT_REDIRECT_AUTH_TYPE", "Basic"), ok], "AUTH_TYPE").as_deref(),
        Some("Basic")
    );
    assert_eq!(at(&[user]), None);
    assert_eq!(at(&[user, ("REDIRECT_STATUS", "401")]), None);
    assert_eq!(at(&[user, ok, ("REDIRECT_REDIRECT_STATUS", "401")]), None);
    assert_eq!(at(&[("HTTP_REDIRECT_REMOTE_USER", "forged"), ok]), None);
}

#[test]
fn b9_apache_may_have_changed_a_body_and_others_have_not() {
    let body = |pairs: &[(&str, &str)]| request(pairs).expect("a request").body;
    let (length, gzip) = (("CONTENT_LENGTH", "5"), ("HTTP_CONTENT_ENCODING", "gzip"));
    let filtered = |is_encoded| BodyLength::Filtered { announced: 5, is_encoded };
    for apache in
        [("SERVER_SOFTWARE", "Apache/2.4.71 (Debian)"), ("CONTEXT_DOCUMENT_ROOT", "/var/www")]
    {
        assert_eq!(body(&[length, apache]), filtered(false));
        assert_eq!(body(&[length, apache, gzip]), filtered(true));
        assert_eq!(body(&[apache, gzip]), BodyLength::Known(0));
        assert_eq!(body(&[apache, gzip, ("CONTENT_LENGTH", "0")]), BodyLength::Known(0));
    }
    let forged = ("HTTP_CONTEXT_DOCUMENT_ROOT", "/");
    assert_eq!(body(&[length, gzip, forged, ("SERVER_SOFTWARE", "nginx")]), BodyLength::Known(5));
}

#[test]
fn b9_an_encoding_stays_while_the_body_has_it() {
    let made = |software: &str, encoding: &str, length, beginning: &[u8]| {
        let pairs = [
            ("CONTENT_LENGTH", "9"),
            ("HTTP_CONTENT_ENCODING", encoding),
            ("SERVER_SOFTWARE", software),
        ];
        let mut variables: Variables = pairs.into_iter().collect();
        let is_whole = set_true_length(&mut variables, 9, length, beginning);
        assert_eq!(variables.get("CONTENT_LENGTH") == Some(b"9"), !is_whole);
        let left = variables.get("HTTP_CONTENT_ENCODING");
        (is_whole, left.map(|value| String::from_utf8_lossy(value).into_owned()))
    };
    let left = |encoding: &str, beginning: &[u8]| {
        let (is_whole, left) = made("Apache", encoding, 10, beginning);
        assert!(is_whole);
        left
    };
    let gzip = Some("gzip".to_owned());
    assert_eq!(made("Apache", "gzip", 7, b"ab"), (true, None));
    assert_eq!(made("Apache", "gzip", 7, b"\x1f\x8b"), (false, gzip.clone()));
    assert_eq!(made("Apache", "br", 7, b"ab"), (false, Some("br".to_owned())));
    assert_eq!(made("nginx", "gzip", 7, b"ab"), (false, gzip));
    assert_eq!(left("gzip", b"{\""), None);
    assert_eq!(left("X-GZIP", b""), None);
    assert_eq!(left("gzip", b"\x1f\x8b").as_deref(), Some("gzip"));
    assert_eq!(left("br, gzip", b"ab").as_deref(), Some("br"));
    assert_eq!(left("br", b"ab").as_deref(), Some("br"));
}

#[test]
fn b2_a_malformed_content_length_is_a_bad_request() {
    for text in ["-1", "+5", "1_0", "5 ", "abc", "0x10", "1.0", "99999999999999999999", "٣"] {
        assert_eq!(request(&[("CONTENT_LENGTH", text)]), Err(400), "{text}");
    }
    assert_eq!(
        request(&[("CONTENT_LENGTH", "007")]).expect("a request").body,
        BodyLength::Known(7)
    );
}

#[test]
fn a_body_over_the_limit_is_too_large() {
    assert_eq!(request(&[("CONTENT_LENGTH", "1001")]), Err(413));
    assert!(request(&[("CONTENT_LENGTH", "1000")]).is_ok());
}

#[test]
fn b4_b5_without_a_length_only_a_chunked_body_is_read() {
    let body = |pairs: &[(&str, &str)]| request(pairs).expect("a request").body;
    assert_eq!(body(&[("HTTP_TRANSFER_ENCODING", "gzip, Chunked")]), BodyLength::UntilEnd);
    assert_eq!(body(&[("HTTP_TRANSFER_ENCODING", "identity")]), BodyLength::Known(0));
    let both = [("HTTP_TRANSFER_ENCODING", "chunked"), ("CONTENT_LENGTH", "5")];
    assert_eq!(body(&both), BodyLength::Known(5));
    assert_eq!(seen(&both, "HTTP_TRANSFER_ENCODING"), None);
}

#[test]
fn a_method_that_is_no_token_is_a_bad_request() {
    assert_eq!(request(&[("REQUEST_METHOD", "GET\r\nX")]), Err(400));
    assert_eq!(
        seen(&[("REQUEST_METHOD", "PROPFIND")], "REQUEST_METHOD").as_deref(),
        Some("PROPFIND")
    );
}
