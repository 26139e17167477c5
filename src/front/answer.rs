//! `cgi2wsgi [OPTIONS] APP`: answers one CGI request, with a child of a zygote or with a new worker.
//!
//! Whatever goes wrong, the server gets a complete response, and the log gets the reason.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::ExitCode;

pub use self::words::fault_of_script;
use self::words::{Unread, Words};
use super::account::body::{self, NotSpooled};
use super::account::lines::Streams;
use super::cli::Options;
use super::exit::{FAILED, MISCONFIGURED};
use super::plan::{Failure, Plan, form};
use super::record::{self, Target};
use super::refuse::{owed, refuse};
use super::supervise::{NotBegun, Outcome, Supervised, supervise};
use super::{account, connect, launch, number, settings};
use crate::cgi::head::Form;
use crate::cgi::mount::Mount;
use crate::cgi::refusal::Refusal;
use crate::cgi::request::Request;
use crate::cgi::variables::Variables;
use crate::timings::Moment;
use crate::{report, system};

mod explain;
pub(in crate::front) mod words;

/// Answers a server's request. `words`: argv without its first; `began`: when the server started this process.
pub fn under_a_server(words: Vec<OsString>, variables: &Variables, began: Moment) -> ExitCode {
    let program = std::env::args_os().next().unwrap_or_default();
    let words = Words::new(words, variables);
    let named =
        words.operators.last().map(OsString::as_os_str).or(variables.get_os("CGI2WSGI_APP"));
    let named = named.unwrap_or_default().to_string_lossy().into_owned();
    set_label(variables, &named);
    // Even a wrong set-up is answered in the form that it asks for.
    let nph =
        words.operators.iter().any(|word| word == "--nph") || settings::asks_for_nph(variables);
    let form = form(nph, words.operators.last().map(OsString::as_os_str), variables, &program);
    let read = words.read(variables);
    keep_account(read.as_ref().ok().map(|(_, options)| options), variables, &named, began, None);
    let plan = read
        .map_err(|why| match why {
            Unread::Wrong(error) => Failure::Setup(error),
            Unread::Visitors(reason) => Failure::Refused(Refusal::new(400, reason), form, None),
        })
        .and_then(|(app, options)| Plan::make(app, options, variables, &program, began));
    if let Ok(plan) = &plan {
        set_label(variables, &plan.service.application.shown());
    }
    answer(plan, variables, form)
}

/// From here on each line on standard error names its request: a server's log mixes the lines of many requests.
fn set_label(variables: &Variables, application: &str) {
    report::set_label(&number::label(variables, application));
}

/// Answers the request that a person has described by environment variables.
pub fn at_a_shell(
    app: Option<OsString>,
    options: Options,
    variables: &Variables,
    began: Moment,
) -> ExitCode {
    let program = std::env::args_os().next().unwrap_or_default();
    let named = app.as_deref().or(variables.get_os("CGI2WSGI_APP")).unwrap_or_default();
    keep_account(Some(&options), variables, &named.to_string_lossy(), began, None);
    answer(Plan::make(app, options, variables, &program, began), variables, Form::Cgi)
}

/// Begins to keep what is to be logged, before anything can fail. A mistake in these options is reported later, with
/// all other mistakes.
pub fn keep_account(
    options: Option<&Options>,
    variables: &Variables,
    application: &str,
    began: Moment,
    save: Option<&Path>,
) {
    let named = Some(OsStr::new(application)).filter(|name| !name.is_empty());
    let settings = settings::account(named, options.unwrap_or(&Options::default()), variables);
    let mut settings = settings.unwrap_or_default();
    if let Some(file) = save {
        settings.record = Some(record::Settings {
            target: Target::File(std::path::absolute(file).unwrap_or(file.to_owned())),
            all: true,
            secrets: options.is_some_and(|options| options.record_secrets),
            run: settings::run(named, options.unwrap_or(&Options::default()), variables),
        });
    }
    account::open(settings, variables, application, began);
}

fn answer(plan: Result<Plan, Failure>, variables: &Variables, form: Form) -> ExitCode {
    let status = status(plan, variables, form);
    account::close(status);
    ExitCode::from(status)
}

fn status(plan: Result<Plan, Failure>, variables: &Variables, form: Form) -> u8 {
    match plan {
        Ok(plan) => run(&plan, variables),
        // Without a server no response is needed: a person wants the reason alone.
        Err(Failure::Setup(error)) if !variables.are_from_a_server() => {
            report::error(&format!("{error:#}"));
            MISCONFIGURED
        }
        Err(Failure::Setup(error)) => {
            let refusal = Refusal::fault(format!("{error:#}"));
            refuse(&refusal, variables, form, owed_of(variables), None);
            MISCONFIGURED
        }
        Err(Failure::Refused(refusal, form, deadline)) => {
            refuse(&refusal, variables, form, owed_of(variables), deadline);
            FAILED
        }
    }
}

/// Carries out a plan, with descriptors 0, 1 and 2 of this process.
pub fn run(plan: &Plan, variables: &Variables) -> u8 {
    // A write beyond the file size limit must fail, not end this process.
    system::set_ignored(libc::SIGXFSZ, true);
    let ignores_sigchld = launch::expect_children();
    let mut owed = plan.owed;
    let mut streams = if account::is_open() { Streams::kept() } else { Streams::default() };
    account::application(&plan.service.application.shown());
    account::executable(&plan.interpreter.executable);
    if account::is_recorded() {
        match body::spool(plan.body, plan.service.max_body, plan.deadline) {
            Ok(Some((spooled, file))) => {
                owed = spooled.owed;
                streams.set_body(file);
                account::body(Some(spooled), 0);
            }
            Ok(None) => account::body(None, owed),
            Err(NotSpooled::TimedOut) => {
                return not_begun(&NotBegun::TimedOut, plan, variables, owed);
            }
            Err(NotSpooled::Failed(error)) => {
                let reason = format!(
                    "--record: the request body cannot be read, or kept in a temporary file: {error}"
                );
                let refusal = Refusal::fault(reason);
                refuse(&refusal, variables, plan.service.form, owed, plan.deadline);
                return FAILED;
            }
        }
    }
    let outcome = match connect::answer(plan, variables, &streams, owed, ignores_sigchld) {
        Some(outcome) => outcome,
        None => cold(plan, variables, &streams, owed, ignores_sigchld),
    };
    match outcome {
        Outcome::Ended(status) => status,
        Outcome::Interrupted => {
            account::close(FAILED);
            system::die_of(libc::SIGINT);
            FAILED
        }
        Outcome::NotBegun(why) => not_begun(&why, plan, variables, owed),
    }
}

/// Answers with a new worker: a normal (cold) start.
fn cold(
    plan: &Plan,
    variables: &Variables,
    streams: &Streams,
    owed: u64,
    ignores_sigchld: bool,
) -> Outcome {
    let order = plan.order(None, variables, ignores_sigchld);
    let worker = match launch::worker(plan, variables, streams) {
        Ok(worker) => worker,
        Err(why) => return Outcome::NotBegun(why),
    };
    let request = Supervised {
        order: &order,
        variables,
        form: plan.service.form,
        owed,
        deadline: plan.deadline,
        streams,
        import: None,
    };
    supervise(&request, worker)
}

/// The application has not begun, and no other process will run it: this process answers.
fn not_begun(why: &NotBegun, plan: &Plan, variables: &Variables, owed: u64) -> u8 {
    let (status, exit) = match why {
        NotBegun::TimedOut => (504, FAILED),
        _ => (500, MISCONFIGURED),
    };
    let reason = explain::not_begun(why, plan, variables);
    if exit == MISCONFIGURED && !variables.are_from_a_server() {
        report::error(&reason);
    } else {
        let refusal = Refusal::new(status, reason);
        refuse(&refusal, variables, plan.service.form, owed, plan.deadline);
    }
    exit
}

/// How many bytes of a body a server may still send for a request that was not parsed.
fn owed_of(variables: &Variables) -> u64 {
    // The length of a malformed request's body is not known.
    Request::from_variables(variables.clone(), &Mount::Server, None)
        .map_or(0, |request| owed(request.body))
}

impl From<io::Error> for NotBegun {
    fn from(error: io::Error) -> Self {
        Self::NotStarted(error)
    }
}
