//! What flags and `CGI2WSGI_*` variables say, validated once. A flag beats its variable; an error names the one that
//! was given, and the value.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cgi::mount::Mount;
use crate::cgi::variables::Variables;
use crate::front::account;
use crate::front::account::log::{self, Format, RequestLog};
use crate::front::cli::Options;
use crate::front::record::{self, Target};
use crate::handoff::Limits;
use crate::{did_you_mean, report};

/// What to run and how, as the operator wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `APP`, unless [`Self::handler`] finds it.
    pub app: Option<OsString>,
    /// `--chdir`.
    pub chdir: Option<PathBuf>,
    /// `--pythonpath`, in order.
    pub pythonpath: Vec<PathBuf>,
    /// `--python`: a path, or a name in PATH.
    pub python: Option<PathBuf>,
    /// `--venv`.
    pub venv: Option<PathBuf>,
    /// `--mount`.
    pub mount: Mount,
    /// `--handler`: the suffixes that an application's file may have.
    pub handler: Option<Vec<String>>,
    /// `--nph`.
    pub nph: bool,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `--max-body`, in bytes.
    pub max_body: Option<u64>,
    /// `--debug`.
    pub debug: bool,
    /// `--timings`.
    pub timings: bool,
    /// What is kept of a request.
    pub account: account::Settings,
    /// `--warm`, and how.
    pub warm: Option<Limits>,
}

/// All variables, to suggest the right one for a misspelt name.
pub(super) const VARIABLES: [&str; 26] = [
    "CGI2WSGI_APP",
    "CGI2WSGI_CHDIR",
    "CGI2WSGI_DEBUG",
    "CGI2WSGI_HANDLER",
    "CGI2WSGI_LOG",
    "CGI2WSGI_LOG_FORMAT",
    "CGI2WSGI_LOG_SIZE",
    "CGI2WSGI_MAX_BODY",
    "CGI2WSGI_MOUNT",
    "CGI2WSGI_NPH",
    "CGI2WSGI_PYTHON",
    "CGI2WSGI_PYTHONPATH",
    "CGI2WSGI_RECORD",
    "CGI2WSGI_RECORD_ALL",
    "CGI2WSGI_RECORD_MAX",
    "CGI2WSGI_RECORD_SECRETS",
    "CGI2WSGI_TIMEOUT",
    "CGI2WSGI_TIMINGS",
    "CGI2WSGI_VENV",
    "CGI2WSGI_WARM",
    "CGI2WSGI_WARM_IDLE",
    "CGI2WSGI_WARM_IGNORE",
    "CGI2WSGI_WARM_MAX",
    "CGI2WSGI_WARM_MEMORY",
    "CGI2WSGI_WARM_REQUEST",
    "CGI2WSGI_WARM_SPARE",
];

/// A value and where it was given.
struct Given {
    value: OsString,
    name: &'static str,
}

impl Given {
    fn shown(&self) -> String {
        format!("{} {:?}", self.name, self.value)
    }

    fn path(self) -> PathBuf {
        self.value.into()
    }
}

impl Settings {
    /// Joins the command line and the environment.
    pub fn new(app: Option<OsString>, options: Options, variables: &Variables) -> Result<Self> {
        warn_of_misspelt(variables);
        let given = |flag: Option<OsString>, name, variable: &'static str| match flag {
            Some(value) => Some(Given { value, name }),
            None => variables
                .get_os(variable)
                .map(|value| Given { value: value.to_owned(), name: variable }),
        };
        let switched_on = |flag: bool, variable: &'static str| match variables.get_os(variable) {
            Some(value) if !flag => switch(&Given { value: value.to_owned(), name: variable }),
            _ => Ok(flag),
        };

        let account = account(app.as_deref(), &options, variables)?;
        let mut pythonpath: Vec<PathBuf> = options.pythonpath.into_iter().map(Into::into).collect();
        if pythonpath.is_empty()
            && let Some(value) = variables.get_os("CGI2WSGI_PYTHONPATH")
        {
            pythonpath =
                std::env::split_paths(value).filter(|path| !path.as_os_str().is_empty()).collect();
        }

        Ok(Self {
            app: given(app, "APP", "CGI2WSGI_APP").map(|given| given.value),
            chdir: given(options.chdir, "--chdir", "CGI2WSGI_CHDIR").map(Given::path),
            pythonpath,
            python: given(options.python, "--python", "CGI2WSGI_PYTHON").map(Given::path),
            venv: given(options.venv, "--venv", "CGI2WSGI_VENV").map(Given::path),
            mount: given(options.mount, "--mount", "CGI2WSGI_MOUNT")
                .map(|given| {
                    Mount::parse(given.value.as_bytes())
                        .map_err(anyhow::Error::msg)
                        .context(given.name)
                })
                .transpose()?
                .unwrap_or_default(),
            handler: given(options.handler, "--handler", "CGI2WSGI_HANDLER")
                .map(|given| suffixes(&given))
                .transpose()?
                .flatten(),
            nph: switched_on(options.nph, "CGI2WSGI_NPH")?,
            timeout: given(options.timeout, "--timeout", "CGI2WSGI_TIMEOUT")
                .map(|given| seconds(&given))
                .transpose()?,
            max_body: given(options.max_body, "--max-body", "CGI2WSGI_MAX_BODY")
                .map(|given| bytes(&given))
                .transpose()?,
            debug: switched_on(options.debug, "CGI2WSGI_DEBUG")?,
            account,
            timings: switched_on(options.timings, "CGI2WSGI_TIMINGS")?,
            warm: {
                let usual = Limits::default();
                let idle = given(options.warm_idle, "--warm-idle", "CGI2WSGI_WARM_IDLE");
                let spare = given(options.warm_spare, "--warm-spare", "CGI2WSGI_WARM_SPARE");
                let max = given(options.warm_max, "--warm-max", "CGI2WSGI_WARM_MAX");
                let request =
                    given(options.warm_request, "--warm-request", "CGI2WSGI_WARM_REQUEST");
                let memory = given(options.warm_memory, "--warm-memory", "CGI2WSGI_WARM_MEMORY");
                let limits = Limits {
                    idle: idle.as_ref().map_or(Ok(usual.idle), seconds)?,
                    spare: spare.as_ref().map_or(Ok(usual.spare), count)?,
                    max: max.as_ref().map_or(Ok(usual.max), count)?,
                    request: request.map(|given| given.value),
                    ignored: names(options.warm_ignore, variables)?,
                    memory: memory.as_ref().map(bytes).transpose()?,
                };
                switched_on(options.warm, "CGI2WSGI_WARM")?.then_some(limits)
            },
        })
    }
}

/// What is kept of a request. It is known even if other settings are wrong. Relative paths begin where those of the
/// application do.
pub fn account(
    app: Option<&OsStr>,
    options: &Options,
    variables: &Variables,
) -> Result<account::Settings> {
    let given = |flag: &Option<OsString>, name, variable: &'static str| match flag {
        Some(value) => Some(Given { value: value.clone(), name }),
        None => variables
            .get_os(variable)
            .map(|value| Given { value: value.to_owned(), name: variable }),
    };
    let chdir = given(&options.chdir, "--chdir", "CGI2WSGI_CHDIR").map(Given::path);
    let absolute = |given: Given| {
        let here = std::env::current_dir().unwrap_or_default();
        here.join(chdir.as_deref().unwrap_or(Path::new(""))).join(given.path())
    };
    let format = given(&options.log_format, "--log-format", "CGI2WSGI_LOG_FORMAT");
    let format = format.map_or(Ok(Format::default()), |given| match given.value.to_str() {
        Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        _ => bail!("{} is not a format: write text or json", given.shown()),
    })?;
    let largest = given(&options.log_size, "--log-size", "CGI2WSGI_LOG_SIZE");
    let largest = largest.as_ref().map_or(Ok(log::LARGEST), bytes)?;
    let log = given(&options.log, "--log", "CGI2WSGI_LOG").map(absolute);
    let is_on = |flag: bool, variable: &'static str| match variables.get_os(variable) {
        Some(value) if !flag => switch(&Given { value: value.to_owned(), name: variable }),
        _ => Ok(flag),
    };
    let most = given(&options.record_max, "--record-max", "CGI2WSGI_RECORD_MAX");
    let most = most.as_ref().map_or(Ok(record::MOST), count)?;
    let all = is_on(options.record_all, "CGI2WSGI_RECORD_ALL")?;
    let secrets = is_on(options.record_secrets, "CGI2WSGI_RECORD_SECRETS")?;
    let directory = given(&options.record, "--record", "CGI2WSGI_RECORD").map(absolute);
    let record = directory.map(|path| record::Settings {
        target: Target::Directory { path, most },
        all,
        secrets,
        run: run(app, options, variables),
    });
    Ok(account::Settings { log: log.map(|file| RequestLog { file, format, largest }), record })
}

/// How an application is run, in a form that is valid in any directory.
pub fn run(app: Option<&OsStr>, options: &Options, variables: &Variables) -> record::Run {
    let given = |flag: &Option<OsString>, variable: &str| {
        flag.clone().or_else(|| variables.get_os(variable).map(OsStr::to_owned))
    };
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let chdir = given(&options.chdir, "CGI2WSGI_CHDIR");
    let here = std::env::current_dir().unwrap_or_default();
    let base = chdir.as_ref().map_or(here.clone(), |chdir| here.join(chdir));
    let absolute = |path: OsString| text(base.join(path).into());
    let app = app.map(OsStr::to_owned).or_else(|| variables.get_os("CGI2WSGI_APP").map(Into::into));
    let is_file = |app: &OsStr| {
        let bytes = app.as_bytes();
        let colon = bytes.iter().rposition(|byte| *byte == b':').unwrap_or(bytes.len());
        base.join(app).is_file() || base.join(OsStr::from_bytes(&bytes[..colon])).is_file()
    };
    let is_module = app.as_deref().is_some_and(|app| !is_file(app));
    let mut pythonpath: Vec<OsString> = options.pythonpath.clone();
    if pythonpath.is_empty() {
        let variable = variables.get_os("CGI2WSGI_PYTHONPATH").unwrap_or_default();
        let paths = std::env::split_paths(variable).filter(|path| !path.as_os_str().is_empty());
        pythonpath = paths.map(Into::into).collect();
    }
    record::Run {
        app: app.map(|app| if is_module { text(app) } else { absolute(app) }),
        // A module is looked for where this process was started.
        chdir: (chdir.is_some() || is_module).then(|| text(base.clone().into())),
        pythonpath: pythonpath.into_iter().map(absolute).collect(),
        python: given(&options.python, "CGI2WSGI_PYTHON").map(|python| {
            if python.as_bytes().contains(&b'/') { absolute(python) } else { text(python) }
        }),
        venv: given(&options.venv, "CGI2WSGI_VENV").map(absolute),
        mount: given(&options.mount, "CGI2WSGI_MOUNT").map(text),
        handler: given(&options.handler, "CGI2WSGI_HANDLER").map(text),
    }
}

/// Whether the environment asks for `--nph`, even if other settings in it are wrong.
pub fn asks_for_nph(variables: &Variables) -> bool {
    let name = "CGI2WSGI_NPH";
    let given = variables.get_os(name).map(|value| Given { value: value.to_owned(), name });
    given.is_some_and(|given| switch(&given).unwrap_or(false))
}

fn warn_of_misspelt(variables: &Variables) {
    for (name, _) in variables.iter().filter(|(name, _)| name.starts_with(b"CGI2WSGI_")) {
        let name = OsString::from_vec(name.to_vec());
        if let Some(name) = name.to_str().filter(|name| !VARIABLES.contains(name)) {
            let meant = did_you_mean::setting(name, VARIABLES);
            report::warning(&format!("unknown setting: the variable {name} is not read{meant}"));
        }
    }
}

fn switch(given: &Given) -> Result<bool> {
    match given.value.to_ascii_lowercase().to_str() {
        Some("1" | "on" | "yes" | "true") => Ok(true),
        Some("0" | "off" | "no" | "false") => Ok(false),
        _ => bail!("{} is neither on nor off: write 1 or 0", given.shown()),
    }
}

fn seconds(given: &Given) -> Result<Duration> {
    let parsed = given.value.to_str().and_then(|text| text.parse::<f64>().ok());
    parsed
        .filter(|seconds| *seconds >= 0.001 && *seconds < 1e9)
        .map(Duration::from_secs_f64)
        .with_context(|| {
            format!(
                "{} is not a number of seconds, at least 0.001, such as 30 or 2.5",
                given.shown()
            )
        })
}

fn count(given: &Given) -> Result<u32> {
    let parsed = given.value.to_str().and_then(|text| text.parse::<u32>().ok());
    parsed
        .filter(|count| (1..=10_000).contains(count))
        .with_context(|| format!("{} is not a number from 1 to 10000", given.shown()))
}

/// `--warm-ignore`: the names of variables or the absolute paths of files, separated by commas.
fn names(flags: Vec<OsString>, variables: &Variables) -> Result<Vec<OsString>> {
    const VARIABLE: &str = "CGI2WSGI_WARM_IGNORE";
    let given: Vec<Given> = if flags.is_empty() {
        let value = variables.get_os(VARIABLE).map(OsStr::to_owned);
        value.into_iter().map(|value| Given { value, name: VARIABLE }).collect()
    } else {
        flags.into_iter().map(|value| Given { value, name: "--warm-ignore" }).collect()
    };
    let mut names = Vec::new();
    for given in &given {
        for name in given.value.as_bytes().split(|byte| *byte == b',') {
            let name = name.trim_ascii();
            let is_file = name.starts_with(b"/");
            if name.is_empty() || name == b"*" || (!is_file && name.contains(&b'=')) {
                let shown = given.shown();
                bail!("{shown} is not the name of a variable, such as SITE_KIND or VISITOR_*");
            }
            if name == b"/*" || (!is_file && name.contains(&b'/')) {
                let shown = given.shown();
                bail!("{shown} is not the absolute path of a file, such as /srv/site/state.json");
            }
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    // The order of the names must not lead to another zygote.
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn bytes(given: &Given) -> Result<u64> {
    let parse = |text: &OsStr| -> Option<u64> {
        let text = text.to_str()?;
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit: u64 = match text[digits.len()..].to_ascii_uppercase().as_str() {
            "" => 1,
            "K" => 1 << 10,
            "M" => 1 << 20,
            "G" => 1 << 30,
            _ => return None,
        };
        let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        all_digits.then(|| digits.parse::<u64>().ok()).flatten()?.checked_mul(unit)
    };
    parse(&given.value).with_context(|| {
        format!("{} is not a number of bytes, such as 1048576, 512K or 20M", given.shown())
    })
}

/// A switch, or the suffixes that are allowed.
fn suffixes(given: &Given) -> Result<Option<Vec<String>>> {
    let text = given.value.to_str().unwrap_or_default();
    if !text.starts_with('.') {
        let on = switch(given)
            .with_context(|| "write suffixes with their dots, such as .wsgi,.py".to_owned())?;
        return Ok(on.then(|| vec![".wsgi".to_owned()]));
    }
    let suffixes: Vec<String> = text.split(',').map(|suffix| suffix.trim().to_owned()).collect();
    match suffixes.iter().find(|suffix| suffix.len() < 2 || !suffix.starts_with('.')) {
        Some(wrong) => bail!("{}: {wrong:?} is not a suffix such as .wsgi", given.shown()),
        None => Ok(Some(suffixes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: Options, variables: &[(&str, &str)]) -> Result<Settings> {
        Settings::new(None, options, &variables.iter().copied().collect())
    }

    fn message(variables: &[(&str, &str)]) -> String {
        format!("{:#}", settings(Options::default(), variables).expect_err("it is wrong"))
    }

    #[test]
    fn a_flag_beats_its_variable() {
        let variables = [("CGI2WSGI_VENV", "variable"), ("CGI2WSGI_TIMEOUT", "2")];
        let options = Options { venv: Some("flag".into()), ..Options::default() };
        let settings = settings(options, &variables).expect("they are right");
        assert_eq!(settings.venv, Some("flag".into()));
        assert_eq!(settings.timeout, Some(Duration::from_secs(2)));
    }

    #[test]
    fn an_empty_variable_says_nothing() {
        let all = VARIABLES.map(|name| (name, ""));
        assert_eq!(
            settings(Options::default(), &all).expect("they say nothing"),
            settings(Options::default(), &[]).expect("nothing is said")
        );
    }

    #[test]
    fn errors_name_the_place_the_value_and_the_remedy() {
        for (name, value, remedy) in [
            ("CGI2WSGI_TIMEOUT", "soon", "such as 30 or 2.5"),
            ("CGI2WSGI_TIMEOUT", "0", "at least 0.001"),
            ("CGI2WSGI_TIMEOUT", "1e-10", "at least 0.001"),
            ("CGI2WSGI_TIMEOUT", "inf", "at least 0.001"),
            ("CGI2WSGI_MAX_BODY", "20 MB", "such as 1048576"),
            ("CGI2WSGI_MAX_BODY", "99999999999999G", "such as 1048576"),
            ("CGI2WSGI_WARM_MEMORY", "much", "such as 1048576"),
            ("CGI2WSGI_WARM_IGNORE", "A,,B", "is not the name of a variable"),
            ("CGI2WSGI_WARM_IGNORE", "A=1", "such as SITE_KIND"),
            ("CGI2WSGI_WARM_IGNORE", "*", "such as SITE_KIND"),
            ("CGI2WSGI_DEBUG", "maybe", "write 1 or 0"),
            ("CGI2WSGI_MOUNT", "app", "begins with a slash"),
            ("CGI2WSGI_HANDLER", "wsgi", ".wsgi,.py"),
            ("CGI2WSGI_HANDLER", ".wsgi,py", "not a suffix"),
        ] {
            let message = message(&[(name, value)]);
            assert!(message.contains(name) || message.contains(value), "{message}");
            assert!(message.contains(remedy), "{message}");
        }
    }

    #[test]
    fn sizes_have_units_and_switches_have_words() {
        let variables = [
            ("CGI2WSGI_MAX_BODY", "20M"),
            ("CGI2WSGI_NPH", "Yes"),
            ("CGI2WSGI_DEBUG", "off"),
            ("CGI2WSGI_HANDLER", ".wsgi, .py"),
            ("CGI2WSGI_PYTHONPATH", "/a::/b"),
        ];
        let settings = settings(Options::default(), &variables).expect("they are right");
        assert_eq!(settings.max_body, Some(20 << 20));
        assert!(settings.nph && !settings.debug);
        assert_eq!(settings.handler, Some(vec![".wsgi".into(), ".py".into()]));
        assert_eq!(settings.pythonpath, [PathBuf::from("/a"), PathBuf::from("/b")]);
    }
}
