//! `cgi2wsgi check`: what is wrong with a site. Each finding is one line that says what to do. The lines are in the
//! order in which a request would meet the problems.
//!
//! - [`finding`], [`show`]: what was found, and how it is written;
//! - [`user`], [`way`]: whose rights count, and what obstructs the path to a file;
//! - [`server`]: what the configuration of a web server means;
//! - [`machine`], [`script`], [`application`], [`python`]: what files and limits show;
//! - [`trial`]: a process with a deadline; [`inside`]: the site's own Python in such a process
//!   (`inside.py`); [`main_thread`]: where it hangs;
//! - [`import`], [`exception`], [`callable`], [`frameworks`], [`site`]: what that Python's facts mean;
//! - [`request`], [`warmth`]: real requests.
//!
//! The functions that decide are pure, with their tests beside them. A check changes nothing; the application may.

mod application;
mod callable;
mod exception;
mod finding;
mod frameworks;
mod import;
mod inside;
mod machine;
mod main_thread;
mod python;
mod request;
mod script;
mod server;
mod show;
mod site;
pub(super) mod trial;
pub(super) mod user;
mod warmth;
mod way;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use self::finding::{Finding, word};
use self::inside::Inside;
use self::show::Report;
use self::site::Site;
use self::user::User;
use super::cli::{CheckArgs, Options};
use super::exit::MISCONFIGURED;
use super::find::python::Interpreter;
use super::find::this_executable;
use super::find::way::obstacle;
use super::settings::Settings;
use crate::cgi::variables::Variables;
use crate::handoff::{Application, Source};
use crate::report;
use crate::system::{self, Fork};

/// How long an import and a request may take without `--timeout`.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks; the exit status is the verdict too.
pub fn run(arguments: CheckArgs, variables: Variables) -> ExitCode {
    let code = match arguments.user.clone() {
        None => {
            let user = User::current();
            let report = Report::new(user.name.clone(), arguments.json);
            Ok(Check::new(arguments, variables, user, report).run())
        }
        Some(name) => as_user(&name, arguments, variables),
    };
    code.map_or_else(
        |error| {
            report::error(&format!("{error:#}"));
            ExitCode::from(MISCONFIGURED)
        },
        ExitCode::from,
    )
}

/// The lines of all problems that keep this user from running an application. Writes nothing.
pub(super) fn problems(
    app: &OsString,
    host: Option<String>,
    options: &Options,
    variables: &Variables,
) -> Vec<String> {
    let arguments = CheckArgs {
        app: Some(app.clone()),
        host,
        options: options.clone(),
        ..CheckArgs::default()
    };
    let mut check = Check::new(arguments, variables.clone(), User::current(), Report::quiet());
    check.is_brief = true;
    check.examine();
    check.report.problems()
}

/// Checks in a child process that has become the user, with all groups, so that the kernel decides what is allowed.
fn as_user(name: &str, arguments: CheckArgs, mut variables: Variables) -> Result<u8> {
    let user = User::for_root(name, "check")?;
    user.make_own(&mut variables);
    match system::fork().context("a process cannot be forked")? {
        Fork::Child => {
            let code = match user.become_it() {
                Ok(()) => {
                    let report = Report::new(user.name.clone(), arguments.json);
                    Check::new(arguments, variables, user, report).run()
                }
                Err(error) => {
                    report::error(&format!("--as {name:?}: {error}"));
                    MISCONFIGURED
                }
            };
            std::process::exit(code.into())
        }
        Fork::Parent(child) => {
            let ended = system::wait_for(child)?;
            Ok(ended.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(MISCONFIGURED))
        }
    }
}

/// One check.
struct Check {
    app: Option<OsString>,
    host: Option<String>,
    options: Options,
    /// The operator's environment, without misspelt settings.
    variables: Variables,
    user: User,
    front: PathBuf,
    report: Report,
    /// Whether to leave out `--warm`, which can cause a warning but no problem.
    is_brief: bool,
}

impl Check {
    fn new(arguments: CheckArgs, mut variables: Variables, user: User, mut report: Report) -> Self {
        let front = this_executable().unwrap_or_else(|| "/proc/self/exe".into());
        report.extend(machine::front(&front, &user));
        report.extend(machine::misspelt(&variables));
        variables.retain(|name, _| !machine::is_misspelt(name));
        let CheckArgs { app, mut host, options, server, .. } = arguments;
        let mut app = app.or_else(|| variables.get_os("CGI2WSGI_APP").map(OsString::from));
        if let Some(server) = server {
            let here = std::env::current_dir().unwrap_or_default();
            let file = app.as_deref().and_then(|app| application::file_of(app, &here));
            let told = server::judge(&server, file.as_deref(), &user);
            report.extend(told.findings);
            host = host.or(told.name);
            for (name, value) in told.settings {
                match name.as_str() {
                    "CGI2WSGI_APP" => app = app.or_else(|| Some(value.into())),
                    name if variables.get(name).is_none() => variables.set(name, value),
                    _ => {}
                }
            }
        }
        Self { app, host, options, variables, user, front, report, is_brief: false }
    }

    /// The exit status.
    fn run(mut self) -> u8 {
        self.examine();
        self.report.end()
    }

    fn examine(&mut self) {
        let Some(app) = self.app.clone() else { return self.without_application() };
        self.read_script(&app);
        let Some(settings) = self.settings(&app) else { return };
        let application = match application::find(&settings, &app, &self.user) {
            Ok(application) => {
                self.report.push(Finding::fine(application::ABOUT, application.shown()));
                Some(application)
            }
            Err(finding) => {
                self.report.push(finding);
                None
            }
        };
        self.machine();
        let Some(interpreter) = self.interpreter(&settings, application.as_ref()) else { return };
        let patience = settings.timeout.unwrap_or(PATIENCE);
        let host = self.host.clone().unwrap_or_else(|| "localhost".to_owned());
        let asked =
            Inside::ask(&interpreter, application.as_ref(), &self.variables, &host, patience);
        let Some(inside) = self.asked(asked, &interpreter) else { return };
        if let Some(application) = application {
            let version = python::version(&inside);
            let site = Site { application, interpreter, version };
            if self.inside(&inside, &site, patience) {
                self.requests(&app, &inside, &site, settings.warm.is_some(), patience);
            }
        }
    }

    /// Checks the installation alone.
    fn without_application(&mut self) {
        let here = std::env::current_dir().unwrap_or_default();
        let found = application::candidates(&here);
        let seen = match found.as_slice() {
            [] => "none is named, and no file here looks like one".to_owned(),
            files => {
                format!("none is named; these files look like one: {}", application::shown(files))
            }
        };
        let meant = found.first().map_or("app.py".to_owned(), word);
        let finding = Finding::warning(application::ABOUT, seen);
        self.report.push(finding.cure(format!("cgi2wsgi check {meant}")));
        self.machine();
        let app = OsString::new();
        let Some(settings) = self.settings(&app) else { return };
        let Some(interpreter) = self.interpreter(&settings, None) else { return };
        let asked = Inside::ask(&interpreter, None, &self.variables, "", PATIENCE);
        self.asked(asked, &interpreter);
    }

    /// Reads the `#!` line of a script that cgi2wsgi runs: the server starts what it names, with its options.
    fn read_script(&mut self, app: &std::ffi::OsStr) {
        let here = std::env::current_dir().unwrap_or_default();
        let Some(file) = application::file_of(app, &here).filter(|file| file.is_file()) else {
            return;
        };
        let beginning = application::beginning(&file);
        let (line, findings) = script::judge(&file, &beginning, &self.front, Path::is_file);
        let is_whole = findings.is_empty();
        self.report.extend(findings);
        let Some(line) = line else { return };
        let programs = [(&line.program, line.program.is_file()), (&file, true)];
        let closed = programs
            .into_iter()
            .filter(|(_, is_there)| *is_there)
            .find_map(|(program, _)| way::executable("#! line", program, &self.user));
        match closed {
            Some(finding) => self.report.push(finding),
            None if is_whole => {
                let seen = format!("starts {}", line.program.display());
                self.report.push(Finding::fine("#! line", seen));
            }
            None => {}
        }
        if self.options == Options::default() {
            self.options = line.options;
        }
    }

    fn settings(&mut self, app: &OsString) -> Option<Settings> {
        let settings = Settings::new(Some(app.clone()), self.options.clone(), &self.variables);
        settings
            .map_err(|error| {
                self.report.push(Finding::problem("settings", format!("{error:#}")));
            })
            .ok()
    }

    fn machine(&mut self) {
        self.report.push(machine::temporary(&self.variables, &self.user));
        self.report.extend(machine::limits());
    }

    fn interpreter(
        &mut self,
        settings: &Settings,
        application: Option<&Application>,
    ) -> Option<Interpreter> {
        python::find(settings, application, &self.variables, &self.user)
            .map_err(|finding| self.report.push(finding))
            .ok()
    }

    /// What the Python says about itself; nothing if it cannot run an application.
    fn asked(
        &mut self,
        asked: std::io::Result<Inside>,
        interpreter: &Interpreter,
    ) -> Option<Inside> {
        let shown = interpreter.executable.display();
        let inside = match asked {
            Ok(inside) => inside,
            Err(error) => {
                self.report.push(Finding::problem(python::ABOUT, format!("{shown}: {error}")));
                return None;
            }
        };
        let Some(facts) = inside.about("python") else {
            self.report.push(python::does_not_start(&inside, interpreter, &self.variables));
            return None;
        };
        let finding = python::judge(facts, interpreter);
        let is_usable = finding.level == finding::Level::Fine;
        self.report.push(finding);
        if !is_usable {
            return None;
        }
        self.report.extend(python::venv(interpreter, facts));
        self.report.push(python::locale(facts, &self.variables));
        Some(inside)
    }

    /// Whether there is an application that can answer a request.
    fn inside(&mut self, inside: &Inside, site: &Site, patience: Duration) -> bool {
        if let Source::Module(_) = site.application.source
            && let Some(obstacle) = obstacle(&site.application.directory)
        {
            let directory = &site.application.directory;
            self.report.push(way::finding(&obstacle, application::ABOUT, directory, &self.user));
        }
        let (findings, goes_on) = import::judge(inside, site, &self.user, patience);
        self.report.extend(findings);
        if !goes_on {
            return false;
        }
        let facts = inside.about("callable").unwrap_or(&serde_json::Value::Null);
        let factory = inside.about("factory");
        let (finding, goes_on) = callable::judge(facts, factory, site, &self.user);
        self.report.push(finding);
        let host = self.host.as_deref();
        self.report.extend(frameworks::judge(inside, site, host, &self.user));
        goes_on
    }

    fn requests(
        &mut self,
        app: &OsString,
        inside: &Inside,
        site: &Site,
        is_warm: bool,
        patience: Duration,
    ) {
        let host = self.host.clone().or_else(|| frameworks::allowed_host(inside));
        let host = host.unwrap_or_else(|| "localhost".to_owned());
        let mut cold = self.options.clone();
        // The check needs the errors of the request itself, and its requests do not belong in the site's log.
        (cold.warm, cold.log, cold.handler) = (false, None, None);
        let mut variables = self.variables.clone();
        for name in ["CGI2WSGI_WARM", "CGI2WSGI_LOG", "CGI2WSGI_HANDLER"] {
            variables.remove(name);
        }
        match request::run(app, &cold, &variables, &host, patience) {
            Ok(answer) => self.report.extend(request::judge(&answer, app, &host, site)),
            Err(error) => self.report.push(Finding::problem(request::ABOUT, format!("{error}"))),
        }
        if self.is_brief || self.report.has_problem() {
            return;
        }
        let found = warmth::run(app, &cold, &variables, &host, patience, is_warm);
        match found {
            Ok(finding) => self.report.push(finding),
            Err(error) => self.report.push(Finding::warning("warm", format!("{error}"))),
        }
    }
}
