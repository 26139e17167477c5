//! `--record` and `request --save`, and `request --replay` of their records.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::harness::command::{CGI, Output, Test, bridge, run, trials_of};
use crate::harness::http::Request;
use crate::harness::mount::Mount;
use crate::harness::process::{PATIENCE, until};
use crate::harness::server::{Kind, Server};
use crate::harness::stage::Stage;
use crate::harness::world::World;

const TESTS: &[(&str, Test)] = &[
    ("--record: each kind of failed request is kept, and no successful one", ways_to_fail),
    ("--record-all and --record-max: the last N are kept, in files for this user alone", bounded),
    (
        "--record: a directory that cannot be written is one line of warning, and the request is answered",
        not_written,
    ),
    ("--record-secrets: cookies and the environment are kept too", with_secrets),
    ("--record: a chunked body is kept, and a large body only reaches the application", bodies),
    (
        "--save and --replay: a request of the verb request is run again, also by another application",
        saved,
    ),
    ("--replay of a directory says which answers changed, and exits with 1", regression),
    (
        "--replay of a damaged file names line and column; in a directory --replay continues after it",
        damaged,
    ),
    ("--pdb: the debugger starts on the terminal where the exception was raised", debugger),
    ("--pdb: without a terminal there is an error", no_terminal),
];

pub(super) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("records", TESTS, world)
}

/// Posts a form with a password to an application that fails, behind a server.
pub(super) fn keeps(world: &World, kind: Kind, mount: &Mount) -> Result<()> {
    let (server, stage): (&dyn Server, _) = (world.server(kind)?, world.stage()?);
    let placed = mount.place(stage, kind)?;
    let directory = placed.variables.iter().find(|(name, _)| name == "CGI2WSGI_RECORD");
    let directory = PathBuf::from(&directory.context("no directory")?.1);
    let request = Request::post("/raises?kept&token=hunter1", "name=Ann&password=hunter2")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Cookie", "id=hunter3")
        .header("Authorization", "Basic hunter4");
    server.begin(mount, &request)?.finish()?.status(500)?;
    let file = until(PATIENCE, "a record", || {
        let found = records(&directory)
            .into_iter()
            .find(|file| fs::read_to_string(file).is_ok_and(|text| text.contains("/raises?kept")));
        Ok(found)
    })?;
    let text = fs::read_to_string(&file)?;
    ensure!(!text.contains("hunter"), "a secret: {text}");
    let record: Value = serde_json::from_str(&text)?;
    ensure!(record["body"]["content"] == "name=Ann&password=***", "{text}");
    ensure!(record["body"]["length"] == 25 && record["reason"] == "status 500", "{text}");
    ensure!(record["variables"]["REQUEST_METHOD"] == "POST", "{text}");
    ensure!(record["response"]["status"] == 500, "{text}");
    ensure!(record["versions"]["python"].as_str().is_some_and(|it| it.starts_with('3')), "{text}");
    let traceback = "Traceback (most recent call last):";
    let lines = record["lines"].as_array().context("no lines")?;
    ensure!(lines.iter().any(|line| line == traceback), "{text}");
    // First the same answer, then the answer of a corrected application.
    let output = replay(stage, &[&shown(&file)])?;
    output
        .ends(1)?
        .says("RuntimeError: on purpose")?
        .says("the answer is the same as the recorded one")?;
    let mended = stage.path("fixtures/show_environ.py");
    let output = replay(stage, &[&shown(&file), &shown(&mended)])?;
    output.ends(0)?.says("the answer changed: status 500, now 200")?;
    let body = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(body.contains("QUERY_STRING=kept&token=***\n"), "{body}");
    // An APP on the command line replaces the one that Action gave.
    let is_action = kind == Kind::ApacheAction;
    let is_there = body.contains(&format!("SCRIPT_NAME={}\n", mount.prefix));
    ensure!(is_action || is_there, "{body}");
    Ok(())
}

/// The records in a directory.
fn records(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|suffix| suffix == "json"));
    files.sort();
    files
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn replay(stage: &Stage, arguments: &[&str]) -> Result<Output> {
    request(stage, &[&["--replay"], arguments].concat())
}

fn request(stage: &Stage, arguments: &[&str]) -> Result<Output> {
    run(stage, bridge(stage, &[&["request"], arguments].concat(), &[]))
}

/// A test's own directory, and one for records in it.
fn place(stage: &Stage, name: &str) -> Result<(PathBuf, PathBuf)> {
    let directory = stage.workplace(&format!("record-{name}"))?;
    let records = directory.join("records");
    Ok((directory, records))
}

/// A request as a server makes it.
fn ask(stage: &Stage, words: &[&str], uri: &str) -> Result<Output> {
    run(stage, command(stage, words, uri))
}

fn command(stage: &Stage, words: &[&str], uri: &str) -> Command {
    let mut command = bridge(stage, words, &CGI);
    let path = uri.split('?').next().unwrap_or_default();
    command.env("REQUEST_URI", uri).env("PATH_INFO", path);
    command
}

fn read(file: &Path) -> Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(file)?)?)
}

fn ways_to_fail(stage: &Stage) -> Result<()> {
    let (_, records_of) = place(stage, "ways")?;
    let directory = shown(&records_of);
    let logged = "{applications}/logged.py";
    let infinite = "{fixtures}/failures/infinite_loop.py";
    for (words, uri, status, reason) in [
        (&[logged][..], "/raises", Some(500), "status 500"),
        (&[logged], "/dies", Some(500), "status 500"),
        (&[logged], "/502", Some(502), "status 502"),
        (&[logged], "/cut", Some(200), "a traceback"),
        (&["--timeout", "1", infinite], "/hangs", Some(504), "status 504"),
        (&["{fixtures}/helo.py"], "/missing", Some(500), "status 500"),
        (&["--timeout", "soon", logged], "/set-up", Some(500), "status 500"),
        (&[logged], "/ok", None, ""),
        (&["--max-body", "1", logged], "/large", None, ""),
    ] {
        let before = records(&records_of);
        let mut command = command(stage, &[&["--record", &directory], words].concat(), uri);
        if uri == "/large" {
            command.env("CONTENT_LENGTH", "2");
        }
        run(stage, command)?;
        let after = records(&records_of);
        let new: Vec<_> = after.iter().filter(|file| !before.contains(file)).collect();
        let Some(status) = status else {
            ensure!(new.is_empty(), "{uri}: the new records are {new:?}");
            continue;
        };
        ensure!(new.len() == 1, "{uri}: the new records are {new:?}");
        let record = read(new[0])?;
        ensure!(record["response"]["status"] == status && record["reason"] == reason, "{record:#}");
        ensure!(record["variables"]["REQUEST_URI"] == uri, "{record:#}");
        ensure!(!record["lines"].as_array().context("no lines")?.is_empty(), "{record:#}");
        ensure!(
            record["run"]["app"].as_str().is_some_and(|app| app.starts_with('/')),
            "{record:#}"
        );
    }
    Ok(())
}

fn bounded(stage: &Stage) -> Result<()> {
    let (_, records_of) = place(stage, "bounded")?;
    let words = ["--record", &shown(&records_of), "--record-all", "--record-max", "3"];
    let words = [&words[..], &["{fixtures}/hello.py"]].concat();
    for number in 0..5 {
        ask(stage, &words, &format!("/{number}"))?.ends(0)?;
    }
    let files = records(&records_of);
    let uris = files.iter().map(|file| Ok(read(file)?["variables"]["REQUEST_URI"].clone()));
    let uris = uris.collect::<Result<Vec<_>>>()?;
    ensure!(uris == ["/2", "/3", "/4"], "{uris:?}");
    let mode =
        |path: &Path| -> Result<u32> { Ok(fs::metadata(path)?.permissions().mode() & 0o777) };
    ensure!(
        mode(&records_of)? == 0o700 && mode(&files[0])? == 0o600,
        "the directory or the record can be read by others"
    );
    Ok(())
}

fn not_written(stage: &Stage) -> Result<()> {
    let (directory, records_of) = place(stage, "not-written")?;
    fs::create_dir(&records_of)?;
    fs::set_permissions(&records_of, fs::Permissions::from_mode(0o755))?;
    fs::create_dir(directory.join("open"))?;
    fs::set_permissions(directory.join("open"), fs::Permissions::from_mode(0o1777))?;
    for (place, reason) in [
        (shown(&records_of), "belongs to user"),
        (shown(&directory.join("open/new")), "others can write to the directory"),
        (shown(&directory.join("a/b")), "cannot be opened"),
    ] {
        let output = ask(stage, &["--record", &place, "--record-all", "{fixtures}/hello.py"], "/")?;
        let (status, _) = output.ends(0)?.response()?;
        ensure!(status == 200, "{status}");
        output.says("--record: the request is not recorded: ")?.says(reason)?;
        ensure!(output.stderr.lines().count() == 1, "{}", output.stderr);
    }
    ensure!(records(&records_of).is_empty() && records(&directory.join("open")).is_empty());
    Ok(())
}

fn with_secrets(stage: &Stage) -> Result<()> {
    let (_, records_of) = place(stage, "secrets")?;
    let words = ["--record", &shown(&records_of), "--record-secrets", "{applications}/logged.py"];
    let mut command = command(stage, &words, "/raises?token=hunter1");
    command.env("HTTP_COOKIE", "id=hunter2").env("DATABASE_URL", "hunter3");
    run(stage, command)?.ends(1)?;
    let files = records(&records_of);
    let record = read(files.first().context("no record")?)?;
    for (name, value) in [
        ("REQUEST_URI", "/raises?token=hunter1"),
        ("HTTP_COOKIE", "id=hunter2"),
        ("DATABASE_URL", "hunter3"),
    ] {
        ensure!(record["variables"][name] == value, "{record:#}");
    }
    ensure!(record["left_out"] == Value::Array(Vec::new()), "{record:#}");
    Ok(())
}

fn bodies(stage: &Stage) -> Result<()> {
    let (directory, records_of) = place(stage, "bodies")?;
    let words = ["--record", &shown(&records_of), "--record-all", "{applications}/logged.py"];
    let file = directory.join("body");
    for (length, is_announced, is_kept) in [
        (0, true, true),
        (7, true, true),
        (1 << 20, true, true),
        ((1 << 20) + 1, true, false),
        (9, false, true),
        ((1 << 20) + 9, false, false),
    ] {
        fs::write(&file, "x".repeat(length))?;
        let mut command = command(stage, &words, "/ok");
        if is_announced {
            command.env("CONTENT_LENGTH", length.to_string());
        } else {
            command.env("HTTP_TRANSFER_ENCODING", "chunked");
        }
        command.env("REQUEST_METHOD", "POST").stdin(fs::File::open(&file)?);
        let output = run(stage, command)?;
        let (_, body) = output.ends(0)?.response()?;
        ensure!(body == format!("hello {length}\n"), "{body}");
        let files = records(&records_of);
        let record = read(files.last().context("no record")?)?;
        let kept = record["body"]["content"].as_str().map(str::len);
        ensure!(kept == Some(length).filter(|_| is_kept && length > 0), "{length}: {kept:?}");
        ensure!(length == 0 || record["body"]["length"] == length, "{}", record["body"]["length"]);
        fs::remove_dir_all(&records_of)?;
    }
    Ok(())
}

fn saved(stage: &Stage) -> Result<()> {
    let (directory, _) = place(stage, "saved")?;
    let file = shown(&directory.join("saved.json"));
    let environ = "{fixtures}/show_environ.py";
    let words = [environ, "/a?b=c", "-d", "x=1", "-H", "X-One: 1", "-b", "id=1", "--save", &file];
    let first = request(stage, &words)?;
    let first = String::from_utf8_lossy(&first.ends(0)?.stdout).into_owned();
    let mode = fs::metadata(&file)?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    // Another current directory, and no APP: the record has both.
    let mut command = bridge(stage, &["request", "--replay", &file, "-b", "id=1"], &[]);
    command.current_dir("/");
    let again = run(stage, command)?;
    again.ends(0)?.says("replay: the record does not have what is secret: HTTP_COOKIE")?;
    let lines = |text: &str| -> Vec<String> {
        // This line has the address of an object.
        let lines = text.lines().filter(|line| !line.starts_with("wsgi.input="));
        let mut lines: Vec<_> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let again = String::from_utf8_lossy(&again.stdout).into_owned();
    ensure!(lines(&again) == lines(&first), "{again}\nis not\n{first}");
    let output = replay(stage, &[&file, "{fixtures}/json_api.py", "-w", "%{http_code}\\n", "-s"])?;
    output.ends(0)?.says("replay: the answer changed: status 200, now 404")?;
    ensure!(output.stdout.ends_with(b"404\n"), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// An application whose answers the test changes.
const VERSION: &str = r#"
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/status":
        start_response(STATUS, [("Content-Type", "text/plain")])
        return [b"x"]
    start_response("200 OK", [("Content-Type", TYPE if path == "/type" else "text/plain")])
    return [BODY if path == "/body" else b"the same \x1b[2J"]
"#;

fn regression(stage: &Stage) -> Result<()> {
    let (directory, records_of) = place(stage, "regression")?;
    let application = directory.join("app.py");
    let version = |status: &str, media: &str, body: &str| {
        let values = format!("STATUS, TYPE, BODY = '{status}', '{media}', b'{body}'\n");
        fs::write(&application, values + VERSION)
    };
    version("200 OK", "text/plain", "one")?;
    let words = ["--record", &shown(&records_of), "--record-all", &shown(&application)];
    for uri in ["/same", "/status", "/type", "/body"] {
        ask(stage, &words, uri)?.ends(0)?;
    }
    let all = |expected: i32| -> Result<String> {
        let output = replay(stage, &[&shown(&records_of)])?;
        Ok(String::from_utf8_lossy(&output.ends(expected)?.stdout).into_owned())
    };
    let text = all(0)?;
    ensure!(text.ends_with("4 same, 0 changed\n"), "{text}");
    version("404 Not Found", "text/html", "two")?;
    let text = all(1)?;
    for line in [
        "same     GET /same 200 (",
        "changed  GET /status: status 200, now 404 (",
        "changed  GET /body: another body of 3 bytes (",
        "changed  GET /type: no longer \"content-type: text/plain\"; now \"content-type: text/html\" (",
        "1 same, 3 changed",
    ] {
        ensure!(text.lines().any(|found| found.starts_with(line)), "no {line:?} in {text}");
    }
    ensure!(!text.contains('\x1b'), "{text:?}");
    Ok(())
}

fn damaged(stage: &Stage) -> Result<()> {
    let (directory, records_of) = place(stage, "damaged")?;
    let words = ["--record", &shown(&records_of), "--record-all", "{fixtures}/hello.py"];
    ask(stage, &words, "/")?.ends(0)?;
    let whole = fs::read_to_string(records(&records_of).first().context("no record")?)?;
    let file = directory.join("damaged.json");
    for (text, place) in [
        (whole[..whole.len() / 2].to_owned(), ", column "),
        (whole.replacen("\"variables\": {", "\"variables\": [", 1), "line "),
        (String::new(), "line 1, column 0"),
        ("\x1b[2J".to_owned(), "line 1, column 1"),
        ("[]".to_owned(), "line 1, column "),
        (whole.replacen("\"cgi2wsgi_record\": 1", "\"cgi2wsgi_record\": 7", 1), "has format 7"),
    ] {
        fs::write(&file, &text)?;
        let output = replay(stage, &[&shown(&file)])?;
        output.ends(2)?.says(&shown(&file))?.says(place)?;
        ensure!(output.stdout.is_empty() && !output.stderr.contains('\x1b'), "{}", output.stderr);
    }
    fs::write(records_of.join("0.json"), "{")?;
    let output = replay(stage, &[&shown(&records_of)])?;
    output.ends(2)?.says("0.json, line 1, column 1")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(text.ends_with("1 same, 0 changed, 1 damaged\n"), "{text}");
    replay(stage, &["/nonexistent"])?.ends(2)?.says("/nonexistent")?;
    let empty = stage.workplace("record-empty")?;
    replay(stage, &[&shown(&empty)])?.ends(2)?.says("there is no record (*.json) in")?;
    Ok(())
}

/// Runs a command on its own terminal, types the parts of the first argument at the debugger's prompts, and writes
/// what the terminal showed.
const TERMINAL: &str = r#"
import os, pty, sys

pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
shown = b""
keys = sys.argv[1].encode().split(b";")
while True:
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        break
    if not piece:
        break
    shown += piece
    if keys and shown.count(b"(Pdb) ") + len(keys) > len(sys.argv[1].split(";")):
        os.write(terminal, keys.pop(0) + b"\n")
os.write(1, shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

fn debugger(stage: &Stage) -> Result<()> {
    let (directory, _) = place(stage, "debugger")?;
    let flask = "import flask\napplication = flask.Flask('x')\n\
                 @application.route('/<name>')\n\
                 def page(name):\n    number = 41\n    raise KeyError(name)\n";
    fs::write(directory.join("caught.py"), flask)?;
    let plain =
        "def application(environ, start_response):\n    number = 41\n    raise KeyError('x')\n";
    fs::write(directory.join("raised.py"), plain)?;
    for name in ["raised.py", "caught.py"] {
        let mut command = stage.command(&stage.python());
        command.args(["-c", TERMINAL, "p number + 1;q"]).arg(stage.bridge());
        command.args(["request", "--pdb", "--warm"]).arg(directory.join(name)).arg("/x");
        command.env("CGI2WSGI_VENV", stage.python_env());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = run(stage, command)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // Flask catches the exception and answers 500 itself.
        output.ends(i32::from(name == "raised.py")).with_context(|| text.clone())?;
        ensure!(text.contains("KeyError: 'x'") && text.contains("(Pdb) "), "{name}: {text}");
        ensure!(text.contains("\r\n42\r\n"), "{name}: {text}");
        ensure!(text.matches("(Pdb) ").count() == 2, "{name}: it started twice: {text}");
    }
    Ok(())
}

fn no_terminal(stage: &Stage) -> Result<()> {
    let mut command = stage.command(Path::new("/usr/bin/setsid"));
    command.arg("--wait").arg(stage.bridge()).args(["request", "--pdb"]);
    command.arg(stage.path("fixtures/hello.py"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    run(stage, command)?.ends(2)?.says("--pdb needs a terminal").map(drop)
}
