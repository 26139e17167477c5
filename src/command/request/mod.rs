//! `cgi2wsgi request APP [URL]`: the curl of WSGI. Builds the variables of a
//! request, runs it as a server would, and shows the response.

mod build;
mod multipart;
mod show;

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::cgi::variables::Variables;
use crate::cli::RequestArgs;
use crate::command::serve::{self, FAILED, Failure, MISCONFIGURED};
use crate::report;
use crate::timings::Moment;

/// Exit status of `-f`, which is curl's for the same.
const STATUS_OF_400_OR_MORE: u8 = 22;

/// Runs the request. `environment` is that of this process, which `began` then.
pub fn run(arguments: RequestArgs, environment: Variables, began: Moment) -> ExitCode {
    match try_run(arguments, environment, began) {
        Ok(code) => ExitCode::from(code),
        Err(Failure::Setup(error)) => {
            report::error(&format!("{error:#}"));
            ExitCode::from(MISCONFIGURED)
        }
        Err(Failure::Refused(refusal, _)) => {
            report::error(&format!("{} ({})", refusal.reason, refusal.status));
            ExitCode::from(FAILED)
        }
    }
}

fn try_run(
    mut arguments: RequestArgs,
    environment: Variables,
    began: Moment,
) -> Result<u8, Failure> {
    let options = std::mem::take(&mut arguments.options);
    let (variables, body) = build::request(&arguments, environment)?;
    let style = show::Style {
        head: arguments.include || arguments.head,
        verbose: arguments.verbose,
        fail: arguments.fail,
    };
    if style.verbose {
        show::variables(&variables);
    }
    let program = OsStr::new("cgi2wsgi");
    let launch = serve::launch(Some(arguments.app), options, &variables, program, began)?;

    let mut command = launch.command(&variables);
    command.stdin(body.map_or_else(Stdio::null, Stdio::from)).stdout(Stdio::piped());
    let mut child = command.spawn().context("cgi2wsgi-python cannot be started")?;
    let response = child.stdout.take().context("the response has no pipe")?;

    let terminal = arguments.output.is_none() && std::io::stdout().is_terminal();
    let shown = match &arguments.output {
        Some(path) => {
            let file = std::fs::File::create(path).with_context(|| format!("-o {path:?}"))?;
            show::response(response, file, terminal, &style)
        }
        None => show::response(response, std::io::stdout().lock(), terminal, &style),
    };
    let ended = child.wait().context("cgi2wsgi-python is gone")?;
    let status = shown?;
    let code = ended.code().map_or(FAILED, |code| u8::try_from(code).unwrap_or(FAILED));
    Ok(match status {
        Some(400..) if arguments.fail && code == 0 => STATUS_OF_400_OR_MORE,
        _ => code,
    })
}
