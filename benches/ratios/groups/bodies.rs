//! 1 GiB each way, and how much memory that takes.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::Bench;
use crate::groups::peak;
use crate::report::{Of, Section};
use crate::sampling::{interleave, programs};
use crate::stage::{Application, HELLO};
use crate::subject::{Input, Output, Program};

const ROUNDS: usize = 30;
const SIZE: u64 = 1 << 30;
const CHUNK: u64 = 16 << 10;

pub(crate) const DOWNLOAD: Application =
    Application { directory: "programs", module: "bodies", callable: "download" };
const CHUNKS: Application =
    Application { directory: "programs", module: "bodies", callable: "chunks" };
pub(crate) const UPLOAD: Application =
    Application { directory: "programs", module: "bodies", callable: "upload" };

/// How 1 GiB is moved, and the program without Python that moves the same bytes.
const ROWS: [(&str, &str); 3] = [
    ("1 GiB by file_wrapper", "C program that splices"),
    ("1 GiB in 16 KiB chunks", "C program that writes"),
    ("1 GiB uploaded", "cat to cat"),
];

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let stage = &bench.stage;
    let file = Large::new(SIZE)?;
    let download = |program: Program| program.env("BENCH_FILE", &file.path).output(Output::Cat);
    let chunks = |program: Program| {
        program.env("BENCH_CHUNKS", (SIZE / CHUNK).to_string()).output(Output::Cat)
    };
    let splice = stage.compile("splice", "splice", &[])?;
    let write = stage.compile("write", "write", &[])?;
    let [by_wrapper, in_chunks, uploaded] =
        ROWS.map(|(what, _)| [format!("{what}: cgi2wsgi"), format!("{what}: CGIHandler")]);
    let all = [
        stage.program(ROWS[0].1, &splice).arg(&file.path).output(Output::Cat),
        stage.program(ROWS[1].1, &write).arg((SIZE / CHUNK).to_string()).output(Output::Cat),
        stage.cgi2wsgi("cold hello", &HELLO).greets(),
        stage.program(ROWS[2].1, Path::new("cat")).arg(&file.path).output(Output::Cat),
        download(stage.cgi2wsgi(&by_wrapper[0], &DOWNLOAD)),
        download(stage.cgihandler(&by_wrapper[1], &DOWNLOAD)?),
        chunks(stage.cgi2wsgi(&in_chunks[0], &CHUNKS)),
        chunks(stage.cgihandler(&in_chunks[1], &CHUNKS)?),
        upload(stage.cgi2wsgi(&uploaded[0], &UPLOAD), &file),
        upload(stage.cgihandler(&uploaded[1], &UPLOAD)?, &file),
    ];
    for program in all.iter().filter(|program| program.is_read_by_cat()) {
        let answered = program.count()?;
        ensure!(answered >= SIZE, "{} answered {answered} bytes only", program.title());
    }
    let mut section = Section {
        title: "1 GiB each way",
        about: "Downloads go into a pipe that `cat` reads; an upload comes from `cat`, through a pipe, and is read in \
                pieces of 64 KiB. The file is in memory. `cat to cat` copies it in and out of the pipe and does \
                nothing else; one C program moves it in by `splice`, without a copy, the other writes one block of \
                16 KiB as often as needed. Peak memory is the kernel's \
                `ru_maxrss`, of cgi2wsgi's the worker's."
            .to_owned(),
        series: interleave(&programs(&all), bench.rounds(ROUNDS))?,
        ..Section::default()
    };
    let rows = [by_wrapper, in_chunks, uploaded].into_iter().zip(ROWS.map(|(_, alone)| alone));
    for ([subject, peer], alone) in rows {
        // Measured, not guessed: how much of the peer's time is the moving itself.
        let share = section.share(alone, &peer)?;
        let held_back =
            format!("Moving the bytes without Python, {alone}, takes {share} of the peer's time.");
        section.compare(Of::Medians, &subject, &peer, &held_back)?;
        peak::compare(&mut section, &subject, "cold hello")?;
        section.compare(Of::Medians, &subject, alone, "")?;
    }
    section.tabulate();
    Ok(section)
}

/// A request whose body is the whole file.
pub(crate) fn upload(program: Program, file: &Large) -> Program {
    program
        .env("REQUEST_METHOD", "POST")
        .env("CONTENT_TYPE", "application/octet-stream")
        .env("CONTENT_LENGTH", file.size.to_string())
        .input(Input::Piped(file.path.clone()))
        .output(Output::Read("bytes came\n"))
}

/// A file without holes, removed at the end. Pages that were never written cost less to read.
pub(crate) struct Large {
    pub(crate) path: PathBuf,
    size: u64,
}

impl Large {
    pub(crate) fn new(size: u64) -> Result<Self> {
        // In cargo's target directory: a temporary directory may be in memory.
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{size}"));
        let file = Self { path, size };
        let mut state = 1_u32;
        let pattern: Vec<u8> = (0..1 << 16)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            })
            .collect();
        let mut writer = File::create(&file.path).context("cannot make a large file")?;
        let mut left = size;
        while left > 0 {
            let count = left.min(pattern.len() as u64);
            let piece = &pattern[..usize::try_from(count).unwrap_or(pattern.len())];
            writer.write_all(piece).context("cannot write a large file")?;
            left -= count;
        }
        // Pages that are still to be written to the disk would disturb the measurement.
        writer.sync_all().context("cannot write a large file")?;
        Ok(file)
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
