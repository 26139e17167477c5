//! `cgi2wsgi`: what servers and people start. Picks the action.

use std::io::Write;
use std::process::ExitCode;

use cgi2wsgi::cgi::variables::Variables;
use cgi2wsgi::cli::{Cli, Verb};
use cgi2wsgi::command::{request, serve, warm};
use cgi2wsgi::timings::Moment;
use clap::{CommandFactory, Parser};

fn main() -> ExitCode {
    let began = Moment::now();
    let variables = Variables::from_process();
    if variables.are_from_a_server() {
        return serve::under_a_server(std::env::args_os().skip(1).collect(), &variables, began);
    }
    let cli = Cli::parse();
    match cli.verb {
        Some(Verb::Request(arguments)) => request::run(*arguments, variables, began),
        Some(Verb::Warm(verb)) => warm::run(verb, &variables),
        None if cli.app.is_none() && variables.get_os("CGI2WSGI_APP").is_none() => {
            // As clap does where an argument is missing: short, and not on stdout.
            let help = Cli::command().render_help();
            let _ = std::io::stderr().write_all(help.to_string().as_bytes());
            ExitCode::from(serve::MISCONFIGURED)
        }
        None => serve::at_a_shell(cli.app, cli.options, &variables, began),
    }
}
