//! What the application finds in its environ (E1 to E16).

use anyhow::ensure;

use super::{absent, environ, listed};
use crate::harness::http::Request;
use crate::harness::server::Kind;
use crate::harness::table::{APACHE, Case};

/// A case that checks only whether these lines are in the environ.
fn lists(trap: &'static str, sentence: &'static str, lines: &'static [&'static str]) -> Case {
    environ(trap, sentence).expect(move |answer| {
        answer.status(200)?;
        lines.iter().try_for_each(|line| listed(answer, line))
    })
}

/// A case that checks only whether these variables are missing.
fn lacks(trap: &'static str, sentence: &'static str, names: &'static [&'static str]) -> Case {
    environ(trap, sentence).expect(move |answer| {
        answer.status(200)?;
        names.iter().try_for_each(|name| absent(answer, name))
    })
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = decoding();
    cases.extend(absent_and_empty());
    cases.extend(server_and_scheme());
    cases.extend(headers());
    cases.extend(shape());
    cases
}

fn decoding() -> Vec<Case> {
    let all_bytes: Vec<u8> = (1..=255).collect();
    vec![
        environ("E1", "a path that is not UTF-8 reaches the application byte for byte")
            .get("/%ff%fe/caf%e9")
            .expect(|answer| listed(answer, b"PATH_INFO=/\xff\xfe/caf\xe9")),
        environ("E1", "a UTF-8 path is decoded as latin-1")
            .get("/caf%C3%A9")
            .expect(|answer| listed(answer, "PATH_INFO=/café")),
        environ("E1", "a header value in latin-1 reaches the application byte for byte")
            .request(Request::get("").header("X-Name", b"caf\xe9"))
            .expect(|answer| listed(answer, b"HTTP_X_NAME=caf\xe9")),
        environ("E1", "a value with every byte from 0x01 to 0xFF arrives byte for byte")
            .with("HTTP_X_ALL", &all_bytes)
            .expect(move |answer| {
                let shown = all_bytes.iter().flat_map(|byte| match byte {
                    b'\n' => b"\\n".to_vec(),
                    other => vec![*other],
                });
                listed(answer, [b"HTTP_X_ALL=".to_vec(), shown.collect()].concat())
            }),
        environ("E1", "the locale does not change how variables are decoded")
            .variable("LC_ALL", "C")
            .get("/%ff")
            .expect(|answer| listed(answer, b"PATH_INFO=/\xff")),
        lists("E14", "REQUEST_URI keeps %2F, double slashes and dots as they were sent", &[])
            .get("/a%2Fb//c/./d?x=%2F")
            .expect(|answer| answer.status(200)?.contains("/a%2Fb//c/./d?x=%2F\n").map(drop)),
        lists("E14", "PATH_INFO has %2F decoded", &["PATH_INFO=/a/b c"])
            .get("/a%2Fb%20c")
            .on(&[Kind::Shell, Kind::Caddy]),
        lists(
            "E14",
            "PATH_INFO keeps %2F under AllowEncodedSlashes NoDecode",
            &["PATH_INFO=/a%2Fb c"],
        )
        .get("/a%2Fb%20c")
        .on(APACHE),
        lists("RFC 4.1.7", "QUERY_STRING stays encoded", &["QUERY_STRING=a=%20b&c=+&d"])
            .get("/?a=%20b&c=+&d"),
    ]
}

fn absent_and_empty() -> Vec<Case> {
    vec![
        lists(
            "E2",
            "PATH_INFO and QUERY_STRING are empty at the mount itself",
            &["PATH_INFO=", "QUERY_STRING="],
        ),
        lists(
            "E2",
            "absent QUERY_STRING and SCRIPT_NAME become empty",
            &["QUERY_STRING=", "SCRIPT_NAME="],
        )
        .get("/x")
        .without("QUERY_STRING")
        .without("SCRIPT_NAME"),
        lists(
            "E3",
            "a SCRIPT_NAME of / becomes empty, so that no slash is doubled",
            &["SCRIPT_NAME=", "PATH_INFO=/x"],
        )
        .get("/x")
        .with("SCRIPT_NAME", "/"),
        environ(
            "E4",
            "a PATH_INFO without its beginning is rebuilt or refused, never given a slash",
        )
        .with("SCRIPT_NAME", "/app")
        .with("PATH_INFO", "lication/x")
        .with("REQUEST_URI", "/application/x")
        .expect(|answer| {
            if answer.head.status == 404 {
                return answer.lacks("PATH_INFO").map(drop);
            }
            listed(answer, "SCRIPT_NAME=")?;
            listed(answer, "PATH_INFO=/application/x")
        }),
        lacks(
            "E8",
            "empty CONTENT_LENGTH, CONTENT_TYPE and REMOTE_USER count as absent",
            &["CONTENT_LENGTH", "CONTENT_TYPE", "REMOTE_USER"],
        )
        .with("CONTENT_LENGTH", "")
        .with("CONTENT_TYPE", "")
        .with("REMOTE_USER", ""),
        lacks(
            "E8",
            "a request without body and user has no CONTENT_LENGTH, CONTENT_TYPE or REMOTE_USER",
            &["CONTENT_LENGTH", "CONTENT_TYPE", "REMOTE_USER"],
        )
        .except(Kind::Lighttpd, "lighttpd 1.4.69 says CONTENT_LENGTH=0 there"),
    ]
}

fn server_and_scheme() -> Vec<Case> {
    vec![
        lists(
            "E5",
            "an empty SERVER_NAME is taken from the Host header",
            &["SERVER_NAME=site.example"],
        )
        .with("SERVER_NAME", "")
        .with("HTTP_HOST", "site.example:8080"),
        lists("E5", "a port is cut from SERVER_NAME", &["SERVER_NAME=site.example"])
            .with("SERVER_NAME", "site.example:8080"),
        lists("E5", "an IPv6 address keeps its colons", &["SERVER_NAME=[2001:db8::1]"])
            .with("SERVER_NAME", "[2001:db8::1]:8080"),
        lists(
            "E5",
            "SERVER_NAME is localhost where no variable names the server",
            &["SERVER_NAME=localhost"],
        )
        .with("SERVER_NAME", "")
        .with("HTTP_HOST", ""),
        lists("E5", "an empty Host header is ignored", &["SERVER_NAME=localhost"])
            .with("HTTP_HOST", ""),
        lists(
            "E6",
            "SERVER_PORT 80 with HTTPS is 443",
            &["SERVER_PORT=443", "wsgi.url_scheme=https"],
        )
        .with("SERVER_PORT", "80")
        .with("HTTP_HOST", "site.example")
        .with("HTTPS", "on"),
        environ("E6", "a missing SERVER_PORT is derived from other variables")
            .without("SERVER_PORT")
            .expect(|answer| {
                let ports = ["SERVER_PORT=8080", "SERVER_PORT=80"];
                ensure!(ports.iter().any(|port| listed(answer, port).is_ok()), "no SERVER_PORT");
                Ok(())
            }),
        lists("E7", "HTTPS=on is https", &["wsgi.url_scheme=https"]).variable("HTTPS", "on"),
        lists("E7", "HTTPS=1 is https", &["wsgi.url_scheme=https"]).with("HTTPS", "1"),
        lists("E7", "HTTPS=True is https", &["wsgi.url_scheme=https"]).with("HTTPS", "True"),
        lists("E7", "HTTPS=off is http", &["wsgi.url_scheme=http"]).variable("HTTPS", "off"),
        lists("E7", "REQUEST_SCHEME counts where HTTPS is absent", &["wsgi.url_scheme=https"])
            .with("REQUEST_SCHEME", "https"),
        lists("E7", "X-Forwarded-Proto and -Host change nothing", &["wsgi.url_scheme=http"])
            .request(
                Request::get("")
                    .header("X-Forwarded-Proto", "https")
                    .header("X-Forwarded-Host", "evil"),
            ),
    ]
}

fn headers() -> Vec<Case> {
    vec![
        environ(
            "E9",
            "the body's type and length are in CONTENT_TYPE and CONTENT_LENGTH, without HTTP_",
        )
        .request(Request::post("", "a=1").header("Content-Type", "text/x-test"))
        .expect(|answer| {
            listed(answer, "CONTENT_TYPE=text/x-test")?;
            listed(answer, "CONTENT_LENGTH=3")?;
            absent(answer, "HTTP_CONTENT_TYPE")?;
            absent(answer, "HTTP_CONTENT_LENGTH")
        }),
        lacks("E10", "a Proxy header is not in the environ", &["HTTP_PROXY"])
            .request(Request::get("").header("Proxy", "http://evil.example")),
        Case::new("E10", "a Proxy header is not in os.environ", "/process_facts.py")
            .request(Request::get("?n=HTTP_PROXY").header("Proxy", "http://evil.example"))
            .expect(|answer| answer.status(200)?.contains("variable = None\n").map(drop)),
        lists(
            "E11",
            "the Authorization header reaches the application",
            &["HTTP_AUTHORIZATION=Basic dTpw"],
        )
        .request(Request::get("").header("Authorization", "Basic dTpw")),
        lists(
            "E11",
            "a missing HTTP_AUTHORIZATION is taken from REDIRECT_HTTP_AUTHORIZATION, at any depth",
            &["HTTP_AUTHORIZATION=Basic dTpw"],
        )
        .with("REDIRECT_REDIRECT_HTTP_AUTHORIZATION", "Basic dTpw"),
        lists(
            "E11",
            "HTTP_AUTHORIZATION takes precedence over REDIRECT_HTTP_AUTHORIZATION",
            &["HTTP_AUTHORIZATION=Basic b3du"],
        )
        .with("HTTP_AUTHORIZATION", "Basic b3du")
        .with("REDIRECT_HTTP_AUTHORIZATION", "Basic dTpw"),
        lacks(
            "E12",
            "headers are dropped whose names have other characters than letters, digits, - and _",
            &["HTTP_X.DOT", "HTTP_X_DOT"],
        )
        .request(Request::get("").header("X.Dot", "1"))
        .except(Kind::Lighttpd, "lighttpd 1.4.69 makes a plain HTTP_X_DOT of X.Dot"),
        lists("E13", "a repeated header arrives joined by the server", &["HTTP_X_TWICE=1, 2"])
            .request(Request::get("").header("X-Twice", "1").header("X-Twice", "2")),
        environ("E13", "repeated cookies arrive as the server joins them")
            .request(Request::get("").header("Cookie", "a=1").header("Cookie", "b=2"))
            .expect(|answer| {
                let joined = ["HTTP_COOKIE=a=1; b=2", "HTTP_COOKIE=a=1, b=2"];
                ensure!(joined.iter().any(|line| listed(answer, line).is_ok()), "cookies are lost");
                Ok(())
            }),
    ]
}

fn shape() -> Vec<Case> {
    vec![
        Case::new(
            "E15",
            "the environ is a plain dict with what PEP 3333 requires",
            "/environ_types.py",
        )
        .logs("said to wsgi.errors")
        .logs("said twice")
        .expect(|answer| {
            answer
                .body(
                    "environ is a dict\nkeys and values are str: True\nversion = (1, 0)\n\
                         url_scheme = 'http'\nrun_once = True\nmultithread = False\n\
                         multiprocess = True\ninput_terminated = True\ncallable: True\n",
                )
                .map(drop)
        }),
        Case::valid("E15", "wsgiref.validate finds nothing wrong with the environ", "show_environ"),
        lists(
            "E16",
            "a variable of the server's configuration is in the environ",
            &["SETTING=of the site"],
        )
        .variable("SETTING", "of the site"),
        Case::new(
            "E16",
            "a variable of the server's configuration is in os.environ",
            "/process_facts.py",
        )
        .variable("SETTING", "of the site")
        .get("?n=SETTING")
        .expect(|answer| answer.contains("variable = 'of the site'\n").map(drop)),
        Case::new("E16", "os.environ has the variables of this request", "/process_facts.py")
            .get("?n=QUERY_STRING")
            .expect(|answer| answer.contains("variable = 'n=QUERY_STRING'\n").map(drop)),
        Case::new(
            "E16",
            "os.environ has the variables of this request during the import",
            "/looks_at_the_request_on_import.py",
        )
        .goes_cold(super::failures::IMPORT_FAILS)
        .expect(|answer| answer.status(200)?.exit_code(0)?.body("GET").map(drop)),
        lists(
            "E17",
            "Apache's ScriptAlias gives the path below the mount in PATH_INFO",
            &["PATH_INFO=/foo"],
        )
        .get("/foo")
        .on(APACHE)
        .except(Kind::ApacheAction, "Action sets PATH_INFO there"),
    ]
}
