//! The request body: never too much of it, never too little, and never a deadlock (B1 to B10).

use anyhow::{Context, Result, ensure};

use crate::harness::exchange::Answer;
use crate::harness::http::{Body, Request};
use crate::harness::server::Kind;
use crate::harness::table::{Case, SHELL};

/// What `upload.py` answers for [`pattern`] of a million bytes.
const MILLION: usize = 1_000_000;
const MILLION_DIGEST: &str = "2c030d49ec131bfbbb446ad21e7a2f12cdb4f2f4f3fda3ac709dd2e68a4646c7";

/// Bytes that make every loss and every shift visible.
fn pattern(size: usize) -> Vec<u8> {
    (0..=250).cycle().take(size).collect()
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = lengths();
    cases.extend(chunked());
    cases.extend(unread());
    cases.extend(methods_of_input());
    cases
}

fn lengths() -> Vec<Case> {
    let mut cases = vec![
        Case::valid("B1", "an upload ends at CONTENT_LENGTH though the pipe stays open", "upload")
            .request(Request::post("", "abc"))
            .expect(|answer| {
                let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
                answer.status(200)?.exit_code(0)?.body(format!("{digest} 3\n")).map(drop)
            }),
        Case::valid("B1", "an upload of a megabyte arrives whole", "upload")
            .request(Request::post("", pattern(MILLION)))
            .expect(whole_million),
        Case::new(
            "B9",
            "the body arrives from a server that looks like Apache and leaves stdin open",
            "read_body.py",
        )
        .with("SERVER_SOFTWARE", "Apache")
        .request(Request::post("?how=read", "four").header("Content-Encoding", "br"))
        .expect(|answer| answer.status(200)?.exit_code(0)?.body(r#"["four"]"#).map(drop)),
        Case::new("B1", "read() without a size ends at CONTENT_LENGTH", "read_body.py")
            .request(Request::post("?how=read", "four"))
            .expect(|answer| answer.status(200)?.body(r#"["four"]"#).map(drop)),
        Case::new("B1", "a body with a CONTENT_LENGTH of 0 is empty", "read_body.py")
            .request(Request::post("?how=read", ""))
            .expect(|answer| answer.status(200)?.body(r#"[""]"#).map(drop)),
        Case::new("B3", "a body that ends early is an OSError, never a whole body", "read_body.py")
            .request(
                Request::new("POST", "?how=read")
                    .body(Body::CutShort { declared: 10, bytes: b"four".to_vec() }),
            )
            .on(SHELL)
            .logs("OSError")
            .expect(|answer| answer.status(400)?.exit_code(1)?.lacks("four").map(drop)),
        Case::new(
            "B5",
            "without CONTENT_LENGTH the body is empty, and stdin is not read",
            "read_body.py",
        )
        .get("?how=read")
        .expect(|answer| answer.status(200)?.exit_code(0)?.body(r#"[""]"#).map(drop)),
    ];
    let malformed = ["-1", "+5", "1_0", "0x10", "ten", "1 2", "5,5", "18446744073709551616"];
    cases.extend(malformed.map(|length| {
        Case::new(
            "B2",
            "a malformed CONTENT_LENGTH is a 400 before the application is imported",
            "failures/raises_on_import.py",
        )
        .request(Request::post("", "abc"))
        .with("CONTENT_LENGTH", length)
        .logs("CONTENT_LENGTH")
        .named(format!(
            "a CONTENT_LENGTH of {length:?} is a 400 before the application is imported"
        ))
        .expect(|answer| answer.status(400)?.exit_code(1)?.lacks("Traceback").map(drop))
    }));
    cases
}

fn chunked() -> Vec<Case> {
    let pieces = || pattern(MILLION).chunks(70_000).map(<[u8]>::to_vec).collect();
    vec![
        Case::valid("B4", "a chunked upload is read to its end", "upload")
            .request(Request::new("POST", "").body(Body::Chunked(pieces())))
            .expect(whole_million),
        Case::new(
            "B4",
            "a chunked body has a CONTENT_LENGTH and no transfer coding",
            "show_environ.py",
        )
        .request(Request::new("POST", "").body(Body::Chunked(vec![b"ab".to_vec(), b"c".to_vec()])))
        .expect(|answer| {
            super::listed(answer, "CONTENT_LENGTH=3")?;
            super::absent(answer, "HTTP_TRANSFER_ENCODING")
        }),
        Case::new("B4", "a chunked body over --max-body is a 413", "upload.py")
            .variable("CGI2WSGI_MAX_BODY", "1000")
            .request(Request::new("POST", "").body(Body::Chunked(pieces())))
            .expect(|answer| answer.status(413).map(drop)),
        // Other servers know the length before they start the program.
        Case::new("B4", "a missing TMPDIR for a chunked body is named in the log", "upload.py")
            .variable("TMPDIR", "/nonexistent")
            .request(Request::new("POST", "").body(Body::Chunked(vec![pattern(MILLION); 3])))
            .on(&[Kind::Shell, Kind::ApacheCgid, Kind::ApacheCgi, Kind::ApacheAction])
            .logs("/nonexistent")
            .logs("TMPDIR")
            .expect(|answer| answer.status(500)?.exit_code(1).map(drop)),
    ]
}

fn unread() -> Vec<Case> {
    let upload = |size| Request::post("", pattern(size));
    vec![
        Case::valid(
            "B6",
            "an upload that the application does not read does not block a large response",
            "ignore_upload",
        )
        .request(upload(MILLION))
        .expect(|answer| answer.status(200)?.exit_code(0)?.body(vec![b'x'; 300_000]).map(drop)),
        Case::valid("B6", "an early 401 arrives in spite of a large upload", "refuse_upload")
            .request(upload(MILLION))
            .expect(|answer| {
                answer.status(401)?.header("WWW-Authenticate", "Basic realm=\"uploads\"")?;
                answer.body("Sign in first.\n").map(drop)
            }),
        Case::new("B6", "a 413 arrives in spite of a large upload", "upload.py")
            .variable("CGI2WSGI_MAX_BODY", "1000")
            .request(upload(MILLION))
            .logs("CGI2WSGI_MAX_BODY")
            .expect(|answer| answer.status(413)?.exit_code(1).map(drop)),
        Case::new("B6", "a body within --max-body is accepted", "upload.py")
            .variable("CGI2WSGI_MAX_BODY", "1000000")
            .request(upload(MILLION))
            .expect(whole_million),
        Case::new("B6", "a 500 arrives in spite of a large upload", "failures/raises_before.py")
            .request(upload(MILLION))
            .expect(|answer| answer.status(500).map(drop)),
        Case::new("B10", "an unread upload needs no disk space", "ignore_upload.py")
            .variable("TMPDIR", "/nonexistent")
            .request(upload(3 * MILLION))
            .expect(|answer| answer.status(200)?.exit_code(0)?.body(vec![b'x'; 300_000]).map(drop)),
        Case::new(
            "B6",
            "the application can read the whole body after it has begun to answer",
            "/responses.py",
        )
        .request(Request::post("/answers_before_it_reads", pattern(MILLION)))
        .expect(|answer| {
            let rest = answer.body.get(200_000..).context("the first chunk is not whole")?;
            let rest = String::from_utf8_lossy(rest);
            ensure!(rest == format!("{MILLION_DIGEST} {MILLION}\n"), "read {rest:?}");
            Ok(())
        }),
    ]
}

fn whole_million(answer: &Answer) -> Result<()> {
    answer.status(200)?.exit_code(0)?;
    answer.body(format!("{MILLION_DIGEST} {MILLION}\n")).map(drop)
}

/// (name, query, pieces as JSON) for the body that [`methods_of_input`] sends, as `io.BufferedReader` reads it.
const WAYS: &[(&str, &str, &str)] = &[
    ("read()", "how=read", r#"["one\ntwo\nthree\nfour\nfive\nsix"]"#),
    ("read(5)", "how=readn&n=5", r#"["one\nt", "wo\nth", "ree\nf", "our\nf", "ive\ns", "ix"]"#),
    ("readline()", "how=readline", r#"["one\n", "two\n", "three\n", "four\n", "five\n", "six"]"#),
    (
        "readline(2)",
        "how=readline&n=2",
        r#"["on", "e\n", "tw", "o\n", "th", "re", "e\n", "fo", "ur", "\n", "fi", "ve", "\n", "si", "x"]"#,
    ),
    ("readlines()", "how=readlines", r#"["one\n", "two\n", "three\n", "four\n", "five\n", "six"]"#),
    ("readlines(5)", "how=readlines&n=5", r#"["one\n", "two\n"]"#),
    ("iteration", "how=iter", r#"["one\n", "two\n", "three\n", "four\n", "five\n", "six"]"#),
    (
        "every method in turn",
        "how=all",
        r#"["", "", "one\n", "two\n", "thre", "e\n", "four\n", "five\n", "six", "", "", ""]"#,
    ),
];

fn methods_of_input() -> Vec<Case> {
    let way = |(name, query, pieces): &(&str, &str, &'static str)| {
        let pieces = *pieces;
        Case::new("B7", "wsgi.input reads as io.BufferedReader does", "read_body.py")
            .named(format!("{name} of wsgi.input gives what io.BufferedReader gives"))
            .request(Request::post(format!("?{query}"), "one\ntwo\nthree\nfour\nfive\nsix"))
            .on(SHELL)
            .expect(move |answer| answer.status(200)?.exit_code(0)?.body(pieces).map(drop))
    };
    WAYS.iter().map(way).collect()
}
