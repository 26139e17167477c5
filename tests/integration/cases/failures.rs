//! Failures of an application: the visitor gets one plain line, the log gets the reason (R11, R17, P7, P9).

use anyhow::Result;

use super::process::FILE_ALONE;
use super::process::{WHOSE, is_refused};
use crate::harness::exchange::Answer;
use crate::harness::server::Kind;
use crate::harness::table::{APACHE, Case, NOT_APACHE, SHELL, WEB_SERVERS};

/// The visitor's line for everything that is the site's fault.
pub(crate) const FAILED: &str =
    "The application failed. The reason is in the server's error log.\n";

/// Why a normal start answers under `--warm` if the zygote cannot import the application: the import may succeed with
/// the variables of this request. If not, it is a failure of the new process.
pub(crate) const IMPORT_FAILS: &str =
    "--warm: falling back to a normal (cold) start: without a request the import fails";

fn plain_500(answer: &Answer) -> Result<()> {
    answer.status(500)?.exit_code(1)?;
    answer.header("Content-Type", "text/plain; charset=utf-8")?.page(FAILED).map(drop)
}

/// A failure whose reason is in the log, as `logged`, and not in the response.
fn fails(trap: &'static str, sentence: &'static str, fixture: &str, logged: &'static str) -> Case {
    Case::new(trap, sentence, &format!("failures/{fixture}.py")).logs(logged).expect(plain_500)
}

/// The application's process ends before it has answered; the front answers in its place.
fn ends(sentence: &'static str, target: &str) -> Case {
    Case::new("P9", sentence, "failures/killed.py")
        .get(target)
        .on(WEB_SERVERS)
        .expect(|answer| answer.status(500)?.page(FAILED).map(drop))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = exceptions();
    cases.extend(imports());
    cases.extend(hangs_and_crashes());
    cases
}

fn exceptions() -> Vec<Case> {
    vec![
        fails(
            "R17",
            "after an exception the visitor gets one plain line",
            "raises_before",
            "RuntimeError: failed before start_response",
        ),
        fails(
            "R17",
            "the traceback of an exception in the log has the file's path",
            "raises_before",
            "failures/raises_before.py\", line 5",
        )
        .except(Kind::ApacheAction, "the next row tests it, since the file has another name there"),
        fails(
            "R17",
            "the traceback of an exception in the log has the file's path",
            "raises_before",
            "failures/raises_before.py.wsgi\", line 5",
        )
        .on(&[Kind::ApacheAction]),
        Case::new("R17", "--debug shows the traceback to the visitor", "failures/raises_before.py")
            .variable("CGI2WSGI_DEBUG", "1")
            .expect(|answer| {
                answer.status(500)?.contains("Traceback")?;
                answer.contains("RuntimeError: failed before start_response").map(drop)
            }),
        Case::new("P1", "a visitor cannot switch --debug on", "failures/raises_before.py")
            .get("?--debug")
            .on(NOT_APACHE)
            .expect(plain_500),
        Case::new("P1", "a visitor cannot switch --debug on", "failures/raises_before.py")
            .get("?--debug")
            .on(APACHE)
            .logs(WHOSE)
            .expect(is_refused),
        fails("R11", "a str in place of bytes in the body is named in the log", "str_chunk", "str"),
        fails(
            "R11",
            "a missing call of start_response is named in the log",
            "no_start_response",
            "start_response",
        ),
        fails("R11", "a missing return is named in the log", "returns_none", "None"),
        fails("P7", "sys.exit() before the response is a 500", "sys_exit", "exit"),
    ]
}

fn imports() -> Vec<Case> {
    vec![
        fails(
            "R17",
            "an error during the import is in the log",
            "raises_on_import",
            "RuntimeError: failed on import",
        )
        .goes_cold(IMPORT_FAILS),
        fails(
            "R17",
            "a missing package is named in the log",
            "missing_import",
            "nosuchpackage_for_sure",
        )
        .goes_cold(IMPORT_FAILS),
        fails(
            "R17",
            "a syntax error is in the log with its file and line",
            "syntax_error",
            "syntax_error.py",
        )
        .goes_cold(IMPORT_FAILS),
        Case::import("R17", "a misspelt module is named in the log", "nosuchmodule.anywhere")
            .logs("nosuchmodule")
            .goes_cold("cgi2wsgi: warning: --warm: ")
            .expect(|answer| answer.status(500)?.page(FAILED).map(drop)),
        Case::new("R17", "a missing file is in the log with its path", "no_such_file.py")
            .except(
                Kind::ApacheAction,
                "Apache 2.4.71 answers 404 itself for a file that is not there",
            )
            .logs("no_such_file.py")
            .expect(|answer| answer.status(500)?.page(FAILED).map(drop)),
        Case::import(
            "R17",
            "for a misspelt callable the log suggests the existing one",
            "{fixtures}/hello.py:aplication",
        )
        .except(Kind::ApacheAction, FILE_ALONE)
        .logs("application")
        .goes_cold("has no \"aplication\"; did you mean")
        .expect(|answer| answer.status(500)?.page(FAILED).map(drop)),
    ]
}

fn hangs_and_crashes() -> Vec<Case> {
    vec![
        Case::new(
            "--timeout",
            "a busy loop is a 504, and the log says where it hung",
            "failures/infinite_loop.py",
        )
        .variable("CGI2WSGI_TIMEOUT", "1")
        .logs("infinite_loop.py")
        .expect(|answer| answer.status(504)?.exit_code(1).map(drop)),
        Case::new(
            "--timeout",
            "a hang in C that keeps the GIL is a 504, and the log says where it hung",
            "failures/hang_in_c.py",
        )
        .variable("CGI2WSGI_TIMEOUT", "1")
        .logs("hang_in_c.py")
        .expect(|answer| answer.status(504)?.exit_code(1).map(drop)),
        Case::new(
            "--timeout",
            "an import that hangs is a 504, and the log says where it hung",
            "/hangs_at_import.py",
        )
        .variable("CGI2WSGI_TIMEOUT", "1")
        .on(&[Kind::Caddy, Kind::ApacheCgid, Kind::Nginx])
        .logs("hangs_at_import.py")
        .logs("--timeout")
        .expect(|answer| answer.status(504)?.exit_code(1).map(drop)),
        Case::new(
            "P9",
            "a crash of the interpreter is a 500, and the log says where it crashed",
            "failures/segfault.py",
        )
        .on(WEB_SERVERS)
        .logs("segfault.py")
        .expect(|answer| answer.status(500).map(drop)),
        ends("a process that is killed before it answers is a 500", "/"),
        ends("a process that ends by os._exit() before it answers is a 500", "/?exit=7"),
        Case::new(
            "P9",
            "at a shell a crash of the interpreter is a whole 500 and exit status 1",
            "failures/segfault.py",
        )
        .on(SHELL)
        .logs("segfault.py")
        .expect(plain_500),
    ]
}
