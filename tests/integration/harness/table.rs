//! The table: one row is a sentence about behaviour, the trap in `docs/traps.md` or the rule that it proves, an
//! application, a request and what the client must see. Every row becomes two trials on every server that it
//! applies to: as it is, and under `--warm`. The rows are in `cases/`, by theme.

use std::borrow::Cow;
use std::sync::Arc;

use anyhow::{Context, Error, Result, ensure};
use libtest_mimic::{Failed, Trial};

use crate::cases;
use crate::harness::exchange::{Answer, Exchange, LogWindow};
use crate::harness::http::Request;
use crate::harness::mount::{Mount, Program};
use crate::harness::server::Kind;
use crate::harness::stage::is_other_bridge;
use crate::harness::world::World;

/// Every server.
pub(crate) const EVERYWHERE: &[Kind] = &Kind::ALL;
pub(crate) const SHELL: &[Kind] = &[Kind::Shell];
/// All that speak HTTP.
pub(crate) const WEB_SERVERS: &[Kind] = &[
    Kind::Caddy,
    Kind::ApacheCgid,
    Kind::ApacheCgi,
    Kind::ApacheAction,
    Kind::Lighttpd,
    Kind::Nginx,
];
pub(crate) const APACHE: &[Kind] = &[Kind::ApacheCgid, Kind::ApacheCgi, Kind::ApacheAction];
pub(crate) const NOT_APACHE: &[Kind] = &[Kind::Shell, Kind::Caddy, Kind::Lighttpd, Kind::Nginx];
/// The servers that pass on a script's header lines unchanged. Caddy does not: Go parses them and writes its own.
pub(crate) const VERBATIM: &[Kind] = &[
    Kind::Shell,
    Kind::ApacheCgid,
    Kind::ApacheCgi,
    Kind::ApacheAction,
    Kind::Lighttpd,
    Kind::Nginx,
];

type CheckAnswer = Box<dyn Fn(&Answer) -> Result<()> + Send + Sync>;
type Drive = Box<dyn Fn(&Scene, Exchange) -> Result<()> + Send + Sync>;

pub(crate) struct Case {
    trap: &'static str,
    sentence: Cow<'static, str>,
    program: Program,
    variables: Vec<(String, String)>,
    request: Request,
    servers: &'static [Kind],
    excepted: Vec<Kind>,
    changes: Vec<(&'static str, Option<Vec<u8>>)>,
    logged: Vec<&'static str>,
    logged_at_import: Vec<&'static str>,
    goes_cold: Option<&'static str>,
    check: Check,
}

enum Check {
    Answer(CheckAnswer),
    Drive(Drive),
}

/// What a case that drives its own exchange can see of the run.
pub(crate) struct Scene<'run> {
    pub(crate) world: &'run World,
    pub(crate) kind: Kind,
    pub(crate) mount: &'run Mount,
}

impl Scene<'_> {
    /// The value of one of the mount's variables in this run.
    pub(crate) fn variable(&self, name: &str) -> Result<String> {
        let placed = self.mount.place(self.world.stage()?, self.kind)?;
        let found = placed.variables.into_iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value).with_context(|| format!("the case sets no {name}"))
    }
}

impl Case {
    /// A case that begins with a GET of the mount itself; `application` is a file in `fixtures/`, or, with
    /// a slash before it, in `tests/integration/applications/`.
    pub(crate) fn new(trap: &'static str, sentence: &'static str, application: &str) -> Self {
        let application = match application.strip_prefix('/') {
            Some(own) => format!("{{applications}}/{own}"),
            None => format!("{{fixtures}}/{application}"),
        };
        Self {
            trap,
            sentence: Cow::Borrowed(sentence),
            program: Program::Bridge { application },
            variables: Vec::new(),
            request: Request::get(""),
            servers: EVERYWHERE,
            excepted: Vec::new(),
            changes: Vec::new(),
            logged: Vec::new(),
            logged_at_import: Vec::new(),
            goes_cold: None,
            check: Check::Answer(Box::new(|answer| answer.status(200)?.exit_code(0).map(drop))),
        }
    }

    /// A case whose application runs inside `wsgiref.validate`, which makes every breach of PEP 3333 an error.
    pub(crate) fn valid(trap: &'static str, sentence: &'static str, module: &str) -> Self {
        Self::new(trap, sentence, "validated.py").variable("VALIDATE", module)
    }

    /// A case whose application is named as Python imports it.
    pub(crate) fn import(trap: &'static str, sentence: &'static str, name: &str) -> Self {
        let program = Program::Bridge { application: name.to_owned() };
        Self { program, ..Self::new(trap, sentence, "") }
    }

    /// A case whose CGI program is a WSGI file with a `#!` line.
    pub(crate) fn script(trap: &'static str, sentence: &'static str, fixture: &str) -> Self {
        let program = Program::Script { fixture: fixture.to_owned() };
        Self { program, ..Self::new(trap, sentence, fixture) }
    }

    /// Sets another sentence, for rows that are made from a list of values.
    pub(crate) fn named(mut self, sentence: String) -> Self {
        self.sentence = Cow::Owned(sentence);
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn request(mut self, request: Request) -> Self {
        self.request = request;
        self
    }

    pub(crate) fn get(self, target: &str) -> Self {
        self.request(Request::get(target))
    }

    pub(crate) fn on(mut self, servers: &'static [Kind]) -> Self {
        self.servers = servers;
        self
    }

    /// Leaves out one server, for a reason in the server: an observed fact, with the version, or a feature that it
    /// lacks.
    pub(crate) fn except(mut self, server: Kind, _reason: &'static str) -> Self {
        self.excepted.push(server);
        self
    }

    /// In the shell alone: sets a variable of the request to another value.
    pub(crate) fn with(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.changes.push((name, Some(value.as_ref().to_vec())));
        self.on(SHELL)
    }

    /// In the shell alone: removes a variable of the request.
    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.changes.push((name, None));
        self.on(SHELL)
    }

    /// The server's error log gets this text.
    pub(crate) fn logs(mut self, text: &'static str) -> Self {
        self.logged.push(text);
        self
    }

    /// The request that causes the import logs this text.
    pub(crate) fn logs_at_import(mut self, text: &'static str) -> Self {
        self.logged_at_import.push(text);
        self
    }

    /// Under `--warm` the request falls back to a cold start, and the log says why.
    pub(crate) fn goes_cold(mut self, why: &'static str) -> Self {
        self.goes_cold = Some(why);
        self
    }

    pub(crate) fn expect(
        mut self,
        check: impl Fn(&Answer) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.check = Check::Answer(Box::new(check));
        self
    }

    /// For a case that acts while the answer arrives.
    pub(crate) fn drive(
        mut self,
        drive: impl Fn(&Scene, Exchange) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.check = Check::Drive(Box::new(drive));
        self
    }

    fn run(&self, world: &World, kind: Kind, mount: &Mount) -> Result<()> {
        world.server(kind)?;
        // A zygote that refuses to serve gives the reason to the first request.
        let cold = self.goes_cold.filter(|_| mount.warm);
        let mut first = self.logged.clone();
        first.extend(self.logged_at_import.iter().copied().chain(cold));
        let once = |logged: &[&str]| {
            let alone = !logged.is_empty() || cold.is_some();
            let log =
                world.with_log(kind, alone, || self.run_undisturbed(world, kind, mount, logged))?;
            // The rows that go cold run alone.
            let stayed_warm = !mount.warm || cold.is_some() || !log.text()?.contains(COLD);
            ensure!(
                stayed_warm,
                "a request of this row, or of another at the same time, was answered cold: {}",
                said(&log)
            );
            Ok(())
        };
        once(&first)?;
        if mount.warm {
            // The first request may have started the zygote; the second finds it.
            mount.clear(world.stage()?, kind)?;
            once(&self.logged).context("the second time")?;
        }
        Ok(())
    }

    /// Makes one request. Returns what was logged meanwhile.
    fn run_undisturbed(
        &self,
        world: &World,
        kind: Kind,
        mount: &Mount,
        logged: &[&str],
    ) -> Result<LogWindow> {
        let server = world.server(kind)?;
        let exchange = match server.as_shell() {
            Some(shell) => {
                let stage = world.stage()?;
                let resolved = |value: &Vec<u8>| match std::str::from_utf8(value) {
                    Ok(text) => stage.resolve(text).into_bytes(),
                    Err(_) => value.clone(),
                };
                let changes = self.changes.iter();
                let changes: Vec<_> =
                    changes.map(|(name, value)| (*name, value.as_ref().map(resolved))).collect();
                shell.begin_with(mount, &self.request, &changes)?
            }
            None => server.begin(mount, &self.request)?,
        };
        let log = exchange.log();
        let outcome = match &self.check {
            Check::Drive(drive) => drive(&Scene { world, kind, mount }, exchange),
            Check::Answer(check) => exchange.finish().and_then(|answer| {
                check(&answer).with_context(|| format!("the answer was:\n    {}", answer.summary()))
            }),
        };
        outcome
            .and_then(|()| logged.iter().try_for_each(|text| log.wait_for(text)))
            .map_err(|error| error.context(said(&log)))?;
        Ok(log)
    }
}

fn said(log: &LogWindow) -> String {
    match log.text() {
        Ok(text) if text.is_empty() => "the log says nothing".to_owned(),
        Ok(text) => format!("the log says:\n{}", text.trim_end()),
        Err(error) => format!("{error:#}"),
    }
}

/// A trap's number as a part of a URL.
fn slug(trap: &str) -> String {
    let letters = trap.chars().map(|letter| match letter.to_ascii_lowercase() {
        letter if letter.is_ascii_alphanumeric() => letter,
        _ => '-',
    });
    letters.collect::<String>().trim_matches('-').to_owned()
}

/// The start of a log line that says why no child of a zygote answers a request.
const COLD: &str = "warning: --warm: ";

/// The rows, and where each is mounted, as it is and under `--warm`.
pub(crate) struct Table {
    rows: Vec<(Arc<Case>, [Arc<Mount>; 2])>,
}

impl Table {
    pub(crate) fn new() -> Self {
        let rows = cases::all().into_iter().enumerate().map(|(number, case)| {
            let mounts = [("", false), ("-warm", true)].map(|(suffix, warm)| {
                let prefix = format!("/case/{}-{number}{suffix}", slug(case.trap));
                let mut variables = case.variables.clone();
                if warm && case.goes_cold.is_some() {
                    // This row has its own zygote, which has not yet given its reason to any request.
                    variables.push(("ROW".to_owned(), prefix.clone()));
                }
                Arc::new(Mount { prefix, program: case.program.clone(), variables, warm })
            });
            (Arc::new(case), mounts)
        });
        Self { rows: rows.collect() }
    }

    pub(crate) fn mounts(&self) -> Vec<Mount> {
        let mounts = self.rows.iter().flat_map(|(_, mounts)| mounts);
        mounts.map(|mount| Mount::clone(mount)).collect()
    }

    /// One trial for each row, server and kind of start.
    pub(crate) fn trials(&self, world: &Arc<World>) -> Vec<Trial> {
        let columns = Kind::ALL.iter().flat_map(|kind| [(*kind, 0), (*kind, 1)]);
        let cells = columns.flat_map(|(kind, start)| {
            self.rows.iter().map(move |(case, mounts)| (kind, case, &mounts[start]))
        });
        let applicable = cells.filter(|(kind, case, mount)| {
            case.servers.contains(kind)
                && !case.excepted.contains(kind)
                && kind.can_run(&case.program)
                && !(mount.warm && is_other_bridge())
        });
        applicable
            .map(|(kind, case, mount)| {
                let (world, case, mount) = (Arc::clone(world), Arc::clone(case), Arc::clone(mount));
                let column = if mount.warm { "-warm" } else { "" };
                let name = format!("{}{column}::{}: {}", kind.name(), case.trap, case.sentence);
                Trial::test(name, move || {
                    case.run(&world, kind, &mount).map_err(|error| failed(&error))
                })
            })
            .collect()
    }
}

/// A failure as libtest-mimic prints it: the innermost cause first, then its contexts.
pub(crate) fn failed(error: &Error) -> Failed {
    let lines: Vec<_> = error.chain().rev().map(ToString::to_string).collect();
    Failed::from(lines.join("\n"))
}
