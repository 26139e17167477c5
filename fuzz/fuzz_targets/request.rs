//! Variables of a server to a request (E1 to E18, B2, B4, B5).
//!
//! `mount=` is `server`, `auto`, a path, `handler` with the length of what follows the file, or `handler` alone, which
//! looks for the file in `PATH_TRANSLATED`; `max=` is the largest body. All others are variables; a name of one byte
//! stands for one of [`NAMES`].

#![no_main]

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cgi2wsgi::cgi::handler;
use cgi2wsgi::cgi::head::Form;
use cgi2wsgi::cgi::mount::Mount;
use cgi2wsgi::cgi::path::{has_dot_segments, last_segment};
use cgi2wsgi::cgi::refusal::{Refusal, visitor_line};
use cgi2wsgi::cgi::request::{BodyLength, Request, Scheme};
use cgi2wsgi::cgi::variables::Variables;
use cgi2wsgi_fuzz::{Pair, number, pairs, shown, take};
use libfuzzer_sys::fuzz_target;

const NAMES: &[&str] = &[
    "AUTH_TYPE",
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "GATEWAY_INTERFACE",
    "HTTPS",
    "HTTP_AUTHORIZATION",
    "HTTP_CONTENT_LENGTH",
    "HTTP_CONTENT_TYPE",
    "HTTP_HOST",
    "HTTP_PROXY",
    "HTTP_REDIRECT_HANDLER",
    "HTTP_TRANSFER_ENCODING",
    "HTTP_X",
    "HTTP_X.DOT",
    "PATH_INFO",
    "PATH_TRANSLATED",
    "QUERY_STRING",
    "REDIRECT_HANDLER",
    "REDIRECT_HTTP_AUTHORIZATION",
    "REDIRECT_QUERY_STRING",
    "REDIRECT_REDIRECT_HTTP_AUTHORIZATION",
    "REDIRECT_STATUS",
    "REDIRECT_URL",
    "REMOTE_ADDR",
    "REMOTE_USER",
    "REQUEST_METHOD",
    "REQUEST_SCHEME",
    "REQUEST_URI",
    "SCRIPT_FILENAME",
    "SCRIPT_NAME",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "SERVER_SOFTWARE",
    "X",
];

/// The variables that a request may have with another value than the server's.
const REWRITTEN: &[&str] = &[
    "HTTP_AUTHORIZATION",
    "PATH_INFO",
    "QUERY_STRING",
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
];

fuzz_target!(|input: &[u8]| {
    let mut given = pairs(input);
    let mount = take(&mut given, "mount").unwrap_or_default();
    let max_body = take(&mut given, "max").as_deref().and_then(number);
    for (name, _) in &mut given {
        if let [byte] = name.as_slice() {
            *name = NAMES[usize::from(*byte) % NAMES.len()].into();
        }
    }
    let variables: Variables = given.iter().cloned().collect();
    let mount = match mount_of(&mount, &variables) {
        Ok(Some(mount)) => mount,
        Ok(None) => return,
        Err(refusal) => return check_refusal(&refusal, &[403]),
    };
    match Request::from_variables(variables.clone(), &mount, max_body) {
        Ok(request) => {
            check_paths(&request.variables);
            check_variables(&request.variables, &given);
            check_server(&request, &variables);
            check_body(&request, &variables, max_body);
            check_again(request, &mount, max_body);
        }
        Err(refusal) => {
            let mut allowed = vec![400, 404];
            if matches!(mount, Mount::Handler { .. }) {
                allowed.push(403);
            }
            if max_body.is_some() {
                allowed.push(413);
            }
            check_refusal(&refusal, &allowed);
        }
    }
});

/// The mount that `text` names, if any.
fn mount_of(text: &[u8], variables: &Variables) -> Result<Option<Mount>, Refusal> {
    if let Some(rest) = text.strip_prefix(b"handler") {
        if let Some(rest) = number(rest) {
            return Ok(usize::try_from(rest).ok().map(|rest| Mount::Handler { rest }));
        }
        return handled(variables).map(Some);
    }
    if text.is_empty() || text == b"server" {
        return Ok(Some(Mount::Server));
    }
    let mount = Mount::parse(text).ok();
    if let Some(Mount::At(path)) = &mount {
        assert!(path.is_empty() || path.starts_with(b"/"), "mount {}", shown(path));
        assert!(!path.ends_with(b"/") && !has_dot_segments(path), "mount {}", shown(path));
    }
    Ok(mount)
}

/// E18, on a file system where exactly the names with a dot are files.
fn handled(variables: &Variables) -> Result<Mount, Refusal> {
    let is_file = |path: &Path| last_segment(path.as_os_str().as_bytes()).contains(&b'.');
    let found = handler::file_of(variables, &[".wsgi".to_owned()], is_file)?;
    assert!(variables.get_nonempty("REDIRECT_HANDLER").is_some(), "a direct call was handled");
    let translated = variables.get("PATH_TRANSLATED").expect("it names the file");
    let file = found.file.as_os_str().as_bytes();
    let rest = translated.strip_prefix(file).expect("the file is the beginning");
    assert!(found.rest == rest.len() && (rest.is_empty() || rest.starts_with(b"/")));
    assert!(file.starts_with(b"/") && file.ends_with(b".wsgi") && !has_dot_segments(translated));
    Ok(Mount::Handler { rest: found.rest })
}

/// E2, E3, E4.
fn check_paths(made: &Variables) {
    let root = made.get("SCRIPT_NAME").expect("SCRIPT_NAME");
    let info = made.get("PATH_INFO").expect("PATH_INFO");
    assert!(root.is_empty() || root.starts_with(b"/"), "SCRIPT_NAME {}", shown(root));
    assert!(!root.ends_with(b"/"), "SCRIPT_NAME {}", shown(root));
    assert!(info.is_empty() || info.starts_with(b"/"), "PATH_INFO {}", shown(info));
    assert!(!(root.is_empty() && info.is_empty()), "neither SCRIPT_NAME nor PATH_INFO");
}

/// E9 to E12, E14: what must be removed is removed, and all else is unchanged.
fn check_variables(made: &Variables, given: &[Pair]) {
    for (name, _) in made.iter() {
        let gone: [&[u8]; 4] = [
            b"HTTP_PROXY",
            b"HTTP_CONTENT_TYPE",
            b"HTTP_CONTENT_LENGTH",
            b"HTTP_TRANSFER_ENCODING",
        ];
        assert!(!gone.contains(&name), "{}", shown(name));
        if let Some(rest) = name.strip_prefix(b"HTTP_") {
            assert!(rest.iter().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_')));
        }
    }
    let rewritten = |name: &[u8]| REWRITTEN.iter().any(|rewritten| name == rewritten.as_bytes());
    let stays = |name: &[u8], value: &[u8]| match name {
        b"CONTENT_LENGTH" | b"CONTENT_TYPE" | b"REMOTE_USER" => !value.is_empty(),
        b"HTTP_PROXY" | b"HTTP_CONTENT_TYPE" | b"HTTP_CONTENT_LENGTH" => false,
        b"HTTP_TRANSFER_ENCODING" => false,
        _ => name
            .strip_prefix(b"HTTP_")
            .is_none_or(|rest| rest.iter().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_'))),
    };
    let before = given.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    let before: Vec<_> = before.filter(|(n, v)| !rewritten(n) && stays(n, v)).collect();
    let after: Vec<_> = made.iter().filter(|(name, _)| !rewritten(name)).collect();
    assert_eq!(before, after, "a variable changed that the bridge must not change");
}

/// E5, E6, E7, E11, and the method.
fn check_server(request: &Request, given: &Variables) {
    let made = &request.variables;
    let method = made.get("REQUEST_METHOD").expect("REQUEST_METHOD");
    assert!(!method.is_empty() && method.iter().all(u8::is_ascii_graphic), "{}", shown(method));
    assert_eq!(method, given.get_nonempty("REQUEST_METHOD").unwrap_or(b"GET"));
    assert_eq!(made.get("QUERY_STRING"), Some(given.get("QUERY_STRING").unwrap_or_default()));
    let protocol = given.get("SERVER_PROTOCOL").unwrap_or(b"HTTP/1.1");
    assert_eq!(made.get("SERVER_PROTOCOL"), Some(protocol));
    let host = made.get("SERVER_NAME").expect("SERVER_NAME");
    assert!(!host.is_empty(), "SERVER_NAME is empty");
    let port = made.get("SERVER_PORT").expect("SERVER_PORT");
    assert!(!port.is_empty() && port.iter().all(u8::is_ascii_digit), "{}", shown(port));
    if request.scheme == Scheme::Https {
        let said = [given.get("HTTPS"), given.get("REQUEST_SCHEME")];
        assert!(said.into_iter().flatten().any(|value| !value.is_empty()), "nobody said https");
    }
    match given.get_nonempty("HTTP_AUTHORIZATION") {
        Some(value) => assert_eq!(made.get("HTTP_AUTHORIZATION"), Some(value)),
        None => {
            let value = made.get_nonempty("HTTP_AUTHORIZATION");
            let redirected = |name: &[u8]| {
                name.starts_with(b"REDIRECT_") && name.ends_with(b"REDIRECT_HTTP_AUTHORIZATION")
            };
            let said = |value| given.iter().any(|(n, v)| redirected(n) && v == value);
            assert!(value.is_none_or(said), "an authorization that no variable has");
        }
    }
}

/// B2, B4, B5 and --max-body.
fn check_body(request: &Request, given: &Variables, max_body: Option<u64>) {
    match (request.variables.get("CONTENT_LENGTH"), request.body) {
        (Some(text), BodyLength::Known(length)) => {
            assert!(text.iter().all(u8::is_ascii_digit), "CONTENT_LENGTH {}", shown(text));
            assert_eq!(number(text), Some(length));
            assert!(i64::try_from(length).is_ok() && max_body.is_none_or(|max| length <= max));
        }
        (None, BodyLength::Known(length)) => assert_eq!(length, 0),
        (Some(text), BodyLength::Filtered { announced, .. }) => {
            assert_eq!(number(text), Some(announced));
            assert!(announced > 0 && max_body.is_none_or(|max| announced <= max));
        }
        (None, BodyLength::Filtered { .. }) => panic!("nothing was announced"),
        (None, BodyLength::UntilEnd) => {
            let coding = given.get("HTTP_TRANSFER_ENCODING").expect("chunked");
            assert!(coding.trim_ascii_end().to_ascii_lowercase().ends_with(b"chunked"));
        }
        (Some(text), BodyLength::UntilEnd) => panic!("{} has no end", shown(text)),
    }
}

/// Processing the variables of a finished request again changes nothing.
fn check_again(request: Request, mount: &Mount, max_body: Option<u64>) {
    let same = match mount {
        Mount::At(_) => mount,
        // The variables from which these recover the root have been removed.
        Mount::Server | Mount::Auto | Mount::Handler { .. } => &Mount::Server,
    };
    let again = Request::from_variables(request.variables.clone(), same, max_body);
    let again = again.unwrap_or_else(|refusal| panic!("refused again: {}", refusal.reason));
    assert_eq!(again.variables, request.variables);
    assert_eq!(again.scheme, request.scheme);
    if let BodyLength::Known(length) = request.body {
        assert_eq!(again.body, BodyLength::Known(length));
    }
}

fn check_refusal(refusal: &Refusal, allowed: &[u16]) {
    assert!(allowed.contains(&refusal.status), "{}: {}", refusal.status, refusal.reason);
    assert!(!refusal.reason.contains(char::is_control), "the log gets {:?}", refusal.reason);
    let status = format!("Status: {} ", refusal.status);
    let line = visitor_line(refusal.status);
    let head = refusal.encode(Form::Cgi, true, "", "text/plain", line);
    assert!(head.starts_with(status.as_bytes()) && head.ends_with(b"\r\n\r\n"));
    let answer = refusal.encode(Form::Cgi, false, "", "text/plain", line);
    let body = answer.strip_prefix(head.as_slice()).expect("the same head");
    assert_eq!(body, line.as_bytes());
    let mut fields = [httparse::EMPTY_HEADER; 8];
    let parsed = httparse::parse_headers(&head, &mut fields).expect("header fields");
    let httparse::Status::Complete((_, fields)) = parsed else { panic!("no end") };
    let length = fields.iter().find(|field| field.name == "Content-Length").expect("a length");
    assert_eq!(number(length.value), Some(body.len() as u64));
}
