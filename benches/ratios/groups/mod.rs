//! The groups, in the order in which they are measured and written.

mod bodies;
mod burst;
mod cold;
mod crowd;
mod edits;
mod growth;
mod lasting;
mod peak;
mod resident;
mod visitors;
mod warm;

use anyhow::Result;

use crate::Bench;
use crate::report::Section;

/// Rows that are measured together.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// Runs for all groups before the first one measures: installs or builds what is missing.
    pub(crate) prepare: Option<fn(&Bench) -> Result<()>>,
    pub(crate) measure: fn(&Bench) -> Result<Section>,
}

/// The peaks of `bodies` are looked at before `burst`, whose threads make the bench itself larger.
pub(crate) const GROUPS: [Group; 9] = [
    Group { name: "cold", prepare: Some(cold::prepare), measure: cold::measure },
    Group { name: "warm", prepare: None, measure: warm::measure },
    Group { name: "visitors", prepare: Some(visitors::prepare), measure: visitors::measure },
    Group { name: "edits", prepare: None, measure: edits::measure },
    Group { name: "lasting", prepare: None, measure: lasting::measure },
    Group { name: "bodies", prepare: None, measure: bodies::measure },
    Group { name: "resident", prepare: Some(resident::prepare), measure: resident::measure },
    Group { name: "burst", prepare: None, measure: burst::measure },
    Group { name: "growth", prepare: None, measure: growth::measure },
];
