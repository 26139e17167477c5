//! Medians, quartiles, and how sure a ratio of medians is.

/// The middle of `values`, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which `part` (0 to 1) of the values are, between neighbours if need be.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    #[expect(clippy::cast_precision_loss, reason = "there are some dozens of values")]
    let place = last as f64 * part;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

/// A ratio of two quantiles, and the interval that holds 95 of 100 such ratios when the rounds are drawn anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Ratio {
    /// For a value that was measured once.
    pub(crate) fn exactly(value: f64) -> Self {
        Self { value, low: value, high: value }
    }
}

/// The ratio of the medians of two subjects, or of another quantile than 0.5. Where both ran in the same rounds, a
/// round is drawn as a pair, since a disturbance slows both; otherwise each is drawn by itself.
pub(crate) fn ratio(subject: &[f64], peer: &[f64], part: f64) -> Ratio {
    const DRAWS: usize = 2000;
    let together = subject.len() == peer.len();
    let mut random = Random::default();
    let mut draw =
        |count: usize| -> Vec<usize> { (0..count).map(|_| random.below(count)).collect() };
    let of = |values: &[f64], rounds: &[usize]| {
        quantile(&rounds.iter().map(|round| values[*round]).collect::<Vec<_>>(), part)
    };
    let drawn: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let rounds = draw(subject.len());
            let others = if together { rounds.clone() } else { draw(peer.len()) };
            of(subject, &rounds) / of(peer, &others)
        })
        .collect();
    Ratio {
        value: quantile(subject, part) / quantile(peer, part),
        low: quantile(&drawn, 0.025),
        high: quantile(&drawn, 0.975),
    }
}

/// Marsaglia's xorshift, always from the same seed: the same samples give the same interval.
pub(crate) struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Random {
    /// Puts values into another order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last + 1));
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % limit.max(1)
    }
}
