//! What a resident server gives: the same applications under gunicorn and under `mod_wsgi`, over the loopback interface;
//! and what Apache adds to a CGI program.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use crate::Bench;
use crate::cold::{DJANGO, FLASK, HELLO, with_site};
use crate::http::Visit;
use crate::report::{Section, Target};
use crate::sampling::interleave;
use crate::servers;
use crate::stage::{Application, Stage, VERSION};
use crate::subject::{Output, Subject};

const ROUNDS: usize = 40;

const APPLICATIONS: [(&str, &Application, &str); 3] = [
    ("hello", &HELLO, "Hello, world!\n"),
    ("Flask", &FLASK, "</html>"),
    ("Django", &DJANGO, "Ada"),
];

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let stage = &bench.stage;
    let mut named = APPLICATIONS.map(|(name, application, _)| (name, application)).to_vec();
    named.push(("version", &VERSION));
    let mod_wsgi = servers::apache(stage, "mod-wsgi", &servers::mod_wsgi_sites(stage, &named)?)?;
    same_python(stage, mod_wsgi.port)?;
    let apache = servers::apache(stage, "apache", &cgi_sites(stage)?)?;
    let mut gunicorns = Vec::new();
    let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
    for (name, application, expected) in APPLICATIONS {
        let gunicorn = servers::gunicorn(stage, application)?;
        let cold = with_site(stage, stage.cgi2wsgi(&format!("cold {name}"), application));
        subjects.push(Box::new(cold.output(Output::Read(expected))));
        let path = format!("/{name}/");
        let visit = |server: &str, port, path: &str| {
            Box::new(Visit::new(&format!("{server} {name}"), port, path, expected))
        };
        subjects.push(visit("gunicorn", gunicorn.port, "/"));
        subjects.push(visit("mod_wsgi", mod_wsgi.port, &path));
        subjects.push(visit("mod_cgid: cold", apache.port, &path));
        gunicorns.push(gunicorn);
    }
    let hello = APPLICATIONS[0].2;
    let floor = "mod_cgid: C program";
    subjects.push(Box::new(Visit::new(floor, apache.port, "/floor", hello)));
    let subjects: Vec<&dyn Subject> = subjects.iter().map(AsRef::as_ref).collect();
    let mut section = Section {
        title: "What a resident server gives",
        about: "One client, a new connection for each request, over the loopback interface. gunicorn has one worker, \
                mod_wsgi one daemon process for each application; both have imported it before. The rows with mod_cgid \
                are CGI programs behind the same Apache: what a visitor waits for."
            .to_owned(),
        series: interleave(&subjects, bench.rounds(ROUNDS))?,
        ..Section::default()
    };
    for (name, ..) in APPLICATIONS {
        for server in ["gunicorn", "mod_wsgi"] {
            section.compare(
                &format!("cold {name}"),
                &format!("{server} {name}"),
                Target::None,
                "",
            )?;
        }
    }
    section.compare("mod_cgid: cold hello", floor, Target::None, "")?;
    section.tabulate();
    Ok(section)
}

/// Fails unless `mod_wsgi` runs the Python that everything else here runs.
fn same_python(stage: &Stage, port: u16) -> Result<()> {
    let answer = Visit::new("version", port, "/version", "").answer()?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let expected = stage.python_version()?;
    ensure!(
        text.contains(&expected),
        "mod_wsgi is for another Python than {expected}: leave PYTHON out, so that all run the system's. It \
         answered:\n{text}"
    );
    Ok(())
}

/// The applications as CGI programs, by the configuration that users are given.
fn cgi_sites(stage: &Stage) -> Result<String> {
    let mut sites = format!("ScriptAlias /floor \"{}\"\n", stage.path("bin/floor").display());
    sites += "<Location /floor>\n    Require all granted\n    SetEnv ap_trust_cgilike_cl 1\n</Location>\n";
    for (name, application, _) in APPLICATIONS {
        let Application { directory, module, callable } = application;
        writeln!(sites, "Define MOUNT /{name}")?;
        writeln!(sites, "Define CGI2WSGI \"{}\"", stage.path("bin/cgi2wsgi").display())?;
        writeln!(sites, "Include \"{}\"", stage.path("apache/site.conf").display())?;
        writeln!(sites, "<Location /{name}>")?;
        let mut set =
            |variable: &str, value: &str| writeln!(sites, "    SetEnv {variable} \"{value}\"");
        set("CGI2WSGI_APP", &format!("{module}:{callable}"))?;
        set("CGI2WSGI_CHDIR", &stage.path(directory).display().to_string())?;
        set("CGI2WSGI_VENV", &stage.python_env().display().to_string())?;
        for (variable, value) in stage.site_variables() {
            set(variable, &value.display().to_string())?;
        }
        writeln!(sites, "</Location>")?;
    }
    Ok(sites)
}
