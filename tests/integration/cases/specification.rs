//! What RFC 3875 requires of a script beyond the numbered traps; `gateway` has what PEP 3333 requires of a gateway.
//! `docs/specification.md` goes through both from beginning to end and names the rows.

mod gateway;

use anyhow::ensure;

use super::{environ, listed};
use crate::harness::exchange::Answer;
use crate::harness::http::Request;
use crate::harness::server::Kind;
use crate::harness::table::{APACHE, Case, SHELL, WEB_SERVERS};

/// The servers that refuse a control character in a request's header; nginx 1.22 passes on all except CR and LF.
const STRICT: &[Kind] = &[Kind::Caddy, Kind::ApacheCgid, Kind::ApacheCgi, Kind::Lighttpd];

fn gateway(trap: &'static str, sentence: &'static str, name: &str) -> Case {
    Case::new(trap, sentence, "/gateway.py").get(&format!("/{name}"))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = gateway::cases();
    cases.extend(meta_variables());
    cases.extend(header_bytes());
    cases.extend(methods());
    cases.extend(responses());
    cases.extend(redirects());
    cases.extend(long_lines());
    cases
}

fn meta_variables() -> Vec<Case> {
    let told = |trap, sentence, name: &'static str, value: &'static str| {
        environ(trap, sentence)
            .with(name, value)
            .expect(move |answer| listed(answer.status(200)?, format!("{name}={value}")))
    };
    vec![
        environ("RFC 4.1", "the variables that every server sends are in the environ")
            .on(WEB_SERVERS)
            .drive(|scene, exchange| {
                let address = scene.world.server(scene.kind)?.address();
                let port = address.map(|address| address.port()).unwrap_or_default();
                let answer = exchange.finish()?;
                for line in [
                    "GATEWAY_INTERFACE=CGI/1.1",
                    "SERVER_PROTOCOL=HTTP/1.1",
                    "REMOTE_ADDR=127.0.0.1",
                    "REQUEST_METHOD=GET",
                    "SERVER_NAME=127.0.0.1",
                ] {
                    listed(&answer, line)?;
                }
                listed(&answer, format!("SERVER_PORT={port}"))?;
                listed(&answer, format!("SCRIPT_NAME={}", scene.mount.prefix))?;
                let software = match scene.kind {
                    Kind::Caddy => "go",
                    Kind::Lighttpd => "lighttpd/",
                    Kind::Nginx => "nginx/",
                    _ => "Apache/",
                };
                answer.contains(&format!("\nSERVER_SOFTWARE={software}")).map(drop)
            }),
        told("RFC 4.1", "an extension variable keeps its name and value", "X_OWN", "Of the Server"),
        told("RFC 4.1", "AUTH_TYPE reaches the application", "AUTH_TYPE", "Digest"),
        told("RFC 4.1", "REMOTE_USER is passed on unchanged", "REMOTE_USER", "Ann Ü"),
        told("RFC 4.1", "REMOTE_HOST reaches the application", "REMOTE_HOST", "a.example"),
        told("RFC 4.1", "an IPv6 REMOTE_ADDR stays as it is", "REMOTE_ADDR", "2001:db8::1"),
        told(
            "RFC 4.1",
            "CONTENT_TYPE keeps parameters and case",
            "CONTENT_TYPE",
            "Text/X; a=\"B c\"",
        ),
        told(
            "RFC 4.1",
            "a request with another version of CGI is served",
            "GATEWAY_INTERFACE",
            "CGI/01.012",
        ),
        told(
            "RFC 4.1",
            "a request with SERVER_PROTOCOL INCLUDED is served",
            "SERVER_PROTOCOL",
            "INCLUDED",
        ),
        told(
            "RFC 4.1",
            "the SERVER_PROTOCOL of an HTTP/1.0 request is passed on",
            "SERVER_PROTOCOL",
            "HTTP/1.0",
        ),
        environ("RFC 4.1", "an empty query and no query are the same")
            .get("/?")
            .expect(|answer| listed(answer.status(200)?, "QUERY_STRING=")),
        environ("RFC 4.1", "a PATH_INFO of / is not an empty one")
            .get("/")
            .expect(|answer| listed(answer.status(200)?, "PATH_INFO=/")),
        environ("RFC 4.1", "the case of path and query is kept").get("/MiXed/Case?AbC=DeF").expect(
            |answer| {
                listed(answer.status(200)?, "PATH_INFO=/MiXed/Case")?;
                listed(answer, "QUERY_STRING=AbC=DeF")
            },
        ),
        environ("RFC 4.1", "an encoded semicolon in the path is decoded and kept")
            .get("/this%2eis%2ethe%2epath%3binfo")
            .expect(|answer| listed(answer.status(200)?, "PATH_INFO=/this.is.the.path;info")),
        environ("RFC 4.1", "characters of a query that are not allowed in URLs are kept as sent")
            .except(Kind::Lighttpd, "lighttpd 1.4.69 encodes it, in QUERY_STRING alone")
            .get("/?q=%zz&%&a=[b]|\"<>{}")
            .expect(|answer| listed(answer.status(200)?, "QUERY_STRING=q=%zz&%&a=[b]|\"<>{}")),
    ]
}

fn header_bytes() -> Vec<Case> {
    let passed: Vec<u8> = (0x20..=0xff).filter(|byte| *byte != 0x7f).chain([b'\t', b'.']).collect();
    // Every control character except tab and line ends.
    let controls: Vec<u8> =
        (1..0x20).chain([0x7f]).filter(|byte| !b"\t\r\n".contains(byte)).collect();
    let refused = controls.clone();
    let arrives = |answer: &Answer, value: &[u8]| {
        listed(answer.status(200)?, [b"HTTP_X_BYTES=a", value, b"z"].concat())
    };
    let request = |value: &[u8]| Request::get("").header("X-Bytes", [b"a", value, b"z"].concat());
    vec![
        environ("E1", "a header's value with every byte that HTTP allows arrives byte for byte")
            .request(request(&passed))
            .expect(move |answer| arrives(answer, &passed)),
        environ("E1", "the control characters that nginx lets through arrive byte for byte")
            .request(request(&controls))
            .on(&[Kind::Shell, Kind::Nginx])
            .expect(move |answer| arrives(answer, &controls)),
        environ("E1", "the server answers 400 to a control character in a request's header")
            .request(request(b"\x01"))
            .on(STRICT)
            .drive(move |scene, exchange| {
                exchange.finish()?.status(400)?.lacks("HTTP_HOST")?;
                let server = scene.world.server(scene.kind)?;
                for byte in &refused {
                    let answer = server.begin(scene.mount, &request(&[*byte]))?.finish()?;
                    ensure!(answer.head.status == 400, "{byte:#x} is a {}", answer.head.status);
                }
                Ok(())
            }),
    ]
}

fn methods() -> Vec<Case> {
    let with_body = ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"].iter().map(|method| {
        gateway("RFC 4.3", "", "")
            .named(format!("{method} and its body reach the application"))
            .request(
                Request::new(method, "/method")
                    .body(crate::harness::http::Body::Whole(b"body".to_vec())),
            )
            .expect(move |answer| {
                answer.status(200)?.header("X-Method", method)?;
                answer.body(format!("{method} b'body'\n")).map(drop)
            })
    });
    let others = [
        gateway("RFC 4.3", "HEAD reaches the application, and the response has no body", "")
            .request(Request::new("HEAD", "/method"))
            .expect(|answer| answer.status(200)?.header("X-Method", "HEAD")?.body("").map(drop)),
        gateway("RFC 4.3", "a method is case-sensitive", "method")
            .with("REQUEST_METHOD", "head")
            .expect(|answer| answer.status(200)?.body("head b''\n").map(drop)),
        gateway("RFC 4.2", "bytes beyond CONTENT_LENGTH are not read", "")
            .request(Request::post("/method", "bodyEXTENSION"))
            .with("CONTENT_LENGTH", "4")
            .expect(|answer| answer.status(200)?.exit_code(0)?.body("POST b'body'\n").map(drop)),
    ];
    with_body.chain(others).collect()
}

fn responses() -> Vec<Case> {
    vec![
        gateway("RFC 6.3", "of two Content-Types the last is sent, and the log says so", "twice")
            .logs("2 Content-Type headers")
            .expect(|answer| {
                answer.status(200)?.header("Content-Type", "text/plain")?.header("X-A", "1")?;
                answer.body("ok\n").map(drop)
            }),
        Case::new("RFC 6.3", "a Content-Type without a value counts as none", "headers.py")
            .get("?h=Content-Type:")
            .logs("no Content-Type")
            .expect(|answer| {
                answer.status(200)?.header("Content-Type", "application/octet-stream").map(drop)
            }),
        Case::new("RFC 6.3", "an extension header reaches the client", "headers.py")
            .get("?h=X-Own:of+the+application")
            .expect(|answer| answer.header("X-Own", "of the application").map(drop)),
        Case::script(
            "RFC 5.2",
            "a non-parsed-header response ends the connection",
            "nph-hello.wsgi",
        )
        .on(APACHE)
        .expect(|answer| {
            answer.status(299)?.header("Connection", "close")?;
            ensure!(answer.whole && answer.head.one("Date").is_some(), "not complete");
            Ok(())
        }),
        gateway(
            "P2",
            "no child process inherits a descriptor of the response or the body",
            "descriptors",
        )
        .expect(|answer| answer.status(200)?.body("own: True, shared: \n").map(drop)),
    ]
}

/// RFC 3875 6.2.2 to 6.2.4, and what servers make of them.
fn redirects() -> Vec<Case> {
    let headers = |trap, sentence, query: &str| {
        Case::new(trap, sentence, "headers.py").get(&format!("?{query}"))
    };
    let mut cases: Vec<_> = [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ]
    .iter()
    .map(|status| {
        let query = format!(
            "status={}&h=Location:http://other.example/x%23y&body=moved",
            status.replace(' ', "+")
        );
        let code = status[..3].parse().unwrap_or_default();
        headers("RFC 6.2", "", &query)
            .named(format!("a client redirect with {} keeps its document", &status[..3]))
            .expect(move |answer| {
                answer.status(code)?.header("Location", "http://other.example/x#y")?;
                answer.body("moved").map(drop)
            })
    })
    .collect();
    cases.push(
        headers(
            "R9",
            "a 200 with a Location keeps its status and body under lighttpd and nginx",
            "h=Location:/elsewhere",
        )
        .on(&[Kind::Lighttpd, Kind::Nginx])
        .logs("Location")
        .expect(|answer| super::response::foreign_location(answer.status(200)?.body("ok\n")?)),
    );
    cases
}

/// R15: a line's length includes its end. `response.rs` tests 2,000 bytes on Caddy, Apache and in the shell.
fn long_lines() -> Vec<Case> {
    let line = |length: usize, sentence| {
        gateway("R15", sentence, "").get(&format!("/long_header?{length}"))
    };
    let whole = |length: usize| {
        move |answer: &Answer| {
            let found = answer.status(200)?.head.one("X-Long").map(<[u8]>::len);
            ensure!(found == Some(length - 10), "X-Long has {found:?} bytes");
            Ok(())
        }
    };
    vec![
        line(1000, "a header line of 1,000 bytes goes through every server").expect(whole(1000)),
        line(1000, "a header line of 1,000 bytes causes no warning").on(SHELL).drive(
            |_, exchange| {
                let log = exchange.log();
                exchange.finish()?.status(200)?.exit_code(0)?;
                let said = log.text()?;
                ensure!(said.is_empty(), "the log has: {said}");
                Ok(())
            },
        ),
        line(2000, "a header line of 2,000 bytes goes through lighttpd and nginx")
            .on(&[Kind::Lighttpd, Kind::Nginx])
            .expect(whole(2000)),
        line(8190, "a header line of 8,190 bytes goes through Apache")
            .on(APACHE)
            .expect(whole(8190)),
        line(
            9000,
            "a header line of 9,000 bytes is refused by Go's CGI host, and named in the log",
        )
        .on(&[Kind::Caddy])
        .logs("X-Long")
        .expect(|answer| answer.status(500).map(drop)),
        line(
            9000,
            "a header line of 9,000 bytes goes through nginx and lighttpd, and is named in the log",
        )
        .on(&[Kind::Lighttpd, Kind::Nginx, Kind::Shell])
        .logs("X-Long")
        .expect(whole(9000)),
    ]
}
