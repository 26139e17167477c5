//! `--warm-memory`: how many children there may be, so that they and the zygote together stay below that limit.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use cgi2wsgi::zygotes::process;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::journal::note;

/// How long a measurement is valid: it costs a millisecond for each process.
const HOLDS: Duration = Duration::from_millis(250);

/// How often waiting children check whether they should leave, and the zygote checks whether it may fork others.
pub(super) const LOOK: Duration = Duration::from_secs(1);

pub(super) struct Ceiling {
    bytes: u64,
    measured: Option<(Instant, u64)>,
    was_told: bool,
}

impl Ceiling {
    /// A ceiling of so many bytes, for children that wait at `listener`: they check at intervals whether they should
    /// leave.
    pub(super) fn new(bytes: u64, listener: &OwnedFd) -> Self {
        if let Err(error) = set_socket_timeout(listener, Timeout::Recv, Some(LOOK)) {
            note(&format!("--warm-memory: waiting children do not end: {error}"));
        }
        Self { bytes, measured: None, was_told: false }
    }

    /// Whether this process and `children` together use more than they may; if so, the message for the operator.
    pub(super) fn exceeded(&mut self, children: &[i32], busy: usize) -> Option<String> {
        let used = self.used(children);
        if used <= self.bytes {
            return None;
        }
        let text = told(used, self.bytes, children.len(), busy);
        if !self.was_told {
            self.was_told = true;
            note(&text);
        }
        Some(text)
    }

    fn used(&mut self, children: &[i32]) -> u64 {
        if let Some((at, used)) = self.measured
            && at.elapsed() < HOLDS
        {
            return used;
        }
        let children = children.iter().map(|pid| pid.unsigned_abs());
        let used = process::memory(children.chain([std::process::id()])).bytes;
        self.measured = Some((Instant::now(), used));
        used
    }

    /// A child has ended or started: the last measurement is no longer valid.
    pub(super) fn forget(&mut self) {
        self.measured = None;
    }
}

fn told(used: u64, ceiling: u64, children: usize, busy: usize) -> String {
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    format!(
        "the zygote and its {children} child(ren), {busy} of them with a request, use {} MiB of memory, and \
         --warm-memory allows {} MiB: until they use less, requests wait in line; raise \
         --warm-memory, or find out what uses memory in the application",
        mebibytes(used),
        mebibytes(ceiling),
    )
}
