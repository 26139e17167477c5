//! What a person at a shell sees, and what no server shows: exit codes, descriptors that are missing or
//! non-blocking, and which libraries the executables load.

use std::fs;
use std::io::Read as _;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::harness::command::{CGI, Output, Test, bridge, collect, read_all, run, trials_of};
use crate::harness::exchange::is_page;
use crate::harness::process::{AtParentDeath, End, PATIENCE, Running, Starting, non_blocking};
use crate::harness::stage::Stage;
use crate::harness::world::World;

const TESTS: &[(&str, Test)] = &[
    ("cgi2wsgi is linked statically, and its worker to no libpython", linking),
    ("without any variables it is a GET of / on localhost", no_variables),
    ("PATH_INFO and QUERY_STRING alone make a request", few_variables),
    ("without a server's variables standard input is not read", stdin_without_variables),
    ("a misspelt option is exit status 2 and no response", misspelt_option),
    (
        "without an application the exit status is 2, and the message says how to name one",
        no_application,
    ),
    ("a missing callable is exit status 2 and no response", no_such_callable),
    ("under CGI a wrong set-up is exit status 2 and a complete 500", wrong_setup_under_cgi),
    ("P1: options before the application work under CGI", options_under_cgi),
    (
        "V1: arguments that may come from the query are refused, whatever SERVER_SOFTWARE is",
        forged_server,
    ),
    ("B8: a request is answered where descriptors 0, 1 and 2 are closed", closed_descriptors),
    ("B8: the worker waits for a non-blocking stdin that is still empty", non_blocking_stdin),
    ("B8: the worker waits for a non-blocking stdout that is full", non_blocking_stdout),
    ("R2: head and first chunk are one write, and lines of the head end with CRLF", first_write),
    ("R13: a reader that closes the pipe early causes no message", reader_leaves),
    ("--help works even with wrong settings", help),
    ("--timings names the three slowest imports of a cold request", slow_imports),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("command", TESTS, world)
}

fn linking(stage: &Stage) -> Result<()> {
    let needed = |executable: &Path| -> Result<String> {
        let output = Command::new("readelf")
            .arg("-d")
            .arg(executable)
            .output()
            .context("there is no readelf: install binutils")?;
        ensure!(output.status.success(), "readelf cannot read {}", executable.display());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter(|line| line.contains("(NEEDED)")).collect::<Vec<_>>().join("\n"))
    };
    let front = needed(&stage.path("bin/cgi2wsgi"))?;
    ensure!(front.is_empty(), "cgi2wsgi needs libraries: {front}");
    let segments = Command::new("readelf").arg("-lW").arg(stage.path("bin/cgi2wsgi")).output()?;
    let segments = String::from_utf8_lossy(&segments.stdout).into_owned();
    ensure!(segments.contains("LOAD"), "readelf -l says {segments}");
    ensure!(!segments.contains("INTERP"), "cgi2wsgi asks for a loader: {segments}");
    let worker = needed(&stage.path(&format!("bin/{}", Stage::worker_name()?)))?;
    ensure!(worker.contains("libc."), "the dynamic section of the worker names no libc: {worker}");
    ensure!(!worker.contains("libpython"), "the worker is linked to a libpython: {worker}");
    Ok(())
}

fn no_variables(stage: &Stage) -> Result<()> {
    let output = run(stage, bridge(stage, &["{fixtures}/show_environ.py"], &[]))?;
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200, "status {status}");
    for line in ["REQUEST_METHOD=GET", "PATH_INFO=/", "SERVER_NAME=localhost", "QUERY_STRING="] {
        ensure!(body.lines().any(|found| found == line), "no {line} in:\n{body}");
    }
    Ok(())
}

fn few_variables(stage: &Stage) -> Result<()> {
    let variables = [("PATH_INFO", "/hello"), ("QUERY_STRING", "name=Ann")];
    let output = run(stage, bridge(stage, &["{fixtures}/json_api.py"], &variables))?;
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200 && body == r#"{"message": "Hello, Ann!"}"#, "{status} {body}");
    Ok(())
}

fn stdin_without_variables(stage: &Stage) -> Result<()> {
    let mut command = bridge(stage, &["{fixtures}/read_body.py"], &[("QUERY_STRING", "how=read")]);
    command.stdin(Stdio::piped());
    let mut running = Running::start(command, &stage.user, AtParentDeath::Kill)?;
    // stdin stays open, with nothing to read, until the answer is complete.
    let stdin = running.child().stdin.take();
    let output = collect(running)?;
    drop(stdin);
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200 && body == r#"[""]"#, "{status} {body}");
    Ok(())
}

fn misspelt_option(stage: &Stage) -> Result<()> {
    let output = run(stage, bridge(stage, &["--vnev", "x", "{fixtures}/hello.py"], &[]))?;
    output.ends(2)?.says("--venv")?;
    ensure!(output.stdout.is_empty(), "standard output is not empty");
    Ok(())
}

fn no_application(stage: &Stage) -> Result<()> {
    run(stage, bridge(stage, &[], &[]))?.ends(2)?.says("APP")?.says("CGI2WSGI_APP").map(drop)
}

fn no_such_callable(stage: &Stage) -> Result<()> {
    let output = run(stage, bridge(stage, &["{fixtures}/hello.py:nope"], &[]))?;
    output.ends(2)?.says("has no \"nope\"")?;
    ensure!(output.stdout.is_empty(), "{:?}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

fn wrong_setup_under_cgi(stage: &Stage) -> Result<()> {
    let output = run(stage, bridge(stage, &["--timeout", "soon", "{fixtures}/hello.py"], &CGI))?;
    let (status, body) = output.ends(2)?.says("--timeout")?.says("soon")?.response()?;
    ensure!(status == 500 && is_page(&body, crate::cases::FAILED), "{status} {body}");
    Ok(())
}

fn options_under_cgi(stage: &Stage) -> Result<()> {
    let arguments = ["--pythonpath", "{fixtures}/package_site", "shop.wsgi"];
    let output = run(stage, bridge(stage, &arguments, &CGI))?;
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200 && body == "shop at /\n", "{status} {body}");
    Ok(())
}

/// With `ModSecurity`, Apache sends whatever server name `SecServerSignature` sets, and still appends the words.
fn forged_server(stage: &Stage) -> Result<()> {
    let hello = stage.resolve("{fixtures}/hello.py");
    for software in ["nginx/1.22.1", "lighttpd/1.4.69", "Caddy/v2.10", "Apache/2.4.71 (Unix)", ""] {
        for (query, word, app) in [
            ("--debug", "--debug", Some(&*hello)),
            ("--chdir%3d/tmp", "--chdir=/tmp", Some(&*hello)),
            ("os:system", "os:system", None),
        ] {
            let mut variables = CGI.to_vec();
            variables.extend([("QUERY_STRING", query), ("SERVER_SOFTWARE", software)]);
            variables.extend(app.map(|app| ("CGI2WSGI_APP", app)));
            let output = run(stage, bridge(stage, &[word], &variables))?;
            let (status, _) = output
                .ends(1)
                .and_then(|output| output.says("cannot tell whether the operator"))
                .and_then(Output::response)
                .with_context(|| format!("{word} under {software:?}"))?;
            ensure!(status == 400, "{word} under {software:?} is a {status}");
        }
    }
    Ok(())
}

fn closed_descriptors(stage: &Stage) -> Result<()> {
    let arguments = ["{fixtures}/hello.py"];
    let mut command = bridge(stage, &arguments, &CGI);
    command.stdout(Stdio::piped());
    let output = collect(Running::start_as(
        command,
        &stage.user,
        AtParentDeath::Kill,
        Starting::WithoutStdin,
    )?)?;
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200 && body == "Hello, world!\n", "{status} {body}");

    // With stdout and stderr closed the answer cannot be seen; the test is that no other file gets their numbers.
    let marker = stage.workplace("closed-descriptors")?.join("marker");
    let mut command = bridge(stage, &["{fixtures}/close_marker.py"], &CGI);
    command.env("MARKER", &marker).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running =
        Running::start_as(command, &stage.user, AtParentDeath::Kill, Starting::WithoutAny)?;
    running.wait(PATIENCE)?;
    let closed = fs::read_to_string(&marker).context("the application was not run to its end")?;
    ensure!(closed == "closed\n", "the marker has {closed:?}");
    Ok(())
}

fn non_blocking_stdin(stage: &Stage) -> Result<()> {
    let (reader, mut writer) = std::io::pipe().context("no pipe")?;
    non_blocking(reader.as_fd())?;
    let ready = stage.workplace("non-blocking-stdin")?.join("ready");
    let mut command = bridge(stage, &["{applications}/reads_when_told.py"], &CGI);
    command
        .env("REQUEST_METHOD", "POST")
        .env("CONTENT_LENGTH", "8")
        .env("READY", &ready)
        .stdin(reader);
    let running = Running::start(command, &stage.user, AtParentDeath::Kill)?;
    // The application has begun and finds an empty pipe.
    crate::harness::process::until(PATIENCE, "the application", || {
        Ok(ready.exists().then_some(()))
    })?;
    std::io::Write::write_all(&mut writer, b"in ").context("cannot write the body")?;
    std::io::Write::write_all(&mut writer, b"time\n").context("cannot write the body")?;
    let (status, body) = collect(running)?.ends(0)?.response()?;
    ensure!(status == 200 && body == "in time\n", "{status} {body}");
    Ok(())
}

fn non_blocking_stdout(stage: &Stage) -> Result<()> {
    let (mut reader, writer) = std::io::pipe().context("no pipe")?;
    non_blocking(writer.as_fd())?;
    let mut command = bridge(stage, &["{fixtures}/ignore_upload.py"], &CGI);
    command.stdout(writer);
    let mut running = Running::start(command, &stage.user, AtParentDeath::Kill)?;
    let stderr = running.child().stderr.take().context("no pipe for stderr")?;
    let mut stdout = vec![0; 1];
    reader.read_exact(&mut stdout).context("no answer")?;
    // The pipe is full by now, or will be: 300,000 bytes do not fit into it.
    stdout.extend(read_all(reader)?);
    let end = running.wait(PATIENCE)?;
    let output = Output { stdout, stderr: String::from_utf8_lossy(&read_all(stderr)?).into(), end };
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200 && body.len() == 300_000, "{status}, {} bytes", body.len());
    Ok(())
}

/// A `SOCK_SEQPACKET` socket keeps each write separate.
fn first_write(stage: &Stage) -> Result<()> {
    let (reader, writer) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .context("no sockets")?;
    let mut command = bridge(stage, &["{fixtures}/hello.py"], &CGI);
    command.stdout(writer);
    let mut running = Running::start(command, &stage.user, AtParentDeath::Kill)?;
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut packet = [0; 4096];
    crate::harness::process::wait_readable(reader.as_fd(), deadline)?;
    let count = rustix::io::read(&reader, &mut packet).context("no answer")?;
    let first = String::from_utf8_lossy(&packet[..count]).into_owned();
    ensure!(running.wait(PATIENCE)? == End::Code(0), "the program failed");
    let (head, body) = first.split_once("\r\n\r\n").context("no whole head in one write")?;
    // P8: the last byte of a known length follows when the application's process has ended.
    ensure!(body == "Hello, world!", "the first write ends with {body:?}");
    let count = rustix::io::read(&reader, &mut packet).context("no last byte")?;
    ensure!(&packet[..count] == b"\n", "the last write is {:?}", &packet[..count]);
    let lines: Vec<_> = head.split("\r\n").collect();
    ensure!(lines[0] == "Status: 200 OK", "the first line is {:?}", lines[0]);
    ensure!(lines.len() > 1 && !lines.concat().contains(['\r', '\n']), "the head is {head:?}");
    Ok(())
}

fn reader_leaves(stage: &Stage) -> Result<()> {
    let mut command = bridge(stage, &["{fixtures}/close_marker.py"], &CGI);
    let marker: PathBuf = stage.workplace("reader-leaves")?.join("marker");
    command.env("QUERY_STRING", "big=2000").env("MARKER", &marker);
    let mut running = Running::start(command, &stage.user, AtParentDeath::Kill)?;
    let mut stdout = running.child().stdout.take().context("no pipe for stdout")?;
    stdout.read_exact(&mut [0; 100]).context("no answer")?;
    drop(stdout);
    let output = collect(running)?;
    ensure!(matches!(output.end, End::Code(_)), "ended with {:?}", output.end);
    ensure!(output.stderr.is_empty(), "standard error has: {}", output.stderr);
    let closed = fs::read_to_string(&marker).context("close() was not called")?;
    ensure!(closed == "closed\n", "the marker has {closed:?}");
    Ok(())
}

fn help(stage: &Stage) -> Result<()> {
    let mut command = bridge(stage, &["--help"], &[]);
    command.env("CGI2WSGI_TIMEOUT", "nonsense").env("CGI2WSGI_VENV", "/nonexistent");
    let output = run(stage, command)?;
    let text = String::from_utf8_lossy(&output.ends(0)?.stdout).into_owned();
    for option in [
        "--chdir",
        "--pythonpath",
        "--venv",
        "--mount",
        "--timeout",
        "--max-body",
        "--debug",
        "--timings",
    ] {
        ensure!(text.contains(option), "--help does not tell of {option}:\n{text}");
    }
    Ok(())
}

fn slow_imports(stage: &Stage) -> Result<()> {
    let place = stage.workplace("slow-imports")?;
    let slow = |name: &str, sleep: &str| {
        fs::write(place.join(name), format!("import time\n{sleep}\n")).context("not written")
    };
    // The times are so far apart that a busy machine does not change their order.
    slow("second.py", "time.sleep(0.6)")?;
    slow("first.py", "import second\ntime.sleep(1)")?;
    slow("third.py", "time.sleep(0.3)")?;
    slow("fourth.py", "")?;
    let answer = "def application(environ, start_response):\n    import builtins\n    \
                  start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
                  return [type(builtins.__import__).__name__.encode()]\n";
    let imports = "import fourth\nimport third\nimport first\n";
    fs::write(place.join("app.py"), format!("{imports}\n\n{answer}"))?;
    let application = place.join("app.py").display().to_string();
    let output = run(stage, bridge(stage, &[&application], &[("CGI2WSGI_TIMINGS", "1")]))?;
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200 && body == "builtin_function_or_method", "{status} {body}");
    let (_, told) =
        output.stderr.split_once("; slowest imports: ").context(output.stderr.clone())?;
    let names: Vec<_> = told.split(", ").filter_map(|one| one.split(' ').next()).collect();
    ensure!(names == ["first", "second", "third"], "{told}");
    Ok(())
}
