//! How the end of a response reaches the server: when, and what is left of the front's process then (P8).

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::harness::command::{CGI, bridge, collect, read_all};
use crate::harness::http::Head;
use crate::harness::process::{AtParentDeath, PATIENCE, Running, wait_readable};
use crate::harness::stage::Stage;
use crate::warm::site::Site;

/// Tries each kind of response whose end is known before the connection ends.
pub(super) fn counted(stage: &Stage) -> Result<()> {
    for warm in [false, true] {
        for kind in ["list", "chunks", "write", "file", "empty", "204", "head", "thread"] {
            let site = Site::new(stage, &[])?;
            let (marker, gate) = (site.path("t/marker"), site.path("t/gate"));
            let mut command = bridge(stage, &["{applications}/counted.py"], &CGI);
            command.envs(warm.then_some(("CGI2WSGI_WARM", "1"))).env("TMPDIR", site.path("t"));
            command.env("REQUEST_METHOD", if kind == "head" { "HEAD" } else { "GET" });
            command.env("PATH_INFO", format!("/{kind}"));
            command.env("MARKER", &marker).env("GATE", &gate);
            let check = || -> Result<()> {
                let mut running = Running::start(command, &stage.user, AtParentDeath::Kill)?;
                let mut stdout = running.child().stdout.take().context("no pipe")?;
                let (answer, has_ended) = read_counting(&mut stdout, kind, || marker.exists())?;
                ensure!(
                    has_ended == (kind != "thread"),
                    "it had ended before the last byte: {has_ended}"
                );
                fs::write(&gate, "")?;
                ensure!(read_all(stdout)?.is_empty(), "there is more than {answer:?}");
                let output = collect(running)?;
                output.ends(0)?;
                ensure!(output.stderr.is_empty(), "standard error has: {}", output.stderr);
                ensure!(marker.exists(), "what was alive has not been finalized");
                Ok(())
            };
            check().with_context(|| format!("{kind}, warm: {warm}"))?;
            site.ends_clean()?;
        }
    }
    Ok(())
}

/// Reads as many bytes as the head declares, then calls `look`.
fn read_counting(
    stdout: &mut (impl Read + AsFd),
    kind: &str,
    look: impl Fn() -> bool,
) -> Result<(String, bool)> {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    loop {
        wait_readable(stdout.as_fd(), deadline)?;
        let mut byte = [0];
        ensure!(stdout.read(&mut byte)? == 1, "the answer ends early: {bytes:?}");
        bytes.push(byte[0]);
        let Some((head, length)) = Head::of_cgi(&bytes)? else { continue };
        let has_body = !matches!(kind, "204" | "head");
        let declared = head.one("Content-Length").filter(|_| has_body);
        let declared = declared.map(|text| String::from_utf8_lossy(text).parse());
        if bytes.len() - length == declared.transpose()?.unwrap_or(0) {
            let has_ended = look();
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), has_ended));
        }
    }
}

/// Apache's `mod_cgid` looks for the program when its output has ended, and waits 10 ms if it still runs. A process that
/// ends closes all of its descriptors together.
pub(super) fn ends_with_its_process(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let (hello, stream) = (site.path("app.py"), stage.path("fixtures/stream.py"));
    for (form, application) in [("a known length", &hello), ("no length", &stream)] {
        for way in ["cold", "warm", "refused"] {
            let command = || {
                let application = application.to_string_lossy();
                let mut command = bridge(stage, &[&application], &CGI);
                match way {
                    "warm" => command.envs([("CGI2WSGI_WARM", "1"), ("CGI2WSGI_WARM_IDLE", "60")]),
                    "refused" => command.env("CONTENT_LENGTH", "many"),
                    _ => &mut command,
                };
                command.env("TMPDIR", site.path("t")).stderr(Stdio::null());
                command
            };
            // The end comes too early by a tenth of a millisecond, if it does.
            let mut was_seen = false;
            for round in 0..10 {
                let what = format!("{way}, {form}, round {round}");
                let (output, standard_output) = std::io::pipe()?;
                let mut piped = command();
                piped.stdout(standard_output);
                was_seen |=
                    ends_with(stage, piped, output).with_context(|| format!("{what}, a pipe"))?;
                let (output, both) = UnixStream::pair()?;
                let mut of_cgid = command();
                of_cgid.stdin(OwnedFd::from(both.try_clone()?)).stdout(OwnedFd::from(both));
                was_seen |= ends_with(stage, of_cgid, output)
                    .with_context(|| format!("{what}, a socket"))?;
            }
            ensure!(was_seen, "{way}, {form}: the descriptors of no front could be seen");
        }
    }
    ensure!(site.starts() == 2, "a zygote for each application: {}", site.log());
    site.ends_clean()
}

/// Fails if a front has an open descriptor when its output has ended. Returns whether one was seen before.
fn ends_with(stage: &Stage, command: Command, output: impl Read + AsFd) -> Result<bool> {
    let running = Running::start(command, &stage.user, AtParentDeath::Kill)?;
    let count_open = || {
        let open = fs::read_dir(format!("/proc/{}/fd", running.id()));
        open.into_iter().flatten().flatten().count()
    };
    let was_seen = count_open() > 0;
    let answer = read_all(output)?;
    let open = count_open();
    ensure!(answer.starts_with(b"Status: "), "{:?}", String::from_utf8_lossy(&answer));
    ensure!(open == 0, "the front still has {open} open descriptors");
    Ok(was_seen)
}
