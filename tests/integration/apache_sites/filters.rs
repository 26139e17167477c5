//! Input filters of Apache, which change a body's length but not `CONTENT_LENGTH` (B9).

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::{Row, ask, expect, quoted};
use crate::harness::exchange::Answer;
use crate::harness::http::{Body, Request};
use crate::harness::server::{Kind, WebServer};
use crate::harness::stage::Stage;

pub(super) const MODULES: &[&str] = &["deflate", "sed"];

/// The sites' part of the server's configuration: `/plain`, `/inflated`, `/limited` and `/edited`, each also with
/// `--warm`.
pub(super) fn make_filtered_sites(stage: &Stage, kind: Kind) -> Result<String> {
    let mut site = String::new();
    let filters = [
        ("plain", ""),
        ("inflated", "    SetInputFilter DEFLATE\n"),
        ("limited", "    SetInputFilter DEFLATE\n    SetEnv CGI2WSGI_MAX_BODY 1000000\n"),
        (
            "edited",
            "    SetInputFilter Sed\n    InputSed \"s/a/aaaa/g\"\n    InputSed \"s/b//g\"\n",
        ),
    ];
    for (name, filter) in filters {
        for warm in [false, true] {
            let url = if warm { format!("/{name}-warm") } else { format!("/{name}") };
            writeln!(site, "ScriptAlias {url} {}", quoted(&stage.bridge())?)?;
            writeln!(site, "<Location {url}>\n    Require all granted\n{filter}")?;
            let application = stage.path("applications/filtered.py");
            writeln!(site, "    SetEnv CGI2WSGI_APP {}", quoted(&application)?)?;
            writeln!(site, "    SetEnv CGI2WSGI_VENV {}", quoted(stage.python_env())?)?;
            if warm {
                writeln!(site, "    SetEnv CGI2WSGI_WARM 1\n    SetEnv CGI2WSGI_WARM_IDLE 15")?;
                writeln!(
                    site,
                    "    SetEnv XDG_RUNTIME_DIR {}",
                    quoted(&stage.runtime(kind, "filters")?)?
                )?;
            }
            writeln!(site, "</Location>")?;
        }
    }
    Ok(site)
}

/// Compresses a body as a client does.
fn gzip(body: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new("gzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("there is no gzip")?;
    let mut stdin = child.stdin.take().context("no pipe")?;
    let body = body.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(&body));
    let output = child.wait_with_output().context("gzip does not end")?;
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    ensure!(output.status.success(), "gzip failed");
    Ok(output.stdout)
}

/// Bytes that cannot be compressed.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(size).collect()
}

/// Bytes that gzip compresses to a fifth: at a higher ratio the filter assumes an attack.
fn numbers(count: usize) -> Vec<u8> {
    let mut text = String::new();
    for number in 0..count {
        let _ = writeln!(text, "{number}");
    }
    text.into_bytes()
}

/// A body that is as long as its gzip form.
fn equal() -> Result<(Vec<u8>, Vec<u8>)> {
    for count in 0..200 {
        let body = [noise(100), vec![b'a'; count]].concat();
        let zipped = gzip(&body)?;
        if zipped.len() == body.len() {
            return Ok((body, zipped));
        }
    }
    bail!("no body is as long as its gzip form")
}

const WAYS: &[&str] = &["read", "pieces", "lines", "length"];

/// Checks that the application finds `body`, and correct variables.
fn finds(
    server: &WebServer,
    target: &str,
    request: &Request,
    body: &[u8],
    length: usize,
    encoding: &str,
) -> Result<()> {
    let request = Request { target: target.into(), ..request.clone() };
    let facts = format!("{} {length} {encoding}\n", body.len());
    let check =
        |answer: &Answer| answer.status(200)?.body([facts.as_bytes(), body].concat()).map(drop);
    expect(&ask(server, &request)?, check).with_context(|| target.to_owned())
}

fn sent_as_gzip(zipped: Vec<u8>) -> Request {
    Request::post("", zipped).header("Content-Encoding", "gzip")
}

const STARTS: &[&str] = &["", "-warm"];

fn inflated(server: &WebServer) -> Result<()> {
    let pair = |body: Vec<u8>| gzip(&body).map(|zipped| (body, zipped));
    let bodies = [pair(numbers(300_000))?, pair(noise(3000))?, equal()?, pair(Vec::new())?];
    for (body, zipped) in bodies {
        for start in STARTS {
            for way in WAYS {
                let target = format!("/inflated{start}/{way}");
                let request = sent_as_gzip(zipped.clone());
                finds(server, &target, &request, &body, body.len(), "None")?;
            }
        }
    }
    Ok(())
}

fn inflated_chunks(server: &WebServer) -> Result<()> {
    let body = numbers(100_000);
    let chunks = gzip(&body)?.chunks(10_000).map(<[u8]>::to_vec).collect();
    let request = sent_as_gzip(Vec::new()).body(Body::Chunked(chunks));
    finds(server, "/inflated/read", &request, &body, body.len(), "None")
}

fn not_inflated(server: &WebServer) -> Result<()> {
    let zipped = gzip(&numbers(300_000))?;
    for start in STARTS {
        for way in WAYS {
            let target = format!("/plain{start}/{way}");
            let request = sent_as_gzip(zipped.clone());
            finds(server, &target, &request, &zipped, zipped.len(), "gzip")?;
        }
    }
    Ok(())
}

fn too_large(server: &WebServer) -> Result<()> {
    let zipped = gzip(&numbers(300_000))?;
    ensure!(zipped.len() < 1_000_000, "the compressed body is too large for the limit");
    for start in STARTS {
        let request = sent_as_gzip(zipped.clone());
        let request = Request { target: format!("/limited{start}/read").into(), ..request };
        expect(&ask(server, &request)?, |answer| answer.status(413).map(drop)).context(start)?;
    }
    Ok(())
}

fn unread(server: &WebServer) -> Result<()> {
    let zipped = sent_as_gzip(gzip(&numbers(300_000))?);
    // Short lines, because mod_sed is very slow on one long line.
    let lines = Request::post("", "ca\n".repeat(300_000));
    for (site, request) in [("inflated", zipped), ("edited", lines)] {
        for start in STARTS {
            let target = format!("/{site}{start}/ignore");
            let request = Request { target: target.clone().into(), ..request.clone() };
            expect(&ask(server, &request)?, |answer| {
                let found = &answer.status(200)?.body;
                ensure!(found.ends_with(&vec![b'x'; 300_000]), "another body");
                Ok(())
            })
            .context(target)?;
        }
    }
    Ok(())
}

fn edited(server: &WebServer) -> Result<()> {
    for (sent, found) in [
        ("cac\n".repeat(5), "caaaac\n".repeat(5)),
        ("ca\n".repeat(200_000), "caaaa\n".repeat(200_000)),
        ("cc\n".repeat(9000), "cc\n".repeat(9000)),
    ] {
        for start in STARTS {
            for way in &WAYS[..3] {
                let target = format!("/edited{start}/{way}");
                let request = Request::post("", sent.as_str());
                finds(server, &target, &request, found.as_bytes(), sent.len(), "None")?;
            }
        }
    }
    Ok(())
}

fn shortened(server: &WebServer) -> Result<()> {
    for start in STARTS {
        for way in WAYS {
            let request = Request::post(format!("/edited{start}/{way}"), "cbbbc\n".repeat(9000));
            let answer = ask(server, &request)?;
            expect(&answer, |answer| answer.status(400).map(drop)).context(way)?;
        }
    }
    Ok(())
}

pub(super) const ROWS: &[Row] = &[
    (
        "a body that Apache has inflated arrives whole, longer, shorter or as long as before",
        inflated,
    ),
    ("a body in chunks that Apache has inflated arrives whole", inflated_chunks),
    ("a compressed body that Apache does not inflate arrives unchanged", not_inflated),
    ("a body that Apache has inflated beyond --max-body is a 413", too_large),
    ("an unread body that a filter has made longer does not block the response", unread),
    ("a body that a filter has made longer is read to its end", edited),
    ("a body that a filter has made shorter is a 400", shortened),
];
