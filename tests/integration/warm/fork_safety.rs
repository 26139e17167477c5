//! The examples of `docs/fork-safety.md`: the right ones stay right over many requests that are forked from one
//! process, and the wrong ones fail as described.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{Output, Test, collect, run, trials_of};
use crate::harness::process::{AtParentDeath, PATIENCE, Running, until};
use crate::harness::stage::Stage;
use crate::harness::world::World;
use crate::warm::command::Warm;

const TESTS: &[(&str, Test)] = &[
    ("SQLAlchemy: an engine at import and a session in the request lose no visit", sqlalchemy),
    ("Django: connections that are closed after the import reach no request", django),
    ("temporary files are made in the request", temporary_files),
    ("random numbers: an object made at import is seeded in the request", random_numbers),
    ("atexit handlers of the import run once for each request, and not in the zygote", at_exit),
    ("every line of code in docs/fork-safety.md is in an example", page),
];

/// How many requests each right example answers, and how many of them at once.
const REQUESTS: usize = 24;
const AT_ONCE: usize = 4;

/// Code on the page that is in no example, because the tests lack what it needs.
const OF_THE_PAGE: &[&str] = &[
    "the import left \"/srv/site/Data.fs\" open for writing, which all requests would share: open it in the request, or for appending",
    "os.register_at_fork(after_in_child=numpy.random.seed)",
    "cgi2wsgi warm status",
    "cgi2wsgi warm log",
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    trials_of("fork-safety", TESTS, world)
}

fn examples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples")
}

/// The examples with a database, which has no visits yet.
struct Site<'s> {
    warm: Warm<'s>,
    database: String,
}

impl<'s> Site<'s> {
    fn new(stage: &'s Stage, name: &str) -> Result<Self> {
        let warm = Warm::new(stage, name)?;
        for entry in fs::read_dir(examples())?.flatten() {
            fs::copy(entry.path(), warm.place.join(entry.file_name())).context("no copy")?;
        }
        let database = warm.place.join("visits.sqlite").display().to_string();
        let mut make = stage.command(&stage.python());
        make.arg("-c").arg(
            "import sqlite3, sys\n\
             with sqlite3.connect(sys.argv[1]) as database:\n \
                 database.execute('CREATE TABLE counter (id INTEGER PRIMARY KEY, value INTEGER)')\n \
                 database.execute('INSERT INTO counter VALUES (1, 0)')\n",
        );
        make.arg(&database).stderr(std::process::Stdio::piped());
        run(stage, make)?.ends(0)?;
        Ok(Self { warm, database })
    }

    fn start(&self, application: &str) -> Result<Running> {
        let application = self.warm.place.join(application).display().to_string();
        let mut command = self.warm.request(&application);
        command.env("DATABASE", &self.database);
        Running::start(command, &self.warm.stage.user, AtParentDeath::Kill)
    }

    fn answer(&self, application: &str) -> Result<Output> {
        collect(self.start(application)?)
    }

    /// Visits and the connections of the import, as one request sees them.
    fn visit(&self, application: &str) -> Result<(usize, usize)> {
        visits(&self.answer(application)?)
    }

    /// A right example counts every visit, with several requests at once.
    fn counts(&self, application: &str) -> Result<()> {
        let mut seen = vec![self.visit(application)?];
        while seen.len() < REQUESTS {
            let together = (0..AT_ONCE).map(|_| self.start(application));
            for running in together.collect::<Result<Vec<_>>>()? {
                seen.push(visits(&collect(running)?)?);
            }
        }
        seen.sort_unstable();
        let expected: Vec<_> = (1..=seen.len()).map(|visit| (visit, 0)).collect();
        ensure!(seen == expected, "the visits are {seen:?}");
        Ok(())
    }

    /// A wrong example is found: each request has a connection of its own, and the first one's log says why it starts
    /// normally.
    fn is_started_normally(&self, application: &str) -> Result<()> {
        for number in 1..=3 {
            let mut output = self.answer(application)?;
            if number == 1 {
                output.says("the import left the SQLite database ")?.says(&self.database)?;
                output.stderr.clear();
            }
            let seen = visits(&output)?;
            ensure!(seen == (number, 1), "request {number} sees {seen:?}");
        }
        // The rows have changed: the next zygote imports nothing, and gives the same reason.
        until(PATIENCE, "the reason", || {
            let rows = self.warm.rows()?;
            let row = rows.iter().find(|row| row.application.ends_with(application));
            let tells =
                |remark: &String| remark.contains(&self.database) && remark.contains("left");
            Ok(row.filter(|row| row.remarks.iter().any(tells)).map(|_| ()))
        })
    }

    /// One zygote has answered all.
    fn was_one_zygote(&self, application: &str, requests: u64) -> Result<()> {
        let rows = self.warm.rows()?;
        let row = rows.iter().find(|row| row.application.ends_with(application));
        let row = row.with_context(|| format!("no zygote of {application}: {rows:?}"))?;
        // The examples were copied a moment ago, which may count as an edit after the import.
        ensure!(row.restarts <= 1 && row.remarks.is_empty(), "{row:?}");
        self.warm.until_requests(&row.application.clone(), requests)
    }
}

fn visits(output: &Output) -> Result<(usize, usize)> {
    let (status, body) = output.ends(0)?.response()?;
    ensure!(status == 200 && output.stderr.is_empty(), "{status} {body} {}", output.stderr);
    let words: Vec<&str> = body.split_whitespace().collect();
    match words.as_slice() {
        ["visits", visits, "connections", "of", "the", "import", count] => {
            Ok((visits.trim_end_matches(',').parse()?, count.parse()?))
        }
        _ => bail!("the answer is {body:?}"),
    }
}

fn sqlalchemy(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, "f-alchemy")?;
    site.counts("sqlalchemy_app.py")?;
    site.was_one_zygote("sqlalchemy_app.py", 25)?;
    let site = Site::new(stage, "f-alchemy-wrong")?;
    site.is_started_normally("sqlalchemy_wrong.py")
}

fn django(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, "f-django")?;
    site.counts("django_app.py")?;
    site.was_one_zygote("django_app.py", 25)?;
    let site = Site::new(stage, "f-django-wrong")?;
    site.is_started_normally("django_wrong.py")
}

fn temporary_files(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, "f-scratch")?;
    for _ in 0..5 {
        let (status, body) = site.answer("scratch_app.py")?.ends(0)?.response()?;
        ensure!(status == 200 && body == "written\n", "{status} {body}");
    }
    for found in 1..=3 {
        let (status, body) = site.answer("scratch_wrong.py")?.ends(0)?.response()?;
        ensure!(status == 200 && body == format!("{found} found\n"), "{status} {body}");
    }
    Ok(())
}

/// The different numbers that each source gives in five requests of one zygote.
fn drawn(site: &Site<'_>, application: &str) -> Result<Vec<BTreeSet<String>>> {
    // The first request may still meet a zygote for which the copy is an edit.
    site.answer(application)?.ends(0)?;
    let mut of_each: Vec<BTreeSet<String>> = Vec::new();
    for _ in 0..5 {
        let (status, body) = site.answer(application)?.ends(0)?.response()?;
        ensure!(status == 200, "{status} {body}");
        let numbers: Vec<_> = body.split(' ').map(str::to_owned).collect();
        of_each.resize(numbers.len(), BTreeSet::new());
        for (source, number) in of_each.iter_mut().zip(numbers) {
            source.insert(number);
        }
    }
    Ok(of_each)
}

fn random_numbers(stage: &Stage) -> Result<()> {
    let site = Site::new(stage, "f-random")?;
    let right = drawn(&site, "random_app.py")?;
    ensure!(right.len() == 4 && right.iter().all(|numbers| numbers.len() == 5), "{right:?}");
    site.was_one_zygote("random_app.py", 6)?;
    let site = Site::new(stage, "f-random-wrong")?;
    let wrong = drawn(&site, "random_wrong.py")?;
    let different: Vec<usize> = wrong.iter().map(BTreeSet::len).collect();
    ensure!(different == [1, 5], "{wrong:?}");
    site.was_one_zygote("random_wrong.py", 6)
}

fn at_exit(stage: &Stage) -> Result<()> {
    let warm = Warm::new(stage, "f-atexit")?;
    let marker = warm.place.join("marker");
    for _ in 0..3 {
        let mut command = warm.request("{applications}/at_exit.py");
        command.env("MARKER", &marker);
        run(stage, command)?.ends(0)?;
    }
    // P8: the handlers of a child have run when its front exits.
    let noted = fs::read_to_string(&marker).context("nothing is noted")?;
    let of = |what: &str| {
        let mut pids: Vec<_> = noted.lines().filter_map(|line| line.strip_prefix(what)).collect();
        pids.sort_unstable();
        pids
    };
    ensure!(of("request ").len() == 3 && of("request ") == of("exit "), "{noted}");
    warm.until_requests(&stage.resolve("{applications}/at_exit.py"), 3)?;
    let stopped = warm.verb(&["stop", "--all"])?;
    ensure!(stopped.ends(0)?.stdout.starts_with(b"stopped "), "{:?}", stopped.stdout);
    ensure!(fs::read_to_string(&marker)? == noted, "a handler ran in the zygote");
    Ok(())
}

fn page(_stage: &Stage) -> Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fork-safety.md");
    let page = fs::read_to_string(page)?;
    let mut code = String::new();
    for entry in fs::read_dir(examples())?.flatten() {
        code += &fs::read_to_string(entry.path())?;
    }
    let shown = page.lines().filter_map(|line| line.strip_prefix("    ")).map(str::trim);
    let shown: Vec<&str> = shown.filter(|line| !OF_THE_PAGE.contains(line)).collect();
    ensure!(shown.len() >= 9, "only {} lines of code were found", shown.len());
    for line in shown {
        ensure!(
            code.lines().any(|of_example| of_example.trim() == line),
            "no example has {line:?}"
        );
    }
    Ok(())
}
