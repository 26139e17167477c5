//! What the targets share: inputs that a person can read and write.
//!
//! An input is text of lines, `NAME=VALUE` each. A line that begins with a tab continues the value before it, behind a
//! line feed, so every value that an environment can have can be written. As there, a NUL ends a value.

/// A name and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// The pairs of an input, in order. As in an environment, a name is not empty;
/// a line without `=` is a name whose value is empty.
pub fn pairs(input: &[u8]) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    for line in input.split(|byte| *byte == b'\n') {
        if let ([b'\t', more @ ..], Some((_, value))) = (line, pairs.last_mut()) {
            value.push(b'\n');
            value.extend_from_slice(more);
        } else if !line.is_empty() {
            let equals = line[1..].iter().position(|byte| *byte == b'=').map(|at| at + 1);
            let (name, value) = match equals {
                Some(at) => (&line[..at], &line[at + 1..]),
                None => (line, [].as_slice()),
            };
            pairs.push((name.to_vec(), value.to_vec()));
        }
    }
    for (name, value) in &mut pairs {
        for text in [name, value] {
            text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
        }
    }
    pairs.retain(|(name, _)| !name.is_empty());
    pairs
}

/// Takes the first pair called `name` out of `pairs`.
pub fn take(pairs: &mut Vec<Pair>, name: &str) -> Option<Vec<u8>> {
    let at = pairs.iter().position(|(found, _)| found == name.as_bytes())?;
    Some(pairs.remove(at).1)
}

/// Takes every pair called `name`, in order.
pub fn take_all(pairs: &mut Vec<Pair>, name: &str) -> Vec<Vec<u8>> {
    pairs.extract_if(.., |(found, _)| found == name.as_bytes()).map(|(_, value)| value).collect()
}

/// A number, if `text` is one.
pub fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `text` for a failure's message.
pub fn shown(text: &[u8]) -> String {
    text.escape_ascii().to_string()
}
