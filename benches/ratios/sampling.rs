//! Runs subjects alternately.

use anyhow::{Context, Result};

use crate::statistics::{Random, median, quantile};
use crate::subject::{Program, Sample, Subject};
use crate::terminal;

/// What the runs of one subject took.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) samples: Vec<Sample>,
}

impl Series {
    pub(crate) fn seconds(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.seconds).collect()
    }

    pub(crate) fn median(&self) -> f64 {
        median(&self.seconds())
    }

    pub(crate) fn quartiles(&self) -> (f64, f64) {
        let seconds = self.seconds();
        (quantile(&seconds, 0.25), quantile(&seconds, 0.75))
    }

    /// The median of the peaks, in bytes.
    #[expect(clippy::cast_precision_loss, reason = "megabytes are shown with one digit")]
    pub(crate) fn peak(&self) -> Option<f64> {
        let peaks: Option<Vec<f64>> =
            self.samples.iter().map(|sample| sample.peak.map(|peak| peak as f64)).collect();
        peaks.map(|peaks| median(&peaks))
    }
}

/// Runs each subject once unmeasured (files get into memory, Python compiles), then once in each round. Each round
/// has another order: what ran before a subject decides what the processor's caches hold.
pub(crate) fn interleave(subjects: &[&dyn Subject], rounds: usize) -> Result<Vec<Series>> {
    for subject in subjects {
        subject.run().with_context(|| format!("{}, the first run", subject.name()))?;
    }
    let mut all: Vec<Series> = subjects
        .iter()
        .map(|subject| Series { name: subject.name().to_owned(), samples: Vec::new() })
        .collect();
    let mut random = Random::default();
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    for round in 0..rounds {
        random.shuffle(&mut order);
        for &index in &order {
            let subject = subjects[index];
            let sample = subject.run();
            all[index].samples.push(sample.with_context(|| subject.name().to_owned())?);
        }
        if (round + 1) % (rounds / 4).max(1) == 0 || round + 1 == rounds {
            terminal::progress(&format!("   round {} of {rounds}", round + 1));
        }
    }
    Ok(all)
}

/// Programs as subjects.
pub(crate) fn programs(programs: &[Program]) -> Vec<&dyn Subject> {
    programs.iter().map(|program| program as _).collect()
}
