//! One request, from the front's call to the end of the response. A worker that was started for it and a zygote's child
//! do the same, except for where the application comes from.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use cgi2wsgi::cgi::body::{Body, NotSpooled};
use cgi2wsgi::cgi::head::{Form, Head};
use cgi2wsgi::cgi::output::{Output, is_gone};
use cgi2wsgi::cgi::refusal::Refusal;
use cgi2wsgi::cgi::request::{BodyLength, Request, set_true_length, too_large};
use cgi2wsgi::cgi::response::{BeforeHead, Response};
use cgi2wsgi::handoff::call::Told;
use cgi2wsgi::handoff::request_variables::is_of_a_request;
use cgi2wsgi::handoff::{Call, Reply, Service};
use cgi2wsgi::report;
use cgi2wsgi::timings::Stage;
use pyo3::exceptions::{PyConnectionError, PySystemExit};
use pyo3::prelude::*;

use crate::Over;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::descriptors::{self, RequestDescriptors};
use crate::handlers;
use crate::python::application::{self, LoadError};
use crate::python::exception::log_exception;
use crate::python::import_times::ImportTimes;
use crate::python::own_server::Watch;
use crate::python::{self, collector, debugger, environment, finish, remedies, termination};
use crate::wsgi::call::{self, Failure};
use crate::wsgi::caught;
use crate::wsgi::environ;
use crate::wsgi::exchange::Exchange;

/// Exit statuses, the same as the front's.
const FAILED: u8 = 1;
const MISCONFIGURED: u8 = 2;

/// Answers a request for which this process was started.
pub(crate) fn cold(
    py: Python<'_>,
    call: &Call,
    descriptors: Vec<OwnedFd>,
    connection: Connection,
) -> Over {
    report::set_label(&call.label);
    let Some(service) = call.service() else {
        report::error("what the front sent is damaged");
        return Over::Nothing;
    };
    if let Err(error) = become_requests(py, call) {
        report::error(&format!("the state of the request's process: {error}"));
        return Over::Nothing;
    }
    let connection = Arc::new(connection);
    if !connection.send(&Reply::Begun(std::process::id())) {
        return Over::Nothing;
    }
    python::expect_one_request();
    serve(py, call, &service, descriptors, &connection, None);
    // If it were closed, the front would believe that this process is lost.
    std::mem::forget(connection);
    Over::Answered
}

/// Makes this process what it would be if the server had started it for this request.
fn become_requests(py: Python<'_>, call: &Call) -> PyResult<()> {
    if call.process.ignores_sigchld {
        // Python has to know it too.
        let signal = py.import("_signal")?;
        signal.call_method1("signal", (signal.getattr("SIGCHLD")?, signal.getattr("SIG_IGN")?))?;
    }
    environment::become_requests(py, &call.variables, is_of_a_request)
}

/// Answers a request with `application`, or with one that it imports. When this returns, the application's exit
/// handlers have run.
pub(crate) fn serve(
    py: Python<'_>,
    call: &Call,
    service: &Service,
    descriptors: Vec<OwnedFd>,
    connection: &Arc<Connection>,
    application: Option<&Py<PyAny>>,
) {
    let descriptors = match RequestDescriptors::take(descriptors) {
        Ok(descriptors) => descriptors,
        Err(error) => {
            return report::error(&format!(
                "standard input and output cannot be replaced: {error}"
            ));
        }
    };
    handlers::follow_front();
    let timings = Clock::new(call, application.is_none());
    let is_asked = call.variables.are_from_a_server();
    if call.debugs
        && let Err(error) = debugger::prepare(py)
    {
        error.display(py);
    }
    let serving = Serving { py, service, connection, timings, told: call.told };
    serving.run(call, descriptors, application, is_asked);
    handlers::unfollow_front();
    finish::run_exit_handlers(py);
}

struct Serving<'s, 'py> {
    py: Python<'py>,
    service: &'s Service,
    connection: &'s Arc<Connection>,
    timings: Clock,
    told: Told,
}

impl Serving<'_, '_> {
    fn run(
        &self,
        call: &Call,
        RequestDescriptors { stdin, stdout }: RequestDescriptors,
        application: Option<&Py<PyAny>>,
        is_asked: bool,
    ) {
        let Service { mount, max_body, form, .. } = self.service;
        // The front has derived the same from the same variables.
        let request = Request::from_variables(call.variables.clone(), mount, *max_body);
        let mut request = match request {
            Ok(request) => request,
            Err(refusal) => return self.refuse(&Problem::Refused(refusal), 0, is_asked),
        };
        let (body, received) = self.receive(stdin, &mut request);
        let announcement = Announcement {
            connection: Arc::clone(self.connection),
            told: call.told,
            status: 0,
            head: Vec::new(),
            form: *form,
            timings: self.timings.clone(),
        };
        let output = Output::new(stdout);
        let mut response = Response::to(&request, output, *form, Some(Box::new(announcement)));
        if call.told == Told::Everything {
            response.digest_body();
            self.connection.send(&Reply::Runs(python::version(self.py)));
        }
        let exchange = Arc::new(Exchange::new(response, body));
        let answered = received.map_err(Problem::Refused).and_then(|()| {
            // A panic is a defect of cgi2wsgi. The visitor still gets an answer.
            catch_unwind(AssertUnwindSafe(|| self.answer(&request, &exchange, application)))
                .unwrap_or_else(|_| {
                    Err(Problem::Failed(Refusal::fault("cgi2wsgi itself failed: please report it")))
                })
        });
        self.conclude(&exchange, answered, is_asked);
    }

    /// The request body. A body of unknown length is first read to its end (B4, B9).
    fn receive(&self, stdin: OwnedFd, request: &mut Request) -> (Body, Result<(), Refusal>) {
        let announced = match request.body {
            BodyLength::Known(length) => return (Body::new(stdin, length), Ok(())),
            BodyLength::Filtered { announced, is_encoded: false } => {
                return (Body::until_end(stdin, announced), Ok(()));
            }
            BodyLength::Filtered { announced, is_encoded: true } => Some(announced),
            BodyLength::UntilEnd => None,
        };
        self.timings.begin(Stage::Body);
        let max = self.service.max_body;
        let spool = || Body::spool_all(stdin, announced, max, &|| Ok(()));
        let (mut body, spooled) = self.py.detach(spool);
        let received = spooled.map_err(|why| match why {
            NotSpooled::TooLarge => too_large("more bytes", max.unwrap_or_default()),
            NotSpooled::Unread(error) => {
                Refusal::new(400, format!("the request body cannot be read: {error}"))
            }
            NotSpooled::NoRoom(error) => Refusal::new(
                if error.is_full() { 507 } else { 500 },
                format!("the request body has no known length, and {error}"),
            ),
        });
        if received.is_ok() {
            let announced = announced.unwrap_or_default();
            let (length, beginning) = (body.length(), body.beginning());
            if !set_true_length(&mut request.variables, announced, length, &beginning) {
                body.expect_more(announced);
            }
        }
        (body, received)
    }

    /// Imports the application if necessary, calls it and delivers the response. False if less came than was declared.
    fn answer(
        &self,
        request: &Request,
        exchange: &Arc<Exchange>,
        application: Option<&Py<PyAny>>,
    ) -> Result<bool, Problem> {
        let py = self.py;
        let application = match application {
            Some(application) => application.bind(py).clone(),
            None => self.import(exchange)?,
        };
        if !termination::is_expected(py) {
            self.connection.send(&Reply::HandlesSigterm);
        }
        self.timings.begin(Stage::Call);
        let raised = |error| Problem::raised(py, &error, self.service.debug, exchange);
        let environ = environ::build(py, request, exchange).map_err(raised)?;
        caught::note(py, self.service.debug);
        let is_whole =
            call::call(&application, &environ, exchange).map_err(|failure| match failure {
                Failure::Raised(error) => {
                    let remedy = remedies::remedy(py, &error, &self.service.application, false);
                    raised(error).with_remedy(remedy)
                }
                Failure::Mistake(reason) => Problem::Failed(Refusal::fault(reason)),
                Failure::Output(error) => Problem::Output(error),
            })?;
        caught::tell(py, exchange, request, &self.service.application);
        Ok(is_whole)
    }

    /// Imports the application, after preparing Python for it.
    fn import(&self, exchange: &Exchange) -> Result<Bound<'_, PyAny>, Problem> {
        let (py, application) = (self.py, &self.service.application);
        let raised = |error| Problem::raised(py, &error, self.service.debug, exchange);
        python::prepare_import(py, application).map_err(raised)?;
        termination::expect(py, Some(Arc::clone(self.connection))).map_err(raised)?;
        if self.service.has_timeout {
            handlers::allow_traces(py).map_err(raised)?;
        }
        self.timings.begin(Stage::Import);
        let waiting = collector::wait(py).map_err(raised)?;
        let times =
            self.timings.is_on().then(|| ImportTimes::begin(py)).transpose().map_err(raised)?;
        let watch = Watch::begin(py, Arc::clone(self.connection)).map_err(raised)?;
        let loaded = application::load(py, application);
        if let Some(reason) = watch.end() {
            return Err(Problem::Failed(Refusal::fault(reason)));
        }
        if let Some(times) = times {
            self.timings.note_imports(times.end(py));
        }
        let found = loaded.map_err(|error| match error {
            LoadError::Raised(error) => {
                let remedy = remedies::remedy(py, &error, application, true);
                raised(error).with_remedy(remedy)
            }
            LoadError::Setup(reason) => Problem::Setup(reason),
        })?;
        waiting.end().map_err(raised)?;
        debugger::watch(py).map_err(raised)?;
        Ok(found)
    }

    /// Ends the response, whatever became of it, and logs what is necessary.
    fn conclude(&self, exchange: &Exchange, answered: Result<bool, Problem>, is_asked: bool) {
        let has_begun = exchange.has_begun();
        let is_whole = match answered {
            Ok(is_whole) => is_whole,
            // A visitor who left is nothing to report.
            Err(Problem::Output(error)) if is_gone(&error) && has_begun => false,
            Err(problem) => {
                if !has_begun {
                    descriptors::forget_body();
                    descriptors::forget_response();
                    return self.refuse(&problem, exchange.abandon(), is_asked);
                }
                let reason = problem.reason();
                report::error(&format!("{reason} (response truncated: headers were already sent)"));
                self.end_response(exchange, false);
                return;
            }
        };
        self.end_response(exchange, is_whole);
        self.log_timings();
    }

    /// P8: closes the response at once if a thread lives on; otherwise the front ends it when this process has ended.
    fn end_response(&self, exchange: &Exchange, is_whole: bool) {
        if self.told != Told::Nothing {
            let (bytes, digest) = exchange.delivered();
            self.connection.send(&Reply::Delivered { bytes, digest });
        }
        descriptors::forget_body();
        let lives_on = finish::is_thread_alive(self.py);
        let (owed, last) = if lives_on {
            descriptors::forget_response();
            (exchange.close(self.py), None)
        } else {
            exchange.hold()
        };
        self.connection.send(&Reply::Done { is_whole, owed, last, lives_on });
    }

    fn log_timings(&self) {
        if let Some(line) = self.timings.line() {
            report::timings(&line);
        }
    }

    /// Has the front answer. If no server asked, a wrong set-up gets no response: a person wants only the reason.
    fn refuse(&self, problem: &Problem, owed: u64, is_asked: bool) {
        let is_setup = matches!(problem, Problem::Setup(_));
        let (status, details) = match problem {
            Problem::Refused(refusal) | Problem::Failed(refusal) => {
                (refusal.status, refusal.details.clone())
            }
            Problem::Setup(_) | Problem::Output(_) => (500, None),
        };
        let reason = problem.reason();
        // Without a traceback, the reason is shown.
        let details = details.or_else(|| self.service.debug.then(|| format!("{reason}\n")));
        if is_setup && !is_asked {
            report::error(&reason);
        } else {
            report::error(&format!("{reason} (answered {status})"));
        }
        let exit = if is_setup { MISCONFIGURED } else { FAILED };
        let timings = self.timings.end().unwrap_or_default();
        let lives_on = finish::is_thread_alive(self.py);
        self.connection.send(&Reply::Refused { status, details, timings, exit, owed, lives_on });
        self.log_timings();
    }
}

/// What is done just before the head is sent.
struct Announcement {
    connection: Arc<Connection>,
    told: Told,
    status: u16,
    head: Vec<u8>,
    form: Form,
    timings: Clock,
}

impl BeforeHead for Announcement {
    fn complete(&mut self, head: &mut Head) {
        if let Some(timings) = self.timings.end() {
            head.add("Server-Timing", timings.as_bytes());
        }
        if self.form == Form::Nph && head.get("Date").is_none() {
            head.set("Date", httpdate::fmt_http_date(SystemTime::now()).as_bytes());
        }
        self.status = head.code();
        if self.told == Told::Everything {
            self.head = head.encode(Form::Cgi);
        }
    }

    fn announce(&mut self) -> io::Result<()> {
        if self.told != Told::Nothing {
            let head = std::mem::take(&mut self.head);
            self.connection.send(&Reply::Responding { status: self.status, head });
        }
        if self.connection.send(&Reply::Head) {
            return Ok(());
        }
        // If this did not reach the front, the front may answer itself.
        Err(io::ErrorKind::BrokenPipe.into())
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
    /// From an uncaught exception. Writes its traceback to the log.
    fn raised(py: Python<'_>, error: &PyErr, debug: bool, exchange: &Exchange) -> Self {
        // The visitor left: the exception of `write` came back through the application.
        if exchange.is_gone() && error.is_instance_of::<PyConnectionError>(py) {
            return Self::Output(io::ErrorKind::BrokenPipe.into());
        }
        // lighttpd ends a program once it has the whole Content-Length.
        if termination::came() && exchange.is_whole() && error.is_instance_of::<PySystemExit>(py) {
            return Self::Output(io::ErrorKind::BrokenPipe.into());
        }
        let log = log_exception(py, error, debug);
        if !termination::came() {
            debugger::post_mortem(py, error);
        }
        if termination::came() {
            return Self::Failed(Refusal::fault("ended by SIGTERM"));
        }
        // The client announced more than it sent, and the application rightly gave up.
        let status = if exchange.body_ended_early() { 400 } else { 500 };
        let mut refusal = Refusal::new(status, log.summary);
        refusal.details = log.traceback;
        Self::Failed(refusal)
    }

    fn with_remedy(mut self, remedy: Option<String>) -> Self {
        if let (Self::Failed(refusal), Some(remedy)) = (&mut self, remedy) {
            // Some exceptions are whole sentences.
            let sentence = refusal.reason.trim_end_matches('.').len();
            refusal.reason.truncate(sentence);
            refusal.reason.push_str(&remedy);
            if let Some(details) = &mut refusal.details {
                details.extend(["\n", remedy.trim_start_matches("; "), "\n"]);
            }
        }
        self
    }

    fn reason(&self) -> String {
        match self {
            Self::Refused(refusal) | Self::Failed(refusal) => refusal.reason.clone(),
            Self::Setup(reason) => reason.clone(),
            Self::Output(error) => format!("the response cannot be written: {error}"),
        }
    }
}
