//! A CGI program at a URL, in whichever server.

use std::path::PathBuf;

use crate::stage::{Application, Stage};

/// A CGI program, where it is mounted, and the variables that the server is told to set for it.
pub(crate) struct CgiSite {
    pub(crate) mount: String,
    pub(crate) program: PathBuf,
    pub(crate) variables: Vec<(String, String)>,
}

impl CgiSite {
    pub(crate) fn new(mount: &str, program: PathBuf) -> Self {
        Self { mount: mount.to_owned(), program, variables: Vec::new() }
    }

    /// An application under cgi2wsgi.
    pub(crate) fn cgi2wsgi(stage: &Stage, mount: &str, application: &Application) -> Self {
        let Application { directory, module, callable } = application;
        Self::new(mount, stage.path("bin/cgi2wsgi"))
            .set("CGI2WSGI_APP", &format!("{module}:{callable}"))
            .set("CGI2WSGI_CHDIR", &stage.path(directory).display().to_string())
            .set("CGI2WSGI_VENV", &stage.python_env().display().to_string())
            .of_site(stage)
    }

    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With the variables that the Flask and the Django site look at.
    pub(crate) fn of_site(self, stage: &Stage) -> Self {
        let variables = stage.site_variables();
        variables.iter().fold(self, |site, (name, value)| site.set(name, &value.to_string_lossy()))
    }

    /// Answered by a zygote's child.
    pub(crate) fn warm(self, stage: &Stage) -> Self {
        let variables = stage.warm_variables();
        variables.iter().fold(self, |site, (name, value)| site.set(name, value))
    }
}
