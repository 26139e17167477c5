//! One request, from its variables to the last byte of its response.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cgi2wsgi::cgi::body::Body;
use cgi2wsgi::cgi::output::{Output, is_gone};
use cgi2wsgi::cgi::refusal::Refusal;
use cgi2wsgi::cgi::request::{BodyLength, Request, too_large};
use cgi2wsgi::cgi::response::Response;
use cgi2wsgi::cgi::variables::Variables;
use cgi2wsgi::command::serve::{FAILED, MISCONFIGURED};
use cgi2wsgi::descriptors::Descriptors;
use cgi2wsgi::handoff::Handoff;
use cgi2wsgi::report;
use cgi2wsgi::timings::{Phase, Timings};
use cgi2wsgi::warm::message::Reply;
use pyo3::exceptions::{PyConnectionError, PySystemExit};
use pyo3::prelude::*;

use crate::application::{self, LoadError};
use crate::wsgi::call::{self, Failure};
use crate::wsgi::environ;
use crate::wsgi::exchange::Exchange;
use crate::{collector, emergency, ending, interpreter, termination};

/// An application that was imported before the request, and the front that
/// handed that over.
pub(crate) type Warm<'w> = (&'w Py<PyAny>, BorrowedFd<'w>);

/// Answers the request of `variables` as `handoff` says. Returns the exit
/// status, after atexit handlers and threads.
pub(crate) fn serve(handoff: &Handoff, variables: &Variables, warm: Option<Warm<'_>>) -> u8 {
    let Descriptors { stdin, stdout } = match Descriptors::take() {
        Ok(descriptors) => descriptors,
        Err(error) => {
            report::error(&format!("standard input and output cannot be set aside: {error}"));
            return MISCONFIGURED;
        }
    };
    let is_head = variables.get("REQUEST_METHOD") == Some(b"HEAD");
    emergency::watch(stdin.as_raw_fd(), stdout.as_raw_fd(), handoff.form, is_head);
    let output = Output::new(stdout);
    let mut request =
        match Request::from_variables(variables.clone(), &handoff.mount, handoff.max_body) {
            Ok(request) => request,
            Err(refusal) => {
                let mut response = Response::to_malformed(variables, output, handoff.form);
                announce(&mut response, warm);
                let exchange = Exchange::new(response, Body::new(stdin, 0));
                return conclude(&exchange, Err(Problem::Refused(refusal)), true);
            }
        };
    let is_asked = variables.are_from_a_server();
    let mut response = Response::to(&request, output, handoff.form);
    announce(&mut response, warm);
    response.tell_timings(handoff.timed_since.map(Timings::since));
    let timed = handoff.timeout.map_or(Ok(()), emergency::give_up_after);
    if request.body == BodyLength::UntilEnd {
        response.begin(Phase::Body);
    }
    let (body, received) = receive(stdin, &mut request, handoff.max_body);
    if warm.is_none() {
        response.begin(Phase::Interpreter);
    }
    let exchange = Arc::new(Exchange::new(response, body));
    let answered = received.map_err(Problem::Refused).and_then(|()| {
        timed.map_err(Problem::Setup)?;
        if warm.is_none() {
            interpreter::start(&handoff.application).map_err(Problem::Setup)?;
        }
        // A panic is a defect of ours; the visitor gets an answer all the same.
        let answered = catch_unwind(AssertUnwindSafe(|| {
            Python::attach(|py| answer(py, handoff, &request, &exchange, warm))
        }));
        answered.unwrap_or_else(|_| {
            Err(Problem::Failed(Refusal::fault("cgi2wsgi itself failed: please report it")))
        })
    });
    let status = conclude(&exchange, answered, is_asked);
    ending::of_python(status)
}

/// The call itself, between an application that is imported and a response
/// that is delivered.
fn answer(
    py: Python<'_>,
    handoff: &Handoff,
    request: &Request,
    exchange: &Arc<Exchange>,
    warm: Option<Warm<'_>>,
) -> Result<bool, Problem> {
    let raised = |error| Problem::raised(py, &error, handoff.debug, exchange);
    let application = match warm {
        Some((application, _)) => application.bind(py).clone(),
        None => import(py, handoff, exchange)?,
    };
    exchange.begin(Phase::Call);
    let environ = environ::build(py, request, exchange).map_err(raised)?;
    call::call(&application, &environ, exchange).map_err(|failure| match failure {
        Failure::Raised(error) => raised(error),
        Failure::Mistake(reason) => Problem::Failed(Refusal::fault(reason)),
        Failure::Output(error) => Problem::Output(error),
    })
}

/// A front may answer for a child that is gone as long as this has not been
/// said.
fn announce(response: &mut Response, warm: Option<Warm<'_>>) {
    if let Some(front) = warm.and_then(|(_, front)| front.try_clone_to_owned().ok()) {
        response.before_head(move || {
            Reply::Head.send(&front);
        });
    }
}

/// The application, with Python in the state in which it wants to be imported.
fn import<'py>(
    py: Python<'py>,
    handoff: &Handoff,
    exchange: &Exchange,
) -> Result<Bound<'py, PyAny>, Problem> {
    let raised = |error| Problem::raised(py, &error, handoff.debug, exchange);
    interpreter::prepare(py, handoff).map_err(raised)?;
    if handoff.timeout.is_some() {
        emergency::show_where_it_hangs(py).map_err(raised)?;
    }
    exchange.begin(Phase::Import);
    let waiting = collector::wait(py).map_err(raised)?;
    let application = application::load(py, &handoff.application).map_err(|error| match error {
        LoadError::Raised(error) => {
            let remedy = application::remedy(py, &error, &handoff.application);
            raised(error).with_remedy(remedy)
        }
        LoadError::Setup(reason) => Problem::Setup(reason),
    })?;
    waiting.end().map_err(raised)?;
    Ok(application)
}

/// The request body; a chunked one is read to its end first, so that it has a
/// length (B4).
fn receive(
    stdin: std::os::fd::OwnedFd,
    request: &mut Request,
    max: Option<u64>,
) -> (Body, Result<(), Refusal>) {
    if let BodyLength::Known(length) = request.body {
        return (Body::new(stdin, length), Ok(()));
    }
    let failed = |error: io::Error| {
        (Body::empty(), Err(Refusal::new(400, format!("the request body cannot be read: {error}"))))
    };
    match Body::spool_all(stdin, max, &|| Ok(())) {
        Ok(Ok(body)) => {
            request.variables.set("CONTENT_LENGTH", body.length().to_string());
            (body, Ok(()))
        }
        Ok(Err(excess)) => (excess, Err(too_large("more bytes", max.unwrap_or_default()))),
        Err(error) => failed(error),
    }
}

/// Why the response is not the application's, or not all of it.
enum Problem {
    /// The request is not one for the application.
    Refused(Refusal),
    /// The set-up is wrong.
    Setup(String),
    /// The application failed.
    Failed(Refusal),
    /// The response could not be written.
    Output(io::Error),
}

impl Problem {
    /// An exception that nobody caught. Its traceback goes to the log now.
    fn raised(py: Python<'_>, error: &PyErr, debug: bool, exchange: &Exchange) -> Self {
        // What `write` raised because the visitor left came back through the
        // application.
        if exchange.is_gone() && error.is_instance_of::<PyConnectionError>(py) {
            return Self::Output(io::ErrorKind::BrokenPipe.into());
        }
        // lighttpd ends a program once it has the whole Content-Length.
        if termination::came() && exchange.is_whole() && error.is_instance_of::<PySystemExit>(py) {
            return Self::Output(io::ErrorKind::BrokenPipe.into());
        }
        let log = call::log_exception(py, error, debug);
        if termination::came() {
            return Self::Failed(Refusal::fault("ended by SIGTERM"));
        }
        // The client announced more than it sent, and the application rightly
        // gave up.
        let status = if exchange.body_ended_early() { 400 } else { 500 };
        let mut refusal = Refusal::new(status, log.summary);
        refusal.details = log.traceback;
        Self::Failed(refusal)
    }

    fn with_remedy(mut self, remedy: Option<String>) -> Self {
        if let (Self::Failed(refusal), Some(remedy)) = (&mut self, remedy) {
            refusal.reason.push_str(&remedy);
        }
        self
    }
}

/// Ends the response, whatever became of it, and says in the log what needs to
/// be said. Returns the exit status. Where no server asked, a wrong set-up has
/// no response: the reason alone is what a person wants.
fn conclude(exchange: &Exchange, answered: Result<bool, Problem>, is_asked: bool) -> u8 {
    let status = match answered {
        Ok(true) => 0,
        Ok(false) => FAILED,
        Err(Problem::Refused(refusal) | Problem::Failed(refusal)) => {
            give_instead(exchange, &refusal);
            FAILED
        }
        Err(Problem::Setup(reason)) if !is_asked => {
            report::error(&reason);
            MISCONFIGURED
        }
        Err(Problem::Setup(reason)) => {
            give_instead(exchange, &Refusal::fault(reason));
            MISCONFIGURED
        }
        Err(Problem::Output(error)) => {
            // A visitor who left is nothing to tell.
            if !is_gone(&error) {
                report::error(&format!("the response cannot be written: {error}"));
            }
            FAILED
        }
    };
    emergency::unwatch();
    exchange.close();
    status
}

fn give_instead(exchange: &Exchange, refusal: &Refusal) {
    match exchange.refuse(refusal) {
        Ok(true) => report::error(&format!("{} (answered {})", refusal.reason, refusal.status)),
        Ok(false) => {
            let reason = &refusal.reason;
            report::error(&format!("{reason} (the response had begun: it ends there)"));
        }
        Err(error) => {
            report::error(&refusal.reason);
            if !is_gone(&error) {
                report::error(&format!("the answer cannot be written: {error}"));
            }
        }
    }
}
