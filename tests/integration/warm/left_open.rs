//! What an import leaves open and a fork would share (W1, W2, W3, P12): each kind gives the same answers warm as cold,
//! or the application is started normally, with a line that names the file or the peer. `docs/fork-safety.md` has the
//! table.

use std::fs::{self, Permissions};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{Output, Test, collect, run, trials_of};
use crate::harness::process::{AtParentDeath, Running};
use crate::harness::stage::Stage;
use crate::harness::table::failed;
use crate::harness::world::World;
use crate::warm::site::{Site, good};

/// How an application that leaves something open is served.
#[derive(Clone, Copy)]
enum Served {
    Warm,
    /// Normally, and the log says this.
    Cold(&'static str),
}
use Served::{Cold, Warm};

/// Functions of `applications/left_open.py`.
const KINDS: &[(&str, Served)] = &[
    ("nothing", Warm),
    ("text_file", Warm),
    ("unbuffered_file", Warm),
    ("removed_file", Warm),
    ("directory", Warm),
    ("devices", Warm),
    ("appended_and_read", Warm),
    ("temporary_file", Warm),
    ("memory_file", Warm),
    ("closed_database", Warm),
    ("datagrams", Warm),
    ("standard_error", Warm),
    ("interval_timer", Warm),
    ("mapped_memory", Warm),
    ("mapped_file", Warm),
    ("shared_value", Warm),
    ("shared_with_child", Warm),
    ("held_lock", Warm),
    ("event_loop", Warm),
    ("pair", Warm),
    ("datagram_pair", Warm),
    ("pipe", Warm),
    ("pipe_beside_process", Cold("left a pipe open (")),
    ("event", Warm),
    ("event_loop_of_connection", Cold("left a connection to ")),
    ("pair_with_content", Cold("left one of a pair of sockets open, which")),
    ("pipe_with_content", Cold("left a pipe open (")),
    ("pipe_to_process", Cold("left a pipe open (")),
    ("fifo", Cold("/fifo\"), which all requests would share: open it in the request")),
    ("forbidden_file", Cold("\" open, in which a request cannot have its own position (")),
    (
        "written_file",
        Cold(
            "/written\" open for writing, which all requests would share: open it in the request, or for appending",
        ),
    ),
    ("temporary_named", Cold(".temporary\" open for writing")),
    ("large_memory_file", Cold("\"/memfd:left-open (deleted)\", 8388608 bytes, open for writing")),
    ("sqlite_database", Cold("left the SQLite database \"")),
    (
        "flock",
        Cold("/flock\" locked, which all requests would share: open and lock it in the request"),
    ),
    ("posix_lock", Cold("/posix\" locked")),
    ("connection", Cold("left a connection to 127.0.0.1:")),
    (
        "unix_connection",
        Cold("/listens\" open, which all requests would share: connect in the request"),
    ),
    ("listening", Cold("left a listening socket open at \"/")),
    ("inotify", Cold("left a watch for file changes open (inotify)")),
    ("timer", Cold("left a timer open (timerfd)")),
    ("process_handle", Cold("left a process open (pidfd)")),
    ("large_mapped_memory", Cold("of shared memory open (\"/dev/zero (deleted)\")")),
];

const TESTS: &[(&str, Test)] = &[
    ("W2: a ZipFile that the import opened gives the right bytes, 80 of 80, four at once", archive),
    ("W1: a store that the import opened and locked keeps every write that it acknowledged", store),
    ("W1: a socket's name that the import binds is free for a normal start", one_process),
    ("W1: a file that the import opened for appending has each line once", appended),
    ("W3: datagrams of syslog arrive from warm requests", syslog),
    (
        "P12: what the import of a refusing zygote has made is finalized as in a normal process",
        ends,
    ),
];

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let mut trials = trials_of("warm::left-open", TESTS, world);
    for (kind, served) in KINDS {
        let how = match served {
            Warm => "has the same answers warm as cold",
            Cold(_) => "leads to normal starts, and the log says why",
        };
        let name = format!(
            "warm::left-open::P12: an import that leaves this open ({}) {how}",
            kind.replace('_', " ")
        );
        let world = Arc::clone(world);
        trials.push(Trial::test(name, move || {
            world
                .stage()
                .and_then(|stage| answers(stage, kind, *served))
                .map_err(|error| failed(&error))
        }));
    }
    trials
}

/// An application of one kind, and the peer that it connects to.
pub(crate) struct Place<'s> {
    pub(crate) site: Site<'s>,
    kind: &'static str,
    tcp: TcpListener,
    udp: UdpSocket,
    datagrams: UnixDatagram,
    _listens: UnixListener,
}

impl<'s> Place<'s> {
    pub(crate) fn new(stage: &'s Stage, kind: &'static str) -> Result<Self> {
        let site = Site::new(stage, &[])?;
        let place = site.path("t");
        let datagrams = UnixDatagram::bind(place.join("datagrams"))?;
        let listens = UnixListener::bind(place.join("listens"))?;
        for socket in ["datagrams", "listens"] {
            fs::set_permissions(place.join(socket), Permissions::from_mode(0o666))?;
        }
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
        Ok(Self { site, kind, tcp, udp, datagrams, _listens: listens })
    }

    pub(crate) fn command(&self, is_warm: bool, query: &str) -> Result<Command> {
        let stage = self.site.stage;
        let application = stage.path("applications/left_open.py");
        let usual = self.site.command_of(&stage.bridge(), &application, query);
        let mut command = self.site.copy_of(&usual, &stage.bridge());
        command
            .args(usual.get_args().filter(|word| is_warm || *word != "--warm"))
            .env("CGI2WSGI_VENV", stage.python_env())
            .envs([("KIND", self.kind), ("PYTHONDONTWRITEBYTECODE", "1")])
            .env("PLACE", self.site.path("t"))
            .env("PORT", self.tcp.local_addr()?.port().to_string())
            .env("UDP_PORT", self.udp.local_addr()?.port().to_string());
        Ok(command)
    }

    pub(crate) fn ask(&self, is_warm: bool, query: &str) -> Result<Output> {
        run(self.site.stage, self.command(is_warm, query)?)
    }

    /// The bodies of warm requests that run at the same time.
    fn ask_together(&self, queries: &[String]) -> Result<Vec<String>> {
        let begin = |query: &String| {
            let command = self.command(true, query)?;
            Running::start(command, &self.site.stage.user, AtParentDeath::Kill)
        };
        let running = queries.iter().map(begin).collect::<Result<Vec<_>>>()?;
        running.into_iter().map(|running| good(&collect(running)?)).collect()
    }

    /// The content of a file of the application.
    pub(crate) fn read(&self, name: &str) -> Result<String> {
        let path = self.site.path("t").join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }
}

fn answers(stage: &Stage, kind: &'static str, served: Served) -> Result<()> {
    let place = Place::new(stage, kind)?;
    let cold = place.ask(false, "none")?;
    let right = good(&cold)?;
    let first = place.ask(true, "none")?;
    ensure!(good(&first)? == right, "{:?}, not {right:?}", good(&first)?);
    match served {
        Warm => {
            ensure!(first.stderr == cold.stderr, "not {:?}: {}", cold.stderr, first.stderr);
            ensure!(place.site.log().contains(" is ready"), "{}", place.site.log());
        }
        Cold(reason) => {
            first.says("falling back to a normal (cold) start: the import left ")?.says(reason)?;
            let said = first.stderr.lines().filter(|line| line.contains("falling back")).count();
            ensure!(said == 1, "{said} lines: {}", first.stderr);
        }
    }
    for _ in 0..2 {
        let bodies = place.ask_together(&vec!["none".to_owned(); 4])?;
        ensure!(bodies.iter().all(|body| *body == right), "{bodies:?}, not {right:?}");
    }
    place.site.ends_clean()
}

/// How many members the archive has: `member-0`, ...
pub(crate) const MEMBERS: usize = 20;

/// Makes the archive that `zip_file` reads, or replaces it as a whole.
pub(crate) fn make_archive(place: &Place<'_>) -> Result<()> {
    let stage = place.site.stage;
    let mut make = stage.command(&stage.python());
    make.arg("-c").arg(format!(
        "import os, sys, zipfile\n\
         with zipfile.ZipFile(sys.argv[1] + '.new', 'w', zipfile.ZIP_DEFLATED) as archive:\n \
             for number in range({MEMBERS}):\n  \
                 name = 'member-%d' % number\n  \
                 archive.writestr(name, name.encode() * 20_000)\n\
         os.replace(sys.argv[1] + '.new', sys.argv[1])\n"
    ));
    make.arg(place.site.path("t").join("data.zip")).stderr(Stdio::piped());
    run(stage, make)?.ends(0).map(drop)
}

fn archive(stage: &Stage) -> Result<()> {
    let place = Place::new(stage, "zip_file")?;
    make_archive(&place)?;
    let names: Vec<String> = (0..80).map(|number| format!("member-{}", number % MEMBERS)).collect();
    for four in names.chunks(4) {
        let bodies = place.ask_together(four)?;
        ensure!(bodies.iter().all(|body| body == "right"), "{bodies:?}");
    }
    let log = place.site.log();
    ensure!(log.matches(" is ready").count() == 1 && !log.contains("(cold)"), "{log}");
    place.site.ends_clean()
}

fn store(stage: &Stage) -> Result<()> {
    let place = Place::new(stage, "store")?;
    let first = place.ask(true, "w0")?;
    first.says("/store.lock\" locked, which all requests would share")?;
    ensure!(good(&first)? == "stored", "the write was not acknowledged");
    let queries: Vec<String> = (1..=20).map(|number| format!("w{number}")).collect();
    for four in queries.chunks(4) {
        let bodies = place.ask_together(four)?;
        ensure!(bodies.iter().all(|body| body == "stored"), "{bodies:?}");
    }
    let stored = place.read("store")?;
    let mut stored: Vec<&str> = stored.lines().map(str::trim).collect();
    stored.sort_by_key(|name| name[1..].parse::<u32>().unwrap_or_default());
    let expected: Vec<String> = (0..=20).map(|number| format!("w{number}")).collect();
    ensure!(stored == expected, "acknowledged: {expected:?}, stored: {stored:?}");
    place.site.ends_clean()
}

fn one_process(stage: &Stage) -> Result<()> {
    let place = Place::new(stage, "bound_name")?;
    for number in 0..3 {
        let output = place.ask(true, "none")?;
        ensure!(good(&output)? == "True", "request {number}: {}", output.stderr);
        let is_told = output.stderr.contains("left a listening socket open at \"@/");
        ensure!(is_told == (number == 0), "request {number}: {}", output.stderr);
    }
    place.site.ends_clean()
}

fn appended(stage: &Stage) -> Result<()> {
    for (kind, file, answer) in
        [("appended_log", "done", "logged"), ("unflushed_file", "unflushed", "8")]
    {
        let place = Place::new(stage, kind)?;
        let first = place.ask(true, "none")?;
        ensure!(good(&first)? == answer && first.stderr.is_empty(), "{kind}: {}", first.stderr);
        for _ in 0..3 {
            let bodies = place.ask_together(&vec!["none".to_owned(); 4])?;
            ensure!(bodies.iter().all(|body| body == answer), "{bodies:?}");
        }
        place.site.ends_clean()?;
        let text = place.read(file)?;
        let count = |what: &str| text.lines().filter(|line| *line == what).count();
        ensure!((count("import"), count("request")) == (1, 13), "{kind}: {text}");
    }
    Ok(())
}

fn syslog(stage: &Stage) -> Result<()> {
    let place = Place::new(stage, "syslog")?;
    let mut expected = Vec::new();
    for four in 0..2 {
        let queries: Vec<String> = (0..4).map(|number| format!("{}", four * 4 + number)).collect();
        place.ask_together(&queries)?;
        expected.extend(queries.iter().map(|query| format!("<12>request {query}\0")));
    }
    let log = place.site.log();
    ensure!(log.contains(" is ready") && !log.contains("(cold)"), "{log}");
    place.datagrams.set_nonblocking(true)?;
    let mut datagram = [0; 100];
    let mut came = Vec::new();
    while let Ok(length) = place.datagrams.recv(&mut datagram) {
        came.push(String::from_utf8_lossy(&datagram[..length]).into_owned());
    }
    came.sort();
    ensure!(came == expected, "{came:?}");
    place.site.ends_clean()
}

fn ends(stage: &Stage) -> Result<()> {
    let place = Place::new(stage, "temporary_named")?;
    let output = place.ask(true, "none")?;
    output.says(".temporary\" open for writing")?;
    good(&output)?;
    // The normal start has removed its own directory, and the zygote, which stays, that of its import.
    ensure!(!place.site.zygotes().is_empty(), "there is no zygote: {}", place.site.log());
    let entries = fs::read_dir(place.site.path("t"))?.flatten();
    let left: Vec<_> = entries
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".temporary"))
        .collect();
    ensure!(left.is_empty(), "{left:?}");
    place.site.ends_clean()
}
