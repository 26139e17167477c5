//! `cgi2wsgi request APP [URL]`: the curl of WSGI. Builds the variables of a
//! request, runs it as a server would, and shows the response.

mod body_file;
pub(super) mod build;
mod in_child;
mod multipart;
mod observed;
mod redirect;
mod replay;
mod show;
mod write_out;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{IsTerminal, PipeReader, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use self::observed::{Observed, Response};
use self::write_out::Format;

use crate::cgi::head::usual_reason;
use crate::cgi::variables::Variables;
use crate::front::cli::{Options, RequestArgs};
use crate::front::exit::FAILED;
use crate::front::plan::{Failure, Plan};
use crate::front::{account, answer, meant};
use crate::report;
use crate::timings::Moment;

/// Exit status of `-f`, the same as curl's.
const STATUS_OF_400_OR_MORE: u8 = 22;

/// Runs the request. `environment` is that of this process, which was started at `began`.
pub fn run(arguments: RequestArgs, environment: &Variables, began: Moment) -> ExitCode {
    match try_run(arguments, environment, began) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.tell(),
    }
}

/// A request that is built, and how it is run.
struct Asked<'a> {
    app: Option<OsString>,
    options: Options,
    variables: &'a Variables,
    body: Option<File>,
    save: Option<&'a Path>,
    debugs: bool,
    began: Moment,
}

/// The outcome of a request.
struct Ended {
    response: Response,
    /// The exit status that a server would see.
    exit: u8,
}

impl Asked<'_> {
    /// Runs the request in a process of its own, and lets `show` read the response.
    fn run(
        self,
        show: impl FnOnce(&mut Observed<PipeReader>) -> Result<()>,
    ) -> Result<Ended, Failure> {
        let named = self.app.as_deref().unwrap_or_default().to_string_lossy().into_owned();
        answer::keep_account(Some(&self.options), self.variables, &named, self.began, self.save);
        let program = OsStr::new("cgi2wsgi");
        let mut plan = Plan::make(self.app, self.options, self.variables, program, self.began)?;
        if self.debugs {
            // A person in a debugger takes time, and wants a process that was started for this request.
            (plan.debugs, plan.warm, plan.deadline) = (true, None, None);
            plan.service.has_timeout = false;
        }
        let answer = || {
            let status = answer::run(&plan, self.variables);
            account::close(status);
            status
        };
        let (response, child) =
            in_child::run(self.body, answer).context("no process for the request can be forked")?;
        let mut observed = Observed::new(response);
        let shown = show(&mut observed);
        let response = observed.end();
        let ended = child.wait().context("the process of the request is gone")?;
        shown?;
        let exit = ended.code().map_or(FAILED, |code| u8::try_from(code).unwrap_or(FAILED));
        Ok(Ended { response, exit })
    }
}

fn try_run(
    mut arguments: RequestArgs,
    environment: &Variables,
    began: Moment,
) -> Result<u8, Failure> {
    if arguments.pdb {
        File::open("/dev/tty").context("--pdb needs a terminal, and this process has none")?;
    }
    let format = arguments.write_out.as_deref().map(Format::parse).transpose()?;
    if let Some(path) = arguments.replay.take() {
        return replay::run(Path::new(&path), &arguments, environment, format.as_ref());
    }
    let app = arguments.app.clone().unwrap_or_default();
    if let Some(reason) = meant::swapped(&app, &arguments.url) {
        return Err(anyhow::anyhow!(reason).into());
    }
    let (mut began, mut redirects) = (began, 0);
    loop {
        let (variables, body) = build::request(&arguments, environment.clone())?;
        let style = style(&arguments);
        if style.verbose {
            show::variables(&variables);
        }
        let asked = Asked {
            app: Some(app.clone()),
            options: arguments.options.clone(),
            variables: &variables,
            body,
            save: arguments.save.as_deref().map(Path::new),
            debugs: arguments.pdb,
            began,
        };
        let ended = asked.run(|response| show_response(response, &arguments, &style))?;
        if let Some(url) = next(&ended.response, &style) {
            redirects += 1;
            ensure_followed(redirects, &url)?;
            follow(&mut arguments, ended.response.status().unwrap_or_default(), url)?;
            began = Moment::now();
            continue;
        }
        if let Some(format) = &format {
            write_out(format, &ended, &variables, &arguments.url, redirects, began)?;
        }
        return Ok(exit(&ended, &arguments));
    }
}

fn style(arguments: &RequestArgs) -> show::Style {
    show::Style {
        head: arguments.include || arguments.head,
        verbose: arguments.verbose,
        fail: arguments.fail,
        follow_from: arguments.location.then(|| arguments.url.clone()),
    }
}

fn show_response(
    response: &mut Observed<PipeReader>,
    arguments: &RequestArgs,
    style: &show::Style,
) -> Result<()> {
    let terminal = arguments.output.is_none() && std::io::stdout().is_terminal();
    match &arguments.output {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("-o {path:?}"))?;
            show::response(response, file, terminal, style)
        }
        None => show::response(response, std::io::stdout().lock(), terminal, style),
    }
    .map(drop)
}

/// The URL of a redirect that is followed.
fn next(response: &Response, style: &show::Style) -> Option<String> {
    let (url, status) = (style.follow_from.as_ref()?, response.status()?);
    let location = response.field("Location").filter(|_| redirect::is_redirect(status))?;
    let next = redirect::next(url, &location);
    if next.is_none() {
        report::warning(&format!(
            "-L: the redirect to {location:?} is not followed: it leads to another host, for which \
             the application does not answer"
        ));
    }
    next
}

fn ensure_followed(redirects: u32, url: &str) -> Result<()> {
    ensure!(
        redirects <= redirect::MOST,
        "-L: the {redirects}th redirect, to {url:?}, is not followed: the application redirects in a \
         circle"
    );
    Ok(())
}

/// Turns the last request into the next one, as curl does.
fn follow(arguments: &mut RequestArgs, status: u16, url: String) -> Result<()> {
    let has_body =
        !arguments.data.is_empty() || !arguments.form.is_empty() || arguments.json.is_some();
    if has_body && redirect::keeps_method(status) {
        let reads = |data: &OsString| data.as_encoded_bytes().ends_with(b"@-");
        if arguments.data.iter().chain(&arguments.json).any(reads) {
            bail!("-L: the body from standard input cannot be sent again after a {status}");
        }
    } else if has_body {
        (arguments.data, arguments.form, arguments.json) = (Vec::new(), Vec::new(), None);
    }
    arguments.url = url;
    Ok(())
}

/// The exit status, which -f may change.
fn exit(ended: &Ended, arguments: &RequestArgs) -> u8 {
    match ended.response.status() {
        Some(status @ 400..) if arguments.fail && ended.exit == 0 => {
            let reason = usual_reason(status);
            report::error(&format!("the application answered {status} {reason} (-f)"));
            STATUS_OF_400_OR_MORE
        }
        _ => ended.exit,
    }
}

/// Writes what -w asks for.
fn write_out(
    format: &Format,
    ended: &Ended,
    variables: &Variables,
    url: &str,
    redirects: u32,
    began: Moment,
) -> Result<()> {
    let response = &ended.response;
    let text = format.written(|name| match name {
        "http_code" | "response_code" => format!("{:03}", response.status().unwrap_or_default()),
        "content_type" => response.field("Content-Type").unwrap_or_default(),
        "redirect_url" => response.field("Location").unwrap_or_default(),
        "exitcode" => ended.exit.to_string(),
        "num_redirects" => redirects.to_string(),
        "size_download" => response.bytes.to_string(),
        "size_header" => response.head.len().to_string(),
        "time_total" => {
            let nanoseconds = Moment::now().to_nanos().saturating_sub(began.to_nanos());
            format!("{}.{:06}", nanoseconds / 1_000_000_000, nanoseconds / 1000 % 1_000_000)
        }
        "method" => String::from_utf8_lossy(variables.get("REQUEST_METHOD").unwrap_or_default())
            .into_owned(),
        _ => url.to_owned(),
    });
    std::io::stdout().write_all(text.as_bytes()).context("-w cannot be written")
}
