//! Requests as large and as unusual as servers accept, and visitors who disconnect in the middle.

use std::fs;

use anyhow::ensure;

use super::listed;
use crate::harness::http::Request;
use crate::harness::process::{PATIENCE, until};
use crate::harness::server::Kind;
use crate::harness::table::{APACHE, Case};

/// The servers whose limits on a request's head the tests raise, and Caddy, which accepts a megabyte.
const LARGE_HEADS: &[Kind] =
    &[Kind::Shell, Kind::Caddy, Kind::ApacheCgid, Kind::ApacheCgi, Kind::ApacheAction];

/// The servers that start the program while the upload is in progress. nginx and lighttpd read the whole upload first,
/// and start no program if the visitor disconnects before its end.
const UPLOADS_AT_ONCE: &[Kind] =
    &[Kind::Caddy, Kind::ApacheCgid, Kind::ApacheCgi, Kind::ApacheAction];

pub(crate) fn cases() -> Vec<Case> {
    let many = (0..1000).fold(Request::get(""), |request, number| {
        request.header(&format!("X-Header-{number}"), format!("value {number}"))
    });
    let cookie = format!("large={}", "c".repeat(64 << 10));
    let upload: Vec<u8> = (0..=250).cycle().take(1 << 20).collect();
    vec![
        Case::new("E12", "X_U and X-U together are one variable", "show_environ.py")
            .request(Request::get("").header("X_U", "underscore").header("X-U", "dash"))
            .expect(|answer| {
                let body = answer.status(200)?.text();
                let found: Vec<_> =
                    body.lines().filter(|line| line.starts_with("HTTP_X_U=")).collect();
                ensure!(found.len() == 1, "{found:?}");
                Ok(())
            }),
        Case::new("E1", "a thousand headers arrive", "show_environ.py")
            .on(LARGE_HEADS)
            .request(many)
            .expect(|answer| {
                answer.status(200)?;
                (0..1000).try_for_each(|number| {
                    listed(answer, format!("HTTP_X_HEADER_{number}=value {number}"))
                })
            }),
        Case::new("E1", "a cookie of 64 KiB arrives", "show_environ.py")
            .on(LARGE_HEADS)
            .request(Request::get("").header("Cookie", &cookie))
            .expect(move |answer| {
                answer.status(200)?;
                listed(answer, format!("HTTP_COOKIE={cookie}"))
            }),
        Case::new(
            "R13",
            "a visitor who disconnects in the middle of an upload ends the request",
            "/upload_marker.py",
        )
        .variable("MARKER", "{own}/marker")
        .on(UPLOADS_AT_ONCE)
        // The body is announced, but never sent.
        .request(Request::new("POST", "").header("Content-Length", "5000000"))
        .drive(|scene, exchange| {
            let marker = scene.variable("MARKER")?;
            let says = |wanted: &'static str| {
                until(PATIENCE, wanted, || {
                    let text = fs::read_to_string(&marker).unwrap_or_default();
                    Ok(Some(text).filter(|text| text.contains(wanted)))
                })
            };
            says("began")?;
            exchange.hang_up();
            let text = says("ended: ")?;
            let expected = ["began\nended: OSError\n", "began\nended: SystemExit\n"];
            ensure!(expected.contains(&text.as_str()), "the marker has {text:?}");
            Ok(())
        }),
        Case::new(
            "B8",
            "no byte is lost when signals interrupt reading and writing",
            "/interrupted.py",
        )
        .request(Request::post("", upload.clone()))
        .expect(move |answer| {
            let body = &answer.status(200)?.body;
            ensure!(body.len() == 8 * upload.len(), "{} bytes", body.len());
            ensure!(
                body.chunks(upload.len()).all(|part| part == upload),
                "the parts of the body differ"
            );
            Ok(())
        }),
        Case::script(
            "RFC 5",
            "a script whose name begins with nph- writes the whole HTTP response",
            "nph-hello.wsgi",
        )
        .on(APACHE)
        .expect(|answer| {
            answer.status(299)?.header("X-Through", "yes")?.body("not parsed\n")?;
            ensure!(answer.head.reason == "As It Is", "Apache has parsed it");
            answer.no_header("Server").map(drop)
        }),
    ]
}
