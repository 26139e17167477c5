//! `cgi2wsgi [OPTIONS] APP`: answers one CGI request, with a child of a zygote or with a worker of its own.
//!
//! Whatever goes wrong, a server gets a complete response and the log the reason.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::process::ExitCode;

use anyhow::{Result, anyhow, ensure};
use clap::Parser;

use super::cli::{Options, UnderAServer};
use super::exit::{FAILED, MISCONFIGURED, die_of};
use super::plan::{Failure, Plan, form};
use super::refuse::{owed, refuse};
use super::supervise::{NotBegun, Outcome, Supervised, supervise};
use super::{connect, launch, settings};
use crate::cgi::argv;
use crate::cgi::head::Form;
use crate::cgi::mount::Mount;
use crate::cgi::refusal::Refusal;
use crate::cgi::request::Request;
use crate::cgi::variables::Variables;
use crate::report;
use crate::timings::Moment;

mod explain;

/// Answers the request of a server that started this process with `words` (argv without its first) when it `began`.
pub fn under_a_server(words: Vec<OsString>, variables: &Variables, began: Moment) -> ExitCode {
    let program = std::env::args_os().next().unwrap_or_default();
    let words = argv::without_query_words(words, variables);
    let words = argv::with_interpreter_line(words, first_line);
    // A wrong set-up is answered in the form that it asked for all the same.
    let nph = words.iter().any(|word| word == "--nph") || settings::asks_for_nph(variables);
    let form = form(nph, words.last().map(OsString::as_os_str), variables, &program);
    let parsed =
        UnderAServer::try_parse_from(std::iter::once(OsString::from("cgi2wsgi")).chain(words));
    let plan = match parsed {
        Err(error) => Err(anyhow!("{}", error.render().to_string().trim_end()).into()),
        Ok(parsed) => only_application(parsed.words)
            .map_err(Failure::from)
            .and_then(|app| Plan::make(app, parsed.options, variables, &program, began)),
    };
    answer(plan, variables, form)
}

/// Answers the request that a person's variables make.
pub fn at_a_shell(
    app: Option<OsString>,
    options: Options,
    variables: &Variables,
    began: Moment,
) -> ExitCode {
    let program = std::env::args_os().next().unwrap_or_default();
    answer(Plan::make(app, options, variables, &program, began), variables, Form::Cgi)
}

fn answer(plan: Result<Plan, Failure>, variables: &Variables, form: Form) -> ExitCode {
    match plan {
        Ok(plan) => ExitCode::from(run(&plan, variables)),
        // No server, no request: the reason alone is what a person wants.
        Err(Failure::Setup(error)) if !variables.are_from_a_server() => {
            report::error(&format!("{error:#}"));
            ExitCode::from(MISCONFIGURED)
        }
        Err(Failure::Setup(error)) => {
            refuse(&Refusal::fault(format!("{error:#}")), variables, form, owed_of(variables));
            ExitCode::from(MISCONFIGURED)
        }
        Err(Failure::Refused(refusal, form)) => {
            refuse(&refusal, variables, form, owed_of(variables));
            ExitCode::from(FAILED)
        }
    }
}

/// Carries out a plan, with descriptors 0, 1 and 2 of this process.
pub fn run(plan: &Plan, variables: &Variables) -> u8 {
    // A file that becomes too large is an error, not this process' end.
    // SAFETY: the disposition is a valid one.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let ignores_sigchld = launch::expect_children();
    let outcome = match connect::answer(plan, variables, ignores_sigchld) {
        Some(outcome) => outcome,
        None => cold(plan, variables, ignores_sigchld),
    };
    match outcome {
        Outcome::Ended(status) => status,
        Outcome::Interrupted => {
            die_of(libc::SIGINT);
            FAILED
        }
        Outcome::NotBegun(why) => not_begun(&why, plan, variables),
    }
}

/// With a worker of its own.
fn cold(plan: &Plan, variables: &Variables, ignores_sigchld: bool) -> Outcome {
    let order = plan.order(None, variables, ignores_sigchld);
    let worker = match launch::worker(plan, variables) {
        Ok(worker) => worker,
        Err(why) => return Outcome::NotBegun(why),
    };
    let request = Supervised {
        order: &order,
        variables,
        form: plan.service.form,
        owed: plan.owed,
        deadline: plan.deadline,
        import: None,
    };
    supervise(&request, worker)
}

/// The application has not begun, and nobody else will run it: this process answers.
fn not_begun(why: &NotBegun, plan: &Plan, variables: &Variables) -> u8 {
    let (status, exit) = match why {
        NotBegun::TimedOut => (504, FAILED),
        _ => (500, MISCONFIGURED),
    };
    let reason = explain::not_begun(why, plan, variables);
    if exit == MISCONFIGURED && !variables.are_from_a_server() {
        report::error(&reason);
    } else {
        refuse(&Refusal::new(status, reason), variables, plan.service.form, plan.owed);
    }
    exit
}

/// How much of a body a server may deliver for a request that nobody has looked at.
fn owed_of(variables: &Variables) -> u64 {
    // Malformed: nobody knows how long it is.
    Request::from_variables(variables.clone(), &Mount::Server, None)
        .map_or(0, |request| owed(request.body))
}

/// In CGI nothing may stand behind the application: a server that appends the words of a query string in a way that
/// was never seen must not get them read.
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

impl From<io::Error> for NotBegun {
    fn from(error: io::Error) -> Self {
        Self::NotStarted(error)
    }
}
