//! What a host may lack or forbid: memory, processes, `/proc`, `/dev/null`; and what it may leave behind: ignored
//! signals, open descriptors. Every case gives a whole response; if it is an error, a line in the log names the cause.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{CGI, Output, Test, run, trials_of};
use crate::harness::exchange::is_page;
use crate::harness::stage::Stage;
use crate::harness::world::World;
use crate::warm::site::{Site, good};

const TESTS: &[(&str, Test)] = &[
    ("at every limit of memory there is a whole response", little_memory),
    ("a limit of one process: a whole 500, and the log names the limit", one_process),
    ("without /proc: a whole 500, and the log asks for /proc", no_proc),
    ("without /dev/null a request is answered", no_devices),
    (
        "where the server ignores SIGCHLD, so does the application, and requests are answered",
        no_sigchld,
    ),
    (
        "no zygote keeps descriptors that the server has left open, and requests are answered",
        left_open,
    ),
    ("a file size limit of 0: the response arrives", no_file_size),
    ("few open files: the response arrives", few_descriptors),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("surroundings", TESTS, world)
}

/// `cgi2wsgi` with `arguments`, started by a shell that runs `before` first.
fn after(stage: &Stage, before: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = stage.command(Path::new("/bin/bash"));
    command.arg("-c").arg(format!("{before}; exec \"$@\"")).arg("bash").arg(stage.bridge());
    command.args(arguments.iter().map(|argument| stage.resolve(argument)));
    run(stage, asked(command))
}

fn asked(mut command: Command) -> Command {
    command.envs(CGI).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

const HELLO: &str = "{fixtures}/hello.py";

fn little_memory(stage: &Stage) -> Result<()> {
    let mut ends = Vec::new();
    // With less than the executable's own size, the kernel cannot start it at all.
    let smallest = mebibytes_of(&stage.bridge())? + 1;
    let more = [6, 8, 10, 12, 16, 20, 24, 28, 32, 40, 64, 256].into_iter();
    for mebibytes in std::iter::once(smallest).chain(more.filter(|more| *more > smallest)) {
        let limit = format!("ulimit -v {}", mebibytes << 10);
        let output = after(stage, &limit, &[HELLO])?;
        let (status, _) = output.response().with_context(|| format!("with {mebibytes} MiB"))?;
        match status {
            200 => output.ends(0).map(drop)?,
            500 => output.says("error: ").map(drop)?,
            _ => ensure!(false, "{status}"),
        }
        ends.push(status);
    }
    ensure!(ends.contains(&500) && ends.ends_with(&[200]), "{ends:?}");
    Ok(())
}

/// How much memory an executable takes when it is loaded, in MiB, rounded up.
fn mebibytes_of(executable: &Path) -> Result<u64> {
    let output = Command::new("readelf").arg("-lW").arg(executable).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let loads = text.lines().filter(|line| line.trim_start().starts_with("LOAD"));
    let sizes = loads.map(|line| -> Result<u64> {
        let size = line.split_whitespace().nth(5).context("no size")?;
        Ok(u64::from_str_radix(size.trim_start_matches("0x"), 16)?)
    });
    let total = sizes.sum::<Result<u64>>()?;
    ensure!(total > 0, "readelf shows no segment of {}", executable.display());
    Ok(total.div_ceil(1 << 20))
}

fn one_process(stage: &Stage) -> Result<()> {
    let output = after(stage, "ulimit -u 1", &[HELLO])?;
    let (status, body) = output.ends(2)?.says("RLIMIT_NPROC")?.response()?;
    ensure!(status == 500 && is_page(&body, crate::cases::FAILED), "{status} {body}");
    Ok(())
}

/// `cgi2wsgi` in its own mount namespace, after the command `mount`.
fn hidden(stage: &Stage, mount: &str) -> Result<Output> {
    let mut command = stage.command(Path::new("unshare"));
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.arg(format!("{mount} && exec \"$@\"")).arg("sh").arg(stage.bridge());
    command.arg(stage.path("fixtures/hello.py"));
    run(stage, asked(command))
}

fn no_proc(stage: &Stage) -> Result<()> {
    let output = hidden(stage, "mount -t tmpfs none /proc")?;
    let (status, _) = output.ends(2)?.says("is /proc mounted?")?.response()?;
    ensure!(status == 500, "{status}");
    Ok(())
}

fn no_devices(stage: &Stage) -> Result<()> {
    let output = hidden(stage, "mount -t tmpfs none /dev")?;
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200 && body == "Hello, world!\n", "{status} {body}");
    Ok(())
}

fn no_sigchld(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.write(
        "app.py",
        "import signal\nimport subprocess\n\n\ndef application(environ, start_response):\n    \
         start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
         yield repr(signal.getsignal(signal.SIGCHLD)).encode()\n    \
         yield subprocess.run(['echo', ' and a child'], stdout=-1).stdout\n",
    )?;
    for is_warm in [false, true] {
        let mut command = stage.command(Path::new("env"));
        command.arg("--ignore-signal=CHLD").arg(stage.bridge());
        command.args(is_warm.then_some("--warm")).arg(site.path("app.py"));
        command.env("TMPDIR", site.path("t"));
        let body = good(&run(stage, asked(command))?)?;
        ensure!(body.contains("SIG_IGN") && body.contains("and a child"), "{is_warm}: {body}");
    }
    site.ends_clean()
}

fn left_open(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let application = site.path("app.py").display().to_string();
    let options = format!("TMPDIR={}", site.path("t").display());
    let before = format!("export {options}; exec 9</etc/passwd 77</etc/passwd");
    for _ in 0..2 {
        good(&after(stage, &before, &["--warm", &application])?)?;
    }
    let zygote = site.zygote()?;
    for entry in std::fs::read_dir(format!("/proc/{zygote}/fd"))?.flatten() {
        let link = std::fs::read_link(entry.path()).unwrap_or_default();
        ensure!(link != Path::new("/etc/passwd"), "the zygote holds {link:?}");
    }
    good(&after(stage, &before, &[HELLO])?)?;
    site.ends_clean()
}

fn no_file_size(stage: &Stage) -> Result<()> {
    good(&after(stage, "ulimit -f 0", &[HELLO])?).map(drop)
}

fn few_descriptors(stage: &Stage) -> Result<()> {
    for count in [64, 32, 20] {
        let output = after(stage, &format!("ulimit -n {count}"), &[HELLO])?;
        good(&output).with_context(|| format!("{count} descriptors"))?;
    }
    Ok(())
}
