//! The one encoding of all messages: fields in a fixed order, each a netstring without its comma (`5:hello`), so that
//! a value can have any bytes. A message on a stream is a netstring itself.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Writes fields, one after the other.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Appends a field of any bytes.
    pub fn put(&mut self, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.0.extend_from_slice(value.len().to_string().as_bytes());
        self.0.push(b':');
        self.0.extend_from_slice(value);
    }

    /// Appends a number, in decimal.
    pub fn put_number(&mut self, number: impl Into<u64>) {
        self.put(number.into().to_string());
    }

    /// Appends a number or, for none, an empty field.
    pub fn put_optional(&mut self, number: Option<u64>) {
        self.put(number.map(|number| number.to_string()).unwrap_or_default());
    }

    /// Appends the bytes of a path.
    pub fn put_path(&mut self, path: &Path) {
        self.put(path.as_os_str().as_bytes());
    }

    /// The message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Reads fields in the order in which they were written. `None`: the message is damaged.
#[derive(Debug)]
pub struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    /// Begins at the first field.
    pub fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Whether every field was read.
    pub fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// A field of any bytes.
    pub fn bytes(&mut self) -> Option<&'b [u8]> {
        let Length::Known { length, start } = length(self.0) else { return None };
        let (value, rest) = self.0.get(start..)?.split_at_checked(length)?;
        self.0 = rest;
        Some(value)
    }

    /// A field of UTF-8.
    pub fn text(&mut self) -> Option<&'b str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// A path.
    pub fn path(&mut self) -> Option<PathBuf> {
        Some(OsStr::from_bytes(self.bytes()?).into())
    }

    /// A string of the operating system's.
    pub fn os_string(&mut self) -> Option<OsString> {
        Some(OsString::from_vec(self.bytes()?.to_vec()))
    }

    /// A number that fits `N`.
    pub fn number<N: std::str::FromStr>(&mut self) -> Option<N> {
        self.text()?.parse().ok()
    }

    /// A number, or none.
    pub fn optional(&mut self) -> Option<Option<u64>> {
        match self.text()? {
            "" => Some(None),
            digits => digits.parse().ok().map(Some),
        }
    }

    /// A truth value.
    pub fn switch(&mut self) -> Option<bool> {
        match self.bytes()? {
            b"0" => Some(false),
            b"1" => Some(true),
            _ => None,
        }
    }
}

/// More digits than any length has.
const MOST_DIGITS: usize = 12;

/// What is known of the message at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Its length, and where it begins, in bytes.
    Known {
        /// How long it is.
        length: usize,
        /// Where it begins.
        start: usize,
    },
    /// More bytes are needed to know.
    Incomplete,
    /// They are no message.
    Damaged,
}

/// The length of the message that `bytes` begin with.
pub fn length(bytes: &[u8]) -> Length {
    let digits =
        bytes.iter().take(MOST_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    match bytes.get(digits) {
        _ if digits > MOST_DIGITS => Length::Damaged,
        None => Length::Incomplete,
        Some(b':') => {
            let number =
                std::str::from_utf8(&bytes[..digits]).ok().and_then(|text| text.parse().ok());
            number.map_or(Length::Damaged, |length| Length::Known { length, start: digits + 1 })
        }
        Some(_) => Length::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_arrive_as_they_were_put() {
        let mut writer = Writer::default();
        writer.put(b"a:b\n\xff");
        writer.put("");
        writer.put_number(7_u32);
        writer.put_optional(None);
        writer.put_optional(Some(9));
        writer.put_number(true);
        writer.put_path(Path::new("/x"));
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.bytes(), Some(b"a:b\n\xff".as_slice()));
        assert_eq!(reader.text(), Some(""));
        assert_eq!(reader.number(), Some(7_u8));
        assert_eq!(reader.optional(), Some(None));
        assert_eq!(reader.optional(), Some(Some(9)));
        assert_eq!(reader.switch(), Some(true));
        assert_eq!(reader.path(), Some("/x".into()));
        assert!(reader.is_at_end());
        assert_eq!(reader.bytes(), None);
    }

    #[test]
    fn damage_is_told_from_what_is_not_there_yet() {
        assert_eq!(length(b""), Length::Incomplete);
        assert_eq!(length(b"12"), Length::Incomplete);
        assert_eq!(length(b"12:"), Length::Known { length: 12, start: 3 });
        for damaged in [b":".as_slice(), b"x", b"1x", b"-1:", b"1234567890123:"] {
            assert_eq!(length(damaged), Length::Damaged, "{damaged:?}");
        }
        assert_eq!(Reader::new(b"5:abc").bytes(), None);
        assert_eq!(Reader::new(b"1:2").switch(), None);
    }
}
