//! What Django answers without a word in the log, or without a word of what to do (M7). Looks at its settings.

use cgi2wsgi::cgi::request::{Request, Scheme};
use cgi2wsgi::cgi::variables::Variables;
use cgi2wsgi::handoff::Application;
use cgi2wsgi::report;
use pyo3::prelude::*;

use super::imported;
use crate::python::exception::{log_exception, summary};
use crate::python::remedies;

/// Django's settings.
pub(super) struct Django<'py>(Bound<'py, PyAny>);

impl<'py> Django<'py> {
    pub(super) fn find(py: Python<'py>) -> PyResult<Option<Self>> {
        if imported(py, "django.core.handlers.base")?.is_none() {
            return Ok(None);
        }
        let Some(conf) = imported(py, "django.conf")? else { return Ok(None) };
        let settings = conf.getattr("settings")?;
        let is_configured = settings.getattr("configured")?.is_truthy()?;
        Ok(is_configured.then_some(Self(settings)))
    }

    pub(super) fn debugs(&self) -> bool {
        self.0.getattr("DEBUG").is_ok_and(|debug| debug.is_truthy().unwrap_or(true))
    }

    fn module(&self) -> String {
        let name = self.0.getattr("SETTINGS_MODULE").and_then(|name| name.extract());
        name.unwrap_or_else(|_| "the settings".to_owned())
    }

    /// A host that Django refuses.
    pub(super) fn tell_host(&self, variables: &Variables) -> PyResult<()> {
        if self.debugs() {
            return Ok(());
        }
        let given = variables.get("HTTP_HOST").or(variables.get("SERVER_NAME")).unwrap_or_default();
        let given = String::from_utf8_lossy(given);
        let request = self.0.py().import("django.http.request")?;
        let (host, _): (String, String) =
            request.call_method1("split_domain_port", (&*given,))?.extract()?;
        let allowed = self.0.getattr("ALLOWED_HOSTS")?;
        if request.call_method1("validate_host", (&host, &allowed))?.is_truthy()? {
            return Ok(());
        }
        report::warning(&format!(
            "Django answered 400, because the host {given:?} is not in ALLOWED_HOSTS, {}: add it in {} if the \
             site has that name",
            allowed.repr()?,
            self.module()
        ));
        Ok(())
    }

    /// Whether Django's record of an error reaches anything except its mail to the administrators.
    fn is_logged(&self) -> PyResult<bool> {
        let logging = self.0.py().import("logging")?;
        let mut logger = logging.call_method1("getLogger", ("django.request",))?;
        if logger.getattr("disabled")?.is_truthy()? {
            return Ok(false);
        }
        let is_a = |object: &Bound<'_, PyAny>, kind: &str| {
            object.get_type().name().is_ok_and(|name| name == kind)
        };
        while !logger.is_none() {
            for handler in logger.getattr("handlers")?.try_iter()? {
                let handler = handler?;
                let mut filters = handler.getattr("filters")?.try_iter()?;
                let is_closed =
                    filters.any(|filter| filter.is_ok_and(|it| is_a(&it, "RequireDebugTrue")));
                if !is_closed && !is_a(&handler, "AdminEmailHandler") {
                    return Ok(true);
                }
            }
            if !logger.getattr("propagate")?.is_truthy()? {
                break;
            }
            logger = logger.getattr("parent")?;
        }
        Ok(false)
    }

    /// An exception that Django has caught.
    pub(super) fn tell_error(&self, error: &PyErr, application: &Application) -> PyResult<()> {
        let py = self.0.py();
        let remedy = remedies::remedy(py, error, application, false).unwrap_or_default();
        let is_logged = self.debugs() || self.is_logged()?;
        if is_logged && remedy.is_empty() {
            return Ok(());
        }
        let summary =
            if is_logged { summary(py, error) } else { log_exception(py, error, false).summary };
        let reason = if is_logged {
            String::new()
        } else {
            format!(
                " and does not log itself, because DEBUG is off and LOGGING in {} has no handler for the logger \
                 django.request",
                self.module()
            )
        };
        let summary = summary.trim_end_matches('.');
        report::warning(&format!("{summary}, which Django caught (answered 500){reason}{remedy}"));
        Ok(())
    }

    fn has(&self, setting: &str, value: &str) -> bool {
        self.0.getattr(setting).is_ok_and(|all| all.contains(value).unwrap_or(false))
    }

    /// Whether Django takes this request for one by https.
    fn is_secure(&self, request: &Request) -> bool {
        let header: Option<(String, String)> =
            self.0.getattr("SECURE_PROXY_SSL_HEADER").ok().and_then(|it| it.extract().ok());
        let by_header = header
            .is_some_and(|(name, value)| request.variables.get(&name) == Some(value.as_bytes()));
        request.scheme == Scheme::Https || by_header
    }

    /// The lines that make Django believe a proxy.
    fn behind_a_proxy(&self) -> String {
        format!(
            "if that proxy sets X-Forwarded-Proto itself, write SECURE_PROXY_SSL_HEADER = \
             (\"HTTP_X_FORWARDED_PROTO\", \"https\") in {}",
            self.module()
        )
    }

    /// A redirect to https that never ends, because a proxy has ended TLS.
    pub(super) fn tell_redirect(&self, request: &Request) -> PyResult<()> {
        let proto = request.variables.get("HTTP_X_FORWARDED_PROTO");
        let redirects = self.0.getattr("SECURE_SSL_REDIRECT")?.is_truthy()?;
        if redirects && proto == Some(b"https") && !self.is_secure(request) {
            report::warning(&format!(
                "Django redirects to https (SECURE_SSL_REDIRECT), but X-Forwarded-Proto says that a proxy has \
                 received this request by https, so that the redirect never ends: {}",
                self.behind_a_proxy()
            ));
        }
        Ok(())
    }

    /// A form whose origin Django's check against cross-site requests refuses, because a proxy has ended TLS.
    pub(super) fn tell_origin(&self, request: &Request) {
        let text = |name: &str| {
            String::from_utf8_lossy(request.variables.get(name).unwrap_or_default()).into_owned()
        };
        let (origin, host) = (text("HTTP_ORIGIN"), text("HTTP_HOST"));
        let is_checked = self.has("MIDDLEWARE", "django.middleware.csrf.CsrfViewMiddleware")
            && !["GET", "HEAD", "OPTIONS", "TRACE"].contains(&text("REQUEST_METHOD").as_str());
        if is_checked
            && !host.is_empty()
            && origin == format!("https://{host}")
            && !self.is_secure(request)
            && !self.has("CSRF_TRUSTED_ORIGINS", &origin)
        {
            report::warning(&format!(
                "Django answered 403, and its CSRF check refuses the origin {origin:?} of a request that it takes \
                 for one by http, as behind a proxy that ends TLS: {}; or write CSRF_TRUSTED_ORIGINS = [{origin:?}]",
                self.behind_a_proxy()
            ));
        }
    }

    /// A static file, which Django does not serve with DEBUG off.
    pub(super) fn tell_static(&self, variables: &Variables) -> PyResult<()> {
        let url: String = self.0.getattr("STATIC_URL")?.extract().unwrap_or_default();
        let text = |name: &str| {
            String::from_utf8_lossy(variables.get(name).unwrap_or_default()).into_owned()
        };
        let path = text("SCRIPT_NAME") + &text("PATH_INFO");
        let has_whitenoise = self
            .0
            .getattr("MIDDLEWARE")?
            .try_iter()?
            .any(|name| name.is_ok_and(|name| name.to_string().contains("whitenoise")));
        let is_static = url.starts_with('/') && url.len() > 1 && path.starts_with(&url);
        if self.debugs()
            || has_whitenoise
            || !is_static
            || !self.has("INSTALLED_APPS", "django.contrib.staticfiles")
        {
            return Ok(());
        }
        let root = self.0.getattr("STATIC_ROOT")?;
        let root = if root.is_truthy()? {
            format!("{}", root.str()?)
        } else {
            format!("not set in {}", self.module())
        };
        report::warning(&format!(
            "Django answered 404 for {path:?}, because it serves no static files with DEBUG off: collect them into \
             STATIC_ROOT ({root}) with manage.py collectstatic, and let the server serve {url} from there, or add WhiteNoise"
        ));
        Ok(())
    }
}
