//! `cgi2wsgi --version`: what is installed here, and which Python it would use.

use std::io::Write;
use std::process::ExitCode;

use super::cli::Options;
use super::find::worker::Worker;
use super::find::{self};
use super::settings::Settings;
use crate::cgi::variables::Variables;
use crate::handoff::build::BUILD;

/// Writes what is installed, and names what is missing.
pub fn print(variables: &Variables) -> ExitCode {
    let worker = match find::worker::find() {
        Ok(Worker::File(file)) => {
            let file = file.canonicalize().unwrap_or(file);
            format!("worker: {}", file.display())
        }
        Ok(Worker::Carried(carried)) => format!("worker: in {} itself", carried.front.display()),
        Err(error) => format!("no worker: {error:#}"),
    };
    let python = Settings::new(None, Options::default(), variables)
        .and_then(|settings| find::python::without_application(&settings, variables));
    let python = match python {
        Ok(python) => format!(
            "python: {} (an application with its own virtual environment gets the Python of that)",
            python.executable.display()
        ),
        Err(error) => format!("no python: {error:#}"),
    };
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("cgi2wsgi {version}\nbuild: {BUILD}\n{worker}\n{python}\n");
    let written = std::io::stdout().write_all(text.as_bytes());
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
