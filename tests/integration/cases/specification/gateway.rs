//! What PEP 3333 requires of a server or gateway. `gateway.py` relies on one promise for each path; `mistakes.py`
//! breaks one rule for applications for each path.

use anyhow::{Context, Result, ensure};

use crate::harness::exchange::Answer;
use crate::harness::http::{Body, Request};
use crate::harness::server::Kind;
use crate::harness::table::{Case, SHELL};

const PEP: &str = "PEP 3333";

fn promise(sentence: &'static str, name: &str) -> Case {
    Case::new(PEP, sentence, "/gateway.py").get(&format!("/{name}"))
}

fn answers(sentence: &'static str, name: &str, body: &'static str) -> Case {
    promise(sentence, name)
        .expect(move |answer| answer.status(200)?.exit_code(0)?.body(body).map(drop))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = of_the_environ();
    cases.extend(streams());
    cases.extend(start_response());
    cases.extend(refused());
    cases.extend(iterables());
    cases.extend(files());
    cases
}

fn of_the_environ() -> Vec<Case> {
    let url = |sentence, target: &'static str, path: &'static str| {
        promise(sentence, "").get(target).drive(move |scene, exchange| {
            let answer = exchange.finish()?;
            let url = answer.status(200)?.text();
            let at = url.find("/case/").context("no URL of a case")?;
            let expected = format!("{}{path}\n", scene.mount.prefix);
            ensure!(url[at..] == expected, "{url:?} does not end with {expected:?}");
            ensure!(url.starts_with("http://"), "{url:?} has another scheme");
            match scene.world.server(scene.kind)?.address() {
                Some(address) => {
                    ensure!(url[7..at] == address.to_string(), "{url:?} is not at {address}");
                }
                None => ensure!(&url[7..at] == "localhost:8080", "{url:?} is elsewhere"),
            }
            Ok(())
        })
    };
    vec![
        answers(
            "the application is called with two positional arguments",
            "positional",
            "2 positional, 0 by keyword\n",
        ),
        answers(
            "the application may change its environ in every way",
            "environ_is_its_own",
            "changed in every way\n",
        ),
        url("the request's URL can be reconstructed", "/url?a=%20b", "/url?a=%20b"),
        url(
            "the request's URL can be reconstructed for a path with encoded characters",
            "/url/caf%c3%a9/%ff%20x%3f",
            "/url/caf%C3%A9/%FF%20x%3F",
        ),
    ]
}

fn streams() -> Vec<Case> {
    let empty = "[b'', b'', b'', b'', b'', [], [], [], b'', b'']\n";
    let upload = |target: &str, body: &str| Request::post(target, body);
    vec![
        promise("wsgi.errors accepts any text, and each line is in the server's log", "errors")
            .logs("written with an ")
            .logs("a lone surrogate ")
            .logs("udcff in two lines")
            .logs("at once")
            .expect(|answer| {
                answer
                    .status(200)?
                    .exit_code(0)?
                    .body("writes str: True\nrefuses bytes\n")
                    .map(drop)
            }),
        promise("text that is not ASCII is UTF-8 in the server's log", "errors")
            .except(Kind::ApacheCgi, "Apache 2.4.71's mod_cgi escapes each byte of it")
            .logs("written with an é, a € and a 🐍")
            .expect(|answer| answer.status(200).map(drop)),
        promise("wsgi.input returns empty values at its end, however often it is read", "")
            .request(upload("/input_after_its_end", "whole"))
            .expect(move |answer| answer.status(200)?.body(format!("b'whole' {empty}")).map(drop)),
        promise(
            "wsgi.input of a request without a body returns empty values",
            "input_after_its_end",
        )
        .expect(move |answer| answer.status(200)?.body(format!("b'' {empty}")).map(drop)),
        promise("wsgi.input returns bytes and changes no line end", "")
            .request(upload("/input_is_bytes", "\r\n\ra\nb\r\nc\n\r\n\0\x1a"))
            .expect(|answer| {
                let pieces = r"[b'\r\n', b'\ra\n', b'b\r\n', b'c\n', b'\r\n\x00\x1a']";
                answer.status(200)?.body(format!("{pieces}\n")).map(drop)
            }),
        promise("an application may leave its input unread", "")
            .request(upload("/input_unread", "not read"))
            .expect(|answer| {
                answer.status(200)?.exit_code(0)?.body("nothing was read\n").map(drop)
            }),
        promise("an upload that expects a 100 Continue arrives whole", "")
            .request(upload("/method", "continued").header("Expect", "100-continue"))
            .expect(|answer| answer.status(200)?.body("POST b'continued'\n").map(drop)),
        promise("a chunked upload that expects a 100 Continue arrives whole", "")
            .request(
                Request::new("POST", "/method")
                    .header("Expect", "100-continue")
                    .body(Body::Chunked(vec![b"conti".to_vec(), b"nued".to_vec()])),
            )
            .expect(|answer| answer.status(200)?.body("POST b'continued'\n").map(drop)),
    ]
}

fn start_response() -> Vec<Case> {
    vec![
        answers(
            "start_response returns write(), and the caller may change the header list afterwards",
            "header_list_is_the_servers",
            "write is callable: True\n",
        ),
        answers(
            "start_response keeps no reference to exc_info",
            "no_reference_to_exc_info",
            "the exception is gone\n",
        ),
        promise("the head is not sent for empty chunks", "empty_chunks_then_replace")
            .expect(|answer| answer.status(500)?.exit_code(0)?.body("the replacement\n").map(drop)),
        promise(
            "exc_info after the head is raised again with its traceback",
            "reraised_with_its_traceback",
        )
        .logs("in the_frame_where_it_began")
        .logs("LookupError: of the application")
        .expect(|answer| answer.status(200)?.exit_code(1)?.body("sent\n").map(drop)),
        answers(
            "the data of write() and what is returned arrive in this order",
            "several_and_returned",
            "written, twice, and returned\n",
        ),
        promise("write() past the Content-Length is cut there", "write_beyond_the_length")
            .except(
                Kind::Lighttpd,
                "lighttpd 1.4.69 ends the program with the last byte, before it can warn",
            )
            .logs("Content-Length")
            .expect(|answer| answer.status(200)?.exit_code(0)?.body("four").map(drop)),
        promise("every letter of latin-1 is sent as its byte", "all_latin_1").expect(|answer| {
            let letters: Vec<u8> = (0x80..=0xff).collect();
            let found = answer.status(200)?.head.one("X-All");
            ensure!(found == Some(letters.as_slice()), "X-All is {found:?}");
            Ok(())
        }),
    ]
}

/// (path of `mistakes.py`, what it is, what the exception says)
const REFUSED: &[(&str, &str, &str)] = &[
    ("status-int", "a status that is a number", "TypeError: the status must be a str"),
    ("status-bytes", "a status in bytes", "TypeError: the status must be a str"),
    (
        "status-words",
        "a status without a number",
        "ValueError: the status \"OK\" is not three digits",
    ),
    ("status-wide", "a status outside latin-1", "ValueError: the status, '200 €', has characters"),
    (
        "status-line-end",
        "a status with a line end",
        "ValueError: the status \"200 OK\\r\\n\" contains",
    ),
    ("headers-none", "None for the headers", "TypeError: the headers must be a list"),
    ("headers-tuple", "a tuple of headers", "TypeError: the headers must be a list"),
    ("headers-dict", "a dict of headers", "TypeError: the headers must be a list"),
    ("headers-generator", "a generator of headers", "TypeError: the headers must be a list"),
    ("header-list", "a header that is a list", "TypeError: header 1 is ['X-A', '1'], not a"),
    ("header-string", "a header that is a string", "TypeError: header 1 is 'X-A: 1', not a"),
    ("header-triple", "a header of three parts", "TypeError: header 1 is ('X-A', '1', '2'), not a"),
    ("name-bytes", "a header name in bytes", "TypeError: a header name must be a str, not b'X-A'"),
    ("name-colon", "a header name with its colon", "ValueError: the header name \"X-A:\" is not"),
    ("name-wide", "a header name outside latin-1", "ValueError: a header name, 'X-€', has"),
    ("value-bytes", "a header value in bytes", "TypeError: the value of a header must be a str"),
    (
        "value-int",
        "a header value that is a number",
        "TypeError: the value of a header must be a str",
    ),
    ("value-none", "a header value that is None", "TypeError: the value of a header must be a str"),
    (
        "value-wide",
        "a header value outside latin-1",
        "ValueError: the value of a header, '10 €', has",
    ),
    ("one-argument", "start_response with one argument", "TypeError: "),
    ("four-arguments", "start_response with four arguments", "TypeError: "),
    ("keywords", "start_response with keyword arguments", "TypeError: "),
    ("write-text", "text for write()", "TypeError: write() takes bytes, not a str"),
];

fn refused() -> Vec<Case> {
    let mistake =
        |sentence, name: &str| Case::new(PEP, sentence, "/mistakes.py").get(&format!("/{name}"));
    let refused = REFUSED.iter().map(|(name, what, _)| {
        mistake("", name).named(format!("{what} raises an exception at the call")).expect(
            move |answer| {
                answer.status(200)?.exit_code(0)?.no_header("X-A")?;
                answer.contains("Error: ").map(drop)
            },
        )
    });
    let told = Case::new("R11", "the exception names what start_response refuses", "/mistakes.py")
        .get(&format!("/{}", REFUSED[0].0))
        .on(SHELL)
        .drive(|scene, exchange| {
            exchange.finish()?.status(200)?;
            let server = scene.world.server(scene.kind)?;
            for (name, _, said) in REFUSED {
                let request = Request::get(format!("/{name}"));
                let text = server.begin(scene.mount, &request)?.finish()?.text();
                ensure!(text.starts_with(said), "{name} is {text:?}, not {said:?}");
            }
            Ok(())
        });
    let listed = |answer: &Answer, expected: &str| -> Result<()> {
        answer.status(200)?.exit_code(0)?.body(format!("{expected}\n")).map(drop)
    };
    let others = [
        mistake(
            "start_response cannot be called again after a call that was refused",
            "after-an-error",
        )
        .expect(|answer| answer.status(200)?.contains("RuntimeError: start_response").map(drop)),
        mistake(
            "each control character but TAB is refused in a header's value",
            "value-characters",
        )
        .expect(move |answer| {
            let controls = (0..0x20).chain([0x7f]).filter(|code| *code != 0x09);
            listed(answer, &hexadecimal(controls))
        }),
        mistake(
            "each character that is not allowed in a token is refused in a header's name",
            "name-characters",
        )
        .expect(move |answer| {
            let token =
                |code: &u8| code.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(code);
            listed(answer, &hexadecimal((0..=255).filter(|code| !token(code))))
        }),
        mistake("each hop-by-hop header is refused, in upper and lower case", "hop-by-hop").expect(
            move |answer| {
                listed(
                    answer,
                    "Connection Keep-Alive Proxy-Authenticate Proxy-Authorization TE Trailers \
                     Transfer-Encoding Upgrade upgrade",
                )
            },
        ),
    ];
    refused.chain([told]).chain(others).collect()
}

fn hexadecimal(codes: impl Iterator<Item = u8>) -> String {
    codes.map(|code| format!("{code:02x}")).collect::<Vec<_>>().join(" ")
}

fn iterables() -> Vec<Case> {
    vec![
        answers("an iterator without close() is an iterable", "iterators", "one\ntwo\n"),
        answers("an object with __getitem__ alone is an iterable", "indexed", "one\ntwo\n"),
        answers(
            "start_response may be called by the first iteration",
            "itself",
            "started while iterating\n",
        ),
        promise("only close() of the iterable's attributes is used", "watched")
            .logs("closed it")
            .drive(|scene, exchange| {
                let log = exchange.log();
                exchange.finish()?.status(200)?.body("a chunk\n")?;
                log.wait_for("closed it")?;
                let said = log.text()?;
                ensure!(!said.contains("asked for"), "on {}: {said}", scene.kind.name());
                Ok(())
            }),
        promise("bytes are sent unchanged, line ends included", "exact_bytes").expect(|answer| {
            let all: Vec<u8> = (0..=255).chain(*b"\n\r\n\r\r\n\0\x1a").collect();
            answer.status(200)?.exit_code(0)?.body(all).map(drop)
        }),
        promise(
            "iteration ends at the Content-Length, and close() is called",
            "longer_than_declared",
        )
        .logs("closed after 2 chunks")
        .expect(|answer| answer.status(200)?.body("fourfo").map(drop)),
        promise("an error in close() is in the log", "closed_badly")
            .logs("RuntimeError: close() itself failed")
            .expect(|answer| answer.status(200)?.exit_code(1)?.body("sent\n").map(drop)),
    ]
}

fn files() -> Vec<Case> {
    vec![
        answers(
            "wsgi.file_wrapper accepts any object with read()",
            "wraps_anything",
            "read in blocks\n",
        ),
        answers("wsgi.file_wrapper closes what it wraps", "wrapper_closes", "and closed\n")
            .logs("the file-like object was closed"),
        answers(
            "wsgi.file_wrapper sends nothing until it is returned",
            "wrapper_not_returned",
            "0 bytes were taken, then 100, and closed: True\n",
        ),
        promise("wsgi.file_wrapper ends at the Content-Length", "wrapper_within_the_length")
            .logs("Content-Length")
            .expect(|answer| answer.status(200)?.body("What PEP ").map(drop)),
    ]
}
