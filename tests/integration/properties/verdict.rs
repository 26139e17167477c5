//! How a random request is run, and what must hold for its answer.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::{App, Sample, Stdin, Stdout};
use crate::harness::http::{Framing, Head, printable};
use crate::harness::process::{AtParentDeath, End, Running, Starting};
use crate::harness::stage::Stage;

/// A process that takes longer counts as hanging.
const DEADLINE: Duration = Duration::from_secs(20);

impl Sample {
    pub(super) fn run(&self, stage: &Stage) -> Result<()> {
        let mut command = stage.command(&stage.bridge());
        command
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let starting = match self.stdin {
            Stdin::Missing => Starting::WithoutStdin,
            Stdin::Pipe | Stdin::PipeHeldOpen => Starting::Whole,
        };
        let mut running = Running::start_as(command, &stage.user, AtParentDeath::Kill, starting)?;
        let child = running.child();
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            bail!("a pipe is missing")
        };
        let (end, answer, said) = thread::scope(|scope| {
            let (delivered, is_delivered) = mpsc::channel::<()>();
            let server = scope.spawn(move || {
                let open = self.deliver(stdin);
                drop(delivered);
                open
            });
            let visitor = scope.spawn(move || {
                if self.stdout == Stdout::ReadLast {
                    // The channel is closed when the body is delivered.
                    let _ = is_delivered.recv();
                }
                let most = match self.stdout {
                    Stdout::Left(after) => after as u64,
                    Stdout::Read | Stdout::ReadLast => u64::MAX,
                };
                read(stdout.take(most))
            });
            let log = scope.spawn(move || read(stderr));
            let end = running.wait(DEADLINE);
            // Kills what is left of the process group, so that its pipes close.
            drop(running);
            let open = server.join();
            drop(open);
            (end, visitor.join(), log.join())
        });
        let joined = |read: thread::Result<io::Result<Vec<u8>>>| -> Result<Vec<u8>> {
            Ok(read.map_err(|_| anyhow!("the reader of a pipe panicked"))??)
        };
        let (answer, said) = (joined(answer)?, joined(said)?);
        let checked = end.and_then(|end| self.check(end, &answer, &said));
        checked.with_context(|| {
            format!("it answered {}\nand said {}", printable(&answer), printable(&said))
        })
    }

    /// Writes the request body. Returns the pipe if it must stay open.
    fn deliver(&self, mut stdin: ChildStdin) -> Option<ChildStdin> {
        // The write fails if the process has answered without reading the body.
        let _ = stdin.write_all(&self.body);
        (self.stdin == Stdin::PipeHeldOpen).then_some(stdin)
    }

    fn check(&self, end: End, answer: &[u8], said: &[u8]) -> Result<()> {
        let log = String::from_utf8_lossy(said);
        ensure!(!log.contains("panicked"), "a panic");
        for line in log.lines().filter(|line| line.starts_with("cgi2wsgi: ")) {
            let raw = line.contains(|character: char| character.is_control() && character != '\t');
            ensure!(!raw, "a control character in the log: {line:?}");
        }
        let code = match end {
            End::Code(code @ 0..=2) => code,
            End::Signal(libc::SIGSEGV) if self.app == App::Fails("segfault") => 1,
            other => bail!("it ended with {other:?}"),
        };
        match self.stdout {
            Stdout::Left(after) if answer.len() >= after => return Ok(()),
            _ if code == 2 && answer.is_empty() && !self.is_from_a_server() => return Ok(()),
            _ => {}
        }
        let parsed = if self.nph { Head::of_http(answer) } else { Head::of_cgi(answer) };
        let (head, length) = parsed?.context("no whole head")?;
        self.check_answer(code, &head, &answer[length..])
    }

    fn check_answer(&self, code: i32, head: &Head, body: &[u8]) -> Result<()> {
        let status = head.status;
        ensure!((200..600).contains(&status), "status {status}");
        let injected = head.headers.iter().find(|(name, value)| {
            name.eq_ignore_ascii_case("X-Injected") || value.starts_with(b"admin=")
        });
        ensure!(injected.is_none(), "{injected:?} was injected");
        ensure!(status != 204 || head.one("Content-Length").is_none(), "R6: a length on 204");
        let method = String::from_utf8_lossy(self.get("REQUEST_METHOD").unwrap_or(b"GET"));
        // R7: exit status 1 reports a body that is too short. One that is too long is cut.
        let framing = Framing::from_head(head, &method)?;
        let (body, is_whole) = framing.decode(body, true)?;
        ensure!(
            is_whole || code == 1,
            "R7: {} bytes of {framing:?}, exit status {code}",
            body.len()
        );
        match code {
            2 => {
                ensure!(status == 500, "a wrong set-up and status {status}");
                ensure!(!self.sound, "P1: nothing is wrong with the set-up");
            }
            1 => ensure!(
                status >= 400 || !is_whole || self.app.ends_midway(),
                "exit status 1 and a good answer"
            ),
            _ => {}
        }
        let shows = body.windows(9).any(|nine| nine == b"Traceback");
        ensure!(!shows || self.debug, "R17: the visitor sees a traceback");
        if code != 0 {
            return Ok(());
        }
        ensure!(self.declared.is_some(), "B2: a malformed length was taken");
        if self.app == App::Echo && status == 200 {
            let sent = self.whole_body().context("B3: half a body passed for a whole one")?;
            let same = framing == Framing::Nothing || body == sent;
            let (is, was) = (body.len(), sent.len());
            ensure!(same, "another body: {is} bytes of {was}");
        }
        if let Some(length) = self.length.filter(|_| framing != Framing::Nothing) {
            ensure!(body.len() == length, "{} bytes instead of {length}", body.len());
        }
        Ok(())
    }
}

fn read(mut pipe: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app, arguments, stdin, stdout, declared, .. } = self;
        writeln!(f, "{app:?} {arguments:?} {stdin:?} {stdout:?}")?;
        writeln!(f, "a body of {} bytes, declared {declared:?}", self.body.len())?;
        for (name, value) in &self.variables {
            let value = value.as_bytes();
            let shown = value[..value.len().min(300)].escape_ascii();
            writeln!(f, "    {}={shown}", name.display())?;
        }
        Ok(())
    }
}
