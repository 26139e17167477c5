//! `cgi2wsgi [OPTIONS] APP`: answers one CGI request.
//!
//! Decides all that can be decided without Python, and then becomes
//! `cgi2wsgi-python`. Whatever goes wrong before, a server gets a complete
//! response and the log the reason.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;

use crate::application::Application;
use crate::cgi::body::Body;
use crate::cgi::handler;
use crate::cgi::head::Form;
use crate::cgi::mount::Mount;
use crate::cgi::output::{Output, is_gone};
use crate::cgi::refusal::Refusal;
use crate::cgi::request::{BodyLength, Request};
use crate::cgi::response::Response;
use crate::cgi::variables::Variables;
use crate::cgi::{argv, path};
use crate::cli::{Options, UnderAServer};
use crate::command::warm_start::{self, WarmStart};
use crate::descriptors::Descriptors;
use crate::handoff::{self, Handoff};
use crate::settings::{self, Settings};
use crate::timings::Moment;
use crate::warm::identity::Identity;
use crate::{companion, report};

/// Exit status: the bridge had to answer for the application.
pub const FAILED: u8 = 1;
/// Exit status: the command line or the set-up is wrong.
pub const MISCONFIGURED: u8 = 2;

/// Answers the request of a server that started this process with `words`
/// (argv without its first) when it `began`. Returns only if it answered itself.
pub fn under_a_server(words: Vec<OsString>, variables: &Variables, began: Moment) -> ExitCode {
    let program = std::env::args_os().next().unwrap_or_default();
    let words = argv::without_query_words(words, variables);
    let words = argv::with_interpreter_line(words, first_line);
    // A wrong set-up is answered in the form that it asked for all the same.
    let nph = words.iter().any(|word| word == "--nph") || settings::asks_for_nph(variables);
    let form = form(nph, words.last().map(OsString::as_os_str), variables, &program);
    let parsed =
        UnderAServer::try_parse_from(std::iter::once(OsString::from("cgi2wsgi")).chain(words));
    let outcome = match parsed {
        Err(error) => Err(anyhow!("{}", error.render().to_string().trim_end()).into()),
        Ok(parsed) => only_application(parsed.words)
            .map_err(Failure::from)
            .and_then(|app| launch(app, parsed.options, variables, &program, began)),
    };
    finish(outcome, variables, form)
}

/// Answers the request that a person's variables make.
pub fn at_a_shell(
    app: Option<OsString>,
    options: Options,
    variables: &Variables,
    began: Moment,
) -> ExitCode {
    let program = std::env::args_os().next().unwrap_or_default();
    finish(launch(app, options, variables, &program, began), variables, Form::Cgi)
}

fn finish(outcome: Result<Launch, Failure>, variables: &Variables, form: Form) -> ExitCode {
    let failure = match outcome {
        Err(failure) => failure,
        Ok(launch) => {
            if let Some(status) = warm_start::answer(&launch, variables, form) {
                return status;
            }
            match launch.become_it(variables) {
                Err(error) => error.into(),
            }
        }
    };
    match failure {
        // No server, no request: the reason alone is what a person wants.
        Failure::Setup(error) if !variables.are_from_a_server() => {
            report::error(&format!("{error:#}"));
            ExitCode::from(MISCONFIGURED)
        }
        Failure::Setup(error) => {
            let refusal = Refusal::fault(format!("{error:#}"));
            answer(&refusal, variables, form);
            ExitCode::from(MISCONFIGURED)
        }
        Failure::Refused(refusal, form) => {
            answer(&refusal, variables, form);
            ExitCode::from(FAILED)
        }
    }
}

/// Why this executable answers itself.
#[derive(Debug)]
pub enum Failure {
    /// The command line or the set-up is wrong.
    Setup(anyhow::Error),
    /// The request is.
    Refused(Refusal, Form),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Setup(error)
    }
}

/// The executable that answers the request, and what it is told.
#[derive(Debug)]
pub struct Launch {
    pub(super) executable: PathBuf,
    pub(super) handoff: OsString,
    pub(super) warm: Option<WarmStart>,
}

impl Launch {
    /// The command, with `variables` as its environment.
    pub fn command(&self, variables: &Variables) -> Command {
        let mut command = Command::new(&self.executable);
        command.env_clear().envs(variables.iter_os());
        // E10: HTTP_PROXY is a client's `Proxy` header.
        command.env_remove("HTTP_PROXY").env(handoff::VARIABLE, &self.handoff);
        command
    }

    /// Replaces this process. Returns only if that fails.
    fn become_it(self, variables: &Variables) -> Result<std::convert::Infallible> {
        let error = self.command(variables).exec();
        Err(error).with_context(|| format!("{} cannot be started", self.executable.display()))
    }
}

/// Reads the settings, looks at the request and finds the application: the
/// whole way from what was typed to what is run.
pub fn launch(
    app: Option<OsString>,
    options: Options,
    variables: &Variables,
    program: &OsStr,
    began: Moment,
) -> Result<Launch, Failure> {
    let mut settings = Settings::new(app, options, variables)?;
    let early_form = form(settings.nph, None, variables, program);
    let refused = |refusal| Failure::Refused(refusal, early_form);
    if let Some(suffixes) = &settings.handler {
        let handled = handler::file_of(variables, suffixes, Path::is_file).map_err(refused)?;
        settings.app = Some(handled.file.into());
        settings.mount = Mount::Handler { rest: handled.rest };
    }
    let app = settings.app.as_deref().context(
        "no application: name one behind the options, or in CGI2WSGI_APP (the words of a query \
         string are never taken for one)",
    )?;
    let form = form(settings.nph, Some(app), variables, program);
    Request::from_variables(variables.clone(), &settings.mount, settings.max_body)
        .map_err(|refusal| Failure::Refused(refusal, form))?;

    let application = Application::find(&settings, app, variables.get_os("VIRTUAL_ENV"))?;
    let executable = companion::find(application.venv.as_ref())?;
    let handoff = Handoff {
        application,
        mount: settings.mount,
        form,
        timeout: settings.timeout,
        max_body: settings.max_body,
        debug: settings.debug,
        timed_since: settings.timings.then_some(began),
    };
    let warm = settings.warm.map(|limits| WarmStart {
        identity: Identity::new(&handoff, &limits, &executable, variables),
        limits,
        timeout: handoff.timeout,
    });
    Ok(Launch { executable, handoff: handoff.encode(), warm })
}

/// RFC 3875 5: a script whose name begins with `nph-` writes the whole
/// response, for its server passes it on as it is.
fn form(nph: bool, app: Option<&OsStr>, variables: &Variables, program: &OsStr) -> Form {
    let begins = |name: &[u8]| path::last_segment(name).starts_with(b"nph-");
    let script = variables.get("SCRIPT_FILENAME").unwrap_or_default();
    let named = [program.as_bytes(), script, app.map(OsStr::as_bytes).unwrap_or_default()];
    if nph || named.into_iter().any(begins) { Form::Nph } else { Form::Cgi }
}

/// In CGI nothing may stand behind the application: a server that appends the
/// words of a query string in a way that was never seen must not get them read.
fn only_application(words: Vec<OsString>) -> Result<Option<OsString>> {
    let mut words = words.into_iter();
    let app = words.next();
    let surplus: Vec<OsString> = words.collect();
    ensure!(
        surplus.is_empty(),
        "{surplus:?} behind the application is not read under a web server, where a visitor's \
         query string can stand there: write options before the application"
    );
    Ok(app)
}

fn first_line(script: &OsStr) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let file = File::open(script).ok()?;
    BufReader::with_capacity(512, file.take(4096)).read_until(b'\n', &mut line).ok()?;
    Some(line)
}

/// Gives the bridge's own answer, and takes the request body off the server's
/// hands so that it arrives (B6).
pub(super) fn answer(refusal: &Refusal, variables: &Variables, form: Form) {
    report::error(&refusal.reason);
    let descriptors = match Descriptors::take() {
        Ok(descriptors) => descriptors,
        Err(error) => return report::error(&format!("no descriptors to answer with: {error}")),
    };
    let owed = match Request::from_variables(variables.clone(), &Mount::Server, None) {
        Ok(Request { body: BodyLength::Known(length), .. }) => length,
        Ok(Request { body: BodyLength::UntilEnd, .. }) => u64::MAX,
        // Malformed: nobody knows how long it is.
        Err(_) => 0,
    };
    let body = Mutex::new(Body::new(descriptors.stdin, owed));
    let output = Output::new(descriptors.stdout);
    let mut response = Response::to_malformed(variables, output, form);
    let uninterrupted = || Ok(());
    if let Err(error) = response.refuse(refusal, &body, &uninterrupted)
        && !is_gone(&error)
    {
        report::error(&format!("the answer cannot be written: {error}"));
    }
    response.close(&body);
    if let Ok(mut body) = body.into_inner() {
        body.discard();
    }
}
