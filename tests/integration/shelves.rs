//! Two applications that keep their data in shelves, which are complete only when Python ends (P8): `WsgiDAV` under
//! litmus, the test suite of `WebDAV`, and web.py's sessions.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{CGI, Test, run, trials_of};
use crate::harness::http::Head;
use crate::harness::mount::{Mount, Program};
use crate::harness::process::{AtParentDeath, Running};
use crate::harness::server::Kind;
use crate::harness::stage::{Stage, is_other_bridge};
use crate::harness::table::failed;
use crate::harness::world::World;
use crate::warm::site::Site;

/// How long litmus may take: it makes 200 requests.
const PATIENCE: Duration = Duration::from_secs(240);

/// The suites of litmus that run.
const SUITES: &[&str] = &["basic", "copymove", "props", "locks", "http"];

const TESTS: &[(&str, Test)] =
    &[("P8: web.py's sessions in a shelf count each visit, cold and warm", counts)];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    if is_other_bridge() {
        return Vec::new();
    }
    let mut trials = trials_of("shelves", TESTS, world);
    for (column, mount) in ["caddy", "caddy-warm"].into_iter().zip(mounts()) {
        let shared = Arc::clone(world);
        trials.push(Trial::test(
            format!("{column}::P8: WsgiDAV with locks and properties in shelves passes litmus"),
            move || litmus(&shared, &mount).map_err(|error| failed(&error)),
        ));
    }
    trials
}

/// `WsgiDAV` at two URLs, the second with `--warm`. All children of a zygote would share a shelf that the
/// import opened, so with `--warm` each request opens it.
pub(crate) fn mounts() -> [Mount; 2] {
    [("/dav", "import", false), ("/dav-warm", "request", true)].map(|(prefix, made, warm)| {
        let variables = [("DAV", "{own}/dav"), ("DAV_URL", prefix), ("DAV_MADE", made)];
        Mount {
            prefix: prefix.to_owned(),
            program: Program::Bridge { application: "{applications}/dav.py".to_owned() },
            variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            warm,
        }
    })
}

fn litmus(world: &World, mount: &Mount) -> Result<()> {
    let stage = world.stage()?;
    let placed = mount.place(stage, Kind::Caddy)?;
    let place = placed.variables.iter().find(|(name, _)| name == "DAV").context("no DAV")?;
    let place = PathBuf::from(&place.1);
    let mut make = Command::new("install");
    make.args(["-d", "-o", &stage.user.uid.to_string(), "-g", &stage.user.gid.to_string()]);
    ensure!(make.args([&place, &place.join("files")]).status()?.success(), "cannot make {place:?}");
    let address = world.server(Kind::Caddy)?.address().context("Caddy has no address")?;
    let mut command = stage.command(&PathBuf::from("/usr/bin/litmus"));
    command.arg(format!("http://{address}{}/", mount.prefix)).env("TESTS", SUITES.join(" "));
    // litmus writes two logs to the current directory.
    let log = place.join("litmus");
    command.current_dir(&place).stdout(fs::File::create(&log)?).stderr(Stdio::null());
    let end = Running::start(command, &stage.user, AtParentDeath::Kill)?.wait(PATIENCE)?;
    let said = fs::read_to_string(&log)?;
    let passed = said.matches(", 0 failed. 100.0%").count();
    ensure!(passed == SUITES.len(), "{end:?}: {passed} suites passed:\n{said}");
    ensure!(fs::read_dir(&place)?.count() > 3, "there are no shelves");
    Ok(())
}

fn counts(stage: &Stage) -> Result<()> {
    for (warm, made) in [(false, "import"), (false, "request"), (true, "request")] {
        let site = Site::new(stage, &[])?;
        let mut cookie = String::new();
        for visit in 1..=4 {
            let mut command = stage.command(&stage.bridge());
            command.args(warm.then_some("--warm")).arg(stage.path("applications/counting.py"));
            command.envs(CGI).env("HTTP_COOKIE", &cookie).env("REMOTE_ADDR", "127.0.0.1");
            command.envs([("SERVER_NAME", "localhost"), ("SERVER_PORT", "80"), ("MADE", made)]);
            command.env("TMPDIR", site.path("t")).env("PLACE", site.path("t"));
            command.env("CGI2WSGI_VENV", stage.python_env());
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let output = run(stage, command)?;
            let (status, body) = output.ends(0)?.response()?;
            ensure!((status, body) == (200, visit.to_string()), "{warm} {made}: {}", output.stderr);
            let (head, _) = Head::of_cgi(&output.stdout)?.context("no head")?;
            let set = String::from_utf8_lossy(head.all("Set-Cookie").last().context("no cookie")?);
            set.split(';').next().unwrap_or_default().clone_into(&mut cookie);
        }
        site.ends_clean()?;
    }
    Ok(())
}
