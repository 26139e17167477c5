//! The process: its arguments, descriptors, surroundings and end (P1 to P8), and the forms in which an
//! application is named.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::harness::exchange::Answer;
use crate::harness::process::{PATIENCE, until};
use crate::harness::server::Kind;
use crate::harness::table::{APACHE, Case, NOT_APACHE, SHELL};

pub(crate) const FILE_ALONE: &str =
    "Apache's Action names a file that is there, never a module, a callable or nothing";

fn says_hello(answer: &Answer) -> Result<()> {
    answer.status(200)?.exit_code(0)?.body("Hello, world!\n").map(drop)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = query_as_arguments();
    cases.extend(descriptors());
    cases.extend(surroundings());
    cases.extend(names_of_applications());
    cases
}

/// Queries that Apache makes arguments of; so does the shell of this harness.
fn query_as_arguments() -> Vec<Case> {
    let queries = [
        "-h",
        "--help",
        "%2d%2dversion",
        "-d+x%3d1",
        "os:system",
        "--debug",
        "--venv+/tmp",
        "--chdir%3d/tmp",
        "--",
        "a+b+c",
        "request",
        "",
        "%00",
        "-d%20%26%7c%3b",
    ];
    let row = |query: &str| {
        Case::new("P1", "the query is no argument", "hello.py")
            .named(format!("the query ?{query} is neither an option nor an application"))
            .get(&format!("?{query}"))
    };
    // A variable names the application there, so that they could be the operator's options.
    let options = ["--debug", "--venv+/tmp", "--chdir%3d/tmp"];
    let refused = options.map(|query| row(query).on(APACHE).logs(WHOSE).expect(is_refused));
    let plain = queries.iter().map(|query| {
        let case = row(query).expect(says_hello);
        let case = if options.contains(query) { case.on(NOT_APACHE) } else { case };
        match *query {
            "%00" => case.except(
                Kind::Lighttpd,
                "lighttpd 1.4.69 answers a query with %00 in it with 400 and starts no program",
            ),
            _ => case,
        }
    });
    let script = ["--help", "os:system", "-d+x%3d1"].iter().map(|query| {
        Case::script("P1", "the query is no argument of a script", "script.wsgi")
            .named(format!("the query ?{query} does nothing to a script with a #! line"))
            .get(&format!("?{query}"))
            .expect(|answer| answer.status(200)?.contains("script.wsgi\n").map(drop))
    });
    let unnamed =
        Case::import("P1", "without an application the visitor's word is not taken for one", "")
            .get("?os:system")
            .on(&[Kind::Caddy, Kind::Lighttpd, Kind::Nginx])
            .expect(|answer| answer.status(500)?.exit_code(2).map(drop));
    // Where it is appended.
    let unnamed_too =
        Case::import("P1", "without an application the visitor's word is not taken for one", "")
            .get("?os:system")
            .on(&[Kind::Shell, Kind::ApacheCgi, Kind::ApacheCgid])
            .logs(WHOSE)
            .expect(is_refused);
    // Caddy's configuration has the application on the command line, and Caddy appends nothing.
    let repeated = Case::import("P1", "a visitor cannot take the operator's words away", "hello")
        .variable("CGI2WSGI_CHDIR", "{fixtures}")
        .get("?hello");
    plain
        .chain(refused)
        .chain(script)
        .chain([unnamed, unnamed_too, repeated.on(&[Kind::Caddy]).logs(WHOSE).expect(is_refused)])
        .collect()
}

/// Why words are read as nobody's.
pub(crate) const WHOSE: &str = "whether they are the operator's or a visitor's cannot be known";

pub(crate) fn is_refused(answer: &Answer) -> Result<()> {
    answer.status(400)?.exit_code(1)?.body("The request is malformed.\n").map(drop)
}

fn descriptors() -> Vec<Case> {
    vec![
        Case::new("P2", "nothing that is printed gets into the response", "print_everywhere.py")
            .logs_at_import("print at import")
            .logs("os.write before start_response")
            .logs("subprocess in the body")
            .logs("printf in close()")
            .expect(|answer| answer.status(200)?.exit_code(0)?.body("clean\n").map(drop)),
        Case::new("P2", "the application's own stdin is empty", "/process_facts.py")
            .request(crate::harness::http::Request::post("", "not for sys.stdin"))
            .expect(|answer| answer.status(200)?.contains("stdin = ''\n").map(drop)),
        // The descriptor 1 that it inherits is stderr, for whose end Go and mod_cgi wait. Under Caddy the connection
        // stays open, but the answer is whole; mod_cgi keeps even that back, so that it has no such row.
        Case::new(
            "P3",
            "a grandchild that lives on does not hold the answer up",
            "subprocess_child.py",
        )
        .on(&[Kind::Shell, Kind::Caddy, Kind::ApacheCgid, Kind::ApacheAction])
        .drive(|scene, mut exchange| {
            exchange.body_until(b"\n")?;
            match scene.kind {
                Kind::Caddy => Ok(()),
                _ => exchange.finish()?.status(200)?.exit_code(0).map(drop),
            }
        }),
        Case::new("P8", "threads and atexit handlers finish after the answer", "background.py")
            .variable("MARKER", "{own}/marker")
            .drive(|scene, exchange| {
                let marker = scene.variable("MARKER")?;
                exchange.finish()?.status(200)?.exit_code(0)?.body("answered\n")?;
                until(PATIENCE, "the thread and the atexit handler", || {
                    let said = fs::read_to_string(&marker).unwrap_or_default();
                    Ok((said == "thread\natexit\n").then_some(()))
                })
                .with_context(|| format!("the marker has {:?}", fs::read_to_string(&marker)))
            }),
        // Apache sends SIGTERM to a program that is still there when the answer is.
        Case::new(
            "P8",
            "a SIGTERM after the answer to a failure does not interrupt threads and atexit handlers",
            "/fails_with_a_thread.py",
        )
        .variable("MARKER", "{own}/marker")
        .variable("GATE", "{own}/gate")
        .goes_cold(super::failures::IMPORT_FAILS)
        .on(SHELL)
        .drive(|scene, mut exchange| {
            let (marker, gate) = (scene.variable("MARKER")?, scene.variable("GATE")?);
            let log = exchange.log();
            exchange.body_until(super::failures::FAILED.as_bytes())?;
            exchange.process()?.signal(libc::SIGTERM)?;
            fs::write(&gate, "").context("cannot open the gate")?;
            exchange.finish()?.status(500)?.exit_code(1)?;
            let said = fs::read_to_string(&marker).context("no marker")?;
            ensure!(said == "thread\natexit\n", "the marker has {said:?}");
            let said = log.text()?;
            ensure!(!said.contains("SystemExit"), "the log has {said:?}");
            Ok(())
        }),
    ]
}

fn surroundings() -> Vec<Case> {
    let facts = |trap, sentence, lines: &'static [&'static str]| {
        Case::new(trap, sentence, "/process_facts.py").expect(move |answer| {
            answer.status(200)?;
            lines.iter().try_for_each(|line| answer.contains(line).map(drop))
        })
    };
    vec![
        facts(
            "P4",
            "a child of the application dies of SIGPIPE as usual",
            &["a child's end by SIGPIPE = -13\n"],
        ),
        facts(
            "P5",
            "UTF-8 mode whatever the locale",
            &["utf8_mode = 1\n", "filesystem encoding = 'utf-8'\n", "stdout encoding = 'utf-8'\n"],
        ),
        facts("P5", "UTF-8 mode under LC_ALL=C too", &["filesystem encoding = 'utf-8'\n"])
            .variable("LC_ALL", "C"),
        facts(
            "P5",
            "the application's directory is the current one and first on sys.path",
            &["/applications'\nfirst on sys.path = '", "/applications'\nprefix = "],
        ),
        Case::new("P5", "a missing PATH, HOME and LANG do no harm", "hello.py")
            .without("PATH")
            .expect(says_hello),
        Case::new(
            "P5",
            "what an application has changed of its process while it was imported stays",
            "/changes_on_import.py",
        )
        .variable("PREPENDED", "after")
        .variable("REMOVED", "there")
        .expect(|answer| {
            let body = "set before:after None GET None after there /usr 0o27";
            answer.status(200)?.exit_code(0)?.body(body).map(drop)
        }),
        Case::new("P6", "PYTHONPATH works as for python", "/needs_path.py")
            .variable("PYTHONPATH", "{applications}/modules")
            .expect(|answer| answer.status(200)?.body("found on the path\n").map(drop)),
        Case::new("--pythonpath", "CGI2WSGI_PYTHONPATH adds a directory", "/needs_path.py")
            .variable("CGI2WSGI_PYTHONPATH", "{work}:{applications}/modules")
            .expect(|answer| answer.status(200)?.body("found on the path\n").map(drop)),
        Case::new("P6", "PYTHONINSPECT and PYTHONSTARTUP do nothing", "hello.py")
            .variable("PYTHONINSPECT", "1")
            .variable("PYTHONSTARTUP", "{fixtures}/failures/raises_on_import.py")
            .expect(says_hello),
        Case::new("P6", "a PYTHONHOME that breaks the start is named", "hello.py")
            .variable("PYTHONHOME", "/nonexistent")
            .logs("PYTHONHOME")
            .goes_cold("--warm: falling back to a normal (cold) start: the zygote ended before it was ready")
            .expect(|answer| answer.status(500)?.body(super::failures::FAILED).map(drop)),
        Case::new("--venv", "a virtual environment that is not there is named", "hello.py")
            .variable("CGI2WSGI_VENV", "/nonexistent")
            .logs("/nonexistent")
            .expect(|answer| answer.status(500)?.exit_code(2).map(drop)),
    ]
}

fn names_of_applications() -> Vec<Case> {
    let shop = |sentence, name: &str, expected: &'static str| {
        Case::import("APP", sentence, name)
            .variable("CGI2WSGI_PYTHONPATH", "{fixtures}/package_site")
            .except(Kind::ApacheAction, FILE_ALONE)
            .get("/cart")
            .expect(move |answer| answer.status(200)?.exit_code(0)?.body(expected).map(drop))
    };
    vec![
        shop("a module alone has its callable found", "shop.wsgi", "shop at /cart\n"),
        shop("a module and its callable", "shop.views:application", "shop at /cart\n"),
        shop("dotted attributes", "shop.wsgi:registry.main", "registry at /cart\n"),
        shop("a factory", "shop.factory:create_app()", "factory at /cart\n"),
        Case::import("APP", "a file and its callable", "{fixtures}/flask_site/app.py:app")
            .variable("FLASK_SECRET_KEY", "of the tests")
            .get("/hello/Ann")
            .on(SHELL)
            .expect(|answer| answer.status(200)?.contains("Ann").map(drop)),
        Case::import("--chdir", "a module is found where --chdir leads", "hello")
            .variable("CGI2WSGI_CHDIR", "{fixtures}")
            .expect(says_hello),
        Case::script("APP", "a WSGI file with a #! line is the CGI program itself", "script.wsgi")
            .expect(|answer| {
                answer.status(200)?.contains("script.wsgi\n__name__ = ")?;
                answer.lacks("__main__").map(drop)
            }),
        Case::script("APP", "a WSGI file's __name__ has no dot, and so no package", "script.wsgi")
            .expect(|answer| {
                let text = answer.status(200)?.text();
                let name = text.split_once("__name__ = ").context("it does not say its name")?.1;
                ensure!(!name.contains('.'), "__name__ is {name:?}");
                Ok(())
            }),
    ]
}
