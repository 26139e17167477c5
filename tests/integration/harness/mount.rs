//! One application under one URL prefix, as every server is configured to serve it.

use anyhow::{Context, Result};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::harness::server::Kind;
use crate::harness::stage::{Stage, copy_executable};

/// How many seconds a zygote lives without a request: long enough for all rows that share it to reuse it, and short
/// enough that few zygotes live at a time.
const IDLE: &str = "15";

/// The file that imports a module's callable.
const APPLICATION: &str = "application.wsgi";

#[derive(Clone, Debug)]
pub(crate) struct Mount {
    /// Such as `/case/e12-odd-names`; empty for the root of the site.
    pub(crate) prefix: String,
    pub(crate) program: Program,
    /// `CGI2WSGI_*` and the application's own. `{fixtures}`, `{work}` and the like stand for the stage's directories.
    pub(crate) variables: Vec<(String, String)>,
    /// Whether with `--warm`.
    pub(crate) warm: bool,
}

/// What the server runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// `cgi2wsgi`; argv or a variable names the application, whichever the server can set.
    Bridge { application: String },
    /// A WSGI file of the fixtures that is the CGI program itself: its `#!` line names `cgi2wsgi`.
    Script { fixture: String },
}

/// A mount with the stage's real paths.
pub(crate) struct Placed {
    pub(crate) executable: PathBuf,
    /// APP as `cgi2wsgi` gets it; under `Action` the file, if the application can be one.
    pub(crate) application: Option<String>,
    pub(crate) variables: Vec<(String, String)>,
}

impl Mount {
    /// `{own}` in a variable stands for a directory of this mount on this server.
    pub(crate) fn place(&self, stage: &Stage, kind: Kind) -> Result<Placed> {
        let own = self.own(stage, kind)?;
        let resolve = |text: &str| stage.resolve(&text.replace("{own}", &own.to_string_lossy()));
        let named = self.variables.iter();
        let mut variables: Vec<_> =
            named.map(|(name, value)| (name.clone(), resolve(value))).collect();
        if !variables.iter().any(|(name, _)| name == "CGI2WSGI_VENV") {
            let directory = stage.python_env().to_string_lossy().into_owned();
            variables.push(("CGI2WSGI_VENV".to_owned(), directory));
        }
        if self.warm {
            // A directory holds at most four zygotes of one application that differ only in variables.
            let mut hasher = DefaultHasher::new();
            variables.hash(&mut hasher);
            let place = format!("{:x}", hasher.finish() & 0xffff_ffff);
            let runtime = stage.runtime(kind, &place)?.to_string_lossy().into_owned();
            let settings = [
                ("CGI2WSGI_WARM", "1"),
                ("CGI2WSGI_WARM_SPARE", "1"),
                ("CGI2WSGI_WARM_IDLE", IDLE),
                ("XDG_RUNTIME_DIR", &runtime),
            ];
            variables.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        let (executable, application) = match &self.program {
            Program::Bridge { application } if kind == Kind::ApacheAction => {
                let file = wsgi_file(&resolve(application), &own)?;
                (stage.bridge(), file.map(|file| file.to_string_lossy().into_owned()))
            }
            Program::Bridge { application } => {
                (stage.bridge(), Some(resolve(application)).filter(|named| !named.is_empty()))
            }
            Program::Script { fixture } => (self.write_script(stage, fixture)?, None),
        };
        Ok(Placed { executable, application, variables })
    }

    /// Removes what the applications of earlier requests have left.
    pub(crate) fn clear(&self, stage: &Stage, kind: Kind) -> Result<()> {
        let own = self.own(stage, kind)?;
        for entry in fs::read_dir(&own).with_context(|| format!("no {}", own.display()))? {
            let path = entry.context("cannot read a directory")?.path();
            if path.file_name() == Some(APPLICATION.as_ref()) {
                continue;
            }
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }

    fn own(&self, stage: &Stage, kind: Kind) -> Result<PathBuf> {
        let slug = self.prefix.replace('/', "-");
        stage.workplace(&format!("{}{slug}", kind.name()))
    }

    /// Copies a WSGI file so that its `#!` line names the stage's `cgi2wsgi`.
    fn write_script(&self, stage: &Stage, fixture: &str) -> Result<PathBuf> {
        let original = stage.path("fixtures").join(fixture);
        let text = fs::read_to_string(&original)
            .with_context(|| format!("cannot read {}", original.display()))?;
        let code = match text.split_once('\n') {
            Some((first, rest)) if first.starts_with("#!") => rest,
            _ => &text,
        };
        let prefix = self.prefix.replace('/', "-");
        let prefix = prefix.trim_matches('-');
        // A server recognizes a non-parsed-header script by the beginning of its name.
        let name = match fixture.strip_prefix("nph-") {
            Some(rest) => format!("nph-{prefix}-{rest}"),
            None => format!("{prefix}-{fixture}"),
        };
        stage.script(&name, &format!("#!{}\n{code}", stage.bridge().display()))
    }
}

/// The application as a `.wsgi` file: a copy of the named file in the same directory, so that it finds the files beside
/// it; for a module's callable, a file with the one line that imports it. There is no file for a callable that no
/// `import` can name, for a missing file and for an empty name.
fn wsgi_file(named: &str, own: &Path) -> Result<Option<PathBuf>> {
    let is_name = |text: &str| {
        !text.is_empty() && text.chars().all(|letter| letter == '_' || letter.is_alphanumeric())
    };
    let original = Path::new(named);
    if original.is_file() {
        let file = PathBuf::from(format!("{named}.wsgi"));
        // Mounts share the copy: it must not be written again while an application reads it.
        if !file.is_file() {
            copy_executable(original, &file)?;
        }
        return Ok(Some(file));
    }
    let (module, callable) = named.split_once(':').unwrap_or((named, "application"));
    if !module.split('.').all(is_name) || !is_name(callable) {
        return Ok(None);
    }
    let file = own.join(APPLICATION);
    if !file.is_file() {
        fs::write(&file, format!("from {module} import {callable} as application\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(Some(file))
}
