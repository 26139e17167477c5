//! R14: a response that is a file, by `wsgi.file_wrapper`.

use std::fs;

use anyhow::{Result, ensure};

use crate::harness::exchange::Answer;
use crate::harness::http::Request;
use crate::harness::server::Kind;
use crate::harness::stage::{DOWNLOAD_PATTERN, DOWNLOAD_SIZE};
use crate::harness::table::{Case, EVERYWHERE, WEB_SERVERS};

pub(crate) fn cases() -> Vec<Case> {
    let download = |sentence, servers, start: usize| {
        Case::new("R14", sentence, "download.py")
            .variable("DOWNLOAD", "{work}/download.bin")
            .get(&format!("?seek={start}"))
            .on(servers)
            .expect(move |answer| is_download_from(answer, start))
    };
    let kernels = || fs::read("/proc/version").unwrap_or_default();
    let files = |sentence, target: &str| Case::new("R14", sentence, "/files.py").get(target);
    vec![
        files(
            "wsgi.file_wrapper sends a file of /proc, whose size is reported as 0",
            "/of_the_kernel",
        )
        .expect(move |answer| answer.status(200)?.body(kernels()).map(drop)),
        files("wsgi.file_wrapper accepts a block size of None", "/of_any_block_size?none")
            .on(&[Kind::Shell])
            .expect(move |answer| answer.status(200)?.body(kernels()).map(drop)),
        files("wsgi.file_wrapper accepts a block size of -1", "/of_any_block_size?all")
            .on(&[Kind::Shell])
            .expect(move |answer| answer.status(200)?.body(kernels()).map(drop)),
        files("wsgi.file_wrapper accepts a block size of 0", "/of_any_block_size?nothing")
            .on(&[Kind::Shell])
            .expect(move |answer| answer.status(200)?.body(kernels()).map(drop)),
        files("wsgi.file_wrapper has the file's own attributes", "/with_attributes")
            .on(&[Kind::Shell])
            .expect(|answer| {
                let facts = "[True, True, 3, 100, [False, False, False, False]]";
                answer.status(200)?.body(facts).map(drop)
            }),
        files("Werkzeug sends the end of a file without reading up to it", "/range_of")
            .variable("LARGE", "{own}/large")
            .request(Request::get("/range_of").header("Range", "bytes=-4"))
            .expect(|answer| answer.status(206)?.body("last").map(drop)),
        download("wsgi.file_wrapper sends a file whole", EVERYWHERE, 0),
        download("wsgi.file_wrapper begins at the file's position", EVERYWHERE, 1_000_003),
        download(
            "wsgi.file_wrapper sends nothing of a file at its end",
            WEB_SERVERS,
            DOWNLOAD_SIZE,
        ),
    ]
}

fn is_download_from(answer: &Answer, start: usize) -> Result<()> {
    answer.status(200)?.exit_code(0)?;
    let expected = DOWNLOAD_PATTERN.iter().cycle().take(DOWNLOAD_SIZE).skip(start);
    ensure!(answer.body.len() == DOWNLOAD_SIZE - start, "{} bytes", answer.body.len());
    ensure!(answer.body.iter().eq(expected), "the body differs from the file");
    Ok(())
}
