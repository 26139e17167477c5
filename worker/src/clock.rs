//! Where the time of a request goes, with `--timings`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cgi2wsgi::handoff::Call;
use cgi2wsgi::timings::{Stage, Timings};

use crate::wsgi::exchange::lock;

/// The stages of a request; nothing without `--timings`.
#[derive(Clone)]
pub(crate) struct Clock(Arc<Mutex<Option<Timings>>>);

impl Clock {
    pub(crate) fn new(call: &Call, is_cold: bool) -> Self {
        let timings = call.timed.map(|timed| {
            let mut timings = Timings::since(timed.began);
            if is_cold {
                timings.begin_at(Stage::Interpreter, timed.handed_over);
            }
            timings
        });
        Self(Arc::new(Mutex::new(timings)))
    }

    pub(crate) fn is_on(&self) -> bool {
        lock(&self.0).is_some()
    }

    /// From now on the time counts for this stage.
    pub(crate) fn begin(&self, stage: Stage) {
        if let Some(timings) = lock(&self.0).as_mut() {
            timings.begin(stage);
        }
    }

    /// How long each package took to import.
    pub(crate) fn note_imports(&self, packages: Vec<(String, Duration)>) {
        if let Some(timings) = lock(&self.0).as_mut() {
            timings.note_imports(packages);
        }
    }

    /// Ends the last stage. Returns all stages as the value of a Server-Timing header.
    pub(crate) fn end(&self) -> Option<String> {
        lock(&self.0).as_mut().map(|timings| {
            timings.end();
            timings.server_timing()
        })
    }

    /// The line for the log.
    pub(crate) fn line(&self) -> Option<String> {
        lock(&self.0).as_ref().map(Timings::line)
    }
}
