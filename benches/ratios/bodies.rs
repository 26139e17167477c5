//! 1 GiB each way, and how much memory that takes.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::Bench;
use crate::cold::{HELLO, all};
use crate::memory;
use crate::report::{Section, Target};
use crate::sampling::interleave;
use crate::stage::Application;
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

/// Subject, peer, what is to be reached, and what moves the same bytes with no Python in it.
const ROWS: [(&str, &str, f64, &str); 3] = [
    ("cgi2wsgi file_wrapper", "CGIHandler file_wrapper", 0.60, "C program that splices"),
    ("cgi2wsgi 16 KiB chunks", "CGIHandler 16 KiB chunks", 1.00, "cat to cat"),
    ("cgi2wsgi upload", "CGIHandler upload", 1.00, "cat to cat"),
];

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let stage = &bench.stage;
    let file = Large::new(SIZE)?;
    let download = |program: Program| program.env("BENCH_FILE", &file.path).output(Output::Cat);
    let chunks = |program: Program| {
        program.env("BENCH_CHUNKS", (SIZE / CHUNK).to_string()).output(Output::Cat)
    };
    let splice = stage.compile("splice", "splice", &[])?;
    let programs = [
        stage.program(ROWS[0].3, &splice).arg(&file.path).output(Output::Cat),
        stage.cgi2wsgi("cold hello", &HELLO).output(Output::Read("Hello, world!\n")),
        stage.program("cat to cat", Path::new("cat")).arg(&file.path).output(Output::Cat),
        download(stage.cgi2wsgi(ROWS[0].0, &DOWNLOAD)),
        download(stage.cgihandler(ROWS[0].1, &DOWNLOAD)?),
        chunks(stage.cgi2wsgi(ROWS[1].0, &CHUNKS)),
        chunks(stage.cgihandler(ROWS[1].1, &CHUNKS)?),
        upload(stage.cgi2wsgi(ROWS[2].0, &UPLOAD), &file),
        upload(stage.cgihandler(ROWS[2].1, &UPLOAD)?, &file),
    ];
    for program in programs.iter().filter(|program| program.is_read_by_cat()) {
        let answered = program.count()?;
        ensure!(answered >= SIZE, "{} answered {answered} bytes only", program.title());
    }
    let mut section = Section {
        title: "1 GiB each way",
        about: "Downloads go into a pipe that `cat` reads; an upload comes from `cat`, through a pipe, and is read in \
                pieces of 64 KiB. The file is in memory. `cat to cat` copies it in and out of the pipe and does \
                nothing else; the C program moves it in by `splice`, without a copy. Peak memory is the kernel's \
                `ru_maxrss`, of cgi2wsgi's the worker's."
            .to_owned(),
        series: interleave(&all(&programs), bench.rounds(ROUNDS))?,
        ..Section::default()
    };
    for (subject, peer, target, alone) in ROWS {
        // Measured, not guessed: how much of the peer's time is the moving itself.
        let share = section.share(alone, peer)?;
        let held_back =
            format!("To move the bytes without Python, {alone}, is {share} of the peer.");
        section.compare(subject, peer, Target::AtMost(target), &held_back)?;
    }
    for (subject, ..) in ROWS {
        memory::compare(&mut section, subject, "cold hello")?;
    }
    for (subject, _, _, alone) in ROWS {
        section.compare(subject, alone, Target::None, "")?;
    }
    section.tabulate();
    Ok(section)
}

/// A request that brings the whole file.
pub(crate) fn upload(program: Program, file: &Large) -> Program {
    program
        .env("REQUEST_METHOD", "POST")
        .env("CONTENT_TYPE", "application/octet-stream")
        .env("CONTENT_LENGTH", file.size.to_string())
        .input(Input::Piped(file.path.clone()))
        .output(Output::Read("bytes came\n"))
}

/// A file without holes, removed in the end. Pages that were never written cost less to read.
pub(crate) struct Large {
    pub(crate) path: PathBuf,
    size: u64,
}

impl Large {
    pub(crate) fn new(size: u64) -> Result<Self> {
        // Beside what cargo builds: a temporary directory may be memory.
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
        // What is still to be written to the disk would disturb the measurement.
        writer.sync_all().context("cannot write a large file")?;
        Ok(file)
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
