//! P1: the words of a query that Apache puts on the command line.

use anyhow::{Context, Result};

use super::{expect, get};
use crate::harness::server::WebServer;

/// Apache really passes these words on; otherwise the rows of P1 would prove nothing.
pub(super) fn passes_words(server: &WebServer) -> Result<()> {
    for (query, words) in [
        ("-h", "[-h]"),
        ("%2d%2dversion", "[--version]"),
        ("-d+x%3d1", "[-d][x=1]"),
        ("os:system", "[os:system]"),
        ("a=1", "[]"),
    ] {
        let answer = get(server, &format!("/words?{query}"))?;
        expect(&answer, |answer| answer.status(200)?.body(words).map(drop)).context(query)?;
    }
    Ok(())
}
