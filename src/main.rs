//! `cgi2wsgi`: what servers and people start. Picks the action.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use cgi2wsgi::cgi::variables::Variables;
use cgi2wsgi::front::cli::{Cli, Verb};
use cgi2wsgi::front::exit::MISCONFIGURED;
use cgi2wsgi::front::{answer, check, init, meant, profile, request, version, warm};
use cgi2wsgi::handoff::build::worker_file_name;
use cgi2wsgi::report;
use cgi2wsgi::system::OneThreadAllocator;
use cgi2wsgi::timings::Moment;
use clap::{CommandFactory, Parser};

#[global_allocator]
static ALLOCATOR: OneThreadAllocator = OneThreadAllocator::new();

fn main() -> ExitCode {
    let began = Moment::now();
    let variables = Variables::of_environment(std::env::vars_os());
    if variables.are_from_a_server() {
        return answer::under_a_server(std::env::args_os().skip(1).collect(), &variables, began);
    }
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(reason) = answer::fault_of_script(&words) {
        report::error(&reason);
        return ExitCode::from(MISCONFIGURED);
    }
    let words = meant::instead_of(words);
    let cli = match Cli::try_parse_from([OsString::from("cgi2wsgi")].iter().chain(&words)) {
        Ok(cli) => cli,
        Err(error) => match meant::unread(&error, &words) {
            Some(reason) => {
                report::error(&reason);
                return ExitCode::from(MISCONFIGURED);
            }
            None => error.exit(),
        },
    };
    if cli.worker_file_name {
        let name = format!("{}\n", worker_file_name().display());
        let written = std::io::stdout().write_all(name.as_bytes());
        return if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if cli.version {
        return version::print(&variables);
    }
    match cli.verb {
        Some(Verb::Request(arguments)) => request::run(*arguments, &variables, began),
        Some(Verb::Check(arguments)) => check::run(*arguments, variables),
        Some(Verb::Init(arguments)) => init::run(*arguments, &variables),
        Some(Verb::Profile(arguments)) => profile::run(*arguments, variables),
        Some(Verb::Warm(verb)) => warm::run(verb, &variables),
        None if cli.app.is_none() && variables.get_os("CGI2WSGI_APP").is_none() => {
            // As clap does if an argument is missing: the short help, on standard error.
            let help = Cli::command().render_help();
            let _ = std::io::stderr().write_all(help.to_string().as_bytes());
            ExitCode::from(MISCONFIGURED)
        }
        None => match cli.app.as_deref().and_then(meant::no_application) {
            Some(reason) => {
                report::error(&reason);
                ExitCode::from(MISCONFIGURED)
            }
            None => answer::at_a_shell(cli.app, cli.options, &variables, began),
        },
    }
}
