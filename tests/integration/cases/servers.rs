//! Peculiarities of single servers, each seen with the version that is named, and what the application must find in
//! spite of them.

use std::fs;

use anyhow::ensure;

use super::process::{WHOSE, is_refused};
use super::{absent, environ, listed};
use crate::harness::http::Request;
use crate::harness::process::{PATIENCE, until};
use crate::harness::server::Kind;
use crate::harness::table::{APACHE, Case, WEB_SERVERS};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = variables();
    cases.extend(mounts());
    cases.extend(queries());
    cases.extend(files());
    cases.push(ended_with_the_last_byte());
    cases
}

/// lighttpd 1.4.69 sends SIGTERM as soon as it has received all bytes of the `Content-Length`.
fn ended_with_the_last_byte() -> Case {
    const TIMES: usize = 30;
    let sentence = "lighttpd's SIGTERM after the last byte is not logged and interrupts nothing";
    Case::new("R13", sentence, "background.py")
        .variable("MARKER", "{own}/marker")
        .on(&[Kind::Lighttpd])
        // A row that reads the log runs alone.
        .logs("")
        .drive(|scene, exchange| {
            let log = exchange.log();
            exchange.finish()?.status(200)?;
            let server = scene.world.server(scene.kind)?;
            for _ in 1..TIMES {
                server.begin(scene.mount, &Request::get(""))?.finish()?.status(200)?;
            }
            let marker = scene.variable("MARKER")?;
            // The atexit handler runs after all that could write to the log.
            until(PATIENCE, "all atexit handlers", || {
                let said = fs::read_to_string(&marker).unwrap_or_default();
                Ok((said.matches("atexit\n").count() == TIMES).then_some(()))
            })?;
            let said = log.text()?;
            ensure!(said.is_empty(), "the log says: {said}");
            Ok(())
        })
}

fn variables() -> Vec<Case> {
    let host = |sentence, line: &'static str| {
        environ("E5", sentence)
            .request(Request::get("").header("Host", "site.example:8080"))
            .on(&[Kind::Nginx])
            .expect(move |answer| listed(answer, line))
    };
    vec![
        // nginx 1.22 sends SERVER_NAME="" where no server_name is configured.
        host("nginx's empty SERVER_NAME is taken from the Host header", "SERVER_NAME=site.example"),
        // Debian's fastcgi_params of 1.22.1-9+deb12u10 leave the port out.
        host("HTTP_HOST has the port that the client sent", "HTTP_HOST=site.example:8080"),
        // nginx's own fastcgi_params set REMOTE_USER to a name whose password was not checked.
        environ("RFC 4.1.11", "a user name whose password was not checked is not in REMOTE_USER")
            .request(Request::get("").header("Authorization", "Basic dTpw"))
            .on(WEB_SERVERS)
            .expect(|answer| {
                answer.status(200)?;
                absent(answer, "REMOTE_USER")?;
                absent(answer, "AUTH_TYPE")
            }),
        environ(
            "E8",
            "lighttpd gives a GET a CONTENT_LENGTH of 0, but no CONTENT_TYPE or REMOTE_USER",
        )
        .on(&[Kind::Lighttpd])
        .expect(|answer| {
            listed(answer, "CONTENT_LENGTH=0")?;
            ["CONTENT_TYPE", "REMOTE_USER"].iter().try_for_each(|name| absent(answer, name))
        }),
    ]
}

/// lighttpd 1.4.69 sends `REDIRECT_STATUS=200`, and both servers leave `REQUEST_URI` as the client sent it. `auto`
/// still finds the right root.
fn mounts() -> Vec<Case> {
    let auto = |sentence, target: &str, path: &'static str| {
        environ("E17", sentence)
            .variable("CGI2WSGI_MOUNT", "auto")
            .get(target)
            .on(&[Kind::Lighttpd, Kind::Nginx])
            .expect(move |answer| {
                answer.status(200)?;
                listed(answer, format!("PATH_INFO={path}"))?;
                let root = answer.text();
                let root = root.lines().find_map(|line| line.strip_prefix("SCRIPT_NAME="));
                ensure!(
                    root.is_some_and(|root| root.starts_with("/case/") && !root[6..].contains('/')),
                    "SCRIPT_NAME is {root:?}"
                );
                Ok(())
            })
    };
    vec![
        auto(
            "--mount auto keeps the SCRIPT_NAME and PATH_INFO of lighttpd and nginx",
            "/foo",
            "/foo",
        ),
        auto("--mount auto keeps SCRIPT_NAME and PATH_INFO at the mount itself", "?a=1", ""),
        auto(
            "--mount auto keeps SCRIPT_NAME and PATH_INFO where the server has normalized the path",
            "/a/../b//c",
            "/b/c",
        ),
        environ("E4", "a URL that only begins with the mount's name is outside the mount")
            .get("-python")
            // On these servers the Django site at the root answers what no other mount does. It has no such page.
            .on(&[Kind::Caddy, Kind::Lighttpd, Kind::Nginx])
            .expect(|answer| answer.status(404)?.lacks("PATH_INFO=").map(drop)),
    ]
}

/// Apache turns these into arguments, as `apache_sites.rs` shows.
fn queries() -> Vec<Case> {
    let queries = ["-h", "--help", "%2d%2dversion", "--verbose", "-d+x%3d1", "os:system", "wsdl"];
    let case = |case: Case, query: &str, sentence: String| {
        let line = format!("QUERY_STRING={query}");
        case.named(sentence).get(&format!("/?{query}")).on(APACHE).expect(move |answer| {
            answer.status(200)?.exit_code(0)?;
            listed(answer, &line)?;
            listed(answer, "PATH_INFO=/")
        })
    };
    let alias = queries.iter().map(|query| {
        let sentence = format!("the query ?{query} reaches the application and nothing else");
        case(environ("P1", ""), query, sentence)
    });
    let script = queries.iter().map(|query| {
        let sentence = format!("the query ?{query} reaches a script with a #! line as it is");
        case(Case::script("P1", "", "show_environ.py"), query, sentence)
    });
    let refused = case(environ("P1", ""), "--debug", "the query ?--debug is refused".to_owned())
        .logs(WHOSE)
        .expect(is_refused);
    let debug = "the query ?--debug reaches a script with a #! line as it is".to_owned();
    let debug = case(Case::script("P1", "", "show_environ.py"), "--debug", debug);
    alias.chain(script).chain([refused, debug]).collect()
}

/// Under `Action` the path after the file's URL is the application's, whatever Apache 2.4.71 puts into
/// `PATH_TRANSLATED`.
fn files() -> Vec<Case> {
    let paths: &[(&str, &[u8])] = &[
        ("", b""),
        ("/", b"/"),
        ("/a%2Fb%20c/", b"/a%2Fb c/"),
        ("/%ff%3f%23%25/%e9;x=1", b"/\xff?#%/\xe9;x=1"),
        ("//a//b", b"/a/b"),
        ("/a/../b/./other.wsgi/c", b"/b/other.wsgi/c"),
    ];
    let case = |(target, path): &(&str, &'static [u8])| {
        let path = *path;
        environ("E17", "")
            .named(format!("SCRIPT_NAME is the file's URL where {target:?} follows it"))
            .get(target)
            .on(&[Kind::ApacheAction])
            .expect(move |answer| {
                answer.status(200)?;
                listed(answer, [b"PATH_INFO=", path].concat())?;
                let root = answer.text();
                let root = root.lines().find_map(|line| line.strip_prefix("SCRIPT_NAME="));
                anyhow::ensure!(
                    root.is_some_and(
                        |root| root.starts_with("/case/e17-") && !root[6..].contains('/')
                    ),
                    "SCRIPT_NAME is {root:?}"
                );
                Ok(())
            })
    };
    paths.iter().map(case).collect()
}
