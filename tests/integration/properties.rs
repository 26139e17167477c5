//! What holds for every request, sane or not: the built executables get random variables, words and bodies
//! through pipes, as careless servers and hostile clients send them, and each answer must be a whole, valid
//! response. The table, not this file, tests what a particular answer says.
//!
//! A failure's message gives the seed: `PROPERTY_SEED=N PROPERTY_COUNT=1` repeats the one request that failed.
//! `PROPERTY_COUNT=20000` is a run of some minutes, for a change to how requests are read or responses written.

mod head;
mod making;
mod verdict;

use std::env;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::harness::stage::Stage;
use crate::harness::table::failed;
use crate::harness::world::World;

/// How many requests are made unless `PROPERTY_COUNT` says otherwise.
const COUNT: u64 = 800;
const WORKERS: usize = 3;

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let world = Arc::clone(world);
    vec![Trial::test("properties::every request gets one whole, valid response", move || {
        world.stage().and_then(many).map_err(|error| failed(&error))
    })]
}

fn many(stage: &Stage) -> Result<()> {
    let (seed, count) = (setting("PROPERTY_SEED")?, setting("PROPERTY_COUNT")?.unwrap_or(COUNT));
    let seed = seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_secs() << 20
    });
    let echo = stage.script("echo.py", include_str!("properties/echo.py"))?;
    let next = AtomicU64::new(0);
    let work = || -> Vec<String> {
        let mut failures = Vec::new();
        while failures.is_empty() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            let seed = seed.wrapping_add(number);
            let sample = Sample::new(&mut Chance::new(seed), stage, echo.as_os_str());
            if let Err(error) = sample.run(stage) {
                failures
                    .push(format!("PROPERTY_SEED={seed} PROPERTY_COUNT=1: {error:#}\n{sample}"));
            }
        }
        failures
    };
    let failures: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|_| vec!["a worker panicked".into()]))
            .collect()
    });
    ensure!(failures.is_empty(), "{} (seed {seed})", failures.join("\n\n"));
    Ok(())
}

fn setting(name: &str) -> Result<Option<u64>> {
    let parse = |text: String| text.parse().with_context(|| format!("{name}={text} is no number"));
    env::var(name).ok().map(parse).transpose()
}

/// Random numbers that a seed determines: splitmix64.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number less than `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("it is less than a usize")
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Bytes that a variable can have.
    fn bytes(&mut self, longest: usize) -> Vec<u8> {
        let length = self.below(longest + 1);
        let of_paths = self.percent(50);
        let byte = |chance: &mut Self| {
            if of_paths {
                chance.choose(b"//..%%2efFaZ09 +=&?#;:[]-_\n\r\t\xe9\xff")
            } else {
                u8::try_from(1 + chance.below(255)).expect("it is a byte")
            }
        };
        (0..length).map(|_| byte(self)).collect()
    }
}

/// The application that is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum App {
    Echo,
    Hello,
    Headers,
    ReadBody,
    IgnoreUpload,
    Stream,
    Environ,
    Download,
    Prints,
    Closes,
    Writes,
    Uploads,
    Fails(&'static str),
    Missing,
}

/// Where the request body comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stdin {
    /// Closed after the last byte.
    Pipe,
    /// Still open when the answer is complete (B1).
    PipeHeldOpen,
    /// Closed when the process starts (B8).
    Missing,
}

/// How the visitor reads the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stdout {
    /// As it arrives.
    Read,
    /// When the whole request body is delivered (B6).
    ReadLast,
    /// Only this many bytes: then the visitor leaves (R13).
    Left(usize),
}

/// One request, and what must hold for its answer.
struct Sample {
    app: App,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    body: Vec<u8>,
    stdin: Stdin,
    stdout: Stdout,
    /// The length of the body that the request declares; `None` if that is malformed.
    declared: Option<usize>,
    /// The length of the response's body, if the application makes it.
    length: Option<usize>,
    debug: bool,
    nph: bool,
    /// Whether the operator's words and variables are right.
    sound: bool,
}
