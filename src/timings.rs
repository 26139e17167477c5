//! Where the time of a request goes, for `--timings`: its stages, one after the
//! other, up to the first byte of the response. What comes after that byte is
//! the application's and the network's, and is not measured.

use std::ops::Add;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment of the monotonic clock, which all processes of a machine share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// The present moment.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        let part = |number: i64| u64::try_from(number).unwrap_or_default();
        let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or_default();
        Self(Duration::new(part(now.tv_sec), nanoseconds))
    }

    /// Nanoseconds since the start of that clock.
    pub fn to_nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    /// What [`Self::to_nanos`] gave.
    pub fn from_nanos(nanos: u64) -> Self {
        Self(Duration::from_nanos(nanos))
    }

    /// How long it is since then.
    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }

    /// How long it is until then; zero if it is past.
    pub fn left(self) -> Duration {
        self.0.saturating_sub(Self::now().0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }
}

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The front, until it has a worker.
    Front,
    /// A request body without a length, read to its end (B4).
    Body,
    /// Python, until it could import.
    Interpreter,
    /// The import of the application.
    Import,
    /// The call of the application, until the first byte of the response.
    Call,
}

impl Stage {
    /// A token, as Server-Timing wants for a metric's name.
    fn name(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Body => "body",
            Self::Interpreter => "interpreter",
            Self::Import => "import",
            Self::Call => "call",
        }
    }
}

/// The stages so far, and the one that is under way.
#[derive(Debug)]
pub struct Timings {
    ended: Vec<(Stage, Duration)>,
    current: Option<(Stage, Moment)>,
    /// The packages that took longest to import.
    imports: Vec<(String, Duration)>,
}

/// How many of these packages are named.
const SLOWEST: usize = 3;

impl Timings {
    /// A request whose front began at `start`.
    pub fn since(start: Moment) -> Self {
        Self { ended: Vec::new(), current: Some((Stage::Front, start)), imports: Vec::new() }
    }

    /// The stage that was under way has ended, and this one begins.
    pub fn begin(&mut self, stage: Stage) {
        self.begin_at(stage, Moment::now());
    }

    /// The same, for a stage that began at `moment`.
    pub fn begin_at(&mut self, stage: Stage, moment: Moment) {
        self.end_at(moment);
        self.current = Some((stage, moment));
    }

    /// The last stage has ended.
    pub fn end(&mut self) {
        self.end_at(Moment::now());
    }

    fn end_at(&mut self, now: Moment) {
        if let Some((stage, began)) = self.current.take() {
            self.ended.push((stage, now.0.saturating_sub(began.0)));
        }
    }

    /// How long each package took to import, without the packages that it imports.
    pub fn note_imports(&mut self, mut packages: Vec<(String, Duration)>) {
        packages.retain(|(_, took)| *took >= Duration::from_millis(1));
        packages.sort_by(|(name, took), (other, its)| its.cmp(took).then(name.cmp(other)));
        packages.truncate(SLOWEST);
        self.imports = packages;
    }

    /// The value of a `Server-Timing` header (W3C Server Timing), in milliseconds.
    pub fn server_timing(&self) -> String {
        self.each(|name, ms| format!("{name};dur={ms:.3}"))
    }

    /// A line for the log, in milliseconds.
    pub fn line(&self) -> String {
        let total: Duration = self.ended.iter().map(|(_, took)| *took).sum();
        let stages = self.each(|name, ms| {
            let name = if name == "call" { "call to first byte" } else { name };
            format!("{name} {ms:.1} ms")
        });
        let slowest = self.imports.iter().map(|(name, took)| {
            // Any text can be a module's name.
            format!("{} {:.1} ms", name.escape_debug(), milliseconds(*took))
        });
        let slowest = slowest.collect::<Vec<_>>().join(", ");
        let label = if slowest.is_empty() { "" } else { "; slowest imports: " };
        format!("{stages}; together {:.1} ms{label}{slowest}", milliseconds(total))
    }

    fn each(&self, show: impl Fn(&str, f64) -> String) -> String {
        let shown = self.ended.iter().map(|(stage, took)| show(stage.name(), milliseconds(*took)));
        shown.collect::<Vec<_>>().join(", ")
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_shown_in_their_order() {
        let mut timings = Timings::since(Moment::now());
        timings.begin(Stage::Interpreter);
        timings.begin(Stage::Call);
        timings.end();
        timings.end();
        for (index, nanos) in [1_234_567, 20_000, 3_000_000_000].into_iter().enumerate() {
            timings.ended[index].1 = Duration::from_nanos(nanos);
        }
        assert_eq!(
            timings.server_timing(),
            "front;dur=1.235, interpreter;dur=0.020, call;dur=3000.000"
        );
        assert_eq!(
            timings.line(),
            "front 1.2 ms, interpreter 0.0 ms, call to first byte 3000.0 ms; together 3001.3 ms"
        );
    }

    #[test]
    fn the_three_slowest_imports_are_named() {
        let mut timings = Timings::since(Moment::from_nanos(u64::MAX));
        timings.end();
        let took = |name: &str, micros| (name.to_owned(), Duration::from_micros(micros));
        timings.note_imports(vec![
            took("quick", 999),
            took("b", 2_000),
            took("a", 2_000),
            took("long", 70_040),
            took("c", 1_900),
        ]);
        let line = timings.line();
        assert!(line.ends_with("; slowest imports: long 70.0 ms, a 2.0 ms, b 2.0 ms"), "{line}");
    }

    #[test]
    fn a_clock_that_went_back_is_no_time_at_all() {
        let mut timings = Timings::since(Moment::from_nanos(u64::MAX));
        timings.end();
        assert_eq!(timings.server_timing(), "front;dur=0.000");
        assert_eq!(Moment::from_nanos(5).to_nanos(), 5);
    }
}
