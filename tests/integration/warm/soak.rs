//! Many requests with random kills, edits and visitors that leave: no request is run twice or lost, the zygote does not
//! grow, and nothing is left behind. `tests/warm-soak` runs it for longer.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use anyhow::{Context, Result, anyhow, ensure};

use crate::harness::command::{Output, Test, collect};
use crate::harness::exchange::is_page;
use crate::harness::process::{AtParentDeath, End, PATIENCE, Running, kill, until};
use crate::harness::stage::Stage;
use crate::warm::left_open::{MEMBERS, Place, make_archive};
use crate::warm::site::{Site, good};

pub(crate) const TESTS: &[(&str, Test)] = &[
    (
        "under kills, edits and disconnects no request runs twice or is lost, and nothing grows or is left behind",
        soak,
    ),
    ("W1: a store that the import keeps open loses nothing while zygotes are killed", store),
    (
        "W2: an archive that the import keeps open gives the right bytes while processes are killed",
        archive,
    ),
];

/// The variable with the number of requests, in place of [`USUAL`].
const COUNT: &str = "WARM_SOAK_REQUESTS";
const USUAL: usize = 1_000;
const CLIENTS: usize = 8;

/// One request in so many goes to an application that keeps a store open, and one to an application with an open
/// archive.
const KEPT_OPEN: usize = 10;

/// How much larger a zygote may be after that many requests, in bytes: fragmentation by its allocator.
const MORE: u64 = 1 << 20;

/// A sequence that differs in every thread.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % below.max(1)
    }
}

#[derive(Debug, Default)]
struct Counts {
    whole: AtomicUsize,
    failed: AtomicUsize,
    nothing: AtomicUsize,
    left: AtomicUsize,
    kills: AtomicUsize,
    edits: AtomicUsize,
}

fn requests() -> Result<usize> {
    match env::var(COUNT) {
        Ok(text) => text.parse().with_context(|| format!("{COUNT} is {text:?}")),
        Err(_) => Ok(USUAL),
    }
}

fn soak(stage: &Stage) -> Result<()> {
    let requests = requests()?;
    let site = Site::new(stage, &[])?;
    let counts = Counts::default();
    let ask = |number: usize, leaves: bool| {
        let id = format!("s{number}");
        let output = one(site.begin(&format!("id={id}"))?, leaves, &counts)?;
        let answered = output.map(|(output, body)| is_whole(&id, &output, &body)).transpose()?;
        Ok((id, answered.is_some()))
    };
    let edit = |now: usize| {
        // As an editor does: never half a file.
        site.write("new", &format!("VERSION = \"h{}\"\n", "1".repeat(1 + now % 97)))?;
        Ok(fs::rename(site.path("new"), site.path("helper.py"))?)
    };
    let answers = disturbed(&site, requests * 4 / 5, &counts, ask, Some(&edit))?;
    let ran = count_runs(&site);
    for (id, answered) in &answers {
        let runs = ran.get(id).copied().unwrap_or_default();
        ensure!(runs <= 1, "{id} was run {runs} times");
        ensure!(!answered || runs == 1, "{id} was answered and run {runs} times");
    }
    let text = format!("{counts:?}");
    ensure!(counts.whole.load(SeqCst) > requests / 2, "{text}");
    for count in [&counts.kills, &counts.edits, &counts.left] {
        ensure!(count.load(SeqCst) > 0, "{text}");
    }
    is_flat(&site, requests / 5)?;
    site.ends_clean()?;
    Ok(())
}

/// Every record whose writing was acknowledged is in the store.
fn store(stage: &Stage) -> Result<()> {
    let place = Place::new(stage, "store")?;
    let answers = kept_open(&place, |number| format!("r{number}"), "stored", None)?;
    let stored = place.read("store")?;
    for (id, answered) in answers {
        let count = stored.lines().filter(|line| line.trim_end() == id).count();
        ensure!(count <= 1, "{id} was stored {count} times");
        ensure!(!answered || count == 1, "{id} was acknowledged and is not stored");
    }
    // A killed zygote has left its lock file behind, which the next one takes.
    place.site.ends()
}

fn archive(stage: &Stage) -> Result<()> {
    let place = Place::new(stage, "zip_file")?;
    make_archive(&place)?;
    let name = |number: usize| format!("member-{}", number % MEMBERS);
    kept_open(&place, name, "right", Some(&|_| make_archive(&place)))?;
    place.site.ends()
}

type Edit<'e> = Option<&'e (dyn Fn(usize) -> Result<()> + Sync)>;

/// Requests to an application that keeps something open. Each has the answer `right`, or none.
fn kept_open(
    place: &Place<'_>,
    query: impl Fn(usize) -> String + Sync,
    right: &str,
    edit: Edit<'_>,
) -> Result<Vec<(String, bool)>> {
    let (requests, counts) = (requests()? / KEPT_OPEN, Counts::default());
    let ask = |number: usize, leaves: bool| {
        let query = query(number);
        let command = place.command(true, &query)?;
        let running = Running::start(command, &place.site.stage.user, AtParentDeath::Kill)?;
        let answer = one(running, leaves, &counts)?;
        if let Some((output, body)) = &answer {
            ensure!(body == right, "{query}: {body:?}; stderr: {}", output.stderr);
        }
        Ok((query, answer.is_some()))
    };
    let answers = disturbed(&place.site, requests, &counts, ask, edit)?;
    let text = format!("{counts:?}");
    ensure!(counts.whole.load(SeqCst) > requests / 2, "{text}");
    ensure!(counts.kills.load(SeqCst) > 0, "{text}");
    Ok(answers)
}

/// All requests, and whether each had a whole answer. `ask` is given a number, and whether the visitor leaves.
fn disturbed(
    site: &Site<'_>,
    requests: usize,
    counts: &Counts,
    ask: impl Fn(usize, bool) -> Result<(String, bool)> + Sync,
    edit: Edit<'_>,
) -> Result<Vec<(String, bool)>> {
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let answers = Mutex::new(Vec::with_capacity(requests));
    std::thread::scope(|scope| {
        let (next, over, answers, ask) = (&next, &over, &answers, &ask);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || -> Result<()> {
                    let mut chance = Chance(0x9e37_79b9_7f4a_7c15 + client as u64);
                    loop {
                        let number = next.fetch_add(1, SeqCst);
                        if number >= requests {
                            return Ok(());
                        }
                        let answer = ask(number, chance.next(20) == 0)
                            .with_context(|| format!("request {number}"))?;
                        let mut answers =
                            answers.lock().map_err(|_| anyhow!("another client panicked"))?;
                        answers.push(answer);
                    }
                })
            })
            .collect();
        let disturber = scope.spawn(move || disturb(site, next, over, counts, edit));
        let ends: Vec<_> = clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, SeqCst);
        disturber.join().map_err(|_| anyhow!("the disturber panicked"))??;
        ends.into_iter().try_for_each(|end| end.map_err(|_| anyhow!("a client panicked"))?)
    })?;
    answers.into_inner().map_err(|_| anyhow!("a client panicked"))
}

/// Kills a process of the site every few requests, and edits what the import has read now and then.
fn disturb(
    site: &Site<'_>,
    next: &AtomicUsize,
    over: &AtomicBool,
    counts: &Counts,
    edit: Edit<'_>,
) -> Result<()> {
    let mut chance = Chance(88_172_645_463_325_252);
    let (mut killed, mut edited) = (0, 0);
    while !over.load(SeqCst) {
        let now = next.load(SeqCst);
        if now >= killed + 10 {
            killed = now;
            let all = site.processes();
            if let Some(victim) = all.get(chance.next(all.len())) {
                kill(victim.pid, libc::SIGKILL)?;
                counts.kills.fetch_add(1, SeqCst);
            }
        } else if now >= edited + 50 {
            edited = now;
            if let Some(edit) = edit {
                edit(now)?;
                counts.edits.fetch_add(1, SeqCst);
            }
        } else {
            until(PATIENCE, "another request", || {
                let due = next.load(SeqCst) >= (killed + 10).min(edited + 50);
                Ok((due || over.load(SeqCst)).then_some(()))
            })?;
        }
    }
    Ok(())
}

/// One request, and its whole answer. A whole 500 and no answer at all are no error; anything else is.
fn one(running: Running, leaves: bool, counts: &Counts) -> Result<Option<(Output, String)>> {
    if leaves {
        counts.left.fetch_add(1, SeqCst);
        drop(running);
        return Ok(None);
    }
    let output = collect(running)?;
    if output.stdout.is_empty() {
        counts.nothing.fetch_add(1, SeqCst);
        ensure!(output.end != End::Code(0), "no answer, but exit status 0");
        return Ok(None);
    }
    let (status, body) = output.response()?;
    // Killed after its head was sent: the front says so, and its exit status is not 0.
    if status == 200 && output.end != End::Code(0) {
        output.says("response truncated: headers were already sent")?;
        counts.nothing.fetch_add(1, SeqCst);
        return Ok(None);
    }
    if status == 200 {
        counts.whole.fetch_add(1, SeqCst);
        return Ok(Some((output, body)));
    }
    counts.failed.fetch_add(1, SeqCst);
    ensure!(status == 500 && is_page(&body, crate::cases::FAILED), "{status} {body:?}");
    ensure!(output.end != End::Code(0), "a 500, but exit status 0");
    Ok(None)
}

fn is_whole(id: &str, output: &Output, body: &str) -> Result<()> {
    let is_whole = body.starts_with(&format!("{id} 1 h1")) && body.ends_with(" 1\n");
    ensure!(is_whole, "{body:?}; stderr: {}", output.stderr);
    Ok(())
}

fn count_runs(site: &Site<'_>) -> HashMap<String, usize> {
    let mut runs = HashMap::new();
    for id in site.lines("runs") {
        *runs.entry(id).or_default() += 1;
    }
    runs
}

/// Undisturbed requests to one zygote leave it as it was: its own memory, descriptors and children.
fn is_flat(site: &Site<'_>, requests: usize) -> Result<()> {
    let state = || -> Result<(i32, u64, usize)> {
        site.wait_spare(2)?;
        let zygote = site.zygote()?;
        let memory = fs::read_to_string(format!("/proc/{zygote}/smaps_rollup"))?;
        let resident = memory.lines().find_map(|line| line.strip_prefix("Rss:"));
        let resident =
            resident.and_then(|rest| rest.trim().strip_suffix(" kB")).context(memory.clone())?;
        let descriptors = fs::read_dir(format!("/proc/{zygote}/fd"))?.count();
        Ok((zygote, resident.trim().parse::<u64>()? << 10, descriptors))
    };
    let quiet = |count: usize| -> Result<()> {
        let clients: Vec<Result<()>> = std::thread::scope(|scope| {
            let client = || -> Result<()> {
                (0..count.div_ceil(CLIENTS))
                    .try_for_each(|_| good(&site.ask("id=quiet")?).map(drop))
            };
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
            clients
                .into_iter()
                .map(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
                .collect()
        });
        clients.into_iter().collect()
    };
    quiet(50)?;
    // Wait for the end of replaced zygotes, and of requests whose visitors left.
    site.zygote_of_now()?;
    let (zygote, memory, descriptors) = state()?;
    quiet(requests)?;
    let after = state()?;
    ensure!(after.0 == zygote, "another zygote: {}", site.log());
    ensure!(after.1 <= memory + MORE, "{memory} bytes became {}", after.1);
    ensure!(after.2 == descriptors, "{descriptors} descriptors became {}", after.2);
    Ok(())
}
