//! No server at all: the program is started with CGI variables and pipes, by the rules of RFC 3875 and with what
//! servers add. It is the harshest of the servers: the pipe of a body stays open after the body, words of
//! the query go to argv (RFC 3875 4.4), `Proxy` and odd header names are passed on, and the environment holds
//! nothing else.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};

use crate::harness::exchange::{Exchange, LogWindow};
use crate::harness::http::{Body, Request, percent_decode};
use crate::harness::mount::{Mount, Placed};
use crate::harness::process::{AtParentDeath, Running, User};
use crate::harness::server::{Kind, Server};
use crate::harness::stage::Stage;

pub(crate) struct Shell {
    placed: HashMap<String, Placed>,
    logs: PathBuf,
    user: User,
    count: AtomicUsize,
}

impl Shell {
    pub(crate) fn new(stage: &Stage, mounts: &[Mount]) -> Result<Self> {
        let placed =
            mounts.iter().map(|mount| Ok((mount.prefix.clone(), mount.place(stage, Kind::Shell)?)));
        Ok(Self {
            placed: placed.collect::<Result<_>>()?,
            logs: stage.path("logs"),
            user: stage.user.clone(),
            count: AtomicUsize::new(0),
        })
    }

    /// Begins a request with some variables changed: set to a value, or removed.
    pub(crate) fn begin_with(
        &self,
        mount: &Mount,
        request: &Request,
        changes: &[(&str, Option<Vec<u8>>)],
    ) -> Result<Exchange> {
        let placed = self.placed.get(&mount.prefix).context("a mount that is not in the table")?;
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let log = self.logs.join(format!("shell-{number}.log"));
        let mut command = Command::new(&placed.executable);
        command
            .env_clear()
            .envs(variables(&mount.prefix, request))
            .envs(placed.variables.iter().map(|(name, value)| (name, value)))
            .args(&placed.application)
            .args(query_words(request))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).with_context(|| format!("no log {}", log.display()))?);
        for (name, value) in changes {
            match value {
                Some(value) => command.env(name, OsStr::from_bytes(value)),
                None => command.env_remove(name),
            };
        }
        let process = Running::start(command, &self.user, AtParentDeath::Kill)?;
        Exchange::with_program(process, request, LogWindow::from_start(&log))
    }
}

impl Server for Shell {
    fn begin(&self, mount: &Mount, request: &Request) -> Result<Exchange> {
        self.begin_with(mount, request, &[])
    }

    fn as_shell(&self) -> Option<&Shell> {
        Some(self)
    }
}

/// The meta-variables of a request.
fn variables(prefix: &str, request: &Request) -> Vec<(OsString, OsString)> {
    let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let fixed = [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REQUEST_METHOD", &request.method),
        ("SCRIPT_NAME", prefix),
        ("SERVER_NAME", "localhost"),
        ("SERVER_PORT", "8080"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_SOFTWARE", "harness"),
        ("HTTP_HOST", "localhost:8080"),
    ];
    let mut variables: Vec<(OsString, OsString)> =
        fixed.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let uri = [prefix.as_bytes(), &request.target].concat();
    variables.push(("REQUEST_URI".into(), text(&uri)));
    variables.push(("QUERY_STRING".into(), text(request.query())));
    if !request.path().is_empty() {
        variables.push(("PATH_INFO".into(), OsString::from_vec(percent_decode(request.path()))));
    }
    let length = match &request.body {
        Body::Empty => None,
        Body::Whole(bytes) => Some(bytes.len()),
        Body::CutShort { declared, .. } => Some(*declared),
        Body::Chunked(_) => {
            variables.push(("HTTP_TRANSFER_ENCODING".into(), "chunked".into()));
            None
        }
    };
    if let Some(length) = length {
        variables.push(("CONTENT_LENGTH".into(), length.to_string().into()));
        variables.push(("HTTP_CONTENT_LENGTH".into(), length.to_string().into()));
    }
    variables.extend(protocol_variables(request));
    variables
}

/// `HTTP_*` and `CONTENT_TYPE` (RFC 3875 4.1.3 and 4.1.18). Headers of the same name are joined.
fn protocol_variables(request: &Request) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (header, value) in &request.headers {
        let upper = header.to_ascii_uppercase();
        let name: Vec<u8> =
            upper.iter().map(|byte| if *byte == b'-' { b'_' } else { *byte }).collect();
        if name == b"CONTENT_TYPE" {
            variables.push((name.clone(), value.clone()));
        }
        let name = [b"HTTP_", name.as_slice()].concat();
        let separator: &[u8] = if name == b"HTTP_COOKIE" { b"; " } else { b", " };
        match variables.iter_mut().find(|(known, _)| *known == name) {
            Some((_, joined)) => joined.extend_from_slice(&[separator, value].concat()),
            None => variables.push((name, value.clone())),
        }
    }
    let owned = variables.into_iter();
    owned.map(|(name, value)| (OsString::from_vec(name), OsString::from_vec(value))).collect()
}

/// What Apache appends to argv: the decoded words of a query that has no `=`, with backslashes before
/// characters that are special to a shell.
fn query_words(request: &Request) -> Vec<OsString> {
    const SHELL_READS: &[u8] = b"&;`'\"|*?~<>^()[]{}$\\\n";
    let query = request.query();
    let indexed = matches!(request.method.as_str(), "GET" | "HEAD") && !query.contains(&b'=');
    if query.is_empty() || !indexed {
        return Vec::new();
    }
    let words = query.split(|byte| *byte == b'+').map(percent_decode);
    words
        .map(|word| {
            let escaped = word.iter().flat_map(|byte| {
                let backslash = SHELL_READS.contains(byte).then_some(b'\\');
                backslash.into_iter().chain([*byte])
            });
            OsString::from_vec(escaped.filter(|byte| *byte != 0).collect())
        })
        .collect()
}
