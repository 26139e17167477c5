//! From the server's variables to a request as PEP 3333 wants it (E1 to E18,
//! B2, B4, B5, B9). Pure: a function from variables to variables.

use super::mount::{self, Mount};
use super::refusal::Refusal;
use super::variables::Variables;

/// One request, every habit of its server straightened out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The meta-variables and the rest of the environment (E16), as the
    /// application will find them in its environ.
    pub variables: Variables,
    /// How long the request body is.
    pub body: BodyLength,
    /// The `wsgi.url_scheme`.
    pub scheme: Scheme,
}

/// The length of a request body, as the server tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// `CONTENT_LENGTH` bytes. 0 also where nothing is said: standard input is
    /// then not touched (B5).
    Known(u64),
    /// `CONTENT_LENGTH` bytes of the client's, of which a filter of the server
    /// may have made another number (B9): it ends where standard input does.
    Filtered {
        /// The `CONTENT_LENGTH`.
        announced: u64,
        /// Whether the client has encoded it. Most filters take an encoding
        /// away, so that its length has to be found out.
        is_encoded: bool,
    },
    /// All of standard input: the client sent it in chunks, the server took
    /// them apart and does not say how much it was (B4).
    UntilEnd,
}

/// The scheme of the request's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn port(self) -> &'static str {
        match self {
            Self::Http => "80",
            Self::Https => "443",
        }
    }
}

impl Request {
    /// Makes the request of the variables that a server sent, or says why
    /// there is none: 400 for what is malformed, 404 for a path outside the
    /// application, 413 for a body of more than `max_body` bytes.
    pub fn from_variables(
        mut variables: Variables,
        mount: &Mount,
        max_body: Option<u64>,
    ) -> Result<Self, Refusal> {
        let (script_name, path_info) = mount::split(&variables, mount)?;
        variables.set("SCRIPT_NAME", script_name);
        variables.set("PATH_INFO", path_info);

        restore(&mut variables, "HTTP_AUTHORIZATION");
        // An error's page is not told whether the password was the right one.
        if is_without_error(&variables) {
            restore(&mut variables, "REMOTE_USER");
            restore(&mut variables, "AUTH_TYPE");
        }
        let chunked = is_chunked(&variables);
        variables.retain(|name, value| {
            let absent = value.is_empty() && is_absent_when_empty(name);
            !absent && !is_misleading(name)
        });

        require_method(&mut variables)?;
        for (name, default) in [("QUERY_STRING", ""), ("SERVER_PROTOCOL", "HTTP/1.1")] {
            if variables.get(name).is_none() {
                variables.set(name, default);
            }
        }
        let scheme = scheme(&variables);
        let name = server_name(&variables);
        let port = server_port(&variables, scheme);
        variables.set("SERVER_NAME", name);
        variables.set("SERVER_PORT", port);

        let body = body_length(&variables, chunked, max_body)?;
        Ok(Self { variables, body, scheme })
    }
}

/// E9, E10, E12, B4: variables that would mislead an application.
fn is_misleading(name: &[u8]) -> bool {
    match name {
        b"HTTP_CONTENT_TYPE"
        | b"HTTP_CONTENT_LENGTH"
        | b"HTTP_PROXY"
        | b"HTTP_TRANSFER_ENCODING" => true,
        _ => name.strip_prefix(b"HTTP_").is_some_and(|rest| {
            !rest.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
        }),
    }
}

/// E8: servers send these empty where they mean that there is none.
fn is_absent_when_empty(name: &[u8]) -> bool {
    matches!(name, b"CONTENT_LENGTH" | b"CONTENT_TYPE" | b"REMOTE_USER")
}

/// E11, E20: an internal redirect of Apache puts `REDIRECT_` before the name,
/// once for each redirect.
fn restore(variables: &mut Variables, wanted: &str) {
    if variables.get_nonempty(wanted).is_some() {
        return;
    }
    let nearest = variables
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| Some((redirects_before(name, wanted)?, value)))
        .filter(|(depth, _)| *depth > 0)
        .min_by_key(|(depth, _)| *depth)
        .map(|(_, value)| value.to_vec());
    if let Some(value) = nearest {
        variables.set(wanted, value);
    }
}

/// How many `REDIRECT_` stand before the name `wanted`.
fn redirects_before(name: &[u8], wanted: &str) -> Option<usize> {
    let mut rest = name.strip_suffix(wanted.as_bytes())?;
    let mut depth = 0;
    while let Some(shorter) = rest.strip_suffix(b"REDIRECT_") {
        rest = shorter;
        depth += 1;
    }
    rest.is_empty().then_some(depth)
}

/// E20: whether Apache has redirected for no error. After one, `REDIRECT_REMOTE_USER` may be the name that came with a
/// wrong password.
fn is_without_error(variables: &Variables) -> bool {
    let mut statuses = variables
        .iter()
        .filter(|(name, _)| redirects_before(name, "STATUS").is_some_and(|depth| depth > 0))
        .map(|(_, value)| value)
        .peekable();
    statuses.peek().is_some() && statuses.all(|status| status == b"200")
}

fn require_method(variables: &mut Variables) -> Result<(), Refusal> {
    match variables.get_nonempty("REQUEST_METHOD") {
        None => variables.set("REQUEST_METHOD", "GET"),
        Some(method) if method.iter().all(u8::is_ascii_graphic) => {}
        Some(method) => {
            return Err(Refusal::new(
                400,
                format!("REQUEST_METHOD {:?} is not a token", String::from_utf8_lossy(method)),
            ));
        }
    }
    Ok(())
}

/// E7. What a client may say itself (X-Forwarded-Proto) is never believed.
fn scheme(variables: &Variables) -> Scheme {
    let is = |name, values: &[&[u8]]| {
        variables
            .get_nonempty(name)
            .map(|value| values.iter().any(|wanted| value.eq_ignore_ascii_case(wanted)))
    };
    let https = is("HTTPS", &[b"on", b"1", b"yes", b"true"])
        .or_else(|| is("REQUEST_SCHEME", &[b"https"]))
        .unwrap_or(false);
    if https { Scheme::Https } else { Scheme::Http }
}

/// A `host` or `host:port`, taken apart; the brackets stay on an IPv6 host.
fn split_host(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    if text.starts_with(b"[") {
        let end = text.iter().position(|byte| *byte == b']').map_or(text.len(), |at| at + 1);
        let (host, rest) = text.split_at(end);
        return (host, rest.strip_prefix(b":"));
    }
    match text.iter().position(|byte| *byte == b':') {
        // More than one colon and no brackets: a bare IPv6 address.
        Some(colon) if !text[colon + 1..].contains(&b':') => {
            (&text[..colon], Some(&text[colon + 1..]))
        }
        _ => (text, None),
    }
}

/// E5.
fn server_name(variables: &Variables) -> Vec<u8> {
    ["SERVER_NAME", "HTTP_HOST"]
        .iter()
        .filter_map(|name| variables.get(name))
        .map(|value| split_host(value).0)
        .find(|host| !host.is_empty())
        .unwrap_or(b"localhost")
        .to_vec()
}

/// E6.
fn server_port(variables: &Variables, scheme: Scheme) -> Vec<u8> {
    let is_port = |text: &&[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let said = variables.get("SERVER_PORT").filter(is_port);
    match said {
        Some(port) if !(port == b"80" && scheme == Scheme::Https) => port.to_vec(),
        _ => variables
            .get("HTTP_HOST")
            .and_then(|host| split_host(host).1)
            .filter(is_port)
            .unwrap_or(scheme.port().as_bytes())
            .to_vec(),
    }
}

fn is_chunked(variables: &Variables) -> bool {
    let encoding = variables.get("HTTP_TRANSFER_ENCODING").unwrap_or_default();
    let last = encoding.rsplit(|byte| *byte == b',').next().unwrap_or_default();
    last.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

fn body_length(
    variables: &Variables,
    chunked: bool,
    max_body: Option<u64>,
) -> Result<BodyLength, Refusal> {
    let Some(text) = variables.get("CONTENT_LENGTH") else {
        return Ok(if chunked { BodyLength::UntilEnd } else { BodyLength::Known(0) });
    };
    let length = Some(text)
        .filter(|text| text.iter().all(u8::is_ascii_digit))
        .and_then(|text| std::str::from_utf8(text).ok())
        .and_then(|text| text.parse::<u64>().ok())
        .filter(|length| i64::try_from(*length).is_ok())
        .ok_or_else(|| {
            Refusal::new(
                400,
                format!(
                    "CONTENT_LENGTH {:?} is not a number of bytes",
                    String::from_utf8_lossy(text)
                ),
            )
        })?;
    match max_body {
        Some(max) if length > max => Err(too_large(&format!("{length} bytes"), max)),
        _ if length > 0 && has_input_filters(variables) => {
            let is_encoded = variables.get_nonempty("HTTP_CONTENT_ENCODING").is_some();
            Ok(BodyLength::Filtered { announced: length, is_encoded })
        }
        _ => Ok(BodyLength::Known(length)),
    }
}

/// B9: whether the server can have filters that change a body, and closes standard input where the body ends: Apache,
/// under whatever name `ModSecurity` has it go. No client has a say in these variables. Where the guess is wrong, the end
/// of a body is found some seconds late.
fn has_input_filters(variables: &Variables) -> bool {
    let software = variables.get("SERVER_SOFTWARE").unwrap_or_default();
    // LiteSpeed has Apache's variables and none of its filters.
    software.starts_with(b"Apache")
        || (variables.get("CONTEXT_DOCUMENT_ROOT").is_some() && !software.starts_with(b"LiteSpeed"))
}

/// B4, B9: sets the true length of a body that was read to its end and begins with `beginning`. Not where fewer bytes
/// came than were `announced` and no filter explains that: then the client went away, and the answer is false.
pub fn set_true_length(
    variables: &mut Variables,
    announced: u64,
    length: u64,
    beginning: &[u8],
) -> bool {
    let is_inflated = has_input_filters(variables) && remove_gzip(variables, beginning);
    let is_whole = length >= announced || is_inflated;
    if is_whole {
        variables.set("CONTENT_LENGTH", length.to_string());
    }
    is_whole
}

/// Apache's inflate filter takes the last encoding away and leaves the variable as it was. That a body is not gzip is
/// seen by its first bytes. Whether it was said to be, and is not.
fn remove_gzip(variables: &mut Variables, beginning: &[u8]) -> bool {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let Some(encoding) = variables.get("HTTP_CONTENT_ENCODING") else { return false };
    let encodings: Vec<&[u8]> =
        encoding.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
    let Some((last, others)) = encodings.split_last() else { return false };
    if !is_gzip(last) || beginning == GZIP {
        return false;
    }
    let others = others.join(b", ".as_slice());
    if others.is_empty() {
        variables.retain(|name, _| name != b"HTTP_CONTENT_ENCODING");
    } else {
        variables.set("HTTP_CONTENT_ENCODING", others);
    }
    true
}

fn is_gzip(encoding: &[u8]) -> bool {
    [b"gzip".as_slice(), b"x-gzip"].iter().any(|name| encoding.eq_ignore_ascii_case(name))
}

/// 413, with what was sent and what is allowed.
pub fn too_large(sent: &str, max: u64) -> Refusal {
    Refusal::new(
        413,
        format!("the request body has {sent} and --max-body (CGI2WSGI_MAX_BODY) allows {max}"),
    )
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            body(&[length, gzip, forged, ("SERVER_SOFTWARE", "nginx")]),
            BodyLength::Known(5)
        );
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
}
