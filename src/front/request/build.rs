//! From curl-like flags to a request's variables and body.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};

use super::body_file::open;
use super::multipart;
use crate::cgi::head::is_token;
use crate::cgi::path;
use crate::cgi::variables::Variables;
use crate::front::cli::RequestArgs;

const PRODUCT: &str = concat!("cgi2wsgi/", env!("CARGO_PKG_VERSION"));

/// The variables and the body that the flags ask for. The rest of `environment` stays, without the variables of another
/// request.
pub(in crate::front) fn request(
    arguments: &RequestArgs,
    mut environment: Variables,
) -> Result<(Variables, Option<File>)> {
    environment.retain(|name, _| !is_from_a_server(name));
    let mut request = environment;
    let url = Url::parse(&arguments.url)?;
    let body = body(arguments)?;

    let method = match &arguments.method {
        Some(method) => method.as_str(),
        None if arguments.head => "HEAD",
        None if body.is_some() => "POST",
        None => "GET",
    };
    ensure!(
        !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_graphic()),
        "-X {method:?} is not a method"
    );
    let host = if url.port == url.usual_port() {
        url.host.clone()
    } else {
        format!("{}:{}", url.host, url.port)
    };
    let path = path::of_request_uri(&url.target);
    let query = url.target.get(path.len() + 1..).unwrap_or_default();
    for (name, value) in [
        ("GATEWAY_INTERFACE", b"CGI/1.1".as_slice()),
        ("SERVER_SOFTWARE", PRODUCT.as_bytes()),
        ("SERVER_PROTOCOL", b"HTTP/1.1"),
        ("SERVER_NAME", url.host.as_bytes()),
        ("SERVER_PORT", url.port.as_bytes()),
        ("REMOTE_ADDR", b"127.0.0.1"),
        ("REQUEST_METHOD", method.as_bytes()),
        ("REQUEST_SCHEME", url.scheme.as_bytes()),
        ("REQUEST_URI", &url.target),
        ("SCRIPT_NAME", b""),
        ("PATH_INFO", &path::decode(path)),
        ("QUERY_STRING", query),
        ("HTTP_HOST", host.as_bytes()),
        ("HTTP_USER_AGENT", PRODUCT.as_bytes()),
        ("HTTP_ACCEPT", b"*/*"),
    ] {
        request.set(name, value);
    }
    if url.scheme == "https" {
        request.set("HTTPS", "on");
    }
    let body = match body {
        Some(body) => {
            request.set("CONTENT_LENGTH", body.length.to_string());
            request.set("CONTENT_TYPE", body.content_type);
            if arguments.json.is_some() {
                request.set("HTTP_ACCEPT", "application/json");
            }
            Some(body.file)
        }
        None => None,
    };
    add_headers(&mut request, arguments)?;
    Ok((request, body))
}

/// Adds what -u, -b and -H say.
pub(super) fn add_headers(request: &mut Variables, arguments: &RequestArgs) -> Result<()> {
    if let Some(user) = &arguments.user {
        ensure!(user.contains(':'), "-u {user:?} has no password: write USER:PASSWORD");
        request.set("HTTP_AUTHORIZATION", format!("Basic {}", BASE64_STANDARD.encode(user)));
    }
    if !arguments.cookie.is_empty() {
        request.set("HTTP_COOKIE", arguments.cookie.join("; "));
    }
    set_headers(request, &arguments.header)
}

/// Whether a variable is one that a server sets for a request.
pub(super) fn is_from_a_server(name: &[u8]) -> bool {
    const META_VARIABLES: [&str; 24] = [
        "AUTH_TYPE",
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "DOCUMENT_ROOT",
        "GATEWAY_INTERFACE",
        "HTTPS",
        "PATH_INFO",
        "PATH_TRANSLATED",
        "QUERY_STRING",
        "REMOTE_ADDR",
        "REMOTE_HOST",
        "REMOTE_IDENT",
        "REMOTE_PORT",
        "REMOTE_USER",
        "REQUEST_METHOD",
        "REQUEST_SCHEME",
        "REQUEST_URI",
        "SCRIPT_FILENAME",
        "SCRIPT_NAME",
        "SERVER_ADDR",
        "SERVER_NAME",
        "SERVER_PORT",
        "SERVER_PROTOCOL",
        "SERVER_SOFTWARE",
    ];
    name.starts_with(b"HTTP_")
        || name.starts_with(b"REDIRECT_")
        || META_VARIABLES.iter().any(|meta| meta.as_bytes() == name)
}

fn set_headers(request: &mut Variables, headers: &[String]) -> Result<()> {
    let mut given: Vec<String> = Vec::new();
    for header in headers {
        let (name, value) = header
            .split_once(':')
            .with_context(|| format!("-H {header:?} has no colon: write \"Name: value\""))?;
        ensure!(
            !name.is_empty() && name.bytes().all(is_token),
            "-H {header:?}: {name:?} is not the name of a header"
        );
        let value = value.trim();
        ensure!(!value.contains(['\r', '\n', '\0']), "-H {header:?} has a line break in its value");
        let upper = name.to_ascii_uppercase().replace('-', "_");
        let variable = match upper.as_str() {
            "CONTENT_TYPE" | "CONTENT_LENGTH" => upper,
            _ => format!("HTTP_{upper}"),
        };
        if value.is_empty() {
            request.remove(&variable);
            continue;
        }
        // A repeated header is joined as servers join it (E13).
        let joint = if variable == "HTTP_COOKIE" { "; " } else { ", " };
        let joined = match request.get(&variable) {
            Some(before) if given.contains(&variable) => {
                [before, joint.as_bytes(), value.as_bytes()].concat()
            }
            _ => value.into(),
        };
        request.set(&variable, joined);
        given.push(variable);
    }
    Ok(())
}

struct Body {
    file: File,
    length: u64,
    content_type: String,
}

fn body(arguments: &RequestArgs) -> Result<Option<Body>> {
    if !arguments.form.is_empty() {
        let (mut file, content_type) = multipart::form(&arguments.form)?;
        let length = file.stream_position()?;
        file.rewind()?;
        return Ok(Some(Body { file, length, content_type }));
    }
    let (pieces, content_type) = match &arguments.json {
        Some(json) => (std::slice::from_ref(json), "application/json"),
        None => (arguments.data.as_slice(), "application/x-www-form-urlencoded"),
    };
    if pieces.is_empty() {
        return Ok(None);
    }
    let (file, length) = match pieces {
        // A single file is the body unchanged, however large.
        [piece] if piece.as_bytes().starts_with(b"@") => open(&piece.as_bytes()[1..])?,
        pieces => {
            let mut file = tempfile::tempfile().context("no temporary file for the body")?;
            for (index, piece) in pieces.iter().enumerate() {
                if index > 0 {
                    file.write_all(b"&")?;
                }
                match piece.as_bytes().strip_prefix(b"@") {
                    Some(path) => {
                        io::copy(&mut open(path)?.0, &mut file)?;
                    }
                    None => file.write_all(piece.as_bytes())?,
                }
            }
            let length = file.stream_position()?;
            file.rewind()?;
            (file, length)
        }
    };
    Ok(Some(Body { file, length, content_type: content_type.into() }))
}

/// The parts of a URL that make variables.
struct Url {
    scheme: String,
    host: String,
    port: String,
    /// Path and query, as they stand in a request line.
    target: Vec<u8>,
}

impl Url {
    fn parse(text: &str) -> Result<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?']) => (scheme, rest),
            _ => ("", text),
        };
        let (authority, target) = if scheme.is_empty() {
            ("", rest)
        } else {
            rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "" | "http" => "http",
            "https" => "https",
            _ => bail!("the URL {text:?} is neither http nor https"),
        };
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (authority, ""),
        };
        ensure!(
            port.bytes().all(|byte| byte.is_ascii_digit()),
            "the URL {text:?} has no port {port:?}"
        );
        let mut url = Self {
            scheme: scheme.into(),
            host: if host.is_empty() { "localhost" } else { host }.into(),
            port: port.into(),
            target: target_of(target),
        };
        if url.port.is_empty() {
            url.port = url.usual_port().into();
        }
        Ok(url)
    }

    fn usual_port(&self) -> &'static str {
        if self.scheme == "https" { "443" } else { "80" }
    }
}

/// What a browser would send: a path that begins with a slash, no fragment, and everything encoded that cannot stand in
/// a request line.
fn target_of(text: &str) -> Vec<u8> {
    let text = text.split('#').next().unwrap_or_default();
    let mut target = Vec::with_capacity(text.len() + 1);
    if !text.starts_with('/') {
        target.push(b'/');
    }
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>".contains(&byte) {
            target.push(byte);
        } else {
            target.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(arguments: &RequestArgs) -> Variables {
        let stale = [("HTTP_X_OLD", "1"), ("QUERY_STRING", "old"), ("HOME", "/h")];
        request(arguments, stale.into_iter().collect()).expect("a request").0
    }

    fn text(variables: &Variables, name: &str) -> String {
        String::from_utf8_lossy(variables.get(name).unwrap_or(b"(absent)")).into_owned()
    }

    #[test]
    fn a_path_makes_a_request_of_localhost() {
        let made = variables(&RequestArgs { url: "/a b/ü?q=%20#f".into(), ..Default::default() });
        assert_eq!(text(&made, "REQUEST_URI"), "/a%20b/%C3%BC?q=%20");
        assert_eq!(text(&made, "PATH_INFO"), "/a b/ü");
        assert_eq!(text(&made, "QUERY_STRING"), "q=%20");
        assert_eq!(text(&made, "HTTP_HOST"), "localhost");
        assert_eq!(text(&made, "REQUEST_METHOD"), "GET");
        assert_eq!(text(&made, "HTTP_X_OLD"), "(absent)");
        assert_eq!(text(&made, "HOME"), "/h");
    }

    #[test]
    fn a_whole_url_sets_scheme_host_and_port() {
        let made =
            variables(&RequestArgs { url: "https://[::1]:8443".into(), ..Default::default() });
        assert_eq!(text(&made, "SERVER_NAME"), "[::1]");
        assert_eq!(text(&made, "SERVER_PORT"), "8443");
        assert_eq!(text(&made, "HTTP_HOST"), "[::1]:8443");
        assert_eq!(text(&made, "HTTPS"), "on");
        assert_eq!(text(&made, "PATH_INFO"), "/");
        let made = variables(&RequestArgs { url: "http://h?x=1".into(), ..Default::default() });
        assert_eq!(
            (text(&made, "HTTP_HOST"), text(&made, "REQUEST_URI")),
            ("h".into(), "/?x=1".into())
        );
    }

    #[test]
    fn headers_join_replace_and_leave_out() {
        let header = ["X-A: 1", "x-a: 2", "Content-Type: text/plain", "Accept:", "Cookie: a=1"];
        let made = variables(&RequestArgs {
            header: header.map(Into::into).into(),
            cookie: vec!["b=2".into()],
            data: vec!["x".into(), "y=1".into()],
            user: Some("ann:secret".into()),
            ..Default::default()
        });
        assert_eq!(text(&made, "HTTP_X_A"), "1, 2");
        assert_eq!(text(&made, "CONTENT_TYPE"), "text/plain");
        assert_eq!(text(&made, "CONTENT_LENGTH"), "5");
        assert_eq!(text(&made, "HTTP_ACCEPT"), "(absent)");
        assert_eq!(text(&made, "HTTP_COOKIE"), "a=1");
        assert_eq!(text(&made, "REQUEST_METHOD"), "POST");
        assert_eq!(text(&made, "HTTP_AUTHORIZATION"), "Basic YW5uOnNlY3JldA==");
    }

    #[test]
    fn mistakes_are_named() {
        let message = |arguments: RequestArgs| {
            request(&arguments, Variables::default()).expect_err("it is wrong").to_string()
        };
        let header = |text: &str| RequestArgs { header: vec![text.into()], ..Default::default() };
        assert!(message(header("novalue")).contains("no colon"));
        assert!(message(header("a b: c")).contains("not the name of a header"));
        let url = |text: &str| RequestArgs { url: text.into(), ..Default::default() };
        assert!(message(url("ftp://x/")).contains("neither http nor https"));
        assert!(message(url("http://x:y/")).contains("no port"));
        let data = RequestArgs { data: vec!["@/no/such".into()], ..Default::default() };
        assert!(message(data).contains("@/no/such"));
    }
}
