//! `cgi2wsgi init SERVER APP`: writes the configuration that runs an application under a server, with the real paths of
//! this machine. It refuses what `check` finds a problem with.
//!
//! For root the rights of the server's user count, as with `check --as`: root's own Python is of no use to a server.
//!
//! [`servers`] has the text of each server; this file finds the values and writes the text.

pub mod servers;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail, ensure};
use rustix::io::FdFlags;
use serde_json::{Value, json};

use self::servers::Values;
use super::check::{self, trial, user::User};
use super::cli::{InitArgs, Options, Server};
use super::exit::MISCONFIGURED;
use super::find;
use super::settings::Settings;
use crate::cgi::variables::Variables;
use crate::handoff::{Application, Callable, Source};
use crate::{report, system};

/// How many bytes of a `#!` line Linux before 5.1 reads.
const LONGEST_LINE: usize = 127;

/// How long the whole check may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Writes what was asked for.
pub fn run(arguments: InitArgs, variables: &Variables) -> ExitCode {
    match try_run(arguments, variables) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&format!("{error:#}"));
            ExitCode::from(MISCONFIGURED)
        }
    }
}

fn try_run(arguments: InitArgs, variables: &Variables) -> Result<()> {
    let InitArgs { options, .. } = &arguments;
    mount(options)?;
    if let Some(name) = &arguments.name {
        is_a_name(name)?;
    }
    ensure!(options.handler.is_none(), "--handler is for Apache's Action: see servers/action.conf");
    let user = match &arguments.user {
        Some(name) => Some(User::for_root(name, "init")?),
        None if rustix::process::geteuid().is_root() => User::first_of(arguments.server.users()),
        None => None,
    };
    let Texts { configuration, script } = match user {
        Some(user) => composed_as(&user, &arguments, variables)?,
        None => compose(&arguments, variables)?,
    };
    let output = arguments.output.map(PathBuf::from);
    match script {
        Some(script) => write_folder(&configuration, &script, output),
        None => write(&configuration, output, 0o644),
    }
}

/// What is to be written.
struct Texts {
    configuration: String,
    /// `index.cgi`, beside a `.htaccess`.
    script: Option<String>,
}

/// [`compose`] in a child that runs as the server's user: it does not choose what that user cannot enter, read or run.
fn composed_as(user: &User, arguments: &InitArgs, variables: &Variables) -> Result<Texts> {
    let mut variables = variables.clone();
    user.make_own(&mut variables);
    let ended = trial::run(PATIENCE, |number| {
        let mut result = File::from(system::owned(number));
        // Root writes what this descriptor delivers: the application, which the check imports, must not inherit it.
        let texts = rustix::io::fcntl_setfd(&result, FdFlags::CLOEXEC)
            .map_err(Error::from)
            .and_then(|()| Ok(user.become_it()?))
            .and_then(|()| compose(arguments, &variables));
        let said = match texts {
            Ok(texts) => json!({"configuration": texts.configuration, "script": texts.script}),
            Err(error) => json!({"error": format!("{error:#}")}),
        };
        u8::from(result.write_all(said.to_string().as_bytes()).is_err())
    })?;
    io::stderr().write_all(&ended.stderr)?;
    let said: Value = serde_json::from_slice(&ended.result)
        .context("the check was ended before it had finished")?;
    if let Some(error) = said["error"].as_str() {
        bail!("{error}\n(with the rights of {}; --as USER takes another's)", user.name);
    }
    let text = |name: &str| said[name].as_str().map(str::to_owned);
    Ok(Texts { configuration: text("configuration").unwrap_or_default(), script: text("script") })
}

/// The texts, from what this process can see.
fn compose(arguments: &InitArgs, variables: &Variables) -> Result<Texts> {
    let InitArgs { server, app, name, options, .. } = arguments;
    let (server, mount) = (*server, mount(options)?);
    let host = name.clone().map(|name| name.split(':').next().unwrap_or_default().to_owned());
    let problems = check::problems(app, host, options, variables);
    if !problems.is_empty() {
        bail!("nothing is written, because cgi2wsgi check finds:\n{}", problems.join(""));
    }
    let settings = Settings::new(Some(app.clone()), options.clone(), variables)?;
    let application = find::application::find(&settings, app)?;
    let interpreter = find::python::find(&settings, &application, variables)?;
    let program = find::this_executable().context("this executable cannot be found")?;
    let mut values = Values {
        application: application.shown(),
        mount,
        name: name.clone(),
        program: text(&program)?,
        settings: Vec::new(),
    };
    let mut set = |name: &str, value: String| values.settings.push((name.to_owned(), value));
    if server != Server::Htaccess {
        set("CGI2WSGI_APP", named(&application)?);
    }
    let is_module = matches!(application.source, Source::Module(_));
    if is_module || options.chdir.is_some() || server == Server::Htaccess {
        set("CGI2WSGI_CHDIR", text(&application.directory)?);
    }
    match &interpreter.venv {
        Some(venv) => set("CGI2WSGI_VENV", text(&std::path::absolute(venv)?)?),
        None => set("CGI2WSGI_PYTHON", text(&interpreter.executable)?),
    }
    if !application.import_directories.is_empty() {
        let directories = std::env::join_paths(&application.import_directories)?;
        set("CGI2WSGI_PYTHONPATH", text(Path::new(&directories))?);
    }
    for (name, value) in further(options) {
        set(name, value?);
    }
    if server == Server::Htaccess {
        set("CGI2WSGI_MOUNT", "auto".to_owned());
        let script = script(&application, &values.program)?;
        return Ok(Texts { configuration: server.write(&values)?, script: Some(script) });
    }
    Ok(Texts { configuration: server.write(&values)?, script: None })
}

/// The URL path of the application, without a slash at the end.
fn mount(options: &Options) -> Result<String> {
    let Some(mount) = &options.mount else { return Ok(String::new()) };
    let text = mount.to_str().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._~-".contains(c);
    ensure!(
        text.starts_with('/') && text.chars().all(is_plain) && !text.contains("//"),
        "--mount {mount:?} is not a path such as /app, of letters, digits and ._~-"
    );
    Ok(text.trim_end_matches('/').to_owned())
}

fn is_a_name(name: &str) -> Result<()> {
    let (host, port) = name.split_once(':').unwrap_or((name, "80"));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    ensure!(
        !host.is_empty() && host.chars().all(is_plain) && port.parse::<u16>().is_ok(),
        "--name {name:?} is not a name such as example.org, or example.org:8080"
    );
    Ok(())
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str();
    text.map(str::to_owned).with_context(|| format!("{path:?} is not UTF-8: rename it"))
}

/// APP with an absolute path.
fn named(application: &Application) -> Result<String> {
    let source = match &application.source {
        Source::File(file) => text(file)?,
        Source::Module(name) => name.clone(),
    };
    let Callable { attributes, is_factory } = &application.callable;
    Ok(match (attributes.as_str(), is_factory) {
        ("", _) => source,
        (attributes, false) => format!("{source}:{attributes}"),
        (attributes, true) => format!("{source}:{attributes}()"),
    })
}

/// The other options that were given.
fn further(options: &Options) -> impl Iterator<Item = (&'static str, Result<String>)> + '_ {
    let given = [
        ("CGI2WSGI_TIMEOUT", &options.timeout),
        ("CGI2WSGI_MAX_BODY", &options.max_body),
        ("CGI2WSGI_WARM_IDLE", &options.warm_idle),
        ("CGI2WSGI_WARM_SPARE", &options.warm_spare),
        ("CGI2WSGI_WARM_MAX", &options.warm_max),
        ("CGI2WSGI_WARM_REQUEST", &options.warm_request),
        ("CGI2WSGI_WARM_MEMORY", &options.warm_memory),
    ];
    let switched = [
        ("CGI2WSGI_DEBUG", options.debug),
        ("CGI2WSGI_TIMINGS", options.timings),
        ("CGI2WSGI_WARM", options.warm),
    ];
    let switched = switched.into_iter().filter(|(_, is_on)| *is_on);
    let switched = switched.map(|(name, _)| (name, Ok("1".to_owned())));
    let given = given
        .into_iter()
        .filter_map(|(name, value)| Some((name, text(Path::new(value.as_ref()?)))));
    switched.chain(given)
}

/// `index.cgi`: imports the application's module, or runs its file where no import finds the module.
fn script(application: &Application, program: &str) -> Result<String> {
    let line = format!("#!{program}");
    ensure!(
        line.len() <= LONGEST_LINE && !program.contains(char::is_whitespace),
        "{program:?} cannot be in a #! line, which may have no blanks and at most {LONGEST_LINE} bytes: make a \
         link to it"
    );
    let module = match &application.source {
        Source::Module(name) => Some(name.clone()),
        Source::File(file) => {
            let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let is_plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
            let is_identifier =
                stem.chars().all(is_plain) && !stem.starts_with(|c: char| c.is_ascii_digit());
            let is_module = file.extension().is_some_and(|suffix| suffix == "py")
                && is_identifier
                && file.parent() == Some(&application.directory)
                && !application.directory.join("__init__.py").exists();
            is_module.then(|| stem.to_owned())
        }
    };
    let load = match (&module, &application.source) {
        (Some(module), _) => format!("import {module}\n\nsite = vars(sys.modules[{module:?}])\n"),
        (None, Source::File(file)) => {
            format!("site = runpy.run_path({:?}, run_name=\"site_wsgi\")\n", text(file)?)
        }
        (None, Source::Module(_)) => bail!("no module"),
    };
    let import = if module.is_some() { "import sys\n\n" } else { "import runpy\n\n" };
    let Callable { attributes, is_factory } = &application.callable;
    let found = match attributes.split_once('.') {
        _ if attributes.is_empty() => "site.get(\"application\") or site[\"app\"]".to_owned(),
        None => format!("site[{attributes:?}]"),
        Some((first, rest)) => format!("site[{first:?}].{rest}"),
    };
    let call = if *is_factory { "()" } else { "" };
    Ok(format!("{line}\n\n{import}{load}application = {found}{call}\n"))
}

/// Writes `.htaccess` and, beside it, `index.cgi`; without a file, both to standard output.
fn write_folder(access: &str, script: &str, output: Option<PathBuf>) -> Result<()> {
    let Some(file) = output else {
        let quoted: String =
            script.lines().map(|line| format!("# {line}\n").replace("# \n", "#\n")).collect();
        let text =
            format!("{access}\n# index.cgi, of mode 755 (-o .htaccess writes both):\n#\n{quoted}");
        return write(&text, None, 0o644);
    };
    let program = file.with_file_name("index.cgi");
    ensure!(!program.exists(), "{} already exists and is not changed", program.display());
    write(access, Some(file), 0o644)?;
    write(script, Some(program), 0o755)
}

/// Does not overwrite an existing file.
fn write(text: &str, output: Option<PathBuf>, mode: u32) -> Result<()> {
    let Some(file) = output else {
        return match io::stdout().lock().write_all(text.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("standard output cannot be written"),
        };
    };
    let shown = file.display();
    if let Ok(found) = fs::symlink_metadata(&file) {
        ensure!(
            !found.is_file(),
            "{shown} already exists and is not changed: remove it, or give another -o"
        );
    }
    let opened = File::options().write(true).create_new(true).mode(mode).open(&file);
    let mut opened = opened.with_context(|| format!("-o {shown}"))?;
    opened.write_all(text.as_bytes()).with_context(|| format!("-o {shown}"))?;
    report::plain(&format!("{shown} is written"));
    Ok(())
}
