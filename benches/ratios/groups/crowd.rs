//! Several requests at a time.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};

use crate::subject::{Sample, Subject};

/// Clients that send one request after another, in parallel. A sample is the whole time divided by the number of
/// requests.
pub(crate) struct Crowd<S> {
    name: String,
    request: S,
    clients: usize,
    requests: usize,
}

impl<S: Subject + Sync> Crowd<S> {
    /// `requests` is the number for all clients together.
    pub(crate) fn new(name: &str, request: S, clients: usize, requests: usize) -> Self {
        Self { name: name.to_owned(), request, clients, requests }
    }
}

impl<S: Subject + Sync> Subject for Crowd<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self) -> Result<Sample> {
        let each = self.requests / self.clients;
        let start = Instant::now();
        at_once(self.clients, || (0..each).try_for_each(|_| self.request.run().map(drop)))?;
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        let seconds = start.elapsed().as_secs_f64() / (each * self.clients) as f64;
        Ok(Sample { seconds, peak: None })
    }
}

/// The time of the slowest of `count` requests that come at the same moment.
pub(crate) fn slowest(request: &(impl Subject + Sync), count: usize) -> Result<f64> {
    let moment = Barrier::new(count);
    let took = at_once(count, || {
        moment.wait();
        let start = Instant::now();
        request.run()?;
        Ok(start.elapsed().as_secs_f64())
    })?;
    Ok(took.into_iter().fold(0.0, f64::max))
}

/// Runs `action` in `count` threads; returns the first error.
fn at_once<T: Send>(count: usize, action: impl Fn() -> Result<T> + Sync) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(&action)).collect();
        let outcomes = threads.into_iter().map(|thread| {
            thread.join().map_err(|_| anyhow!("a thread that makes requests panicked"))?
        });
        outcomes.collect()
    })
}
