//! The first request after an edit: warm, where the zygote has to import the application anew, and cold.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::Bench;
use crate::process::{PATIENCE, until};
use crate::processes::{self, AT_REST};
use crate::report::{Of, Section};
use crate::sampling::interleave;
use crate::stage::{Application, DJANGO, HELLO, Stage};
use crate::subject::{Program, Sample, Subject};

const ROUNDS: usize = 30;

/// Name, the application under a copy of the fixtures for warm and for cold, and a file that its import loads.
const SITES: &[(&str, [Application; 2], &str)] = &[
    (
        "hello",
        [
            Application { directory: "edited-warm", ..HELLO },
            Application { directory: "edited-cold", ..HELLO },
        ],
        "hello.py",
    ),
    (
        "Django",
        [
            Application { directory: "edited-warm/django_site", ..DJANGO },
            Application { directory: "edited-cold/django_site", ..DJANGO },
        ],
        "guestbook/models.py",
    ),
];

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let stage = &bench.stage;
    for copy in ["edited-warm", "edited-cold"] {
        stage.copy("fixtures", copy)?;
    }
    let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
    for (name, [warm, cold], file) in SITES {
        let request = |kind: &str, application: &Application| {
            let title = format!("first after an edit: {kind} {name}");
            small(stage, stage.cgi2wsgi(&title, application))
        };
        let edited = |application: &Application| stage.path(application.directory).join(file);
        let mark = format!("EDITED={name}");
        let warm_start = stage.warm(request("warm", warm)).env("EDITED", name);
        subjects.push(Box::new(Edited {
            program: warm_start.clone(),
            file: edited(warm),
            zygote: Some(mark),
        }));
        subjects.push(Box::new(Edited {
            program: request("cold", cold),
            file: edited(cold),
            zygote: None,
        }));
        subjects.push(Box::new(warm_start.named(&format!("a later one: warm {name}"))));
    }
    let subjects: Vec<&dyn Subject> = subjects.iter().map(AsRef::as_ref).collect();
    let mut section = Section {
        title: "After an edit",
        about: "A comment is added to a module of the application before each request, so that Python compiles it \
                anew. With `--warm` the zygote that has imported it before ends, and the request waits for the next \
                one, which is idle before the next edit. Django answers its small view."
            .to_owned(),
        series: interleave(&subjects, bench.rounds(ROUNDS))?,
        ..Section::default()
    };
    for (name, ..) in SITES {
        let (ours, peer) = (
            format!("first after an edit: warm {name}"),
            format!("first after an edit: cold {name}"),
        );
        let later = section.share(&format!("a later one: warm {name}"), &peer)?;
        let held_back = format!(
            "The zygote imports as the peer does, and then forks: a warm request alone takes {later} of the peer's \
             time."
        );
        section.compare(Of::Medians, &ours, &peer, &held_back)?;
    }
    section.tabulate();
    Ok(section)
}

/// The small view of the Django site, or the greeting: whichever the program answers.
fn small(stage: &Stage, program: Program) -> Program {
    if program.title().ends_with("Django") { stage.ping(program) } else { program.greets() }
}

/// A request after an edit of a module.
struct Edited {
    program: Program,
    file: PathBuf,
    /// A variable of the zygote that is waited for afterwards.
    zygote: Option<String>,
}

impl Subject for Edited {
    fn name(&self) -> &str {
        self.program.title()
    }

    fn run(&self) -> Result<Sample> {
        let with_zygote =
            || self.zygote.as_deref().map(processes::with_variable).unwrap_or_default();
        let before = with_zygote();
        let mut file = File::options().append(true).open(&self.file).context("no file to edit")?;
        file.write_all(b"# An edit.\n").context("cannot edit a file")?;
        drop(file);
        let sample = self.program.run()?;
        if let Some(zygote) = &self.zygote {
            until(PATIENCE, "the end of the zygote from before the edit", || {
                let is_gone = !with_zygote().iter().any(|process| before.contains(process));
                Ok(is_gone.then_some(()))
            })?;
            processes::settled(zygote, AT_REST)?;
        }
        Ok(sample)
    }
}
