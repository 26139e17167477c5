//! `cgi2wsgi request`: each flag, through the built executables.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{CGI, Output, Test, run, trials_of};
use crate::harness::stage::Stage;
use crate::harness::world::World;

const TESTS: &[(&str, Test)] = &[
    ("APP alone makes a GET of /", plain),
    ("a URL sets path, query, scheme and host", url),
    ("-X and -H set the method and headers", method_and_headers),
    ("-d sends urlencoded data", data),
    ("-d @FILE sends a file unchanged", data_from_file),
    ("-d @- sends standard input", data_from_stdin),
    ("--json sends JSON and asks for it", json),
    ("-F sends a multipart form with a file", form),
    ("-b sends cookies and -u a password", cookies_and_user),
    ("-i shows head and body, and -I makes a HEAD and shows the head", head),
    ("-o writes to a file", output_file),
    ("-f makes an error status exit status 22 without a body", fail),
    ("-v shows the variables and the head on stderr", verbose),
    ("M8: -w writes what curl writes, and rejects unknown variables with a suggestion", write_out),
    ("M8: -L follows redirects of the application, and none to another host", redirects),
    ("M8: -s, -S and -k are read as curl reads them", silent),
    ("exit statuses are those of a server's request", exit_status),
    ("variables of another request in the environment are not used", no_leak),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("request", TESTS, world)
}

/// `cgi2wsgi request` with these arguments.
fn request(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = stage.command(&stage.bridge());
    command
        .arg("request")
        .args(arguments.iter().map(|argument| stage.resolve(argument)))
        .env("CGI2WSGI_VENV", stage.python_env())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn answer(stage: &Stage, arguments: &[&str]) -> Result<String> {
    let output = run(stage, request(stage, arguments))?;
    text(output.ends(0)?)
}

fn text(output: &Output) -> Result<String> {
    String::from_utf8(output.stdout.clone()).context("the answer is not UTF-8")
}

fn has_lines(text: &str, lines: &[&str]) -> Result<()> {
    for line in lines {
        ensure!(text.lines().any(|found| found == *line), "no line {line:?} in:\n{text}");
    }
    Ok(())
}

fn plain(stage: &Stage) -> Result<()> {
    let body = answer(stage, &["{fixtures}/hello.py"])?;
    ensure!(body == "Hello, world!\n", "{body:?}");
    Ok(())
}

fn url(stage: &Stage) -> Result<()> {
    let url = "https://example.org:8443/a%20b/é?x=1&y=%20#part";
    let body = answer(stage, &["{fixtures}/show_environ.py", url])?;
    let expected = [
        "PATH_INFO=/a b/é",
        "QUERY_STRING=x=1&y=%20",
        "REQUEST_URI=/a%20b/%C3%A9?x=1&y=%20",
        "HTTP_HOST=example.org:8443",
        "SERVER_NAME=example.org",
        "SERVER_PORT=8443",
        "wsgi.url_scheme=https",
    ];
    has_lines(&body, &expected)
}

fn method_and_headers(stage: &Stage) -> Result<()> {
    let arguments =
        ["{fixtures}/show_environ.py", "-X", "REPORT", "-H", "X-One: 1", "-H", "Accept:"];
    let body = answer(stage, &arguments)?;
    ensure!(!body.contains("HTTP_ACCEPT="), "Accept was to be left out:\n{body}");
    has_lines(&body, &["REQUEST_METHOD=REPORT", "HTTP_X_ONE=1"])
}

fn data(stage: &Stage) -> Result<()> {
    let body = answer(stage, &["{fixtures}/form.py", "-d", "name=Ann", "-d", "message=a%26b"])?;
    ensure!(body.contains("Ann") && body.contains("a&amp;b"), "{body}");
    Ok(())
}

fn data_from_file(stage: &Stage) -> Result<()> {
    let size = fs::metadata(stage.path("work/download.bin")).context("no download.bin")?.len();
    let file = format!("@{}", stage.path("work/download.bin").display());
    let body = answer(stage, &["{fixtures}/upload.py", "/", "-d", &file])?;
    ensure!(body.ends_with(&format!(" {size}\n")), "{body:?}, and the file has {size} bytes");
    Ok(())
}

fn data_from_stdin(stage: &Stage) -> Result<()> {
    let sum = "f4a4c8a1d0f0a9b0";
    let (reader, mut writer) = std::io::pipe().context("no pipe")?;
    std::io::Write::write_all(&mut writer, sum.as_bytes()).context("the pipe is full")?;
    drop(writer);
    let mut command = request(stage, &["{fixtures}/read_body.py", "/?how=read", "-d", "@-"]);
    command.stdin(reader);
    let body = text(run(stage, command)?.ends(0)?)?;
    ensure!(body == format!("[\"{sum}\"]"), "{body:?}");
    Ok(())
}

fn json(stage: &Stage) -> Result<()> {
    let body = answer(stage, &["{fixtures}/show_environ.py", "--json", r#"{"a": 1}"#])?;
    let expected = [
        "REQUEST_METHOD=POST",
        "CONTENT_TYPE=application/json",
        "CONTENT_LENGTH=8",
        "HTTP_ACCEPT=application/json",
    ];
    has_lines(&body, &expected)
}

fn form(stage: &Stage) -> Result<()> {
    let file = format!("file=@{};filename=ä.txt", stage.path("fixtures/hello.py").display());
    let size = fs::metadata(stage.path("fixtures/hello.py")).context("no hello.py")?.len();
    let body = answer(stage, &["{fixtures}/form.py", "-F", "name=Zoë", "-F", &file])?;
    ensure!(body.contains("Zoë"), "{body}");
    ensure!(body.contains(&format!("ä.txt ({size} bytes)")), "{body}");
    Ok(())
}

fn cookies_and_user(stage: &Stage) -> Result<()> {
    let arguments = ["{fixtures}/show_environ.py", "-b", "a=1", "-b", "b=2", "-u", "ann:secret"];
    let body = answer(stage, &arguments)?;
    has_lines(&body, &["HTTP_COOKIE=a=1; b=2", "HTTP_AUTHORIZATION=Basic YW5uOnNlY3JldA=="])
}

fn head(stage: &Stage) -> Result<()> {
    let head = "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=utf-8\nContent-Length: 14\n\n";
    let with_body = answer(stage, &["{fixtures}/hello.py", "-i"])?;
    ensure!(with_body == format!("{head}Hello, world!\n"), "{with_body:?}");
    let alone = answer(stage, &["{fixtures}/hello.py", "-I"])?;
    ensure!(alone == head, "{alone:?}");
    Ok(())
}

fn output_file(stage: &Stage) -> Result<()> {
    let file = stage.workplace("request-output")?.join("answer");
    let shown = file.display().to_string();
    let stdout = answer(stage, &["{fixtures}/hello.py", "-o", &shown])?;
    ensure!(stdout.is_empty(), "standard output has {stdout:?}");
    let written = fs::read_to_string(&file).context("no file was written")?;
    ensure!(written == "Hello, world!\n", "{written:?}");
    Ok(())
}

fn fail(stage: &Stage) -> Result<()> {
    let output = run(stage, request(stage, &["{fixtures}/json_api.py", "/missing", "-f"]))?;
    ensure!(output.ends(22)?.stdout.is_empty(), "there is a body");
    let output = run(stage, request(stage, &["{fixtures}/json_api.py", "/missing"]))?;
    ensure!(!output.ends(0)?.stdout.is_empty(), "without -f there is no body");
    Ok(())
}

fn verbose(stage: &Stage) -> Result<()> {
    let output = run(stage, request(stage, &["{fixtures}/hello.py", "/x?y", "-v"]))?;
    let expected = ["> PATH_INFO=/x", "> QUERY_STRING=y", "< HTTP/1.1 200 OK", "<"];
    has_lines(&output.ends(0)?.stderr, &expected)?;
    // A pipe gets no colours.
    ensure!(!output.stderr.contains('\x1b'), "{:?}", output.stderr);
    ensure!(text(&output)? == "Hello, world!\n", "{:?}", output.stdout);
    Ok(())
}

fn write_out(stage: &Stage) -> Result<()> {
    let format =
        "\\n%{http_code} %{response_code} %{size_download} %{content_type} %{url} 100%%\\n";
    let text = answer(stage, &["{fixtures}/hello.py", "/x", "-sw", format])?;
    let expected = "Hello, world!\n\n200 200 14 text/plain; charset=utf-8 /x 100%\n";
    ensure!(text == expected, "{text:?}");
    let alone =
        ["{fixtures}/json_api.py", "/missing", "-s", "-o", "/dev/null", "-w", "%{http_code}"];
    let text = answer(stage, &alone)?;
    ensure!(text == "404", "{text:?}");
    let time = answer(stage, &["{fixtures}/hello.py", "-o", "/dev/null", "-w", "%{time_total}"])?;
    ensure!(time.parse::<f64>().is_ok_and(|seconds| seconds > 0.0 && seconds < 60.0), "{time:?}");
    let wrong = run(stage, request(stage, &["{fixtures}/hello.py", "-w", "%{http_cod}"]))?;
    wrong.ends(2)?.says("did you mean http_code?")?;
    let network = run(stage, request(stage, &["{fixtures}/hello.py", "-w", "%{time_connect}"]))?;
    network.ends(2)?.says("there is no %{time_connect} without a network")?;
    ensure!(network.stdout.is_empty(), "the request was made");
    Ok(())
}

fn redirects(stage: &Stage) -> Result<()> {
    let directory = stage.workplace("redirects")?;
    let application = directory.join("app.py");
    fs::write(
        &application,
        r#"
def application(environ, start_response):
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    body = environ["wsgi.input"].read()
    places = {"/302": ("302 Found", "there/../end?x"), "/307": ("307 Temporary Redirect", "/end"),
              "/away": ("302 Found", "https://example.org/"), "/circle": ("302 Found", "/circle"),
              "/whole": ("301 Moved Permanently", "http://localhost/end")}
    if path in places:
        status, location = places[path]
        start_response(status, [("Location", location), ("Content-Type", "text/plain")])
        return [b"elsewhere\n"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{method} {path}?{environ['QUERY_STRING']} {body!r}\n".encode()]
"#,
    )?;
    let application = application.display().to_string();
    for (path, expected) in [
        ("/302", "GET /end?x b''\n 1 /end?x"),
        ("/307", "POST /end? b'a=1'\n 1 /end"),
        ("/whole", "GET /end? b''\n 1 http://localhost/end"),
        ("/end", "POST /end? b'a=1'\n 0 /end"),
    ] {
        let arguments = [&application, path, "-L", "-d", "a=1", "-w", " %{num_redirects} %{url}"];
        let text = answer(stage, &arguments)?;
        ensure!(text == expected, "{path}: {text:?}");
    }
    let heads = answer(stage, &[&application, "/302", "-Li"])?;
    ensure!(
        heads.contains("HTTP/1.1 302 Found\n") && heads.contains("HTTP/1.1 200 OK\n"),
        "{heads}"
    );
    let without = answer(stage, &[&application, "/302"])?;
    ensure!(without == "elsewhere\n", "{without:?}");
    let away = run(stage, request(stage, &[&application, "/away", "-L"]))?;
    away.ends(0)?.says("is not followed: it leads to another host")?;
    ensure!(text(&away)? == "elsewhere\n", "{:?}", away.stdout);
    let circle = run(stage, request(stage, &[&application, "/circle", "-L"]))?;
    circle.ends(2)?.says("redirects in a circle").map(drop)
}

fn silent(stage: &Stage) -> Result<()> {
    let body = answer(stage, &["-sSk", "{fixtures}/hello.py", "https://localhost/"])?;
    ensure!(body == "Hello, world!\n", "{body:?}");
    Ok(())
}

fn exit_status(stage: &Stage) -> Result<()> {
    let failing = run(stage, request(stage, &["{fixtures}/failures/raises_before.py"]))?;
    let body = text(failing.ends(1)?.says("failed before start_response")?)?;
    ensure!(body.contains("The application failed."), "{body:?}");
    let misspelt = run(stage, request(stage, &["{fixtures}/helo.py"]))?;
    misspelt.ends(2)?.says("did you mean hello.py")?;
    ensure!(misspelt.stdout.is_empty(), "standard output is not empty");
    let too_large = ["{fixtures}/hello.py", "-d", "abcdef", "--max-body", "5"];
    run(stage, request(stage, &too_large))?.ends(1)?.says("allows 5")?;
    Ok(())
}

fn no_leak(stage: &Stage) -> Result<()> {
    let mut command = request(stage, &["{fixtures}/show_environ.py", "/new"]);
    // Variables of another request, which are too few for a CGI request.
    command.env("HTTP_X_OLD", "1").env("QUERY_STRING", "old").env("REDIRECT_URL", "/old");
    command.env(CGI[1].0, "DELETE").env("HOME", "/of/this/user");
    let body = text(run(stage, command)?.ends(0)?)?;
    ensure!(!body.contains("HTTP_X_OLD") && !body.contains("REDIRECT_URL"), "{body}");
    has_lines(&body, &["QUERY_STRING=", "REQUEST_METHOD=GET", "HOME=/of/this/user"])
}
