//! What is run for a site and how it answers: the same for all requests.

use super::application::Application;
use super::encoding::{Reader, Writer};
use crate::cgi::head::Form;
use crate::cgi::mount::Mount;

/// Everything that the operator has decided and that a worker must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What to run.
    pub application: Application,
    /// Where its public root is.
    pub mount: Mount,
    /// The form of the response.
    pub form: Form,
    /// The largest request body, in bytes.
    pub max_body: Option<u64>,
    /// Whether visitors see tracebacks.
    pub debug: bool,
    /// Whether `--timeout` is given: the worker must then be able to show where it hangs.
    pub has_timeout: bool,
}

impl Service {
    /// The bytes of it.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Writer::default();
        self.application.write(&mut fields);
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
        fields.put_number(self.form == Form::Nph);
        fields.put_optional(self.max_body);
        fields.put_number(self.debug);
        fields.put_number(self.has_timeout);
        fields.into_bytes()
    }

    /// What [`Self::encode`] gave, or nothing if it is damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes);
        let application = Application::read(&mut fields)?;
        let mount = match fields.text()? {
            "server" => Mount::Server,
            "auto" => Mount::Auto,
            "at" => Mount::At(fields.bytes()?.to_vec()),
            "handler" => Mount::Handler { rest: fields.number()? },
            _ => return None,
        };
        let form = if fields.switch()? { Form::Nph } else { Form::Cgi };
        let max_body = fields.optional()?;
        let (debug, has_timeout) = (fields.switch()?, fields.switch()?);
        fields.is_at_end().then_some(Self {
            application,
            mount,
            form,
            max_body,
            debug,
            has_timeout,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::super::application::{Callable, Source};
    use super::*;

    pub(crate) fn service() -> Service {
        Service {
            application: Application {
                source: Source::File("/srv/ü:b\n.py".into()),
                callable: Callable { attributes: "a.b".into(), is_factory: true },
                directory: "/srv".into(),
                import_directories: vec!["/x".into(), OsString::from_vec(vec![b'/', 0xff]).into()],
                venv: Some("/srv/.venv".into()),
            },
            mount: Mount::At(b"/app".to_vec()),
            form: Form::Nph,
            max_body: Some(0),
            debug: true,
            has_timeout: true,
        }
    }

    #[test]
    fn a_service_arrives_as_it_was_sent() {
        let mut sent = service();
        assert_eq!(Service::decode(&sent.encode()), Some(sent.clone()));
        sent.application.source = Source::Module("a.b".into());
        sent.application.venv = None;
        sent.mount = Mount::Handler { rest: 7 };
        (sent.max_body, sent.debug, sent.form, sent.has_timeout) = (None, false, Form::Cgi, false);
        assert_eq!(Service::decode(&sent.encode()), Some(sent));
    }

    #[test]
    fn a_damaged_service_is_none() {
        let bytes = service().encode();
        for end in 0..bytes.len() {
            assert_eq!(Service::decode(&bytes[..end]), None, "{end}");
        }
    }
}
