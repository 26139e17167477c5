//! `cgi2wsgi check`: broken sites, each really made, with the finding and the cure that it must have; and what all
//! reports have in common.

mod sites;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{Output, Test, collect, run, trials_of};
use crate::harness::process::{AtParentDeath, PATIENCE, Running, User, until};
use crate::harness::stage::Stage;
use crate::harness::table::failed;
use crate::harness::world::World;

/// A site with one mistake.
struct Site {
    name: &'static str,
    /// Files, by their names in the site's directory; a name that ends with a slash is a directory.
    files: &'static [(&'static str, &'static str)],
    /// Shell commands that complete the site, run in its directory.
    made: &'static str,
    /// The arguments after `check`.
    arguments: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
    python: Python,
    /// The beginning of the expected line: mark and subject.
    about: &'static str,
    /// What else that line must contain.
    seen: &'static [&'static str],
    /// The command after the arrow, or a part of it; empty if there must be none.
    cure: &'static str,
    code: i32,
}

/// Whether `CGI2WSGI_PYTHON` names a Python, `CGI2WSGI_VENV` names a virtual environment, or neither is set.
#[derive(Clone, Copy)]
enum Python {
    System,
    Packages,
    Unnamed,
}

/// The defaults: a problem of `app.py`, checked with the system's Python.
const SITE: Site = Site {
    name: "",
    files: &[],
    made: "",
    arguments: &["app.py"],
    variables: &[],
    python: Python::System,
    about: "",
    seen: &[],
    cure: "",
    code: 2,
};

const TESTS: &[(&str, Test)] = &[
    ("a site without a mistake is exit status 0, and each line has a mark", fine_site),
    ("--json is JSON with the same findings and exit status, of ASCII alone", json),
    ("control characters from a site are escaped on the terminal", hostile_bytes),
    ("output is coloured at a terminal, unless NO_COLOR is set", colours),
    ("an import that hangs leaves no process behind", nothing_left),
    ("--as checks with the rights of another user and its groups", another_user),
    ("a file system that is mounted noexec is named, for a script and for a Python", noexec),
    ("without APP the installation is checked, and files that look like one are named", no_app),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let mut trials = trials_of("check", TESTS, world);
    trials.extend(sites::all().enumerate().map(|(number, site)| {
        let world = Arc::clone(world);
        Trial::test(format!("check::{}", site.name), move || {
            let tried = world.stage().and_then(|stage| try_site(stage, site, number));
            tried.map_err(|error| failed(&error))
        })
    }));
    trials
}

fn try_site(stage: &Stage, site: &Site, number: usize) -> Result<()> {
    let place = stage.workplace(&format!("check-{number}"))?;
    let filled = |text: &str| stage.resolve(text).replace("{place}", &place.to_string_lossy());
    for (name, text) in site.files {
        write(&place.join(name), &filled(text))?;
    }
    if User::current() != stage.user {
        let owner = format!("{}:{}", stage.user.uid, stage.user.gid);
        let given = Command::new("chown").args(["-R", &owner]).arg(&place).status()?;
        ensure!(given.success(), "the site cannot be given to its user");
    }
    let python = base_python(stage)?;
    if !site.made.is_empty() {
        let mut command = stage.command(Path::new("/bin/sh"));
        command.args(["-ec", &filled(site.made)]).current_dir(&place);
        command.env("PYTHON", &python).env("BRIDGE", stage.bridge());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        run(stage, command)?.ends(0).context("the site cannot be made")?;
    }
    let mut command = check(stage, &place, site.python)?;
    command.args(site.arguments.iter().map(|argument| filled(argument)));
    command.envs(site.variables.iter().map(|(name, value)| (name, filled(value))));
    let output = run(stage, command);
    // Restores permissions, so that the site can be removed.
    let mut command = stage.command(Path::new("/bin/chmod"));
    command.args(["-R", "u+rwX"]).arg(&place).stdout(Stdio::piped()).stderr(Stdio::piped());
    let opened = run(stage, command);
    let text = report(output?.ends(site.code)?);
    opened?;
    let line = text.lines().find(|line| {
        let subject = line.get(..site.about.len()) == Some(site.about);
        subject && site.seen.iter().all(|seen| line.contains(&filled(seen)))
    });
    let line =
        line.with_context(|| format!("no {:?} with {:?} in:\n{text}", site.about, site.seen))?;
    let cure = line.split_once("  → ").map_or("", |(_, cure)| cure);
    ensure!(cure.contains(&filled(site.cure)), "no {:?} in {cure:?}", site.cure);
    ensure!(site.cure.is_empty() == cure.is_empty(), "the cure is {cure:?}");
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    if path.to_string_lossy().ends_with('/') {
        return fs::create_dir_all(path).context("a directory");
    }
    fs::create_dir_all(path.parent().context("a directory")?)?;
    fs::write(path, text).with_context(|| format!("{}", path.display()))
}

/// The Python that the tests' environment was made with.
fn base_python(stage: &Stage) -> Result<PathBuf> {
    stage.python().canonicalize().context("the tests' Python")
}

fn check(stage: &Stage, place: &Path, python: Python) -> Result<Command> {
    let mut command = stage.command(&stage.bridge());
    command.arg("check").current_dir(place).stdout(Stdio::piped()).stderr(Stdio::piped());
    match python {
        Python::System => command.env("CGI2WSGI_PYTHON", base_python(stage)?),
        Python::Packages => command.env("CGI2WSGI_VENV", stage.python_env()),
        Python::Unnamed => &mut command,
    };
    Ok(command)
}

fn report(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const HELLO: &str = "def application(environ, start_response):\n    \
                     start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [b'hello']\n";

fn fine_site(stage: &Stage) -> Result<()> {
    let place = stage.workplace("check-fine")?;
    write(&place.join("app.py"), HELLO)?;
    let mut command = check(stage, &place, Python::System)?;
    command.arg("app.py");
    let output = run(stage, command)?;
    let text = report(output.ends(0)?);
    ensure!(output.stderr.is_empty(), "standard error has: {}", output.stderr);
    ensure!(text.lines().all(|line| line.starts_with("✓ ")), "{text}");
    ensure!(text.ends_with("\n✓ no problem found\n") && !text.contains('\x1b'), "{text}");
    let mut left = text.as_str();
    // In the order in which a request meets them.
    for about in [
        "cgi2wsgi",
        "worker",
        "application",
        "TMPDIR",
        "python",
        "import",
        "callable",
        "request",
        "warm",
    ] {
        let subject = format!("✓ {about} ");
        let at = left.find(&subject).with_context(|| format!("no {about} in its place: {text}"))?;
        left = &left[at..];
    }
    ensure!(text.contains("gives 200 OK in "), "{text}");
    Ok(())
}

fn json(stage: &Stage) -> Result<()> {
    let place = stage.workplace("check-json")?;
    write(&place.join("app.py"), "raise ValueError('\\x1b[31m\\u202e\\ud800 \\x9b')\n")?;
    let mut command = check(stage, &place, Python::System)?;
    command.args(["--json", "app.py"]);
    let output = run(stage, command)?;
    let text = report(output.ends(2)?);
    ensure!(text.bytes().all(|byte| byte == b'\n' || (b' '..0x7f).contains(&byte)), "{text:?}");
    let program = "import json, sys\nreport = json.load(sys.stdin)\n\
                   found = [it for it in report['findings'] if it['about'] == 'import']\n\
                   assert [it['level'] for it in found] == ['problem'], report\n\
                   assert found[0]['seen'].startswith('ValueError: \\x1b[31m\\u202e'), found\n\
                   assert found[0]['cure'].startswith('vi +1 ') and found[0]['detail'], found\n\
                   assert (report['problems'], report['warnings'], report['verdict']) == (1, 0, 'problem'), report\n";
    let file = place.join("report.json");
    fs::write(&file, &text)?;
    let mut command = stage.command(&base_python(stage)?);
    command.args(["-c", program]).stdin(fs::File::open(&file)?);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    run(stage, command)?.ends(0).map(drop)
}

fn hostile_bytes(stage: &Stage) -> Result<()> {
    let place = stage.workplace("check-hostile")?;
    let name = "a\x1b[2J\u{202e}.py";
    write(
        &place.join(name),
        "import os, sys\nsys.stdout.write('\\x1b]0;x\\x07')\nos.write(2, b'\\x1b[2J\\xff')\n\
         os.write(int(sys.argv[0] == '') or 1, b'\\x9b')\nraise RuntimeError('\\x1b[1m\\r\\n\\u200b')\n",
    )?;
    for json in [false, true] {
        let mut command = check(stage, &place, Python::System)?;
        command.arg(name);
        if json {
            command.arg("--json");
        }
        let output = run(stage, command)?;
        let text = report(output.ends(2)?);
        ensure!(text.contains("RuntimeError"), "{text}");
        let is_plain = |c: char| c == '\n' || !(c.is_control() || "\u{200b}\u{202e}".contains(c));
        ensure!(text.chars().all(is_plain), "{text:?}");
    }
    Ok(())
}

/// Runs a command at a terminal, and passes on what it wrote there.
const AT_A_TERMINAL: &str = "import os, pty, sys\n\
    pid, terminal = pty.fork()\n\
    if pid == 0:\n    os.execv(sys.argv[1], sys.argv[1:])\n\
    while True:\n\
    \x20   try:\n        piece = os.read(terminal, 4096)\n\
    \x20   except OSError:\n        break\n\
    \x20   if not piece:\n        break\n\
    \x20   sys.stdout.buffer.write(piece)\n\
    os.waitpid(pid, 0)\n";

fn colours(stage: &Stage) -> Result<()> {
    let place = stage.workplace("check-colours")?;
    write(&place.join("app.py"), "raise ValueError('\\x1b[2J\\x1b]0;x\\x07')\n")?;
    for no_color in [false, true] {
        let mut command = stage.command(&base_python(stage)?);
        command.args(["-c", AT_A_TERMINAL]).arg(stage.bridge()).args(["check", "app.py"]);
        command.current_dir(&place).env("CGI2WSGI_PYTHON", base_python(stage)?);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let text = report(run(stage, command)?.ends(0)?);
        let is_coloured = text.contains("\x1b[31m✗\x1b[0m import");
        ensure!(is_coloured != no_color, "{text:?}");
        let plain = ["31", "32", "33", "0", "1"]
            .iter()
            .fold(text.clone(), |text, number| text.replace(&format!("\x1b[{number}m"), ""));
        ensure!(!plain.contains(['\x1b', '\x07']), "{plain:?}");
        ensure!(plain.contains("✗ import        ValueError: \\u{1b}[2J"), "{plain:?}");
    }
    Ok(())
}

fn nothing_left(stage: &Stage) -> Result<()> {
    let place = stage.workplace("check-left")?;
    write(
        &place.join("app.py"),
        "import os, subprocess, time\nchild = subprocess.Popen(['sleep', '600'])\n\
         open('pids', 'w').write(f'{os.getpid()} {child.pid}')\ntime.sleep(600)\n",
    )?;
    let mut command = check(stage, &place, Python::System)?;
    command.args(["--timeout", "5", "app.py"]);
    run(stage, command)?.ends(2)?;
    let pids = fs::read_to_string(place.join("pids")).context("the import did not begin")?;
    until(PATIENCE, "the end of all that the check has started", || {
        let lives = |pid: &str| {
            let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !status.is_empty() && !status.contains(") Z ")
        };
        Ok((!pids.split(' ').any(lives)).then_some(()))
    })
}

fn another_user(stage: &Stage) -> Result<()> {
    let place = stage.workplace("check-as")?;
    let site = place.join("private/site");
    write(&site.join("app.py"), HELLO)?;
    let check_as = |user: &str| -> Result<Output> {
        let mut command = check(stage, &place, Python::System)?;
        command.args(["--as", user, "private/site/app.py"]);
        let current = User::current();
        collect(Running::start(command, &current, AtParentDeath::Kill)?)
    };
    if User::current().uid != 0 {
        return check_as("root")?.ends(2)?.says("is for root").map(drop);
    }
    check_as("nobody-of-that-name")?.ends(2)?.says("no such user")?;
    let name = stage.user.uid.to_string();
    fs::set_permissions(place.join("private"), fs::Permissions::from_mode(0o700))?;
    let text = report(check_as(&name)?.ends(2)?);
    let closed = format!(
        "may not enter the directory {} (mode 0700, owner root (0))",
        place.join("private").display()
    );
    ensure!(text.contains(&closed), "no {closed:?} in {text}");
    let cure = format!("chmod o+x {}", place.join("private").display());
    ensure!(text.contains(&cure), "no {cure:?} in {text}");
    // Now the directory's group, which is the user's, may enter it.
    std::os::unix::fs::chown(place.join("private"), Some(0), Some(stage.user.gid))?;
    fs::set_permissions(place.join("private"), fs::Permissions::from_mode(0o750))?;
    check_as(&name)?.ends(0).map(drop)
}

fn noexec(stage: &Stage) -> Result<()> {
    let place = stage.workplace("check-noexec")?;
    fs::create_dir(place.join("mounted"))?;
    let current = User::current();
    let line = format!("#!{}\n{HELLO}", stage.bridge().display());
    write(&place.join("index.cgi"), &line)?;
    // Mounted in the command's own namespace. A user other than root must first be root of a new user namespace.
    let mounted = "mount -t tmpfs -o noexec,mode=755 none mounted && cp index.cgi mounted/app.cgi && \
                   cp \"$PYTHON\" mounted/python3 && chmod 755 mounted/app.cgi mounted/python3 && exec \"$@\"";
    for (words, about) in [
        (&["mounted/app.cgi"][..], "✗ #! line"),
        (&["--python", "mounted/python3", "index.cgi"], "✗ python"),
    ] {
        let mut command = stage.command(Path::new("unshare"));
        if current.uid != 0 {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "--propagation", "private", "sh", "-c", mounted, "sh"]);
        command.arg(stage.bridge()).arg("check").args(words).current_dir(&place);
        command.env("PYTHON", base_python(stage)?).env("CGI2WSGI_PYTHON", base_python(stage)?);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = collect(Running::start(command, &current, AtParentDeath::Kill)?)?;
        let text = report(output.ends(2)?);
        let line = text.lines().find(|line| line.starts_with(about));
        let line = line.with_context(|| format!("no {about:?} in {text}"))?;
        ensure!(line.contains("mounted noexec") && line.contains("findmnt -T "), "{line}");
    }
    Ok(())
}

fn no_app(stage: &Stage) -> Result<()> {
    let place = stage.workplace("check-no-app")?;
    write(&place.join("mysite/wsgi.py"), HELLO)?;
    let output = run(stage, check(stage, &place, Python::System)?)?;
    let text = report(output.ends(1)?);
    let cure = format!("cgi2wsgi check {}", place.join("mysite/wsgi.py").display());
    ensure!(text.contains(&cure) && text.contains("✓ python"), "{text}");
    Ok(())
}
