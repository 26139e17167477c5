//! `cgi2wsgi-python`: the executable that embeds Python. `cgi2wsgi` becomes it
//! when it has decided what to run; by itself it runs nothing, so that it does
//! no harm where a visitor can reach it.

mod application;
mod collector;
mod emergency;
mod ending;
mod heap;
mod imports;
mod interpreter;
mod serve;
mod termination;
mod wsgi;
mod zygote;

use std::sync::Mutex;

use cgi2wsgi::cgi::body::Body;
use cgi2wsgi::cgi::head::Form;
use cgi2wsgi::cgi::output::Output;
use cgi2wsgi::cgi::refusal::Refusal;
use cgi2wsgi::cgi::response::Response;
use cgi2wsgi::cgi::variables::Variables;
use cgi2wsgi::command::serve::{FAILED, MISCONFIGURED};
use cgi2wsgi::descriptors::Descriptors;
use cgi2wsgi::handoff::{self, Handoff};
use cgi2wsgi::report;
use cgi2wsgi::warm::start::{self, Start};

fn main() {
    let mut variables = Variables::from_process();
    let handed = variables.get(handoff::VARIABLE).map(Handoff::decode);
    variables.remove(handoff::VARIABLE);
    interpreter::forget_variable(handoff::VARIABLE);

    let zygote = variables.get(start::VARIABLE).map(Start::decode);
    variables.remove(start::VARIABLE);
    interpreter::forget_variable(start::VARIABLE);

    let status = match handed {
        Some(Ok(handoff)) if zygote.is_some() => match zygote.flatten() {
            Some(start) => zygote::run(&handoff, &start),
            None => explain("CGI2WSGI_ZYGOTE is damaged", &variables),
        },
        Some(Ok(handoff)) => {
            std::panic::catch_unwind(|| serve::serve(&handoff, &variables, None)).unwrap_or(FAILED)
        }
        Some(Err(reason)) => explain(&reason, &variables),
        None if std::env::args().nth(1).as_deref() == Some("--version") => version(),
        None => explain(
            "cgi2wsgi-python is started by cgi2wsgi and runs nothing by itself: start cgi2wsgi",
            &variables,
        ),
    };
    ending::leave(status);
}

fn version() -> u8 {
    use std::io::Write;
    let line = concat!(
        "cgi2wsgi-python ",
        env!("CARGO_PKG_VERSION"),
        " (Python ",
        env!("BUILD_PYTHON_VERSION"),
        ")\n"
    );
    if std::io::stdout().write_all(line.as_bytes()).is_ok() { 0 } else { FAILED }
}

/// Says why nothing is run: to the log and, where a server waits, with a whole
/// response.
fn explain(reason: &str, variables: &Variables) -> u8 {
    report::error(reason);
    if variables.are_from_a_server()
        && let Ok(Descriptors { stdin, stdout }) = Descriptors::take()
    {
        let body = Mutex::new(Body::new(stdin, 0));
        let mut response = Response::to_malformed(variables, Output::new(stdout), Form::Cgi);
        // A server that is gone needs no answer.
        let _ = response.refuse(&Refusal::fault(reason), &body, &|| Ok(()));
    }
    MISCONFIGURED
}
