//! The targets, row by row, in the order of the page.

use crate::figures::{MEBIBYTE, fine, signed_mebibytes};

/// The limit of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// A ratio of times or of memory.
    AtMost(f64),
    /// A ratio of rates.
    AtLeast(f64),
    /// Bytes more than the peer.
    MoreBytes(f64),
}

/// The target of one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The name of the row.
    pub(crate) what: &'static str,
    pub(crate) limit: Limit,
    /// The limit that was there before it was tightened.
    pub(crate) before: Option<f64>,
}

pub(crate) const TARGETS: &[Target] = &[
    tightened("cold hello / CGIHandler hello", 0.55, 0.60),
    tightened("cold Flask / CGIHandler Flask", 0.63, 0.70),
    tightened("cold Django / CGIHandler Django", 0.58, 0.64),
    at_most("cold hello / php-cgi hello", 0.60),
    at_most("cold hello / php-cgi -n hello", 1.0),
    at_most("cold hello / python -c pass", 1.02),
    tightened("the front alone, refusing / C program, static", 1.2, 1.25),
    tightened("warm hello / C program", 1.7, 2.0),
    at_most("mod_cgid: warm Django / C program", 1.9),
    at_most("mod_cgid: warm Django / C program, 99th percentiles", 2.5),
    at_most("Caddy: warm hello / C program", 1.6),
    at_most("Caddy: warm Django / C program", 2.4),
    at_most("warm Django without --warm-request / warm Django", 1.15),
    at_most("mod_cgid: warm Django without --warm-request / warm Django", 1.15),
    at_most("Caddy: warm Django without --warm-request / warm Django", 1.15),
    at_least("mod_cgid, 8 clients: warm Django / C program, requests a second", 0.5),
    at_least("Caddy, 8 clients: warm Django / C program, requests a second", 0.22),
    at_most("first after an edit: warm hello / cold hello", 1.1),
    at_most("first after an edit: warm Django / cold Django", 1.1),
    at_most("slowest of 50 after a minute of silence: warm Django / cold Django", 1.0),
    at_most("memory (PSS) of 20 requests: warm Django, with the zygote / cold Django", 0.20),
    at_most(
        "memory (PSS) of 20 requests: warm Django without --warm-request, with the zygote / cold Django",
        0.20,
    ),
    at_most("1 GiB in 16 KiB chunks: cgi2wsgi / CGIHandler", 0.8),
    at_most("10,000 warm Django in a row: last 100 / first 100", 1.05),
    at_most("10,000 warm Django in a row: memory (PSS) after the last / after the first 100", 1.05),
    at_most("warm Django / CGIHandler Django, a small view", 1.0 / 60.0),
    at_most("mod_cgid, 8 clients: warm Django / CGIHandler Django", 1.0 / 40.0),
    at_most("1 GiB by file_wrapper: cgi2wsgi / CGIHandler", 0.6),
    at_most("1 GiB uploaded: cgi2wsgi / CGIHandler", 1.0),
    four_mebibytes("peak memory, 1 GiB by file_wrapper: cgi2wsgi − cold hello"),
    four_mebibytes("peak memory, 1 GiB in 16 KiB chunks: cgi2wsgi − cold hello"),
    four_mebibytes("peak memory, 1 GiB uploaded: cgi2wsgi − cold hello"),
];

impl Target {
    /// As the page shows it.
    pub(crate) fn words(&self) -> String {
        let limit = match self.limit {
            Limit::AtMost(limit) => format!("≤ {}", fine(limit)),
            Limit::AtLeast(limit) => format!("≥ {}", fine(limit)),
            Limit::MoreBytes(limit) => format!("≤ {}", signed_mebibytes(limit)),
        };
        let before = self.before.map(|before| format!(" (was {})", fine(before)));
        limit + &before.unwrap_or_default()
    }
}

impl Limit {
    pub(crate) fn is_met(self, number: f64) -> bool {
        match self {
            Self::AtMost(limit) | Self::MoreBytes(limit) => number <= limit,
            Self::AtLeast(limit) => number >= limit,
        }
    }
}

/// The target of a row, if it has one.
pub(crate) fn find(what: &str) -> Option<Target> {
    TARGETS.iter().find(|target| target.what == what).copied()
}

const fn at_most(what: &'static str, limit: f64) -> Target {
    Target { what, limit: Limit::AtMost(limit), before: None }
}

const fn at_least(what: &'static str, limit: f64) -> Target {
    Target { what, limit: Limit::AtLeast(limit), before: None }
}

const fn tightened(what: &'static str, limit: f64, before: f64) -> Target {
    Target { what, limit: Limit::AtMost(limit), before: Some(before) }
}

/// How much more memory a large body may take than a greeting.
const fn four_mebibytes(what: &'static str) -> Target {
    Target { what, limit: Limit::MoreBytes(4.0 * MEBIBYTE), before: None }
}
