//! The environment variables of one request, as raw bytes (E1).
//!
//! Only a container: what the names mean is [`super::request`]'s business.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Environment variables in their original order. Where a name stands twice,
/// the first one counts, as in Python's `os.environ`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(Vec<(Vec<u8>, Vec<u8>)>);

impl Variables {
    /// The variables of this process.
    pub fn from_process() -> Self {
        std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect()
    }

    /// The value of `name`, which may be empty.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(n, _)| n == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// The value of `name` unless it is absent or empty. Servers send empty
    /// variables where they have nothing to say (E8).
    pub fn get_nonempty(&self, name: &str) -> Option<&[u8]> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// [`Self::get_nonempty`] as the operating system's string.
    pub fn get_os(&self, name: &str) -> Option<&OsStr> {
        self.get_nonempty(name).map(OsStr::from_bytes)
    }

    /// Sets `name`, in its old place if it had one.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        match self.0.iter_mut().find(|(n, _)| n == name.as_bytes()) {
            Some(entry) => entry.1 = value.into(),
            None => self.0.push((name.into(), value.into())),
        }
    }

    /// Removes `name`, wherever it stands.
    pub fn remove(&mut self, name: &str) {
        self.retain(|n, _| n != name.as_bytes());
    }

    /// Keeps the variables for which `keep(name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        self.0.retain(|(name, value)| keep(name, value));
    }

    /// Name and value of each variable, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// As [`std::process::Command::envs`] takes them.
    pub fn iter_os(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.iter().map(|(name, value)| (OsStr::from_bytes(name), OsStr::from_bytes(value)))
    }

    /// Whether a server started this process for a request: RFC 3875 4.1.4
    /// demands `GATEWAY_INTERFACE`; some servers forget it, and then
    /// `REQUEST_METHOD` with `SERVER_PROTOCOL` gives them away.
    pub fn are_from_a_server(&self) -> bool {
        self.get("GATEWAY_INTERFACE").is_some()
            || (self.get("REQUEST_METHOD").is_some() && self.get("SERVER_PROTOCOL").is_some())
    }
}

impl<N: Into<Vec<u8>>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
