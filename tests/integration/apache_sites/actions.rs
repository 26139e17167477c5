//! E18: `Action` runs the file that the URL names, and never another file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{Row, ask, expect, get, has_line};
use crate::harness::exchange::Answer;
use crate::harness::http::Request;
use crate::harness::stage::Stage;

/// Applications and other files for `Action`.
pub(super) fn make_actions(stage: &Stage, directory: &Path) -> Result<PathBuf> {
    fs::create_dir_all(directory).context("cannot make the directory of Action")?;
    let listing = fs::read(stage.path("fixtures/show_environ.py")).context("no fixture")?;
    for name in ["show.wsgi", "show.wsgi.txt", "show.txt"] {
        fs::write(directory.join(name), &listing).context("cannot write an application")?;
    }
    Ok(directory.to_owned())
}

fn refused(answer: &Answer) -> Result<()> {
    expect(answer, |answer| answer.status(403)?.lacks("SCRIPT_NAME=")?.lacks("root:").map(drop))
}

pub(super) const ROWS: &[Row] = &[
    ("Action runs the file of the URL, which is SCRIPT_NAME", |server| {
        expect(&get(server, "/a/show.wsgi?q=1")?, |answer| {
            answer.status(200)?;
            has_line(answer, "SCRIPT_NAME=/a/show.wsgi")?;
            has_line(answer, "PATH_INFO=")?;
            has_line(answer, "QUERY_STRING=q=1")
        })
    }),
    ("Action keeps the path after the file", |server| {
        expect(&get(server, "/a/show.wsgi/p/q%20r")?, |answer| {
            answer.status(200)?;
            has_line(answer, "SCRIPT_NAME=/a/show.wsgi")?;
            has_line(answer, "PATH_INFO=/p/q r")
        })
    }),
    ("a direct call of Action's program is refused", |server| {
        for path in ["", "/", "/etc/passwd", "/a/show.wsgi", "/a/show.wsgi/p"] {
            refused(&get(server, &format!("/cgi-bin/cgi2wsgi{path}"))?).context(path)?;
        }
        Ok(())
    }),
    ("a path traversal through Action finds no other file", |server| {
        for path in [
            "/a/show.wsgi/../../../../../../etc/passwd",
            "/a/show.wsgi/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
            "/a/show.wsgi/..%2f..%2f..%2f..%2fetc/passwd",
            "/a/../../../etc/passwd",
            "/cgi-bin/cgi2wsgi/../../../etc/passwd",
            "/cgi-bin/cgi2wsgi/a/%2e%2e/%2e%2e/etc/passwd",
        ] {
            let answer = get(server, path)?;
            expect(&answer, |answer| {
                ensure!((400..500).contains(&answer.head.status), "{}", answer.head.status);
                answer.lacks("root:")?.lacks("SCRIPT_NAME=").map(drop)
            })
            .context(path)?;
        }
        Ok(())
    }),
    // Apache's AddHandler looks at every suffix of a name.
    ("a file that ends in .txt is not run, though .wsgi is in its name", |server| {
        refused(&get(server, "/a/show.wsgi.txt")?)
    }),
    ("a missing application is Apache's 404", |server| {
        expect(&get(server, "/a/nothing.wsgi")?, |answer| answer.status(404).map(drop))
    }),
    ("headers that imitate Apache's variables of a redirection are ignored", |server| {
        for path in ["/a/show.wsgi", "/etc/passwd"] {
            let request = Request::get(format!("/cgi-bin/cgi2wsgi{path}"))
                .header("Redirect-Handler", "wsgi")
                .header("Redirect-Status", "200")
                .header("Redirect-URL", path)
                .header("REDIRECT_HANDLER", "wsgi")
                .header("Path-Translated", path);
            refused(&ask(server, &request)?).context(path)?;
        }
        Ok(())
    }),
];
