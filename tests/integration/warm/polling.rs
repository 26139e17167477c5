//! Fresh code where the kernel does not report a change: where it gives no watches, or too few, and on a file system
//! that is changed without the kernel's knowledge.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};

use crate::harness::command::{Test, collect};
use crate::harness::process::{AtParentDeath, PATIENCE, Running, User, until};
use crate::harness::stage::Stage;
use crate::warm::changes::{IMPORT_EXTRA, make_releases, make_venv};
use crate::warm::site::{Site, good};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("without inotify edits, a touch and an installation are seen", no_instances),
    ("without inotify a replaced link and a replaced directory are seen", no_instances_links),
    ("where watches run out, changes of the application's own files are seen at once", few_watches),
    ("a change on a file system that the kernel does not report is seen", behind),
    ("files that are polled are looked at no more than once a second", once_a_second),
    ("a change whose time lies in the future restarts no zygote", future),
];

/// Fronts of a site that are started in namespaces of their own, which another process keeps alive.
pub(crate) struct Fronts<'s> {
    site: &'s Site<'s>,
    pub(crate) application: PathBuf,
    holder: Running,
    /// The command that enters the namespaces, and the user.
    enter: Vec<String>,
    user: User,
}

impl<'s> Fronts<'s> {
    /// In namespaces with at most `count` inotify instances, or watches.
    pub(crate) fn limited(site: &'s Site<'s>, of_what: &str, count: usize) -> Result<Self> {
        let user = site.stage.user.clone();
        let limit = format!("echo {count} > /proc/sys/user/max_inotify_{of_what} && exec cat");
        let mut command = site.stage.command(Path::new("unshare"));
        command.args(of_user(&user)).args(["sh", "-c", &limit]).stdin(Stdio::piped());
        let mut holder = Running::start(command, &user, AtParentDeath::Kill)?;
        let pid = holder.child().id();
        until(PATIENCE, "the namespace", || {
            ensure!(holder.ended()?.is_none(), "there is no user namespace");
            Ok((fs::read_to_string(format!("/proc/{pid}/comm"))? == "cat\n").then_some(()))
        })?;
        let target = format!("--target={pid}");
        let enter = words(&["nsenter", &target, "--user", "--preserve-credentials"]);
        Ok(Self { site, application: site.path("app.py"), holder, enter, user })
    }

    /// On a private mount, which ends with its last process: bindfs shows one directory of the site in another, and
    /// logs each access.
    fn mounted(site: &'s Site<'s>, options: &[&str]) -> Result<Self> {
        let [under, mount] = ["u", "m"].map(|name| site.path(name));
        let user = &site.stage.user;
        for directory in [&under, &mount] {
            fs::create_dir(directory)?;
            chown(directory, Some(user.uid), Some(user.gid))?;
        }
        for file in ["app.py", "helper.py", "settings.json"] {
            fs::rename(site.path(file), under.join(file))?;
        }
        let is_root = User::current() != *user;
        let mut command = site.stage.command(Path::new("unshare"));
        if !is_root {
            command.args(of_user(user));
        }
        command
            .args(["--mount", "--propagation", "private", "bindfs", "-f", "-d"])
            .args(options)
            .args([&under, &mount])
            .stdout(Stdio::null())
            .stderr(File::create(site.path("told"))?);
        let mut holder = Running::start(command, &User::current(), AtParentDeath::Kill)?;
        let pid = holder.child().id();
        until(PATIENCE, "the mount", || {
            ensure!(holder.ended()?.is_none(), "{}", fs::read_to_string(site.path("told"))?);
            let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
            Ok(mounts.contains(&format!(" {} ", mount.display())).then_some(()))
        })?;
        let mut enter = words(&["nsenter", &format!("--target={pid}"), "--mount"]);
        if is_root {
            let ids = [format!("--reuid={}", user.uid), format!("--regid={}", user.gid)];
            enter.extend(words(&["setpriv", &ids[0], &ids[1], "--clear-groups"]));
        } else {
            enter.extend(words(&["--user", "--preserve-credentials"]));
        }
        Ok(Self { site, application: mount.join("app.py"), holder, enter, user: User::current() })
    }

    /// How often the attributes of a file on the mount were asked for.
    fn looks_at(&self, name: &str) -> Result<usize> {
        let told = fs::read_to_string(self.site.path("told"))?;
        Ok(told.lines().filter(|line| *line == format!("getattr /{name}")).count())
    }

    /// Ends the fronts and the mount, and leaves nothing.
    pub(crate) fn end(mut self) -> Result<()> {
        self.site.ends_clean()?;
        self.holder.signal(libc::SIGTERM)?;
        self.holder.wait(PATIENCE).map(drop)
    }

    fn body(&self) -> Result<String> {
        let usual = self.site.command_of(&self.site.stage.bridge(), &self.application, "id=x");
        let mut command = self.site.copy_of(&usual, Path::new(&self.enter[0]));
        command.args(&self.enter[1..]).arg(usual.get_program()).args(usual.get_args());
        let output = collect(Running::start(command, &self.user, AtParentDeath::Kill)?)?;
        ensure!(output.stderr.is_empty(), "standard error has: {}", output.stderr);
        Ok(good(&output)?.trim_end().to_owned())
    }

    pub(crate) fn says(&self, expected: &str) -> Result<()> {
        let body = self.body()?;
        ensure!(body == expected, "{body:?}, not {expected:?}; {}", self.site.log());
        Ok(())
    }

    /// Answers `before` until the second is over, then `expected`.
    pub(crate) fn comes_to_say(&self, before: &str, expected: &str) -> Result<()> {
        until(PATIENCE, expected, || {
            let body = self.body()?;
            ensure!(body == before || body == expected, "{body:?}; {}", self.site.log());
            Ok((body == expected).then_some(()))
        })
        .with_context(|| self.site.log())
    }

    /// A `touch` of the application's file starts another zygote, which answers the same as before.
    fn restarts_at_touch(&self, file: &Path, body: &str, zygotes: usize) -> Result<()> {
        let touched = Command::new("touch").arg(file).status()?;
        ensure!(touched.success(), "touch failed");
        until(PATIENCE, "another zygote", || {
            self.says(body)?;
            Ok((self.site.starts() == zygotes).then_some(()))
        })?;
        self.site.zygote_of_now().map(drop).with_context(|| self.site.log())
    }

    fn has_started(&self, zygotes: usize) -> Result<()> {
        ensure!(self.site.starts() == zygotes, "not {zygotes} starts: {}", self.site.log());
        Ok(())
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// A user namespace in which this user has the same ids and all capabilities.
fn of_user(user: &User) -> Vec<String> {
    let (user, group) = (format!("--map-user={}", user.uid), format!("--map-group={}", user.gid));
    words(&["--user", &user, &group, "--keep-caps"])
}

/// The inodes that the kernel watches for a process; `None` if it has no inotify.
fn watched(pid: i32) -> Result<Option<Vec<u64>>> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        if fs::read_link(entry.path()).is_ok_and(|path| path == Path::new("anon_inode:inotify")) {
            let number = entry.file_name();
            let number = number.to_string_lossy();
            let text = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}"))?;
            let lines = text.lines().filter_map(|line| line.strip_prefix("inotify "));
            let inodes = lines.filter_map(|line| line.split(' ').nth(1)?.strip_prefix("ino:"));
            let inodes = inodes.map(|inode| u64::from_str_radix(inode, 16));
            return Ok(Some(inodes.collect::<Result<_, _>>()?));
        }
    }
    Ok(None)
}

/// Writes another text of the same size, and keeps the file's time.
fn replace_unseen(path: &Path, text: &str) -> Result<()> {
    let before = fs::metadata(path)?;
    ensure!(before.len() == text.len() as u64, "the new text has another size");
    fs::write(path, text)?;
    Ok(File::options().write(true).open(path)?.set_modified(before.modified()?)?)
}

fn no_instances(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let fronts = Fronts::limited(&site, "instances", 0)?;
    let packages = make_venv(&site)?.1;
    site.write("import.py", IMPORT_EXTRA)?;
    fronts.says("x 1 h1 none")?;
    ensure!(watched(site.zygote()?)?.is_none(), "the zygote uses inotify");
    site.write("helper.py", "VERSION = 'h22'\n")?;
    fronts.comes_to_say("x 1 h1 none", "x 1 h22 none")?;
    fs::write(packages.join("extra.py"), "WHAT = 'extra'\n")?;
    fronts.comes_to_say("x 1 h22 none", "x 1 h22 extra")?;
    site.write("import.py", "SETTING = 1\n")?;
    fronts.comes_to_say("x 1 h22 extra", "x 1 h22 1")?;
    replace_unseen(&site.path("import.py"), "SETTING = 2\n")?;
    fronts.comes_to_say("x 1 h22 1", "x 1 h22 2")?;
    fronts.has_started(5)?;
    fronts.restarts_at_touch(&site.path("app.py"), "x 1 h22 2", 6)?;
    for file in ["helper.py", "site-packages", "import.py", "app.py"] {
        ensure!(site.log().contains(&format!("{file} changed")), "{file}: {}", site.log());
    }
    fronts.end()
}

fn no_instances_links(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let mut fronts = Fronts::limited(&site, "instances", 0)?;
    fronts.application = site.path("current/site.py");
    make_releases(&site)?;
    symlink("1", site.path("current"))?;
    fronts.says("release 1")?;
    symlink(site.path("2"), site.path("next"))?;
    fs::rename(site.path("next"), site.path("current"))?;
    fronts.comes_to_say("release 1", "release 2")?;
    fs::rename(site.path("2"), site.path("old"))?;
    fs::rename(site.path("3"), site.path("2"))?;
    fronts.comes_to_say("release 2", "release 3")?;
    fronts.has_started(3)?;
    fronts.end()
}

fn few_watches(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let far = stage.workplace(&format!("{}-far", site.directory.display()))?;
    fs::write(far.join("far.py"), "WHAT = 'far'\n")?;
    let import = format!("sys.path.insert(0, {far:?})\nimport far\nSETTING = far.WHAT\n");
    site.write("import.py", &import)?;
    // One for each directory on the way and for each of the four files.
    let enough = fs::canonicalize(&site.directory)?.components().count() - 1 + 4;
    let fronts = Fronts::limited(&site, "watches", enough)?;
    fronts.says("x 1 h1 far")?;
    let inodes = watched(site.zygote()?)?.context("the zygote does not use inotify")?;
    ensure!(inodes.len() == enough, "{} watches, not {enough}", inodes.len());
    let has = |path: &Path| -> Result<bool> { Ok(inodes.contains(&fs::metadata(path)?.ino())) };
    ensure!(
        has(&site.path("helper.py"))? && !has(&far.join("far.py"))?,
        "other files than helper.py are watched"
    );
    site.write("helper.py", "VERSION = 'near'\n")?;
    fronts.says("x 1 near far")?;
    fs::write(far.join("far.py"), "WHAT = 'farther'\n")?;
    fronts.comes_to_say("x 1 near far", "x 1 near farther")?;
    fronts.has_started(3)?;
    fronts.end()
}

fn behind(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let fronts = Fronts::mounted(&site, &[])?;
    fronts.says("x 1 h1 1")?;
    site.write("u/helper.py", "VERSION = 'in place'\n")?;
    fronts.comes_to_say("x 1 h1 1", "x 1 in place 1")?;
    site.write("u/new", "VERSION = 'by rename'\n")?;
    fs::rename(site.path("u/new"), site.path("u/helper.py"))?;
    fronts.comes_to_say("x 1 in place 1", "x 1 by rename 1")?;
    replace_unseen(&site.path("u/settings.json"), "2")?;
    fronts.comes_to_say("x 1 by rename 1", "x 1 by rename 2")?;
    fronts.has_started(4)?;
    fronts.restarts_at_touch(&site.path("u/app.py"), "x 1 by rename 2", 5)?;
    fronts.end()
}

fn once_a_second(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    // The kernel caches attributes for an hour here, so bindfs logs a getattr only where cgi2wsgi forces one.
    let hour = ["-o", "attr_timeout=3600,entry_timeout=3600"];
    let fronts = Fronts::mounted(&site, &hour)?;
    for _ in 0..2 {
        fronts.says("x 1 h1 1")?;
    }
    let (began, before) = (Instant::now(), fronts.looks_at("settings.json")?);
    let mut requests = 0;
    let looks = until(PATIENCE, "three looks", || {
        fronts.says("x 1 h1 1")?;
        requests += 1;
        Ok(Some(fronts.looks_at("settings.json")? - before).filter(|looks| *looks >= 3))
    })?;
    let most = began.elapsed().as_secs() + 1;
    ensure!(
        looks as u64 <= most && requests > looks,
        "the file was looked at {looks} times in {requests} requests and {most} seconds"
    );
    fronts.has_started(1)?;
    fronts.end()
}

fn future(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, &[])?;
    let fronts = Fronts::mounted(&site, &["--ctime-from-mtime"])?;
    let file = site.path("u/helper.py");
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    File::options().write(true).open(&file)?.set_modified(tomorrow)?;
    let before = fronts.looks_at("helper.py")?;
    until(PATIENCE, "three looks", || {
        fronts.says("x 1 h1 1")?;
        Ok((fronts.looks_at("helper.py")? >= before + 3).then_some(()))
    })?;
    fronts.has_started(1)?;
    site.write("u/helper.py", "VERSION = 'of today'\n")?;
    fronts.comes_to_say("x 1 h1 1", "x 1 of today 1")?;
    fronts.end()
}
