//! The mistakes that people make with their first site, each made under a server and at a shell. The whole logged line
//! must say what happened, why, and what to do (M1 to M8).
//!
//! `command.rs` has mistakes in what is typed and set, `code.rs` those in the application's file,
//! `django.rs` those in a new project; `pages.rs` tests what
//! visitors see. One Apache runs all mistakes, each by a program like `servers/shared-host/index.cgi`.

mod code;
mod command;
mod django;
pub(crate) mod pages;

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context, Error, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::command::{run, trials_of};
use crate::harness::http::Request;
use crate::harness::mount::{Mount, Program};
use crate::harness::process::End;
use crate::harness::server::apache::{self, Module};
use crate::harness::server::{Server, WebServer};
use crate::harness::stage::Stage;
use crate::harness::table::failed;
use crate::harness::world::World;

/// Where a mistake is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Both,
    Server,
    Shell,
}

/// What a mistake leads to at a shell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The command line or the set-up is wrong.
    Setup,
    /// The application fails.
    Failed,
    /// The application answers, and the exit status is this.
    Answered(i32),
}

/// A mistake, in a directory of its own.
#[derive(Clone, Copy)]
struct Mistake {
    /// The directory's name, and the trial's.
    name: &'static str,
    /// Files of the site: path, text. [`resolved`] replaces `{site}`, `{bridge}` and the like.
    files: &'static [(&'static str, &'static str)],
    /// Modes of files and directories, once all are written.
    modes: &'static [(&'static str, u32)],
    /// Variables of the site.
    variables: &'static [(&'static str, &'static str)],
    /// The words after `cgi2wsgi`.
    words: &'static [&'static str],
    place: Where,
    outcome: Outcome,
    /// The text after `cgi2wsgi: error: `, or `warning: `.
    said: &'static str,
    /// The status of the visitor's page.
    status: u16,
}

impl Mistake {
    const fn new(name: &'static str, words: &'static [&'static str], said: &'static str) -> Self {
        Self {
            name,
            files: &[],
            modes: &[],
            variables: &[],
            words,
            place: Where::Both,
            outcome: Outcome::Setup,
            said,
            status: 500,
        }
    }

    /// A mistake in the text of `app.py`.
    const fn app(
        name: &'static str,
        files: &'static [(&'static str, &'static str)],
        said: &'static str,
    ) -> Self {
        let mut made = Self::new(name, &["app.py"], said);
        made.files = files;
        made.outcome = Outcome::Failed;
        made
    }

    const fn files(mut self, files: &'static [(&'static str, &'static str)]) -> Self {
        self.files = files;
        self
    }

    const fn modes(mut self, modes: &'static [(&'static str, u32)]) -> Self {
        self.modes = modes;
        self
    }

    const fn variables(mut self, variables: &'static [(&'static str, &'static str)]) -> Self {
        self.variables = variables;
        self
    }

    const fn words(mut self, words: &'static [&'static str]) -> Self {
        self.words = words;
        self
    }

    const fn only(mut self, place: Where) -> Self {
        self.place = place;
        self
    }

    const fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

/// An application that is right.
const RIGHT: &str = "def application(environ, start_response):\n    \
                     start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
                     return [b'right']\n";

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let made = Arc::new(Made { world: Arc::clone(world), site: OnceLock::new() });
    let mut trials = trials_of("messages", pages::TESTS, world);
    for mistake in mistakes() {
        for (place, name) in [(Where::Server, "server"), (Where::Shell, "shell")] {
            if mistake.place != Where::Both && mistake.place != place {
                continue;
            }
            let made = Arc::clone(&made);
            trials.push(Trial::test(format!("messages::{name}::{}", mistake.name), move || {
                made.check(mistake, place).map_err(|error| failed(&error))
            }));
        }
    }
    trials
}

fn mistakes() -> impl Iterator<Item = &'static Mistake> {
    command::MISTAKES.iter().chain(code::MISTAKES).chain(django::MISTAKES)
}

/// What all trials share.
struct Made {
    world: Arc<World>,
    site: OnceLock<Result<Site, String>>,
}

struct Site {
    directory: PathBuf,
    server: Mutex<WebServer>,
}

impl Made {
    fn check(&self, mistake: &Mistake, place: Where) -> Result<()> {
        let stage = self.world.stage()?;
        let site = self.site.get_or_init(|| Site::new(stage).map_err(|error| format!("{error:#}")));
        let site = site.as_ref().map_err(|message| Error::msg(message.clone()))?;
        let directory = site.directory.join(slug(mistake.name));
        let (said, status) = match place {
            Where::Shell => at_a_shell(stage, mistake, &directory)?,
            _ => site.under_a_server(mistake)?,
        };
        ensure!(status == mistake.status || status == 0, "status {status}: {said}");
        let kind = if mistake.outcome == Outcome::Answered(0) { "warning" } else { "error" };
        let start = format!("cgi2wsgi: {kind}: ");
        let lines: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix(&*start)).collect();
        let line = lines.first().copied().unwrap_or_default();
        ensure!(lines.len() == 1, "not one line but {}:\n{said}", lines.len());
        let line = match place {
            Where::Shell => line,
            _ => without_label(line, mistake)?,
        };
        let mut expected = resolved(stage, &directory, mistake.said);
        let has_answer = match mistake.outcome {
            Outcome::Setup => place == Where::Server,
            Outcome::Failed => true,
            Outcome::Answered(_) => false,
        };
        if has_answer {
            write!(expected, " (answered {})", mistake.status)?;
        }
        ensure!(line == expected, "it says\n  {line}\nand not\n  {expected}\nof\n{said}");
        Ok(())
    }
}

impl Site {
    fn new(stage: &Stage) -> Result<Self> {
        let directory = stage.workplace("mistakes")?;
        for mistake in mistakes() {
            write(stage, mistake, &directory.join(slug(mistake.name)))
                .with_context(|| mistake.name.to_owned())?;
        }
        let shown = directory.display();
        let sites = format!(
            "ScriptAlias /mistakes/ \"{shown}/\"\n<Directory \"{shown}\">\n    Require all granted\n\
             </Directory>\n"
        );
        let server = apache::start_with(stage, "mistakes", Module::Cgid, &sites)?;
        Ok(Self { directory, server: Mutex::new(server) })
    }

    /// Makes one request at a time, because the log mixes the lines of requests.
    fn under_a_server(&self, mistake: &Mistake) -> Result<(String, u16)> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let mount = Mount {
            prefix: String::new(),
            program: Program::Bridge { application: String::new() },
            variables: Vec::new(),
            warm: false,
        };
        let target = format!("/mistakes/{}/index.cgi", slug(mistake.name));
        let exchange = server.begin(&mount, &Request::post(target, "a body"))?;
        let log = exchange.log();
        let status = exchange.finish()?.head.status;
        Ok((log.text()?, status))
    }
}

/// A line without the label at the end of each line of a request (M9).
fn without_label<'l>(line: &'l str, mistake: &Mistake) -> Result<&'l str> {
    let start = format!(" [POST /mistakes/{}/index.cgi, ", slug(mistake.name));
    let Some((line, label)) = line.rsplit_once(&start) else {
        // cgi2wsgi checks the environment before it knows the application.
        ensure!(mistake.outcome == Outcome::Answered(0), "no label {start:?} is behind {line}");
        return Ok(line);
    };
    ensure!(label.contains("request ") && label.ends_with(']'), "{label}");
    Ok(line)
}

/// A sentence as the name of a directory.
fn slug(name: &str) -> String {
    name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
}

/// Makes a directory with the files and the program that a server starts.
fn write(stage: &Stage, mistake: &Mistake, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    for (path, text) in mistake.files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().context("no directory")?)?;
        fs::write(&path, resolved(stage, directory, text))?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    }
    if !directory.join("index.cgi").exists() {
        let quoted = |text: &str| format!("'{}'", resolved(stage, directory, text));
        let mut program =
            format!("#!/bin/sh\nexport CGI2WSGI_VENV='{}'\n", stage.python_env().display());
        for (name, value) in mistake.variables {
            writeln!(program, "export {name}={}", quoted(value))?;
        }
        let words: Vec<String> = mistake.words.iter().map(|word| quoted(word)).collect();
        writeln!(program, "exec '{}' {}", stage.bridge().display(), words.join(" "))?;
        fs::write(directory.join("index.cgi"), program)?;
        fs::set_permissions(directory.join("index.cgi"), Permissions::from_mode(0o755))?;
    }
    for (path, mode) in mistake.modes {
        fs::set_permissions(directory.join(path), Permissions::from_mode(*mode))?;
    }
    Ok(())
}

fn at_a_shell(stage: &Stage, mistake: &Mistake, directory: &Path) -> Result<(String, u16)> {
    let is_script = mistake.files.iter().any(|(path, _)| *path == "index.cgi");
    let program = if is_script { directory.join("index.cgi") } else { stage.bridge() };
    let mut command = stage.command(&program);
    command.current_dir(directory).env("CGI2WSGI_VENV", stage.python_env());
    command.args(mistake.words.iter().map(|word| resolved(stage, directory, word)));
    let set =
        mistake.variables.iter().map(|(name, value)| (name, resolved(stage, directory, value)));
    command.envs(set).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = run(stage, command)?;
    let expected = match mistake.outcome {
        Outcome::Setup => 2,
        Outcome::Failed => 1,
        Outcome::Answered(code) => code,
    };
    ensure!(output.end == End::Code(expected), "{:?}: {}", output.end, output.stderr);
    if mistake.outcome == Outcome::Setup {
        ensure!(output.stdout.is_empty(), "standard output is not empty");
    }
    Ok((output.stderr, 0))
}

/// Replaces `{site}`, `{bridge}` and the like in a text by their values in this run.
fn resolved(stage: &Stage, directory: &Path, text: &str) -> String {
    let name = |number: u32| {
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let line = accounts
            .lines()
            .find(|line| line.split(':').nth(2).and_then(|it| it.parse().ok()) == Some(number));
        let name = line.and_then(|line| line.split(':').next()).map(str::to_owned);
        name.map_or(number.to_string(), |name| format!("{name} ({number})"))
    };
    let owner = fs::metadata(directory).map_or(0, |directory| directory.uid());
    let version = || {
        let home = fs::read_dir(stage.python_env().join("lib")).into_iter().flatten().flatten();
        let mut names = home.filter_map(|entry| entry.file_name().into_string().ok());
        names.find_map(|name| Some(name.strip_prefix("python")?.to_owned()))
    };
    let known = [
        ("{site}", directory.display().to_string()),
        ("{bridge}", stage.bridge().display().to_string()),
        ("{venv}", stage.python_env().display().to_string()),
        ("{uid}", stage.user.uid.to_string()),
        ("{user}", name(stage.user.uid)),
        ("{owner}", name(owner)),
        ("{version}", version().unwrap_or_default()),
    ];
    known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}
