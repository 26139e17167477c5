//! The process: its arguments, descriptors, surroundings and end (P1 to P8), and the forms in which an
//! application is named.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::harness::exchange::Answer;
use crate::harness::process::{PATIENCE, until};
use crate::harness::server::Kind;
use crate::harness::table::{APACHE, Case, NOT_APACHE, SHELL, Scene};

pub(crate) const FILE_ALONE: &str =
    "Apache's Action names an existing file, never a module or a callable";

fn says_hello(answer: &Answer) -> Result<()> {
    answer.status(200)?.exit_code(0)?.body("Hello, world!\n").map(drop)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = query_as_arguments();
    cases.extend(descriptors());
    cases.extend(ends());
    cases.extend(surroundings());
    cases.extend(origins());
    cases.extend(names_of_applications());
    cases.extend(spawned_children());
    cases
}

/// P6: `multiprocessing` starts another Python, which must find the function that it is to run.
fn spawned_children() -> Vec<Case> {
    let sentences = [
        ("spawn", "a child of multiprocessing's spawn method runs the application's function"),
        (
            "forkserver",
            "a child of multiprocessing's forkserver method runs the application's function",
        ),
    ];
    let script = sentences.map(|(method, sentence)| {
        Case::script("P6", sentence, "spawns.wsgi")
            .named(format!("{sentence}, in a .wsgi file"))
            .get(&format!("?{method}"))
    });
    let module = sentences.map(|(method, sentence)| {
        Case::new("P6", sentence, "spawns.py")
            .named(format!("{sentence}, in a .py file"))
            .get(&format!("?{method}"))
    });
    let cases = script.into_iter().chain(module);
    let check = |answer: &Answer| answer.status(200)?.body("ended with 0: [1, 4, 9]\n").map(drop);
    cases.map(|case| case.on(SHELL).expect(check)).collect()
}

/// Queries that Apache turns into arguments; so does the shell of this harness.
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
    // Under Apache a variable names the application, so these words could be the operator's options.
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
    let unnamed = Case::import(
        "P1",
        "a visitor's word is not run as the application where none is named",
        "",
    )
    .get("?os:system")
    .on(&[Kind::Caddy, Kind::Lighttpd, Kind::Nginx])
    .expect(|answer| answer.status(500)?.exit_code(2).map(drop));
    // On servers that append the query's words to the command line.
    let unnamed_too = Case::import(
        "P1",
        "a visitor's word is not run as the application where none is named",
        "",
    )
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

/// What the log says of words that could be the operator's or a visitor's.
pub(crate) const WHOSE: &str = "cgi2wsgi cannot tell whether the operator or a visitor wrote them";

pub(crate) fn is_refused(answer: &Answer) -> Result<()> {
    answer.status(400)?.exit_code(1)?.page("The request is malformed.\n").map(drop)
}

fn descriptors() -> Vec<Case> {
    vec![
        Case::new("P2", "printed text never gets into the response", "print_everywhere.py")
            .logs_at_import("print at import")
            .logs("os.write before start_response")
            .logs("subprocess in the body")
            .logs("printf in close()")
            .expect(|answer| answer.status(200)?.exit_code(0)?.body("clean\n").map(drop)),
        Case::new("P2", "sys.stdin is empty in the application", "/process_facts.py")
            .request(crate::harness::http::Request::post("", "not for sys.stdin"))
            .expect(|answer| answer.status(200)?.contains("stdin = ''\n").map(drop)),
        // The grandchild inherits stderr as descriptor 1, and Go and mod_cgi wait for the end of stderr. Under Caddy
        // the connection stays open, but the answer is whole. mod_cgi holds the answer back, so it has no such row.
        Case::new(
            "P3",
            "a child process that outlives the request does not delay the response",
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
        Case::new(
            "P8",
            "threads and atexit handlers run to their end after the response",
            "background.py",
        )
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
        // Apache sends SIGTERM to a program that still runs when its answer is complete.
        Case::new(
            "P8",
            "a SIGTERM after an error page does not interrupt threads and atexit handlers",
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

/// `LC_CTYPE` in the C library, and in `os.environ` and a child; then the child's character set. The WSGI environ has
/// no `LC_CTYPE`.
fn locale(sentence: &'static str, [library, variable, charmap]: [&'static str; 3]) -> Case {
    Case::new("E19", sentence, "/locale_facts.py").variable("PATH", "/usr/bin:/bin").expect(
        move |answer| {
            let body = format!(
                "setlocale = {library}\nos.environ = {variable}\nenviron = None\n\
                 charmap = {charmap}\npython = {variable}\n"
            );
            answer.status(200)?.exit_code(0)?.body(body).map(drop)
        },
    )
}

/// The end of the response, and what the application has left alive.
fn ends() -> Vec<Case> {
    let late = |sentence, what| {
        Case::new("P8", sentence, "/finishes_late.py")
            .variable("MARKER", "{own}/marker")
            .variable("FINISHES", what)
    };
    let done = |scene: &Scene| -> Result<()> {
        let said = fs::read_to_string(scene.variable("MARKER")?).unwrap_or_default();
        ensure!(said == "done\n", "when the response has ended, the marker has {said:?}");
        Ok(())
    };
    let kinds = [
        ("an open file has been flushed when the response ends", "file"),
        ("__del__ has run when the response ends", "del"),
        ("the finally block of a suspended generator has run when the response ends", "generator"),
        ("atexit handlers have run when the response ends, if no other thread runs", "atexit"),
    ];
    let ends = kinds.map(|(sentence, what)| {
        late(sentence, what).drive(move |scene, exchange| {
            exchange.finish()?.status(200)?.exit_code(0)?.body("answered\nwhole\n")?;
            done(scene)
        })
    });
    let delivered = late("the body is delivered before anything is finalized", "del")
        .variable("GATE", "{own}/gate")
        .on(SHELL)
        .drive(move |scene, mut exchange| {
            exchange.body_until(b"answered\nwhole\n")?;
            let marker = scene.variable("MARKER")?;
            ensure!(!fs::exists(marker)?, "the object was finalized before the body was delivered");
            fs::write(scene.variable("GATE")?, "").context("cannot open the gate")?;
            exchange.finish()?.status(200)?.exit_code(0)?;
            done(scene)
        });
    let failed = late("__del__ has run when an error page ends", "fails").on(SHELL).drive(
        move |scene, exchange| {
            exchange.finish()?.status(500)?.exit_code(1)?;
            done(scene)
        },
    );
    ends.into_iter().chain([delivered, failed]).collect()
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
            "SIGPIPE ends a child of the application, as usual",
            &["a child's end by SIGPIPE = -13\n"],
        ),
        facts(
            "P5",
            "Python runs in UTF-8 mode in any locale",
            &["utf8_mode = 1\n", "filesystem encoding = 'utf-8'\n", "stdout encoding = 'utf-8'\n"],
        ),
        facts(
            "P5",
            "Python runs in UTF-8 mode with LC_ALL=C",
            &["filesystem encoding = 'utf-8'\n"],
        )
        .variable("LC_ALL", "C"),
        facts(
            "P5",
            "the application's directory is the current directory and the first on sys.path",
            &["/applications'\nfirst on sys.path = '", "/applications'\nprefix = "],
        ),
        locale(
            "LC_CTYPE is C.UTF-8 without LANG, as under python",
            ["C.UTF-8", "C.UTF-8", "UTF-8"],
        ),
        locale("LC_CTYPE is C.UTF-8 with LANG=C, as under python", ["C.UTF-8", "C.UTF-8", "UTF-8"])
            .variable("LANG", "C"),
        locale(
            "LC_CTYPE is not changed where LANG names a UTF-8 locale",
            ["C.UTF-8", "None", "UTF-8"],
        )
        .variable("LANG", "C.UTF-8"),
        locale("LC_CTYPE stays C with LC_ALL=C, as under python", ["C", "None", "ANSI_X3.4-1968"])
            .variable("LC_ALL", "C"),
        locale(
            "LC_CTYPE stays C with PYTHONCOERCECLOCALE=0, as under python",
            ["C", "None", "ANSI_X3.4-1968"],
        )
        .variable("PYTHONCOERCECLOCALE", "0"),
        Case::new("P5", "a request without PATH, HOME and LANG is answered", "hello.py")
            .without("PATH")
            .expect(says_hello),
        Case::new(
            "P5",
            "changes that the import makes to the process stay",
            "/changes_on_import.py",
        )
        .variable("PREPENDED", "after")
        .variable("REMOVED", "there")
        .expect(|answer| {
            let body = "set before:after None GET None after there /usr 0o27";
            answer.status(200)?.exit_code(0)?.body(body).map(drop)
        }),
    ]
}

/// Where Python, packages and archives come from.
fn origins() -> Vec<Case> {
    vec![
        Case::new("P6", "PYTHONPATH works as for python", "/needs_path.py")
            .variable("PYTHONPATH", "{applications}/modules")
            .expect(|answer| answer.status(200)?.body("found on the path\n").map(drop)),
        Case::new("--pythonpath", "CGI2WSGI_PYTHONPATH adds a directory", "/needs_path.py")
            .variable("CGI2WSGI_PYTHONPATH", "{work}:{applications}/modules")
            .expect(|answer| answer.status(200)?.body("found on the path\n").map(drop)),
        Case::new("--pythonpath", "CGI2WSGI_PYTHONPATH adds a zip archive", "/needs_path.py")
            .variable("CGI2WSGI_PYTHONPATH", "{work}/modules.zip")
            .expect(|answer| answer.status(200)?.body("found on the path\n").map(drop)),
        Case::import(
            "APP",
            "the application is found in an archive's __main__.py",
            "{work}/site.pyz",
        )
        .expect(|answer| answer.status(200)?.body("found in the archive\n").map(drop)),
        Case::import(
            "APP",
            "ARCHIVE:CALLABLE runs that callable of the archive's __main__.py",
            "{work}/site.pyz:other",
        )
        .on(SHELL)
        .expect(|answer| answer.status(200)?.body("the other one\n").map(drop)),
        Case::import(
            "APP",
            "an archive without __main__.py is named in the log",
            "{work}/modules.zip",
        )
        .on(SHELL)
        .logs("its __main__.py cannot be loaded")
        .goes_cold("falling back to a normal (cold) start: ")
        .expect(|answer| answer.status(500)?.exit_code(2).map(drop)),
        Case::new("P6", "PYTHONINSPECT and PYTHONSTARTUP do nothing", "hello.py")
            .variable("PYTHONINSPECT", "1")
            .variable("PYTHONSTARTUP", "{fixtures}/failures/raises_on_import.py")
            .expect(says_hello),
        Case::new(
            "P6",
            "a PYTHONHOME that prevents Python's start is named in the log",
            "hello.py",
        )
        .variable("PYTHONHOME", "/nonexistent")
        .logs("PYTHONHOME")
        .goes_cold(
            "--warm: falling back to a normal (cold) start: the zygote ended before it was ready",
        )
        .expect(|answer| answer.status(500)?.page(super::failures::FAILED).map(drop)),
        Case::new("--venv", "a missing virtual environment is named in the log", "hello.py")
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
        shop("MODULE runs its callable application or app", "shop.wsgi", "shop at /cart\n"),
        shop("MODULE:CALLABLE runs that callable", "shop.views:application", "shop at /cart\n"),
        shop(
            "MODULE:ATTRIBUTE.CALLABLE runs the attribute's callable",
            "shop.wsgi:registry.main",
            "registry at /cart\n",
        ),
        shop(
            "MODULE:FACTORY() runs what the factory returns",
            "shop.factory:create_app()",
            "factory at /cart\n",
        ),
        Case::import("APP", "FILE:CALLABLE runs that callable", "{fixtures}/flask_site/app.py:app")
            .variable("FLASK_SECRET_KEY", "of the tests")
            .get("/hello/Ann")
            .on(SHELL)
            .expect(|answer| answer.status(200)?.contains("Ann").map(drop)),
        Case::import("--chdir", "a module is found in the directory of --chdir", "hello")
            .variable("CGI2WSGI_CHDIR", "{fixtures}")
            .expect(says_hello),
        Case::script("APP", "a WSGI file with a #! line runs as the CGI program", "script.wsgi")
            .expect(|answer| {
                answer.status(200)?.contains("script.wsgi\n__name__ = ")?;
                answer.lacks("__main__").map(drop)
            }),
        Case::script(
            "APP",
            "the __name__ of a WSGI file has no dot, so that the file is in no package",
            "script.wsgi",
        )
        .expect(|answer| {
            let text = answer.status(200)?.text();
            let name = text.split_once("__name__ = ").context("the answer has no __name__")?.1;
            ensure!(!name.contains('.'), "__name__ is {name:?}");
            Ok(())
        }),
    ]
}
