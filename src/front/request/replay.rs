//! `--replay`: runs the request of a record again, or those of all records in a directory, and says what changed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Error, Result, bail};

use super::observed::Observed;
use super::{Asked, Ended, build, exit, show, show_response, style, write_out};
use crate::cgi::variables::Variables;
use crate::front::cli::{Options, RequestArgs};
use crate::front::exit::{FAILED, MISCONFIGURED};
use crate::front::number;
use crate::front::plan::Failure;
use crate::front::record::{self, Record, Text, contents, directory};
use crate::front::secrets::is_secret;
use crate::report::{self, printable_line};
use crate::timings::Moment;

/// The largest file that is read as a record, in bytes: room for a body of escapes only, and more.
const LARGEST: u64 = 64 << 20;

/// How many characters of a value are shown at most.
const SHOWN: usize = 120;

/// Runs the record at `path`, or all records in that directory.
pub(super) fn run(
    path: &Path,
    arguments: &RequestArgs,
    environment: &Variables,
    format: Option<&write_out::Format>,
) -> Result<u8, Failure> {
    if path.is_dir() {
        return Ok(all(path, arguments, environment)?);
    }
    let record = load(path)?;
    let (variables, body) = request(&record, arguments, environment)?;
    let style = style(arguments);
    if style.verbose {
        show::variables(&variables);
    }
    let began = Moment::now();
    let asked = asked(&record, arguments, &variables, body, began);
    let ended = asked.run(|response| show_response(response, arguments, &style))?;
    if let Some(format) = format {
        let url = String::from_utf8_lossy(&number::address(&variables)).into_owned();
        super::write_out(format, &ended, &variables, &url, 0, began)?;
    }
    let differences = differences(&record.response, &ended);
    if differences.is_empty() {
        report::plain("replay: the answer is the same as the recorded one");
    } else {
        report::plain(&format!("replay: the answer changed: {}", differences.join("; ")));
    }
    if !record.left_out.is_empty() {
        report::plain(&format!(
            "replay: the record does not have what is secret: {} (-H, -b and -u add headers)",
            record.left_out.join(", ")
        ));
    }
    Ok(exit(&ended, arguments))
}

/// Runs all requests, the oldest first. Returns 1 if an answer changed, 2 if a record cannot be read.
fn all(path: &Path, arguments: &RequestArgs, environment: &Variables) -> Result<u8> {
    let files = directory::list(path).with_context(|| path.display().to_string())?;
    if files.is_empty() {
        bail!("there is no record (*.json) in {}", path.display());
    }
    let (mut same, mut changed, mut skipped, mut unreadable) = (0_u32, 0_u32, 0_u32, 0_u32);
    let mut out = io::stdout().lock();
    for file in &files {
        let record = match load(file) {
            Ok(record) => record,
            Err(error) => {
                unreadable += 1;
                report::error(&format!("{error:#}"));
                continue;
            }
        };
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ended = request(&record, arguments, environment).and_then(|(variables, body)| {
            let asked = asked(&record, arguments, &variables, body, Moment::now());
            asked.run(read_all).map_err(|failure| match failure {
                Failure::Setup(error) => error,
                Failure::Refused(refusal, ..) => Error::msg(refusal.reason),
            })
        });
        let asked = printable_line(&line_of(&record), SHOWN);
        let line = match ended {
            Err(error) => {
                skipped += 1;
                format!("skipped  {asked}: {error:#}")
            }
            Ok(ended) => {
                let status = ended.response.status().map_or("-".into(), |code| code.to_string());
                let differences = differences(&record.response, &ended);
                if differences.is_empty() {
                    same += 1;
                    format!("same     {asked} {status}")
                } else {
                    changed += 1;
                    format!("changed  {asked}: {}", differences.join("; "))
                }
            }
        };
        writeln!(out, "{} ({})", printable_line(&line, 2000), printable_line(&name, SHOWN))?;
    }
    let mut verdict = format!("{same} same, {changed} changed");
    for (count, what) in [(skipped, "skipped"), (unreadable, "damaged")] {
        if count > 0 {
            verdict = format!("{verdict}, {count} {what}");
        }
    }
    writeln!(out, "{verdict}")?;
    Ok(match (unreadable, changed) {
        (1.., _) => MISCONFIGURED,
        (0, 1..) => FAILED,
        (0, 0) => 0,
    })
}

fn read_all(response: &mut Observed<io::PipeReader>) -> Result<()> {
    io::copy(response, &mut io::sink()).map(drop).context("the response cannot be read")
}

fn load(path: &Path) -> Result<Record> {
    let shown = || path.display().to_string();
    let mut text = Vec::new();
    let file = File::open(path).with_context(shown)?;
    file.take(LARGEST + 1).read_to_end(&mut text).with_context(shown)?;
    if text.len() as u64 > LARGEST {
        bail!("{} is larger than any record", shown());
    }
    Record::decode(&text, path).map_err(Error::msg)
}

/// `GET /x`
fn line_of(record: &Record) -> String {
    let variables: Variables =
        record.variables.iter().map(|(name, text)| (name.as_str(), bytes(text))).collect();
    let method = String::from_utf8_lossy(variables.get("REQUEST_METHOD").unwrap_or(b"GET"));
    format!("{method} {}", String::from_utf8_lossy(&number::address(&variables)))
}

fn bytes(text: &Text) -> Vec<u8> {
    text.bytes().unwrap_or_default()
}

/// The variables and the body of a record, in the environment of this process.
fn request(
    record: &Record,
    arguments: &RequestArgs,
    environment: &Variables,
) -> Result<(Variables, Option<File>)> {
    let mut variables = environment.clone();
    variables.retain(|name, _| !build::is_from_a_server(name));
    // Without this variable nothing marks the request as a server's.
    variables.set("GATEWAY_INTERFACE", "CGI/1.1");
    for (name, text) in &record.variables {
        let value = text.bytes().map_err(Error::msg).with_context(|| name.clone())?;
        // This process' own variables stay: the record may be another machine's.
        if build::is_from_a_server(name.as_bytes()) || variables.get(name).is_none() {
            variables.set(name, value);
        }
    }
    let body = match &record.body {
        None => None,
        Some(body) => {
            let Some(content) = &body.content else {
                bail!(
                    "the record does not have the body, of {} bytes: {}",
                    body.length,
                    body.why_not.as_deref().unwrap_or("it was left out")
                );
            };
            let content = content.bytes().map_err(Error::msg).context("the body")?;
            if variables.get("CONTENT_LENGTH").is_some() {
                variables.set("CONTENT_LENGTH", content.len().to_string());
            }
            let mut file = tempfile::tempfile().context("no temporary file for the body")?;
            file.write_all(&content).context("the body")?;
            file.rewind().context("the body")?;
            Some(file)
        }
    };
    build::add_headers(&mut variables, arguments)?;
    Ok((variables, body))
}

/// The request of a record, run as it was, unless the command line says otherwise.
fn asked<'a>(
    record: &Record,
    arguments: &RequestArgs,
    variables: &'a Variables,
    body: Option<File>,
    began: Moment,
) -> Asked<'a> {
    let (app, options) = how(record, arguments);
    Asked { app, options, variables, body, save: None, debugs: arguments.pdb, began }
}

/// An APP on the command line replaces all recorded settings of the application, except its mount.
fn how(record: &Record, arguments: &RequestArgs) -> (Option<OsString>, Options) {
    let run = &record.run;
    let mut options = arguments.options.clone();
    let text = |text: &Option<String>| text.clone().map(OsString::from);
    options.mount = options.mount.or_else(|| text(&run.mount));
    if let Some(app) = &arguments.app {
        return (Some(app.clone()), options);
    }
    options.chdir = options.chdir.or_else(|| text(&run.chdir));
    options.handler = options.handler.or_else(|| text(&run.handler));
    if options.python.is_none() && options.venv.is_none() {
        options.python = text(&run.python);
        // `--python` had precedence.
        options.venv = text(&run.venv).filter(|_| options.python.is_none());
    }
    if options.pythonpath.is_empty() {
        options.pythonpath = run.pythonpath.iter().map(OsString::from).collect();
    }
    (text(&run.app), options)
}

/// How the answer differs from the recorded one.
fn differences(before: &record::Response, after: &Ended) -> Vec<String> {
    let response = &after.response;
    let status = response.status();
    let shown = |status: Option<u16>| status.map_or("none".into(), |status| status.to_string());
    if before.status != status {
        return vec![format!("status {}, now {}", shown(before.status), shown(status))];
    }
    // The page contains the request's number, the head the page's length: neither is compared.
    if before.own {
        return Vec::new();
    }
    let mut differences = Vec::new();
    let length = response.field("Content-Length").and_then(|length| length.parse().ok());
    let is_whole = length.map_or(after.exit == 0, |length: u64| length == response.bytes);
    if before.whole != is_whole && before.bytes != Some(0) {
        let text = if is_whole { "it was cut, and is whole" } else { "it was whole, and is cut" };
        differences.push(text.to_owned());
    }
    if !before.head.is_empty() {
        differences.extend(changed_fields(&before.head, &contents::head(&response.head, false)));
    }
    let digest = format!("{:016x}", response.digest.value());
    match (before.bytes, &before.digest) {
        (Some(bytes), _) if bytes != response.bytes => {
            differences.push(format!("body of {bytes} bytes, now {}", response.bytes));
        }
        (Some(bytes), Some(before)) if *before != digest => {
            differences.push(format!("another body of {bytes} bytes"));
        }
        _ => {}
    }
    differences
}

/// Header fields that changed, without those that change each time.
fn changed_fields(before: &[(String, Text)], after: &[(String, Text)]) -> Vec<String> {
    const EACH_TIME: [&str; 7] =
        ["age", "date", "expires", "last-modified", "server-timing", "x-request-id", "x-runtime"];
    let fields = |head: &[(String, Text)]| -> Vec<(String, String)> {
        let fields = head.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(&bytes(value)).into_owned();
            (name.to_ascii_lowercase(), value)
        });
        let counts = |name: &str| !EACH_TIME.contains(&name) && !is_secret(name.as_bytes());
        // The length is compared with the body.
        fields.filter(|(name, _)| counts(name) && name != "content-length").collect()
    };
    let (before, after) = (fields(before), fields(after));
    let shown = |(name, value): &(String, String)| {
        format!("{}: {}", printable_line(name, SHOWN), printable_line(value, SHOWN))
    };
    let gone = before.iter().filter(|field| !after.contains(field));
    let new = after.iter().filter(|field| !before.contains(field));
    gone.map(|field| format!("no longer {:?}", shown(field)))
        .chain(new.map(|field| format!("now {:?}", shown(field))))
        .collect()
}
