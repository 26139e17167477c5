//! What `cgi2wsgi warm` does as root with other users' directories, which can contain anything (U1 to U4).
//!
//! Where the tests do not run as root, the user looks into a hostile directory of its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::harness::command::{Output, Test, collect};
use crate::harness::process::{AtParentDeath, PATIENCE, Running, User, until};
use crate::harness::stage::Stage;
use crate::warm::command::{Warm, hello};

pub(crate) const TESTS: &[(&str, Test)] = &[
    (
        "U1: control characters in another user's directory are escaped on the terminal",
        hostile_files,
    ),
    ("U1: no file in another user's directory delays a verb or fills the memory", traps),
    ("U2: another user's directory in the place of root's own hides no zygote", squatter),
    ("W8: root sees the last zygote in a server's own temporary directory", ended_elsewhere),
    ("U3: root's stop --all does not stop other users' zygotes, and --all-users does", all_users),
    ("U4: a user who keeps swapping its directory for a link shows root no other file", swapped),
];

/// Escape sequences that terminals obey, and characters that reverse the direction of text or are invisible.
const ESCAPES: &str = "\x1b[2J\x1b]0;owned\x07\u{9b}31m\r\x08\x7f\u{202e}\u{200b}\u{2066}\u{2028}";

/// A directory of the unprivileged user, and a process of that user which claims to be a zygote there.
struct Forged<'s> {
    stage: &'s Stage,
    place: PathBuf,
    directory: PathBuf,
    process: Running,
}

impl<'s> Forged<'s> {
    fn new(stage: &'s Stage, name: &str) -> Result<Self> {
        let place = stage.workplace(name)?;
        let directory = place.join(format!("cgi2wsgi-{}", stage.user.uid));
        fs::create_dir(&directory)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
        chown(&directory, Some(stage.user.uid), Some(stage.user.gid))?;
        let mut command = stage.command(Path::new("/bin/sleep"));
        command.arg("1000").env("CGI2WSGI_ZYGOTES", &directory);
        let process = Running::start(command, &stage.user, AtParentDeath::Kill)?;
        Ok(Self { stage, place, directory, process })
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Result<()> {
        let path = self.directory.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(chown(&path, Some(self.stage.user.uid), Some(self.stage.user.gid))?)
    }

    /// A zygote's status with `ESCAPES` in it; of the living process, or of one that has ended.
    fn status(&self, is_alive: bool) -> Result<String> {
        let pid = self.process.id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit_once(") ").context("no fields")?.1;
        let started = fields.split(' ').nth(19).filter(|_| is_alive).unwrap_or("1");
        let phase = if is_alive { "cold" } else { "ended" };
        let long = "x".repeat(9000);
        Ok(format!(
            "cgi2wsgi warm status 1\napplication: /forged{ESCAPES}{long}\npid: {pid}\nstarted: {started}\n\
             since: 18446744073709551\nphase: {phase} why{ESCAPES}{long}\nremark: remark{ESCAPES}{long}\n\
             requests: 18446744073709551615\nwaiting: 18446744073709551615\nbusy: 18446744073709551615\n\
             restarts: 18446744073709551615\nrestarted: 1 again{ESCAPES}{long}\n"
        ))
    }

    /// Runs a verb as root, or as the user where the tests do not run as root.
    fn verb(&self, words: &[&str]) -> Result<Output> {
        let mut command = self.stage.command(&self.stage.path("bin/cgi2wsgi"));
        command.arg("warm").args(words).env("TMPDIR", &self.place);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let output = collect(Running::start(command, &User::current(), AtParentDeath::Kill)?)?;
        let took = began.elapsed();
        ensure!(took < Duration::from_secs(5), "{words:?} takes {took:?}");
        is_harmless(&String::from_utf8_lossy(&output.stdout))?;
        is_harmless(&output.stderr)?;
        Ok(output)
    }
}

fn is_harmless(text: &str) -> Result<()> {
    let is_bad = |letter: char| {
        (letter.is_control() && letter != '\n')
            || ESCAPES.chars().any(|one| one == letter && !one.is_ascii_graphic())
    };
    let found: Vec<char> = text.chars().filter(|letter| is_bad(*letter)).collect();
    ensure!(found.is_empty(), "{found:?} is shown");
    ensure!(!text.contains("root:x:") && !text.contains("root:$"), "another file is shown: {text}");
    let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    ensure!(longest < 2500, "a line of {longest} characters");
    Ok(())
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &output.stderr
}

fn hostile_files(stage: &Stage) -> Result<()> {
    let forged = Forged::new(stage, "u-hostile")?;
    forged.write("alive.status", forged.status(true)?)?;
    forged.write("again.status", forged.status(true)?)?;
    forged.write("dead.status", forged.status(false)?)?;
    let line = format!("2026-01-01T00:00:00Z 1 /forged: {ESCAPES}\nroot: 2026-01-01 nonsense\n");
    forged.write("warm.log", &line)?;
    forged.write("warm.log.1", [&b"\xff\x1b\x9b"[..], &[b'x'; 9000], b"\n"].concat())?;
    let status = forged.verb(&["status"])?;
    let status = shown(status.ends(0)?);
    ensure!(status.matches(&format!(" {} ", forged.process.id())).count() == 1, "{status}");
    ensure!(status.contains("/forged\\u{1b}[2J") && status.contains("remark\\u{1b}"), "{status}");
    let log = forged.verb(&["log"])?;
    let log = shown(log.ends(0)?);
    ensure!(log.contains("/forged: \\u{1b}[2J"), "{log}");
    if User::current().uid == 0 {
        let lines =
            log.lines().filter(|line| line.contains("/forged") || line.contains("nonsense"));
        let labels: Vec<_> = lines.filter_map(|line| line.split(": ").next()).collect();
        ensure!(labels.len() >= 2 && labels.iter().all(|label| *label != "root"), "{labels:?}");
    }
    forged.verb(&["log", "-n", "1"])?.ends(0)?;
    forged.verb(&["log", "--path"])?.ends(0)?;
    forged.verb(&["stop", "/another"])?.ends(1)?.says("/forged\\u{1b}[2J").map(drop)
}

fn traps(stage: &Stage) -> Result<()> {
    let mut forged = Forged::new(stage, "u-traps")?;
    let path = |name: &str| forged.directory.join(name);
    forged.write("alive.status", forged.status(true)?)?;
    for name in ["pipe.status", "warm.log.1"] {
        mkfifoat(CWD, path(name), Mode::RWXU | Mode::RWXG | Mode::RWXO)?;
    }
    for (name, target) in [("link.status", "/etc/shadow"), ("warm.log", "/etc/passwd")] {
        symlink(target, path(name))?;
    }
    fs::File::create(path("huge.status"))?.set_len(1 << 30)?;
    fs::create_dir_all(path("folder.status").join("deep/er".repeat(100)))?;
    fs::write(path(&format!("{}.status", "n".repeat(248))), "cgi2wsgi warm status 1\n")?;
    fs::write(path(&format!("{ESCAPES}.status")), "cgi2wsgi warm status 1\n")?;
    let listener = std::os::unix::net::UnixListener::bind(path("s.status"))?;
    forged.verb(&["status"])?;
    // No log can be read there; other users may have one.
    forged.verb(&["log"])?.says("skipped: ")?.says("is not a regular file")?;
    for number in 0..10_000 {
        fs::write(path(&format!("{number}.status")), "")?;
    }
    forged.verb(&["status"])?.says("has more than 4096 files")?;
    forged.verb(&["log"])?;
    drop(listener);
    ensure!(forged.process.ended()?.is_none(), "the process was stopped");
    Ok(())
}

/// Any user may make `/tmp/cgi2wsgi-0`.
fn squatter(stage: &Stage) -> Result<()> {
    let me = User::current();
    if me.uid != 0 {
        let warm = Warm::new(stage, "u-squatter")?;
        fs::write(warm.place.join(format!("cgi2wsgi-{}", me.uid)), "")?;
        return warm.verb(&["status"])?.ends(1)?.says("warning: skipped: ").map(drop);
    }
    let forged = Forged::new(stage, "u-squatter")?;
    forged.write("alive.status", forged.status(true)?)?;
    forged.write("warm.log", "2026-01-01T00:00:00Z 1 /forged: here\n")?;
    let squatted = forged.place.join("cgi2wsgi-0");
    fs::create_dir(&squatted)?;
    chown(&squatted, Some(stage.user.uid), Some(stage.user.gid))?;
    let why = format!("belongs to user {}, not to 0: remove it", stage.user.uid);
    let status = forged.verb(&["status"])?;
    ensure!(shown(status.ends(0)?.says(&why)?).contains("/forged"), "{}", shown(&status));
    let log = forged.verb(&["log"])?;
    ensure!(shown(log.ends(0)?.says(&why)?).contains("/forged: here"), "{}", shown(&log));
    // A request falls back, and says why.
    let application = hello(stage, &forged.place, "app.py")?;
    let mut command = stage.command(&stage.bridge());
    command
        .arg(application)
        .envs(crate::harness::command::CGI)
        .env("CGI2WSGI_WARM", "1")
        .env("CGI2WSGI_VENV", stage.python_env())
        .env("TMPDIR", &forged.place)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = collect(Running::start(command, &me, AtParentDeath::Kill)?)?;
    let (answered, _) =
        output.ends(0)?.says("falling back to a normal (cold) start: ")?.response()?;
    ensure!(answered == 200, "{answered}");
    output.says(&why).map(drop)
}

/// The user puts a link to a directory of root's in the place of its own, and takes it away again, all the time. Between
/// the look at a path and the next use of it, the path leads elsewhere.
fn swapped(stage: &Stage) -> Result<()> {
    const SWAP: &str = "import os, sys\nown, other = sys.argv[1:]\nwhile True:\n    \
                        os.rename(own, own + '.aside'); os.symlink(other, own)\n    \
                        os.unlink(own); os.rename(own + '.aside', own)\n";
    let forged = Forged::new(stage, "u-swapped")?;
    forged.write("alive.status", forged.status(true)?)?;
    forged.write("warm.log", "2026-01-01T00:00:00Z 1 /forged: here\n")?;
    let secret = stage.path("work/u-swapped-secret");
    fs::create_dir(&secret)?;
    let status = forged.status(true)?.replace("/forged", "/secret");
    let log = "2026-01-01T00:00:00Z 1 /secret: here\n";
    for (name, text) in [("alive.status", status.as_str()), ("warm.log", log)] {
        fs::write(secret.join(name), text)?;
        // The files must not be refused because of their owner.
        chown(secret.join(name), Some(stage.user.uid), Some(stage.user.gid))?;
    }
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700))?;
    let mut command = stage.command(&stage.python_env().join("bin/python"));
    command.args(["-c", SWAP]).args([&forged.directory, &secret]);
    let _swapping = Running::start(command, &stage.user, AtParentDeath::Kill)?;
    let is_link = || Ok(forged.directory.is_symlink().then_some(()));
    until(PATIENCE, "a link in the directory's place", is_link)?;
    let (mut seen, mut tries) = (0, 0);
    while seen < 6 {
        tries += 1;
        ensure!(tries < 1000, "the directory was found {seen} times of {tries}");
        for verb in ["status", "log"] {
            let shown = shown(&forged.verb(&[verb])?);
            ensure!(!shown.contains("/secret"), "{verb}: {shown}");
            seen += usize::from(shown.contains("/forged"));
        }
    }
    ensure!(secret.join("alive.status").exists() && secret.join("warm.log").exists(), "removed");
    Ok(())
}

/// When a zygote has ended, its directory is found by the server's process, which has the same `TMPDIR`.
fn ended_elsewhere(stage: &Stage) -> Result<()> {
    let forged = Forged::new(stage, "u-ended")?;
    let place = stage.workplace("u-ended-server")?;
    let directory = place.join(format!("cgi2wsgi-{}", stage.user.uid));
    fs::create_dir(&directory)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
    let status = forged.status(false)?.replace("/forged", "/elsewhere");
    let files = [
        ("last.status", status),
        ("warm.log", "2026-01-01T00:00:00Z 1 /elsewhere: ends\n".to_owned()),
    ];
    for (name, text) in files {
        fs::write(directory.join(name), text)?;
        chown(directory.join(name), Some(stage.user.uid), Some(stage.user.gid))?;
    }
    chown(&directory, Some(stage.user.uid), Some(stage.user.gid))?;
    let script = r#"
        if [ "$1" = root ]; then
            mount -t proc proc /proc || exit 99
            TMPDIR="$PLACE" setpriv --reuid="$2" --regid="$3" --clear-groups sleep 1000 &
            until [ "$(cat "/proc/$!/comm")" = sleep ]; do sleep 0.01; done
        else
            TMPDIR=$PLACE
        fi
        verb() { env -i TMPDIR="$TMPDIR" "$BRIDGE" warm "$@" 2>&1; echo "= $?"; }
        verb status; verb log
    "#;
    let is_root = User::current().uid == 0;
    // In a process namespace of its own, where no other test has directories.
    let mut command = stage.command(Path::new(if is_root { "unshare" } else { "sh" }));
    if is_root {
        command.args(["--pid", "--fork", "--kill-child", "--mount", "sh"]);
    }
    command.args(["-c", script, "sh", if is_root { "root" } else { "user" }]);
    command.args([stage.user.uid, stage.user.gid].map(|id| id.to_string()));
    command.env("PLACE", &place).env("TMPDIR", &forged.place).env("BRIDGE", stage.bridge());
    command.env_remove("XDG_RUNTIME_DIR").stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = collect(Running::start(command, &User::current(), AtParentDeath::Kill)?)?;
    let said = shown(output.ends(0)?);
    is_harmless(&said)?;
    let of_status = said.contains(" runs /elsewhere") && said.contains("= 1\n");
    ensure!(of_status && said.contains(" /elsewhere: ends"), "{said}");
    Ok(())
}

/// In a process namespace of its own, so that no zygote of another test ends.
fn all_users(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "u-all")?;
    if User::current().uid != 0 {
        return warm.verb(&["stop", "--all-users"])?.ends(2)?.says("is for root").map(drop);
    }
    let application = hello(stage, &warm.place, "app.py")?;
    let front = warm.request(&application);
    let script = r#"
        mount -t proc proc /proc || exit 99
        setpriv --reuid="$1" --regid="$2" --clear-groups "$3" "$4" >/dev/null || exit 98
        verb() { env -i TMPDIR="$TMPDIR" "$BRIDGE" warm "$@" 2>&1; echo "= $?"; }
        verb stop --all; verb stop --all-users; verb status
    "#;
    let mut command = stage.command(Path::new("unshare"));
    command.args(["--pid", "--fork", "--kill-child", "--mount", "sh", "-c", script, "sh"]);
    command.args([stage.user.uid, stage.user.gid].map(|id| id.to_string()));
    command.arg(front.get_program()).args(front.get_args());
    for (name, value) in front.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.env("BRIDGE", stage.bridge()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = collect(Running::start(command, &User::current(), AtParentDeath::Kill)?)?;
    let said = shown(output.ends(0)?);
    let ends: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("= ")).collect();
    ensure!(ends == ["1", "0", "1"], "{said}");
    ensure!(said.contains("1 of other users are left alone: give --all-users"), "{said}");
    ensure!(said.contains(&format!("stopped {application} ")), "{said}");
    Ok(())
}
