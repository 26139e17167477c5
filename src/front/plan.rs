//! From the command line and the environment to what will be run: all the steps that need no Python. An error in them
//! is reported before a process is started.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use rustix::fs::Mode;

use super::account;
use super::cli::Options;
use super::deadline::Deadline;
use super::exit::{FAILED, MISCONFIGURED};
use super::find::python::Interpreter;
use super::find::worker::Worker;
use super::find::{self};
use super::refuse::owed;
use super::settings::Settings;
use crate::cgi::handler;
use crate::cgi::head::Form;
use crate::cgi::mount::Mount;
use crate::cgi::path;
use crate::cgi::refusal::Refusal;
use crate::cgi::request::{BodyLength, Request};
use crate::cgi::variables::Variables;
use crate::handoff::call::{ProcessState, Timed};
use crate::handoff::{Call, Identity, Limits, Order, Service};
use crate::timings::Moment;
use crate::{report, system};

/// Why this executable answers instead of the application.
#[derive(Debug)]
pub enum Failure {
    /// The command line or the set-up is wrong.
    Setup(anyhow::Error),
    /// The request is refused.
    Refused(Refusal, Form, Option<Deadline>),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Setup(error)
    }
}

impl Failure {
    /// Reports it to a person at a shell. Returns the exit status.
    pub fn tell(&self) -> ExitCode {
        match self {
            Self::Setup(error) => {
                report::error(&format!("{error:#}"));
                ExitCode::from(MISCONFIGURED)
            }
            Self::Refused(refusal, ..) => {
                report::error(&format!("{} ({})", refusal.reason, refusal.status));
                ExitCode::from(FAILED)
            }
        }
    }
}

/// What will be run.
#[derive(Debug)]
pub struct Plan {
    /// The site's Python.
    pub interpreter: Interpreter,
    /// The worker that Python loads.
    pub worker: Worker,
    /// What the worker needs to know of the site.
    pub service: Service,
    /// How much of a request body the server may deliver, in bytes.
    pub owed: u64,
    /// The length of the request body.
    pub body: BodyLength,
    /// When to give up.
    pub deadline: Option<Deadline>,
    /// Which zygote answers, and the limits of a new one (`--warm`).
    pub warm: Option<(Identity, Limits)>,
    /// Whether the debugger is started on the terminal where an exception is raised.
    pub debugs: bool,
    began: Moment,
    is_timed: bool,
}

impl Plan {
    /// Reads the settings, looks at the request and finds the application.
    pub fn make(
        app: Option<OsString>,
        options: Options,
        variables: &Variables,
        program: &OsStr,
        began: Moment,
    ) -> Result<Self, Failure> {
        let mut settings = Settings::new(app, options, variables)?;
        let deadline = settings.timeout.map(|timeout| Deadline { at: began + timeout, timeout });
        let early_form = form(settings.nph, None, variables, program);
        let refused = |refusal| Failure::Refused(refusal, early_form, deadline);
        if let Some(suffixes) = &settings.handler {
            let handled = handler::file_of(variables, suffixes, Path::is_file).map_err(refused)?;
            settings.app = Some(handled.file.into());
            settings.mount = Mount::Handler { rest: handled.rest };
        }
        let app = settings.app.as_deref().context(
            "no application: name one after the options, or in CGI2WSGI_APP (the words of a query \
             string are never taken for one; Apache's suexec passes on no CGI2WSGI variable: give the \
             options in the #! line of a script)",
        )?;
        let form = form(settings.nph, Some(app), variables, program);
        let request =
            Request::from_variables(variables.clone(), &settings.mount, settings.max_body)
                .map_err(|refusal| Failure::Refused(refusal, form, deadline))?;

        let mut application = find::application::find(&settings, app)?;
        let interpreter = find::python::find(&settings, &application, variables)?;
        application.venv.clone_from(&interpreter.venv);
        let worker = find::worker::find()?;
        let service = Service {
            application,
            mount: settings.mount,
            form,
            max_body: settings.max_body,
            debug: settings.debug,
            has_timeout: settings.timeout.is_some(),
        };
        let warm = settings.warm.map(|limits| {
            let python = &interpreter.executable;
            (Identity::new(&service, &limits, python, worker.file(), variables), limits)
        });
        Ok(Self {
            interpreter,
            worker,
            service,
            owed: owed(request.body),
            body: request.body,
            deadline,
            warm,
            debugs: false,
            began,
            is_timed: settings.timings,
        })
    }

    /// The order to answer this request; `identity` is that of the zygote whose child answers it, if one does.
    pub fn order(
        &self,
        identity: Option<Identity>,
        variables: &Variables,
        ignores_sigchld: bool,
    ) -> Vec<u8> {
        let call = Call {
            identity,
            service: self.service.encode(),
            process: process_state(ignores_sigchld),
            timed: self.is_timed.then(|| Timed { began: self.began, handed_over: Moment::now() }),
            debugs: self.debugs,
            told: account::told(),
            label: report::label(),
            variables: variables.clone(),
        };
        Order::Answer(Box::new(call)).encode()
    }
}

/// What the process that answers a request takes over from this one.
fn process_state(ignores_sigchld: bool) -> ProcessState {
    // The umask can only be read by setting another.
    let umask = rustix::process::umask(Mode::empty());
    rustix::process::umask(umask);
    ProcessState { umask: umask.bits(), signal_mask: system::signal_mask(), ignores_sigchld }
}

/// RFC 3875 5: a script whose name begins with `nph-` writes the whole response: its server passes it on unchanged.
pub fn form(nph: bool, app: Option<&OsStr>, variables: &Variables, program: &OsStr) -> Form {
    let begins = |name: &[u8]| path::last_segment(name).starts_with(b"nph-");
    let script = variables.get("SCRIPT_FILENAME").unwrap_or_default();
    let named = [program.as_bytes(), script, app.map(OsStr::as_bytes).unwrap_or_default()];
    if nph || named.into_iter().any(begins) { Form::Nph } else { Form::Cgi }
}
