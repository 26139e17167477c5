//! A warm request sees the process state that the server gave it, and nothing of another request.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use cgi2wsgi::handoff::{Identity, Reply};

use crate::harness::command::{Test, collect, run};
use crate::harness::process::kill;
use crate::harness::stage::Stage;
use crate::warm::between::{Between, call_of, hello, reply_of, say, send_call};
use crate::warm::site::{Site, good, wait_gone};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("environment, directory, umask, signals and limits are those of a normal start", as_cold),
    (
        "E16: processes that the application starts have the variables of a normal start",
        of_processes,
    ),
    (
        "E16: variables are set by the methods of os.environ that the import, or its hook for forks, has replaced",
        changed_environ,
    ),
    ("memory that the import has freed is filled before the first fork", filled),
    ("freed memory is not filled while tracemalloc counts it", filled_but_traced),
    ("nothing of one request is in the next, and random numbers differ", nothing_stays),
    (
        "the application has the umask, limits and signals that the front was started with",
        of_this_request,
    ),
    ("each environment and each setting has a separate zygote", other_zygotes),
    ("a zygote refuses a request of another identity whose socket has the same name", same_name),
    ("requests are answered where the server or the application ignores SIGCHLD", ignored_sigchld),
    ("a process that an import leaves behind takes no requests", background),
];

/// The application's own answer to `do=facts`, as JSON, by a front that is started with `wrapped`.
fn facts(site: &Site<'_>, wrapped: &[&str]) -> Result<String> {
    let usual = site.command("do=facts");
    let Some((program, arguments)) = wrapped.split_first() else {
        return good(&run(site.stage, usual)?);
    };
    let mut command = site.copy_of(&usual, Path::new(program));
    command.args(arguments).arg(usual.get_program()).args(usual.get_args());
    good(&run(site.stage, command)?)
}

/// One of the facts, as text.
fn fact<'t>(facts: &'t str, name: &str) -> Result<&'t str> {
    let begin = format!("\"{name}\": ");
    let start = facts.find(&begin).with_context(|| format!("no {name} in {facts}"))? + begin.len();
    let rest = &facts[start..];
    let (mut depth, mut quoted) = (0, false);
    for (index, byte) in rest.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b',' | b'}' | b']' if !quoted && depth == 0 => return Ok(&rest[..index]),
            b'}' | b']' if !quoted => depth -= 1,
            _ => {}
        }
    }
    Ok(rest)
}

fn as_cold(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let usual = site.command("do=facts");
    let mut cold = site.copy_of(&usual, &stage.bridge());
    cold.args(usual.get_args().filter(|word| *word != "--warm"));
    let cold = good(&run(stage, cold)?)?;
    for _ in 0..3 {
        let warm = facts(&site, &[])?;
        for name in ["environ", "cwd", "umask", "signals", "mask", "nofile", "stdin", "seen"] {
            let (cold, warm) = (fact(&cold, name)?, fact(&warm, name)?);
            ensure!(cold == warm, "{name} is {warm}, and cold {cold}");
        }
    }
    ensure!(site.starts() == 1, "{}", site.log());
    Ok(())
}

/// Answers what `env` prints, and `SET`.
const SHOWING_VARIABLES: &str = r"
def application(environ, start_response):
    shown = subprocess.run(['env', '-0'], stdout=subprocess.PIPE, check=True).stdout.split(b'\0')[:-1]
    assert sorted(shown) == sorted(b'='.join(item) for item in os.environb.items())
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'\n'.join(sorted(shown)) + b'\nset: ' + b' '.join(sorted(SET))]
";

fn of_processes(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("app.py", &format!("import os, subprocess\nSET = []\n{SHOWING_VARIABLES}"))?;
    let usual = site.command("id=env&word=%C3%A9");
    let mut cold = site.copy_of(&usual, &stage.bridge());
    cold.args(usual.get_args().filter(|word| *word != "--warm"));
    let cold = good(&run(stage, cold)?)?;
    ensure!(cold.contains("\nQUERY_STRING=id=env&word=%C3%A9\n"), "{cold}");
    for _ in 0..2 {
        let warm = site.body("id=env&word=%C3%A9")?;
        ensure!(warm == cold, "warm: {warm}\ncold: {cold}");
    }
    ensure!(site.starts() == 1, "{}", site.log());
    Ok(())
}

fn changed_environ(stage: &Stage) -> Result<()> {
    let method = "usual = os._Environ.__setitem__\ndef put(self, name, value):\n    SET.append(name)\n    \
                  usual(self, name, value)\nos._Environ.__setitem__ = put\n";
    let function = "usual = os.putenv\ndef put(name, value):\n    SET.append(name)\n    usual(name, value)\n\
                    os.putenv = put\n";
    let hook = |change: &str| {
        let body = change.trim_end().replace('\n', "\n    ");
        format!("def change():\n    {body}\nos.register_at_fork(after_in_child=change)\n")
    };
    for change in [method.to_owned(), function.to_owned(), hook(method), hook(function)] {
        let site = Site::new(stage, &[])?;
        let begin = "import os, subprocess\nSET = []\n";
        site.write("app.py", &format!("{begin}{change}{SHOWING_VARIABLES}"))?;
        let answer = site.body("id=env")?;
        let (_, set) = answer.split_once("\nset: ").context("no variables")?;
        for name in ["QUERY_STRING", "REQUEST_METHOD", "GATEWAY_INTERFACE"] {
            ensure!(set.split(' ').any(|word| word == name), "{change}: not set by it: {answer}");
        }
        ensure!(site.starts() == 1, "{}", site.log());
    }
    Ok(())
}

/// An import that frees every second one of 60,000 objects. A request answers how many more blocks and traced bytes it
/// has.
const FREEING: &str = "made = [bytes(100) for _ in range(60_000)]\nkept = made[::2]\ndel made\n\
    blocks, traced = sys.getallocatedblocks(), tracemalloc.get_traced_memory()[0]\n\
    def application(environ, start_response):\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
    more = sys.getallocatedblocks() - blocks, tracemalloc.get_traced_memory()[0] - traced\n    \
    return [b'%d %d' % more]\n";

fn more_memory(stage: &Stage, begin: &str) -> Result<(i64, i64)> {
    let site = Site::new(stage, &[])?;
    site.write("app.py", &format!("import sys, tracemalloc\n{begin}{FREEING}"))?;
    // The first request's child is forked before the heap is ready.
    site.body("id=first")?;
    let answer = site.body("id=memory")?;
    let (blocks, traced) = answer.split_once(' ').context("no numbers")?;
    Ok((blocks.parse()?, traced.parse()?))
}

fn filled(stage: &Stage) -> Result<()> {
    let (blocks, _) = more_memory(stage, "")?;
    ensure!(blocks > 25_000, "{blocks} blocks more");
    Ok(())
}

fn filled_but_traced(stage: &Stage) -> Result<()> {
    let (blocks, traced) = more_memory(stage, "tracemalloc.start()\n")?;
    ensure!(blocks < 25_000 && traced < 1 << 20, "{blocks} blocks more, {traced} bytes");
    Ok(())
}

fn nothing_stays(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write(
        "import.py",
        // Each generator has a state before the first fork.
        "import random, secrets, ssl, uuid\nrandom.random(), ssl.RAND_bytes(8), secrets.token_hex()\n\
         uuid.uuid1(), uuid.uuid4()\nFORKS = 0\ndef forked():\n    global FORKS\n    FORKS += 1\n\
         os.register_at_fork(after_in_child=forked)\n\
         asked = {'QUERY_STRING', 'REQUEST_METHOD', 'LEFT_BEHIND'}\n\
         note('found', sorted(asked & set(os.environ)))\n",
    )?;
    let all: Vec<String> = (0..6).map(|_| facts(&site, &[])).collect::<Result<_>>()?;
    let chance = ["random", "uuid", "uuid1", "secrets", "openssl", "salted", "temporary"];
    for name in chance.iter().chain(&["pid"]) {
        let different: BTreeSet<&str> =
            all.iter().map(|facts| fact(facts, name)).collect::<Result<_>>()?;
        ensure!(different.len() == all.len(), "{name} is the same twice: {different:?}");
    }
    for facts in &all {
        ensure!(fact(facts, "seen")? == "[]", "{facts}");
        ensure!(fact(facts, "forks")? == "1", "at-fork hooks ran {} times", fact(facts, "forks")?);
        ensure!(!fact(facts, "environ")?.contains("LEFT_BEHIND"), "{facts}");
        ensure!(!fact(facts, "temporary")?.contains("left"), "{facts}");
    }
    ensure!(site.lines("found") == ["[]"], "at import: {:?}", site.lines("found"));
    ensure!(site.starts() == 1, "{}", site.log());
    Ok(())
}

fn of_this_request(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let usual = facts(&site, &[])?;
    let masked = facts(&site, &["sh", "-c", "umask 027; unset PWD OLDPWD; exec \"$@\"", "sh"])?;
    ensure!(fact(&masked, "umask")? == "23", "{}", fact(&masked, "umask")?);
    ensure!(site.starts() == 1, "{}", site.log());
    let limited =
        facts(&site, &["sh", "-c", "ulimit -n 100; unset PWD OLDPWD; exec \"$@\"", "sh"])?;
    ensure!(fact(&limited, "nofile")? == "[100, 100]", "{}", fact(&limited, "nofile")?);
    let ignoring = facts(&site, &["env", "--ignore-signal=HUP"])?;
    ensure!(fact(&ignoring, "signals")?.contains("\"SIGHUP\": 1"), "{ignoring}");
    let again = facts(&site, &[])?;
    for name in ["umask", "nofile", "signals"] {
        ensure!(fact(&again, name)? == fact(&usual, name)?, "{name}: {}", fact(&again, name)?);
    }
    let said = site.ask("id=loud&do=say")?;
    ensure!(good(&said)?.starts_with("loud ") && said.stderr == "said loud\n", "{}", said.stderr);
    site.body("id=quiet").map(drop)
}

fn other_zygotes(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let elsewhere = site.path("elsewhere").display().to_string();
    fs::create_dir(&elsewhere)?;
    let venv = stage.python_env().display().to_string();
    let beside = site.directory.display().to_string();
    let ways: &[(&[&str], &str)] = &[
        (&[], ""),
        (&[], "a setting that the application may read"),
        (&["--chdir", &elsewhere, "--pythonpath", &beside], ""),
        (&["--venv", &venv], ""),
        (&["--debug"], ""),
        (&["--warm-spare", "1"], ""),
    ];
    for round in 0..2 {
        for &(options, setting) in ways {
            let usual = site.command("id=x");
            let mut command = site.copy_of(&usual, &stage.bridge());
            command.args(options).args(usual.get_args()).env("SETTING", setting);
            // Variables of the request make no difference.
            command.env("HTTP_COOKIE", round.to_string()).env("REMOTE_PORT", round.to_string());
            good(&run(stage, command)?).with_context(|| format!("{options:?}"))?;
        }
        ensure!(site.starts() == ways.len(), "{}", site.log());
    }
    ensure!(site.zygotes().len() == ways.len(), "{:?}", site.zygotes());
    site.ends_clean()
}

fn same_name(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &["--warm-spare", "1"])?;
    site.body("id=first")?;
    let between = Between::new(&site)?;
    let running = site.begin("id=x")?;
    let front = between.accept()?;
    let (call, descriptors) = call_of(&front)?;
    let mut other = call.clone();
    let identity = other.identity.as_ref().context("no identity")?;
    let mut identity = identity.as_bytes().to_vec();
    *identity.last_mut().context("an empty identity")? ^= 1;
    other.identity = Some(Identity::from_bytes(identity));
    let child = between.connect()?;
    hello(&child)?;
    send_call(&child, &other, &descriptors)?;
    let (reply, _) = reply_of(&child)?.context("no reply")?;
    ensure!(
        matches!(&reply, Reply::Cold(reason) if reason.contains("another application")),
        "{reply:?}"
    );
    say(&front, &reply)?;
    between.step_aside()?;
    drop((front, descriptors));
    let output = collect(running)?;
    good(output.says("another application")?)?;
    ensure!(site.runs("x") == 1, "{:?}", site.lines("runs"));
    site.body("id=next").map(drop)
}

fn ignored_sigchld(stage: &Stage) -> Result<()> {
    let by_server = Site::new(stage, &[])?;
    for _ in 0..5 {
        let facts = facts(&by_server, &["env", "--ignore-signal=CHLD"])?;
        ensure!(fact(&facts, "signals")?.contains("\"SIGCHLD\": 1"), "{facts}");
    }
    ensure!(by_server.starts() == 1, "{}", by_server.log());
    by_server.ends_clean()?;
    let by_application = Site::new(stage, &["--warm-max", "2"])?;
    by_application.write("import.py", "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n")?;
    for _ in 0..5 {
        by_application.body("id=x")?;
    }
    ensure!(by_application.starts() == 1, "{}", by_application.log());
    by_application.ends_clean()
}

fn background(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write("import.py", "if os.fork() == 0:\n    wait_for('go')\n    os._exit(0)\n")?;
    site.body("id=x")?;
    let zygote = site.zygote()?;
    kill(zygote, libc::SIGKILL)?;
    wait_gone(zygote)?;
    site.body("id=y")?;
    site.write("go", "")
}
