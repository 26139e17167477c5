//! How ratios, times and sizes are written.

/// A ratio, with as many digits as tell it from its target.
pub(crate) fn fine(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.4}") } else { format!("{ratio:.2}") }
}

/// Seconds in the unit that suits them.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 0.999_5 => format!("{s:.2} s"),
        s if s >= 0.099_95 => format!("{:.0} ms", s * 1e3),
        s if s >= 0.009_995 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.2} ms", s * 1e3),
    }
}

pub(crate) const MEBIBYTE: f64 = 1_048_576.0;

pub(crate) fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / MEBIBYTE)
}

pub(crate) fn signed_mebibytes(bytes: f64) -> String {
    format!("{:+.1} MiB", bytes / MEBIBYTE)
}
