//! How `cgi2wsgi` tells `cgi2wsgi-python` what to run: one variable, which
//! nothing that comes from a client can set, since those all become `HTTP_*`.
//! `cgi2wsgi-python` removes it before it starts anything, and runs nothing
//! without it.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::application::{Application, Callable, Source, Venv};
use crate::cgi::head::Form;
use crate::cgi::mount::Mount;
use crate::timings::Moment;

/// The name of the variable.
pub const VARIABLE: &str = "CGI2WSGI_HANDOFF";

/// Both executables must be of one build.
const IDENTITY: &str = concat!("cgi2wsgi ", env!("CARGO_PKG_VERSION"), " 2");

/// Everything that is decided before Python starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handoff {
    /// What to run.
    pub application: Application,
    /// Where its public root is.
    pub mount: Mount,
    /// The form of the response.
    pub form: Form,
    /// When to give up.
    pub timeout: Option<Duration>,
    /// The largest request body, in bytes.
    pub max_body: Option<u64>,
    /// Whether visitors see tracebacks.
    pub debug: bool,
    /// When the front began, if somebody wants to know where the time goes.
    pub timed_since: Option<Moment>,
}

impl Handoff {
    /// The value of [`VARIABLE`]: fields, each after its length, as in
    /// netstrings; values can be any bytes.
    pub fn encode(&self) -> OsString {
        let mut fields = Writer(Vec::new());
        let app = &self.application;
        fields.put(IDENTITY);
        match &app.source {
            Source::File(file) => {
                fields.put("file");
                fields.put(file.as_os_str().as_bytes());
            }
            Source::Module(name) => {
                fields.put("module");
                fields.put(name);
            }
        }
        fields.put(&app.callable.attributes);
        fields.put_number(u64::from(app.callable.is_factory));
        fields.put_path(&app.directory);
        fields.put_number(app.import_directories.len() as u64);
        for directory in &app.import_directories {
            fields.put_path(directory);
        }
        fields.put_path(app.venv.as_ref().map_or(Path::new(""), |venv| &venv.directory));
        let (major, minor) = app.venv.as_ref().and_then(|venv| venv.version).unwrap_or_default();
        fields.put_number(major.into());
        fields.put_number(minor.into());
        match &self.mount {
            Mount::Server => fields.put("server"),
            Mount::Auto => fields.put("auto"),
            Mount::At(path) => {
                fields.put("at");
                fields.put(path);
            }
            Mount::Handler { rest } => {
                fields.put("handler");
                fields.put_number(*rest as u64);
            }
        }
        fields.put_number(u64::from(self.form == Form::Nph));
        fields.put_number(
            self.timeout.map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)),
        );
        fields.put(self.max_body.map(|max| max.to_string()).unwrap_or_default());
        fields.put_number(u64::from(self.debug));
        fields.put(self.timed_since.map(|start| start.to_nanos().to_string()).unwrap_or_default());
        OsString::from_vec(fields.0)
    }

    /// Reads what [`Self::encode`] wrote, or says why it cannot.
    pub fn decode(text: &[u8]) -> Result<Self, String> {
        let mut fields = Reader(text);
        let identity = fields.text().unwrap_or_default();
        if identity != IDENTITY {
            return Err(format!(
                "cgi2wsgi is {identity:?} and cgi2wsgi-python is {IDENTITY:?}: install both from \
                 one build"
            ));
        }
        fields.handoff().ok_or_else(|| format!("{VARIABLE} is damaged"))
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn put(&mut self, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.0.extend_from_slice(value.len().to_string().as_bytes());
        self.0.push(b':');
        self.0.extend_from_slice(value);
    }

    fn put_number(&mut self, number: u64) {
        self.put(number.to_string());
    }

    fn put_path(&mut self, path: &Path) {
        self.put(path.as_os_str().as_bytes());
    }
}

struct Reader<'t>(&'t [u8]);

impl Reader<'_> {
    fn bytes(&mut self) -> Option<Vec<u8>> {
        let colon = self.0.iter().position(|byte| *byte == b':')?;
        let length = std::str::from_utf8(&self.0[..colon]).ok()?.parse().ok()?;
        let (value, rest) = self.0[colon + 1..].split_at_checked(length)?;
        self.0 = rest;
        Some(value.to_vec())
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    fn path(&mut self) -> Option<PathBuf> {
        Some(OsString::from_vec(self.bytes()?).into())
    }

    fn number<N: std::str::FromStr>(&mut self) -> Option<N> {
        self.text()?.parse().ok()
    }

    fn switch(&mut self) -> Option<bool> {
        Some(self.number::<u8>()? != 0)
    }

    fn handoff(&mut self) -> Option<Handoff> {
        let source = match self.text()?.as_str() {
            "file" => Source::File(self.path()?),
            _ => Source::Module(self.text()?),
        };
        let callable = Callable { attributes: self.text()?, is_factory: self.switch()? };
        let directory = self.path()?;
        let count: usize = self.number()?;
        let import_directories = (0..count).map(|_| self.path()).collect::<Option<_>>()?;
        let venv_directory = self.path()?;
        let version = Some((self.number()?, self.number()?)).filter(|version| *version != (0, 0));
        let venv = Some(Venv { directory: venv_directory, version })
            .filter(|venv| !venv.directory.as_os_str().is_empty());
        let mount = match self.text()?.as_str() {
            "server" => Mount::Server,
            "auto" => Mount::Auto,
            "at" => Mount::At(self.bytes()?),
            _ => Mount::Handler { rest: self.number()? },
        };
        let form = if self.switch()? { Form::Nph } else { Form::Cgi };
        let timeout = Some(self.number()?).filter(|nanos| *nanos > 0).map(Duration::from_nanos);
        let max_body = self.text()?.parse().ok();
        let debug = self.switch()?;
        let timed_since = self.text()?.parse().ok().map(Moment::from_nanos);
        let application = Application { source, callable, directory, import_directories, venv };
        Some(Handoff { application, mount, form, timeout, max_body, debug, timed_since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handoff() -> Handoff {
        Handoff {
            application: Application {
                source: Source::File("/srv/ü:b\n.py".into()),
                callable: Callable { attributes: "a.b".into(), is_factory: true },
                directory: "/srv".into(),
                import_directories: vec!["/x".into(), OsString::from_vec(vec![b'/', 0xff]).into()],
                venv: Some(Venv { directory: "/srv/.venv".into(), version: Some((3, 11)) }),
            },
            mount: Mount::At(b"/app".to_vec()),
            form: Form::Nph,
            timeout: Some(Duration::from_millis(2500)),
            max_body: Some(0),
            debug: true,
            timed_since: Some(Moment::from_nanos(1_234_567_890_123)),
        }
    }

    #[test]
    fn what_is_handed_off_arrives() {
        let mut sent = handoff();
        assert_eq!(Handoff::decode(sent.encode().as_bytes()), Ok(sent.clone()));
        sent.application.source = Source::Module("a.b".into());
        sent.application.venv = None;
        sent.mount = Mount::Handler { rest: 7 };
        (sent.timeout, sent.max_body, sent.debug, sent.form) = (None, None, false, Form::Cgi);
        sent.timed_since = None;
        assert_eq!(Handoff::decode(sent.encode().as_bytes()), Ok(sent));
    }

    #[test]
    fn damage_and_another_build_are_errors() {
        let text = handoff().encode().into_vec();
        for end in 0..text.len() {
            assert!(Handoff::decode(&text[..end]).is_err(), "{end}");
        }
        let other = Handoff::decode(b"16:cgi2wsgi 0.0.1 1").expect_err("another build");
        assert!(other.contains("install both from one build"), "{other}");
    }
}
