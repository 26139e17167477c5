//! The private directory: whatever is wrong with it, the request is answered cold, with one line that says why.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::harness::command::{Output, Test, collect, run};
use crate::harness::process::{AtParentDeath, Running, User};
use crate::harness::stage::Stage;
use crate::warm::site::{Site, good};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("as private directory a directory open to others, a link and a file are not used", hostile),
    ("another user's directory is not used", of_another_user),
    ("another user who listens at the socket gets no request", listener_of_another_user),
    ("with a path too long for a socket's address requests start normally", too_long),
    ("with a private directory that cannot be written requests start normally", unwritable),
    ("with a full disk requests start normally", full_disk),
];

fn mode(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

/// A whole answer, no zygote, and one line.
fn is_cold(site: &Site<'_>, output: &Output, reason: &str) -> Result<()> {
    let body = good(output)?;
    ensure!(body.starts_with("x "), "{body}");
    let lines: Vec<&str> = output.stderr.lines().collect();
    let is_one = lines.len() == 1 && lines[0].starts_with("cgi2wsgi: warning: --warm: ");
    ensure!(is_one, "standard error has {lines:?}");
    ensure!(lines[0].contains(reason), "no {reason:?} in {:?}", lines[0]);
    ensure!(site.processes().is_empty(), "a zygote: {}", site.log());
    Ok(())
}

fn hostile(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let (place, user) = (site.place(), &stage.user);
    fs::create_dir(&place)?;
    chown(&place, Some(user.uid), Some(user.gid))?;
    mode(&place, 0o755)?;
    is_cold(&site, &site.ask("id=x")?, "is open to others (mode 755)")?;
    mode(&place, 0o700)?;
    fs::rename(&place, site.path("mine"))?;
    symlink(site.path("mine"), &place)?;
    is_cold(&site, &site.ask("id=x")?, "is no directory that this user can enter")?;
    fs::remove_file(&place)?;
    fs::write(&place, "")?;
    is_cold(&site, &site.ask("id=x")?, "is no directory that this user can enter")?;
    fs::remove_file(&place)?;
    site.body("id=x")?;
    site.zygote().map(drop)
}

/// Only root can make another user's directory; without root, the test makes its own with the same modes.
fn of_another_user(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let place = site.place();
    fs::create_dir(&place)?;
    mode(&place, 0o000)?;
    is_cold(&site, &site.ask("id=x")?, "no directory that this user can enter")?;
    mode(&place, 0o755)?;
    let is_own = User::current() == stage.user;
    let reason = if is_own { "is open to others" } else { "belongs to user 0" };
    is_cold(&site, &site.ask("id=x")?, reason)
}

/// As above. Without root, only the socket of a listener that has ended is tested.
fn listener_of_another_user(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    site.body("id=first")?;
    let socket = site.placed(".socket").pop().context("no socket")?;
    site.ends_clean()?;
    let listener = UnixListener::bind(&socket)?;
    mode(&socket, 0o666)?;
    if User::current() != stage.user {
        is_cold(&site, &site.ask("id=x")?, "user 0 listens at the zygote's socket")?;
    }
    drop(listener);
    site.body("id=x")?;
    site.zygote().map(drop)
}

fn too_long(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let deep = site.path("t").join("x".repeat(80));
    fs::create_dir(&deep)?;
    chown(&deep, Some(stage.user.uid), Some(stage.user.gid))?;
    let mut command = site.command("id=x");
    command.env("TMPDIR", &deep);
    is_cold(&site, &run(stage, command)?, "at most 107")
}

fn unwritable(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    mode(&site.path("t"), 0o555)?;
    is_cold(&site, &site.ask("id=x")?, "cannot be made")?;
    mode(&site.path("t"), 0o755)?;
    site.body("id=x")?;
    site.ends_clean()?;
    mode(&site.place(), 0o500)?;
    is_cold(&site, &site.ask("id=x")?, "no zygote can be started")
}

/// A request whose private directory is on a file system with room for `files` files, its root included.
fn with_room_for(site: &Site<'_>, files: u32) -> Result<Output> {
    let script = format!(
        "mount -t tmpfs -o size=64k,nr_inodes={files},mode=1777 none \"$1\" || exit 99; shift; exec \"$@\""
    );
    let usual = site.command("id=x");
    let user = &site.stage.user;
    let mut command = site.copy_of(&usual, Path::new("unshare"));
    if User::current() == *user {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(site.path("t"));
    if User::current() != *user {
        let ids = [format!("--reuid={}", user.uid), format!("--regid={}", user.gid)];
        command.arg("setpriv").args(ids).arg("--clear-groups");
    }
    command.arg(usual.get_program()).args(usual.get_args());
    collect(Running::start(command, &User::current(), AtParentDeath::Kill)?)
}

fn full_disk(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    for (files, reason) in [(1, "cannot be made"), (2, "No space left"), (3, "No space left")] {
        is_cold(&site, &with_room_for(&site, files)?, reason)
            .with_context(|| format!("room for {files}"))?;
    }
    Ok(())
}
