//! The environment variables of one request, as raw bytes (E1).
//!
//! Only a container: [`super::request`] interprets the names.

use std::collections::hash_map::Entry;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Environment variables in their original order, each name once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(Vec<(Vec<u8>, Vec<u8>)>);

impl Variables {
    /// The variables of a process environment. If a name occurs twice, the first value counts, as in Python's
    /// `os.environ`. The values of a repeated header are joined, which nginx leaves to the program (E13).
    pub fn of_environment(pairs: impl Iterator<Item = (OsString, OsString)>) -> Self {
        Self::joining(pairs.map(|(name, value)| (name.into_vec(), value.into_vec())))
    }

    fn joining(pairs: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let mut joined = Self::default();
        // The place of each name: a client may send thousands, so searching would be slow.
        let mut places = std::collections::HashMap::new();
        for (name, value) in pairs {
            match places.entry(name) {
                Entry::Vacant(place) => {
                    joined.0.push((place.key().clone(), value));
                    place.insert(joined.0.len() - 1);
                }
                Entry::Occupied(place) => {
                    if let Some(separator) = separator(place.key()) {
                        let first = &mut joined.0[*place.get()].1;
                        first.extend_from_slice(separator);
                        first.extend_from_slice(&value);
                    }
                }
            }
        }
        joined
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

    /// Whether a server started this process for a request: RFC 3875 4.1.4 requires `GATEWAY_INTERFACE`; servers that
    /// omit it are recognized by `REQUEST_METHOD` with `SERVER_PROTOCOL`.
    pub fn are_from_a_server(&self) -> bool {
        self.get("GATEWAY_INTERFACE").is_some()
            || (self.get("REQUEST_METHOD").is_some() && self.get("SERVER_PROTOCOL").is_some())
    }
}

/// The separator of a repeated header's values (RFC 9110 5.3, RFC 6265 5.4); `None` for what may occur only once.
fn separator(name: &[u8]) -> Option<&'static [u8]> {
    match name {
        b"HTTP_COOKIE" => Some(b"; "),
        b"HTTP_HOST" | b"HTTP_AUTHORIZATION" => None,
        _ => name.starts_with(b"HTTP_").then_some(b", "),
    }
}

impl<N: Into<Vec<u8>>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e13_a_header_that_stands_twice_is_joined_and_other_variables_count_once() {
        let pairs = [
            ("HTTP_COOKIE", "a=1"),
            ("HTTP_X", "1"),
            ("HTTP_HOST", "first"),
            ("PATH", "/bin"),
            ("HTTP_COOKIE", "b=2"),
            ("HTTP_X", "2"),
            ("HTTP_HOST", "second"),
            ("PATH", "/evil"),
        ];
        let joined = Variables::joining(pairs.into_iter().map(|(n, v)| (n.into(), v.into())));
        let expected = [
            ("HTTP_COOKIE", "a=1; b=2"),
            ("HTTP_X", "1, 2"),
            ("HTTP_HOST", "first"),
            ("PATH", "/bin"),
        ];
        assert_eq!(joined, expected.into_iter().collect());
    }
}
