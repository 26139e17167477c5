//! An application that starts its own server while it is imported, as with `app.run()` at the end of its file (M5).
//! The import would never end; the log says so soon, even without `--timeout`.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{CGI, Output, Test, collect, run, trials_of};
use crate::harness::process::{AtParentDeath, Running};
use crate::harness::stage::Stage;
use crate::harness::world::World;
use crate::warm::command::Warm;
use crate::warm::site::{Site, wait_gone};

const TESTS: &[(&str, Test)] = &[
    (
        "M5: for an import that runs a server the log names the line, for five kinds of servers",
        named,
    ),
    ("M5: an import whose server cannot be interrupted is killed", stubborn),
    ("M5: an import whose server runs in a thread is not ended", thread),
    (
        "M5: with --warm an import that runs a server leads to a normal start, which gives the same reason",
        warm,
    ),
    ("M5: SIGTERM ends an import that runs a server", terminated),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("own_server", TESTS, world)
}

/// The code of a server, the number of the line that starts it, and the text of that line.
const SERVERS: &[(&str, u32, &str)] = &[
    ("from flask import Flask\n\napp = Flask(__name__)\napp.run(port=0)\n", 4, "app.run(port=0)"),
    ("import bottle\n\napp = bottle.default_app()\nbottle.run(port=0)\n", 4, "bottle.run(port=0)"),
    (
        "from cheroot import wsgi\n\nserver = wsgi.Server(('127.0.0.1', 0), None)\nserver.start()\n",
        4,
        "server.start()",
    ),
    (
        "import asyncio\n\n\nasync def main():\n    server = await asyncio.start_server(print, '127.0.0.1', 0)\n    \
         await server.serve_forever()\n\n\nasyncio.run(main())\n",
        9,
        "asyncio.run(main())",
    ),
    (
        "import socket\n\n\ndef main():\n    server = socket.create_server(('127.0.0.1', 0))\n    while True:\n        \
         server.accept()\n\n\nmain()\n",
        10,
        "main()",
    ),
];

fn request(site: &Site<'_>) -> Result<Output> {
    let mut command = site.stage.command(&site.stage.bridge());
    command.arg(site.path("app.py")).envs(CGI).env("CGI2WSGI_VENV", site.stage.python_env());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    run(site.stage, command)
}

fn reason(site: &Site<'_>, line: u32, code: &str) -> String {
    format!(
        "the application starts a server of its own while it is imported, and that import does not end: put line \
         {line} of {}, {code}, below if __name__ == \"__main__\":",
        site.path("app.py").display()
    )
}

fn named(stage: &Stage) -> Result<()> {
    for (text, line, code) in SERVERS {
        let site = Site::new(stage, &[])?;
        site.write("app.py", text)?;
        let output = request(&site)?;
        output.ends(1)?.says(&format!("{} (answered 500)", reason(&site, *line, code)))?;
        ensure!(output.response()?.0 == 500, "{:?}", output.response()?);
    }
    Ok(())
}

fn stubborn(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let text = "import http.server, os\n\nserver = http.server.HTTPServer(('127.0.0.1', 0), None)\n\
                with open(__file__ + '.pid', 'w') as file:\n    file.write(str(os.getpid()))\nwhile True:\n    try:\n        \
                server.serve_forever()\n    except BaseException:\n        pass\n";
    site.write("app.py", text)?;
    let output = request(&site)?;
    let reason = reason(&site, 8, "server.serve_forever()");
    output.ends(1)?.says(&format!("{reason} (answered 500)"))?;
    ensure!(output.response()?.0 == 500, "{:?}", output.response()?);
    wait_gone(site.lines("app.py.pid").first().context("the import did not begin")?.parse()?)
}

fn thread(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    // The import takes longer than the front waits before it first looks for a socket and asks the worker.
    let text = "import socketserver, threading, time\n\n\
                server = socketserver.TCPServer(('127.0.0.1', 0), socketserver.BaseRequestHandler)\n\
                threading.Thread(target=server.serve_forever, daemon=True).start()\ntime.sleep(3)\n\n\n\
                def application(environ, start_response):\n    \
                start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [b'served']\n";
    site.write("app.py", text)?;
    let output = request(&site)?;
    output.ends(0)?;
    let (status, body) = output.response()?;
    ensure!(status == 200 && body == "served" && output.stderr.is_empty(), "{}", output.stderr);
    Ok(())
}

fn warm(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "w-own-server")?;
    let site = Site::new(stage, &[])?;
    let (text, line, code) = SERVERS[0];
    site.write("app.py", text)?;
    let output = run(stage, warm.request(&site.path("app.py").display().to_string()))?;
    let reason = reason(&site, line, code);
    output.says(&format!("falling back to a normal (cold) start: {reason}"))?;
    output.says(&format!("error: {reason} (answered 500)"))?;
    Ok(())
}

fn terminated(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let text = "import http.server, os\n\nserver = http.server.HTTPServer(('127.0.0.1', 0), None)\n\
                with open(__file__ + '.pid', 'w') as file:\n    file.write(f'{os.getpid()}\\n')\nserver.serve_forever()\n";
    site.write("app.py", text)?;
    let mut command = stage.command(&stage.bridge());
    command.arg(site.path("app.py")).envs(CGI).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = Running::start(command, &stage.user, AtParentDeath::Kill)?;
    site.wait_lines("app.py.pid", 1)?;
    running.signal(libc::SIGTERM)?;
    wait_gone(site.lines("app.py.pid")[0].parse()?)?;
    collect(running)?.ends(1)?.says("(answered 500)")?;
    Ok(())
}
