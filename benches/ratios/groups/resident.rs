//! What a resident server gives: the same applications under gunicorn and under `mod_wsgi`, over the loopback interface;
//! and what Apache adds to a CGI program.

use anyhow::{Result, ensure};

use crate::Bench;
use crate::http::Visit;
use crate::packages::APACHE;
use crate::report::{Of, Section};
use crate::sampling::interleave;
use crate::servers::cgi_site::CgiSite;
use crate::servers::{apache, gunicorn, mod_wsgi};
use crate::stage::{Application, DJANGO, FLASK, HELLO, Stage, VERSION};
use crate::subject::GREETING;
use crate::subject::{Output, Subject};

const ROUNDS: usize = 30;

const APPLICATIONS: [(&str, &Application, &str); 3] =
    [("hello", &HELLO, GREETING), ("Flask", &FLASK, "</html>"), ("Django", &DJANGO, "Ada")];

pub(crate) fn prepare(bench: &Bench) -> Result<()> {
    APACHE.program()?;
    mod_wsgi::module_file()?;
    gunicorn::executable(&bench.stage).map(drop)
}

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let stage = &bench.stage;
    let mut named = APPLICATIONS.map(|(name, application, _)| (name, application)).to_vec();
    named.push(("version", &VERSION));
    let mod_wsgi = mod_wsgi::start(stage, &named)?;
    same_python(stage, mod_wsgi.port)?;
    let mut sites = vec![CgiSite::new("/floor", stage.path("bin/floor"))];
    sites.extend(
        APPLICATIONS.map(|(name, application, _)| {
            CgiSite::cgi2wsgi(stage, &format!("/{name}"), application)
        }),
    );
    let apache = apache::with_cgi(stage, "apache", &sites)?;
    let mut gunicorns = Vec::new();
    let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
    for (name, application, expected) in APPLICATIONS {
        let gunicorn = gunicorn::start(stage, application)?;
        let cold = stage.with_site(stage.cgi2wsgi(&format!("cold {name}"), application));
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
    let floor = "mod_cgid: C program";
    subjects.push(Box::new(Visit::new(floor, apache.port, "/floor", GREETING)));
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
            let (ours, peer) = (format!("cold {name}"), format!("{server} {name}"));
            section.compare(Of::Medians, &ours, &peer, "")?;
        }
    }
    section.compare(Of::Medians, "mod_cgid: cold hello", floor, "")?;
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
