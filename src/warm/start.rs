//! What a front tells the zygote that it starts: one variable, which the
//! zygote removes, like the handoff.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use super::identity::Identity;

/// The name of the variable.
pub const VARIABLE: &str = "CGI2WSGI_ZYGOTE";

/// How many children, and for how long (`--warm-...`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a zygote waits for a request before it leaves.
    pub idle: Duration,
    /// Children that are forked ahead of need.
    pub spare: u32,
    /// Children at a time; more requests wait in line.
    pub max: u32,
    /// A path that is requested once after the import.
    pub request: Option<OsString>,
    /// The memory of a zygote and its children together, in bytes, beyond
    /// which requests wait in line.
    pub memory: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { idle: Duration::from_secs(600), spare: 2, max: 64, request: None, memory: None }
    }
}

/// What one zygote is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The private directory.
    pub place: PathBuf,
    /// Whose requests it answers.
    pub identity: Identity,
    /// How many, and for how long.
    pub limits: Limits,
    /// Why it is started.
    pub why: String,
}

impl Start {
    /// The value of [`VARIABLE`].
    pub fn encode(&self) -> OsString {
        let mut text = Vec::new();
        let mut put = |part: &[u8]| {
            text.extend_from_slice(part.len().to_string().as_bytes());
            text.push(b':');
            text.extend_from_slice(part);
        };
        put(self.place.as_os_str().as_bytes());
        put(self.identity.as_bytes());
        put(self.limits.idle.as_millis().to_string().as_bytes());
        put(self.limits.spare.to_string().as_bytes());
        put(self.limits.max.to_string().as_bytes());
        put(self.limits.request.as_deref().unwrap_or_default().as_bytes());
        put(self.limits.memory.map_or_else(String::new, |bytes| bytes.to_string()).as_bytes());
        put(self.why.as_bytes());
        OsString::from_vec(text)
    }

    /// What [`Self::encode`] gave, or nothing if it is damaged.
    pub fn decode(mut text: &[u8]) -> Option<Self> {
        let mut take = || -> Option<Vec<u8>> {
            let colon = text.iter().position(|byte| *byte == b':')?;
            let length = std::str::from_utf8(&text[..colon]).ok()?.parse().ok()?;
            let (part, rest) = text[colon + 1..].split_at_checked(length)?;
            text = rest;
            Some(part.to_vec())
        };
        let place = OsString::from_vec(take()?).into();
        let identity = Identity::from_bytes(take()?);
        let mut number = || String::from_utf8(take()?).ok()?.parse::<u64>().ok();
        let idle = Duration::from_millis(number()?);
        let spare = u32::try_from(number()?).ok()?;
        let max = u32::try_from(number()?).ok()?;
        let request = Some(OsString::from_vec(take()?)).filter(|path| !path.is_empty());
        let memory = match take()?.as_slice() {
            b"" => None,
            digits => Some(std::str::from_utf8(digits).ok()?.parse().ok()?),
        };
        let why = String::from_utf8(take()?).ok()?;
        let limits = Limits { idle, spare, max, request, memory };
        Some(Self { place, identity, limits, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_zygote_is_told_arrives() {
        let limits = Limits {
            idle: Duration::from_millis(1500),
            spare: 3,
            max: 7,
            request: Some("/warm:up".into()),
            memory: Some(1 << 30),
        };
        let start = Start {
            place: "/tmp/ü".into(),
            identity: Identity::from_bytes(b"a:b\xff".to_vec()),
            limits,
            why: "first".into(),
        };
        let text = start.encode();
        assert_eq!(Start::decode(text.as_bytes()), Some(start));
        for end in 0..text.len() {
            assert_eq!(Start::decode(&text.as_bytes()[..end]), None, "{end}");
        }
    }
}
