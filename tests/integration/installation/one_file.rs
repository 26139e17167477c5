//! The one file that is a front and carries its worker.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Result, ensure};

use super::{at_a_shell, greets, piped, refuses, script};
use crate::harness::command::{Output, run};
use crate::harness::stage::{Stage, copy_executable, join_parts};
use crate::warm::site::wait_gone;

/// Runs hello.py by the one file at `place`, with TMPDIR at `temporary`.
fn hello_of(stage: &Stage, place: &Path, options: &[&str], temporary: &Path) -> Result<Output> {
    let mut command = stage.command(place);
    command.args(options).arg(stage.path("fixtures/hello.py")).env("TMPDIR", temporary);
    run(stage, piped(command, &[]))
}

pub(super) fn one_file(stage: &Stage) -> Result<()> {
    let directory = stage.workplace("one-file-of-any-name")?;
    let temporary = stage.workplace("one-file-of-any-name/tmp")?;
    for name in ["index.cgi", "cgi2wsgi"] {
        let place = directory.join(name);
        join_parts(stage, &place, &Stage::build()?, 0)?;
        greets(&hello_of(stage, &place, &[], &temporary)?)?;
        ensure!(fs::read_dir(&temporary)?.next().is_none(), "TMPDIR is not empty");
        // The application, and the processes that it starts, have no descriptor of the worker's memfd.
        let mut command = stage.command(&place);
        command.arg(stage.path("applications/open_files.py"));
        let output = run(stage, piped(command, &[]))?;
        let (status, body) = output.ends(0)?.response()?;
        ensure!(status == 200 && body.contains("stderr") && !body.contains("memfd"), "{body}");
        fs::remove_file(&place)?;
    }
    Ok(())
}

pub(super) fn damaged_one_file(stage: &Stage) -> Result<()> {
    let directory = stage.workplace("damaged-one-file")?;
    let place = directory.join("index.cgi");
    join_parts(stage, &place, "0123456789abcdef", 0)?;
    refuses(&hello_of(stage, &place, &[], &directory)?, &["0123456789abcdef", "one build"])?;
    let size = fs::metadata(stage.path("bin").join(Stage::worker_name()?))?.len();
    join_parts(stage, &place, &Stage::build()?, usize::try_from(size)?)?;
    let expected = ["cannot load the worker", "invalid ELF header"];
    refuses(&hello_of(stage, &place, &[], &directory)?, &expected)?;
    // A file that is uploaded in part has no last line: it is a front without a worker.
    let whole = fs::read(&place)?;
    fs::write(directory.join("part"), &whole[..whole.len() - 100])?;
    fs::set_permissions(directory.join("part"), fs::Permissions::from_mode(0o755))?;
    copy_executable(&directory.join("part"), &directory.join("part.cgi"))?;
    refuses(&hello_of(stage, &directory.join("part.cgi"), &[], &directory)?, &["is neither in"])
}

/// The limit of a file's size applies to memory too: it ends the copy in the middle.
pub(super) fn unfilled_one_file(stage: &Stage) -> Result<()> {
    let directory = stage.workplace("unfilled-one-file")?;
    let runtime = stage.workplace("unfilled-one-file/t")?;
    let place = directory.join("index.cgi");
    join_parts(stage, &place, &Stage::build()?, 0)?;
    let limited = || -> Result<Output> {
        let mut command = stage.command(Path::new("/bin/sh"));
        command.args(["-c", "ulimit -f 100 && exec \"$@\"", "sh"]).arg(&place);
        command.arg(stage.path("fixtures/hello.py")).env("TMPDIR", &runtime);
        run(stage, piped(command, &[]))
    };
    let expected = ["neither from memory (File too large", "nor from a file", "File too large"];
    refuses(&limited()?, &expected)?;
    let private: Vec<_> = fs::read_dir(&runtime)?.collect::<Result<_, _>>()?;
    let [private] = &private[..] else { anyhow::bail!("not one directory: {private:?}") };
    ensure!(fs::read_dir(private.path())?.next().is_none(), "a part of the worker was left there");
    let worker = Stage::worker_name()?;
    copy_executable(&stage.path("bin").join(&worker), &private.path().join(worker))?;
    let output = limited()?;
    greets(&output)?;
    ensure!(output.stderr.is_empty(), "{}", output.stderr);
    Ok(())
}

/// A wrapper gives Python, in place of the connection, a descriptor that is at its end, as if the front had been killed.
pub(super) fn untold_one_file(stage: &Stage) -> Result<()> {
    let place = stage.workplace("untold-one-file")?.join("index.cgi");
    join_parts(stage, &place, &Stage::build()?, 0)?;
    let python = stage.python().display().to_string();
    let text = format!(
        "#!{python}\nimport os, sys\nconnection = int(sys.argv[-3])\n\
         os.dup2(os.open('/dev/null', os.O_RDWR), connection)\n\
         os.execv({python:?}, [{python:?}] + sys.argv[1:])\n"
    );
    let wrapper = script(stage, "untold.py", &text)?;
    let mut command = stage.command(&place);
    command.args(["--python", &wrapper]).arg(stage.path("fixtures/hello.py"));
    let output = run(stage, piped(command, &[]))?;
    refuses(&output, &["does not start", "exit status 1", "before it had loaded the worker"])
}

pub(super) fn replaced_one_file(stage: &Stage) -> Result<()> {
    let directory = stage.workplace("replaced-one-file")?;
    let place = directory.join("index.cgi");
    let runtime = stage.workplace("replaced-one-file/t")?;
    let zygotes = || -> Result<Vec<String>> {
        let mut command = stage.command(&place);
        command.args(["warm", "status"]).env("TMPDIR", &runtime);
        let output = run(stage, at_a_shell(command))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().skip(1).filter(|line| line.contains("hello.py"));
        Ok(lines.filter_map(|line| line.split_whitespace().nth(1).map(str::to_owned)).collect())
    };
    join_parts(stage, &place, &Stage::build()?, 0)?;
    for _ in 0..2 {
        let output = hello_of(stage, &place, &["--warm"], &runtime)?;
        greets(&output)?;
        ensure!(output.stderr.is_empty(), "the request was not answered warm: {}", output.stderr);
    }
    let [first] = &zygotes()?[..] else { anyhow::bail!("not one zygote") };
    let first: i32 = first.parse()?;
    join_parts(stage, &place, &Stage::build()?, 0)?;
    greets(&hello_of(stage, &place, &["--warm"], &runtime)?)?;
    wait_gone(first)?;
    let mut command = stage.command(&place);
    command.args(["warm", "stop", "--all"]).env("TMPDIR", &runtime);
    run(stage, at_a_shell(command))?.ends(0).map(drop)
}
