//! `cgi2wsgi request APP [URL]`: the curl of WSGI. Builds the variables of a
//! request, runs it as a server would, and shows the response.

pub(super) mod build;
mod in_child;
mod multipart;
mod show;

use std::ffi::OsStr;
use std::fs::File;
use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cgi::head::usual_reason;
use crate::cgi::variables::Variables;
use crate::front::cli::RequestArgs;
use crate::front::exit::{FAILED, MISCONFIGURED};
use crate::front::plan::{Failure, Plan};
use crate::front::{account, answer, meant};
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
        Err(Failure::Refused(refusal, ..)) => {
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
    if let Some(reason) = meant::swapped(&arguments.app, &arguments.url) {
        return Err(anyhow::anyhow!(reason).into());
    }
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
    let named = arguments.app.to_string_lossy().into_owned();
    answer::keep_account(Some(&options), &variables, &named, began);
    let plan = Plan::make(Some(arguments.app), options, &variables, program, began)?;
    let answer = || {
        let status = answer::run(&plan, &variables);
        account::close();
        status
    };
    let (response, child) =
        in_child::run(body, answer).context("no process for the request can be forked")?;

    let terminal = arguments.output.is_none() && std::io::stdout().is_terminal();
    let shown = match &arguments.output {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("-o {path:?}"))?;
            show::response(response, file, terminal, &style)
        }
        None => show::response(response, std::io::stdout().lock(), terminal, &style),
    };
    let ended = child.wait().context("the process of the request is gone")?;
    let status = shown?;
    let code = ended.code().map_or(FAILED, |code| u8::try_from(code).unwrap_or(FAILED));
    Ok(match status {
        Some(status @ 400..) if arguments.fail && code == 0 => {
            let reason = usual_reason(status);
            report::error(&format!("the application answered {status} {reason} (-f)"));
            STATUS_OF_400_OR_MORE
        }
        _ => code,
    })
}
