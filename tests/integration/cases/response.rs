//! The response: its head (R1 to R5, R8, R9, R15), its body and how it is sent (R6, R7, R10 to R13, R16, R18).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::failures::FAILED;
use crate::harness::exchange::Answer;
use crate::harness::http::Request;
use crate::harness::process::{End, PATIENCE, until};
use crate::harness::server::Kind;
use crate::harness::stage::DOWNLOAD_SIZE;
use crate::harness::table::{APACHE, Case, SHELL, Scene, VERBATIM};

const COUNTED: &str = "Apache 2.4.71 replaces the length by the number of bytes where the whole response arrives at once";
const OWN_REASON: &str = "lighttpd 1.4.69 writes its own reason phrases";
const CONTROL_CHARACTERS: &str =
    "lighttpd 1.4.69 answers a query with %00 to %1f in it with 400 and starts no program";

fn headers(trap: &'static str, sentence: &'static str, query: &str) -> Case {
    Case::new(trap, sentence, "headers.py").get(&format!("?{query}"))
}

/// The bridge refuses what the application asks for with an exception, which `headers.py` names in its answer.
fn refuses(trap: &'static str, sentence: &'static str, query: &str) -> Case {
    headers(trap, sentence, &format!("catch=1&{query}")).expect(|answer| {
        answer.status(200)?.no_header("X-Injected")?.no_header("Set-Cookie")?;
        ensure!(answer.text().contains("Error: "), "start_response raised nothing");
        Ok(())
    })
}

pub(crate) fn head_cases() -> Vec<Case> {
    let mut cases = vec![
        headers(
            "R1",
            "the application's status and reason phrase are sent",
            "status=418+Short+and+stout",
        )
        .on(VERBATIM)
        .except(Kind::Lighttpd, OWN_REASON)
        .expect(|answer| {
            ensure!(
                answer.status(418)?.head.reason == "Short and stout",
                "the reason phrase is {:?}",
                answer.head.reason
            );
            Ok(())
        }),
        headers("R1", "a missing reason phrase is supplied", "status=404").on(VERBATIM).expect(
            |answer| {
                ensure!(
                    answer.status(404)?.head.reason == "Not Found",
                    "the reason phrase is {:?}",
                    answer.head.reason
                );
                Ok(())
            },
        ),
        headers("R1", "an error status from the application is sent unchanged", "status=503+Busy")
            .expect(|answer| answer.status(503)?.exit_code(0)?.body("ok\n").map(drop)),
        refuses("R1", "a final 1xx status is refused", "status=101+Switching"),
        refuses("R1", "a status of two digits is refused", "status=20+OK"),
        refuses("R1", "a status of 600 is refused", "status=600+Beyond"),
        refuses("R3", "a line break in the status is refused", "status=200+OK%0d%0aX-Injected:+1")
            .except(Kind::Lighttpd, CONTROL_CHARACTERS),
        refuses("R3", "a line break in a header's value is refused", "h=X-A:1%0d%0aX-Injected:+1")
            .except(Kind::Lighttpd, CONTROL_CHARACTERS),
        refuses("R3", "a bare line feed in a header's value is refused", "h=X-A:1%0aX-Injected:+1")
            .except(Kind::Lighttpd, CONTROL_CHARACTERS),
        refuses("R3", "a null byte in a header's value is refused", "h=X-A:1%00")
            .except(Kind::Lighttpd, CONTROL_CHARACTERS),
        refuses("R3", "a space in a header's name is refused", "h=X+Injected:1"),
        refuses("R3", "an empty header name is refused", "h=:1"),
        refuses("R3", "a line break in a header's name is refused", "h=X-A%0d%0aX-Injected:1")
            .except(Kind::Lighttpd, CONTROL_CHARACTERS),
        refuses("R3", "python -O does not switch the checks off", "h=X-A:1%0d%0aX-Injected:+1")
            .variable("PYTHONOPTIMIZE", "2")
            .except(Kind::Lighttpd, CONTROL_CHARACTERS),
        refuses("R4", "a Status header from the application is refused", "h=Status:500+No"),
        refuses(
            "R4",
            "Transfer-Encoding from the application is refused",
            "h=Transfer-Encoding:chunked",
        ),
        refuses("R4", "Connection from the application is refused", "h=Connection:close"),
        Case::new(
            "R3",
            "a header value that would inject another header is a 500",
            "failures/bad_header.py",
        )
        .logs("X-Visitor")
        .expect(|answer| {
            answer.status(500)?.exit_code(1)?.no_header("Set-Cookie")?.lacks("injected")?;
            answer.contains(FAILED).map(drop)
        }),
        headers("R3", "a tab and latin-1 letters in a header's value are sent", "h=X-A:a%09b%e9")
            .on(VERBATIM)
            .except(Kind::Lighttpd, CONTROL_CHARACTERS)
            .expect(|answer| {
                ensure!(answer.status(200)?.head.one("X-A") == Some(b"a\tb\xe9"), "X-A is changed");
                Ok(())
            }),
        headers(
            "R5",
            "several Set-Cookie headers keep their order",
            "h=Set-Cookie:a=1&h=Set-Cookie:b=2&h=Set-Cookie:a=3",
        )
        .expect(|answer| {
            let cookies = answer.head.all("Set-Cookie");
            ensure!(cookies == [b"a=1", b"b=2", b"a=3"], "the cookies are {cookies:?}");
            Ok(())
        }),
        headers("R5", "headers keep their order and spelling", "h=X-b:1&h=x-A:2&h=X-b:3")
            .on(SHELL)
            .expect(|answer| {
                let fields = answer.head.headers.iter();
                let own: Vec<_> =
                    fields.filter(|(name, _)| name.to_lowercase().starts_with("x-")).collect();
                let names: Vec<_> = own.iter().map(|(name, _)| name.as_str()).collect();
                ensure!(names == ["X-b", "x-A", "X-b"], "the headers are {names:?}");
                Ok(())
            }),
        headers("R8", "a missing Content-Type is a warning in the log", "noct=1")
            .logs("Content-Type")
            .expect(|answer| answer.status(200)?.exit_code(0)?.body("ok\n").map(drop)),
    ];
    cases.extend(locations());
    cases.extend(long_header());
    cases
}

/// The headers and the body that a status allows.
fn locations() -> Vec<Case> {
    vec![
        headers("R9", "a 200 with a Location keeps its body", "h=Location:/elsewhere")
            .on(&[Kind::Shell, Kind::Caddy])
            .logs("Location")
            .expect(|answer| foreign_location(answer.status(200)?.body("ok\n")?)),
        headers(
            "R9",
            "a 200 with a Location redirects the client, and is no internal redirect of Apache",
            "h=Location:/elsewhere",
        )
        .on(APACHE)
        .logs("Location")
        .expect(|answer| foreign_location(answer.status(302)?)),
        headers("R19", "the Location of a 200 never has the host that the client sent", "")
            .request(Request::get("?h=Location:/elsewhere").header("Host", "evil.example"))
            .logs("Location")
            .expect(|answer| {
                let text = answer.summary();
                ensure!(!text.contains("evil.example"), "the answer has the client's host: {text}");
                foreign_location(answer)
            }),
        headers(
            "R7",
            "spaces around the value of Content-Length are ignored",
            "h=Content-Length:+2+",
        )
        .expect(|answer| answer.status(200)?.exit_code(0)?.body("ok").map(drop)),
        headers("R19", "a 205 has no body", "status=205+Reset+Content")
            .expect(|answer| answer.status(205)?.exit_code(0)?.body("").map(drop)),
        headers(
            "R9",
            "a 302 with a path is sent unchanged",
            "status=302+Found&h=Location:/elsewhere",
        )
        .expect(|answer| answer.status(302)?.header("Location", "/elsewhere").map(drop)),
    ]
}

/// The Location is `/elsewhere`, in a form that no server takes for one of its own pages.
pub(super) fn foreign_location(answer: &Answer) -> Result<()> {
    let location = answer.head.one("Location").context("no Location")?;
    let rest = location.strip_prefix(b"./").context("the Location is not relative")?;
    let up = rest.strip_suffix(b"elsewhere").context("the Location does not end with elsewhere")?;
    ensure!(up == b"../".repeat(up.len() / 3), "the Location is {}", location.escape_ascii());
    Ok(())
}

/// Each server has its own limit for a header line.
fn long_header() -> [Case; 4] {
    let line = |sentence| headers("R15", sentence, &format!("h=X-Long:{}", "a".repeat(2000)));
    let whole = |answer: &Answer| {
        let length = answer.status(200)?.head.one("X-Long").map(<[u8]>::len);
        ensure!(length == Some(2000), "X-Long has {length:?} bytes");
        Ok(())
    };
    [
        line("a header line that Go's CGI host refuses is named in the log")
            .on(&[Kind::Caddy])
            .logs("X-Long")
            .expect(|answer| answer.status(500).map(drop)),
        line("a header line of 2,000 bytes is a warning where the server is unknown")
            .on(SHELL)
            .logs("X-Long")
            .expect(whole),
        line("a header line of 2,000 bytes goes through Apache").on(APACHE).expect(whole),
        Case::new("R15", "a header line that Apache refuses is named in the log", "/responses.py")
            .get("/a_very_long_header")
            .on(APACHE)
            .logs("X-Long")
            .expect(|answer| answer.status(500).map(drop)),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = lengths();
    cases.extend(start_response());
    cases.extend(streams());
    cases.extend(closing());
    cases
}

fn lengths() -> Vec<Case> {
    let marked = |trap, sentence, method: &str| {
        Case::new(trap, sentence, "close_marker.py")
            .variable("MARKER", "{own}/marker")
            .request(Request::new(method, ""))
    };
    vec![
        Case::new("R7", "a list of one element gets a Content-Length", "hello.py")
            .on(VERBATIM)
            .expect(|answer| {
                answer
                    .status(200)?
                    .header("Content-Length", "14")?
                    .body("Hello, world!\n")
                    .map(drop)
            }),
        headers(
            "R7",
            "a body longer than its Content-Length is cut there",
            "h=Content-Length:2&body=okay",
        )
        .logs("Content-Length")
        .expect(|answer| answer.status(200)?.body("ok").map(drop)),
        headers(
            "R7",
            "a body shorter than its Content-Length is a failure",
            "h=Content-Length:9&body=ok",
        )
        .logs("Content-Length")
        .except(
            Kind::Lighttpd,
            "lighttpd 1.4.69 lets the client wait for the rest until a timeout of its own",
        )
        .except(Kind::ApacheCgi, COUNTED)
        .except(Kind::ApacheCgid, COUNTED)
        .except(Kind::ApacheAction, COUNTED)
        .expect(|answer| {
            ensure!(!answer.status(200)?.exit_code(1)?.whole, "the body seems whole");
            Ok(())
        }),
        headers("R6", "HEAD has the head of GET and no body", "h=Content-Length:3")
            .request(Request::new("HEAD", "?h=Content-Length:3"))
            .expect(|answer| answer.status(200)?.header("Content-Length", "3")?.body("").map(drop)),
        marked("R6", "HEAD runs the iterable and closes it", "HEAD").drive(|scene, exchange| {
            exchange.finish()?.status(200)?.body("")?;
            closed(scene)
        }),
        headers(
            "R6",
            "204 has neither a body nor a Content-Length",
            "status=204+No+Content&h=Content-Length:3",
        )
        .expect(|answer| answer.status(204)?.no_header("Content-Length")?.body("").map(drop)),
        headers("R6", "304 has no body", "status=304+Not+Modified&h=ETag:%22a%22")
            .expect(|answer| answer.status(304)?.header("ETag", "\"a\"")?.body("").map(drop)),
        Case::new("R18", "the application's Content-Length survives Apache", "download.py")
            .variable("DOWNLOAD", "{work}/download.bin")
            .on(APACHE)
            .expect(|answer| answer.header("Content-Length", &DOWNLOAD_SIZE.to_string()).map(drop)),
    ]
}

fn start_response() -> Vec<Case> {
    let hello = |sentence, module| {
        Case::valid("PEP 3333", sentence, module)
            .expect(|answer| answer.status(200)?.exit_code(0)?.body("Hello, world!\n").map(drop))
    };
    let response = |trap, sentence, name: &str| {
        Case::new(trap, sentence, "/responses.py").get(&format!("/{name}"))
    };
    vec![
        hello("a function is an application", "hello"),
        hello("a class is an application", "hello_class"),
        hello("an instance is an application", "hello_instance"),
        Case::valid("PEP 3333", "a middleware can change what passes", "uppercase")
            .expect(|answer| answer.status(200)?.body("HELLO, WORLD!\n").map(drop)),
        Case::valid(
            "R10",
            "the data of write() is sent before what the application returns",
            "write",
        )
        .expect(|answer| answer.status(200)?.exit_code(0)?.body("written\nreturned\n").map(drop)),
        response("R10", "exc_info replaces a head that was not sent", "exc_info_before_the_head")
            .expect(|answer| answer.status(503)?.body("the replacement\n").map(drop)),
        response("R10", "exc_info may be a keyword argument", "exc_info_by_keyword")
            .expect(|answer| answer.status(503)?.body("the replacement\n").map(drop)),
        response(
            "R10",
            "exc_info after the head raises the error again",
            "exc_info_after_the_head",
        )
        .logs("noticed too late")
        .expect(|answer| answer.status(200)?.exit_code(1)?.body("sent\n").map(drop)),
        response(
            "R10",
            "start_response twice without exc_info is an error",
            "start_response_twice",
        )
        .logs("start_response")
        .expect(|answer| answer.status(500)?.exit_code(1)?.lacks("never sent").map(drop)),
        response(
            "R10",
            "the head waits for the first chunk that is not empty",
            "empty_chunks_first",
        )
        .expect(|answer| answer.status(202)?.exit_code(0)?.body("at last\n").map(drop)),
        response(
            "R10",
            "a change of the header list after start_response has no effect",
            "headers_changed_later",
        )
        .expect(|answer| answer.status(200)?.no_header("X-Late").map(drop)),
        response(
            "R10",
            "an error after start_response and before the body is a 500",
            "raises_after_start_response",
        )
        .logs("failed after start_response")
        .expect(|answer| answer.status(500)?.exit_code(1).map(drop)),
        response("R10", "an empty iterable is an empty body", "nothing_at_all")
            .expect(|answer| answer.status(200)?.exit_code(0)?.body("").map(drop)),
        response("R11", "a chunk before start_response is a 500", "head_never_started")
            .logs("start_response")
            .expect(|answer| answer.status(500)?.lacks("without a head").map(drop)),
    ]
}

fn streams() -> Vec<Case> {
    vec![
        Case::valid("R12", "a generator's chunks arrive in order", "stream").get("?n=3").expect(
            |answer| {
                answer.status(200)?.exit_code(0)?.body("chunk 1\nchunk 2\nchunk 3\n").map(drop)
            },
        ),
        Case::valid("R12", "each chunk is delivered before the next is asked for", "stream")
            .variable("STREAM_DIR", "{own}")
            .get("?n=4&wait=")
            .drive(|scene, mut exchange| {
                let gates = scene.variable("STREAM_DIR")?;
                for number in 1..=4 {
                    exchange.body_until(format!("chunk {number}\n").as_bytes())?;
                    let gate = Path::new(&gates).join(number.to_string());
                    fs::write(gate, "").context("cannot open a gate")?;
                }
                exchange.finish()?.exit_code(0).map(drop)
            }),
    ]
}

fn closing() -> Vec<Case> {
    let marked = |sentence, query: &str| {
        Case::new("R13", sentence, "close_marker.py").variable("MARKER", "{own}/marker").get(query)
    };
    vec![
        marked("close() is called after the last chunk", "").drive(|scene, exchange| {
            exchange.finish()?.status(200)?.body("first\nsecond\n")?;
            closed(scene)
        }),
        marked("close() is called after an error before the first chunk", "?fail=first")
            .logs("failed before the first chunk")
            .drive(|scene, exchange| {
                exchange.finish()?.status(500)?.exit_code(1)?;
                closed(scene)
            }),
        marked("close() is called after an error in the middle of the body", "?fail=mid")
            .logs("failed after the first chunk")
            .drive(|scene, exchange| {
                exchange.finish()?.status(200)?.exit_code(1)?.body("first\n")?;
                closed(scene)
            }),
        // Not under Caddy: Go kills the program at that moment.
        marked("close() is called when the visitor disconnects", "?big=2000").on(VERBATIM).drive(
            |scene, mut exchange| {
                exchange.body_until(b"xxx")?;
                let mut abandoned = exchange.hang_up();
                closed(scene)?;
                if let Some(process) = &mut abandoned.process {
                    let end = process.wait(PATIENCE)?;
                    ensure!(matches!(end, End::Code(_)), "ended with {end:?}");
                    let said = abandoned.log.text()?;
                    ensure!(said.is_empty(), "a disconnect was logged: {said}");
                }
                Ok(())
            },
        ),
        marked("close() is called on SIGTERM", "?big=2000").on(SHELL).drive(
            |scene, mut exchange| {
                exchange.body_until(b"xxx")?;
                exchange.process()?.signal(libc::SIGTERM)?;
                closed(scene)?;
                exchange.process()?.wait(PATIENCE).map(drop)
            },
        ),
        Case::new(
            "R13",
            "a program that close() starts has the default action for SIGTERM",
            "/starts_in_close.py",
        )
        .variable("MARKER", "{own}/marker")
        .drive(|scene, exchange| {
            let path = scene.variable("MARKER")?;
            exchange.finish()?.status(200)?.body("answered\n")?;
            until(PATIENCE, "the marker to show the action for SIGTERM", || {
                let said = fs::read_to_string(&path).unwrap_or_default();
                Ok((said == "SIGTERM is SIG_DFL\n").then_some(()))
            })
            .with_context(|| format!("the marker has {:?}", fs::read_to_string(&path)))
        }),
        Case::new(
            "R16",
            "an error after the head adds nothing to the body",
            "failures/raises_midway.py",
        )
        .logs("failed midway")
        .expect(|answer| answer.status(200)?.exit_code(1)?.body("the first half\n").map(drop)),
        Case::new("R16", "sys.exit() after the head adds nothing to the body", "/responses.py")
            .get("/system_exit_midway")
            .expect(|answer| answer.status(200)?.exit_code(1)?.body("half\n").map(drop)),
    ]
}

/// The iterable's `close()` was called, once.
fn closed(scene: &Scene) -> Result<()> {
    let marker = scene.variable("MARKER")?;
    // The file exists before its content is written.
    let calls = until(PATIENCE, "close()", || {
        Ok(fs::read_to_string(&marker).ok().filter(|calls| calls.ends_with('\n')))
    })?;
    ensure!(calls == "closed\n", "close() left {calls:?} in the marker");
    Ok(())
}
