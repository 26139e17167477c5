//! Paths of URLs as servers write them: percent-decoding, the path of a
//! `REQUEST_URI`, collapsed slashes, dot segments. Pure functions on bytes.

/// Decodes `%XX`. A `%` without two hexadecimal digits after it stays as it is, as in Apache and Go.
pub fn decode(text: &[u8]) -> Vec<u8> {
    let hex = |byte: u8| char::from(byte).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let value = match text[at..] {
            [b'%', high, low, ..] => hex(high).zip(hex(low)).map(|(h, l)| h * 16 + l),
            _ => None,
        };
        if let Some(byte) = value.and_then(|value| u8::try_from(value).ok()) {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(text[at]);
            at += 1;
        }
    }
    decoded
}

/// The path of a `REQUEST_URI`, still encoded: without the query, and without
/// scheme and authority where the client sent the absolute form.
pub fn of_request_uri(uri: &[u8]) -> &[u8] {
    let end = uri.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(uri.len());
    let path = &uri[..end];
    if path.starts_with(b"/") {
        return path;
    }
    match path.windows(3).position(|window| window == b"://") {
        Some(colon) => {
            let rest = &path[colon + 3..];
            rest.iter().position(|byte| *byte == b'/').map_or(b"/", |slash| &rest[slash..])
        }
        None => path,
    }
}

/// `path` with each run of slashes made one, as Apache does before it looks
/// for a script.
pub fn collapse_slashes(path: &[u8]) -> Vec<u8> {
    let mut collapsed: Vec<u8> = Vec::with_capacity(path.len());
    for &byte in path {
        if byte != b'/' || collapsed.last() != Some(&b'/') {
            collapsed.push(byte);
        }
    }
    collapsed
}

/// Whether a segment is `.` or `..`.
pub fn has_dot_segments(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|segment| matches!(segment, b"." | b".."))
}

/// What follows `root` in `path`, if `path` is `root` or lies under it: `""` or something that starts with a slash.
/// Every path lies under the empty root.
pub fn below<'p>(path: &'p [u8], root: &[u8]) -> Option<&'p [u8]> {
    let rest = path.strip_prefix(root)?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
}

/// `path` without its last segment: `/fb/index.cgi` gives `/fb`, `/x` gives
/// the empty root.
pub fn parent(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    &path[..slash]
}

/// The last segment of a path, of a URL or of a file.
pub fn last_segment(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_that_encode_nothing_stay() {
        assert_eq!(decode(b"/a%20b%2Fc%zz%4"), b"/a b/c%zz%4");
        assert_eq!(decode(b"%e9%00"), b"\xe9\0");
    }

    #[test]
    fn the_path_of_a_request_uri_has_neither_query_nor_authority() {
        assert_eq!(of_request_uri(b"/a/b?c=/d"), b"/a/b");
        assert_eq!(of_request_uri(b"http://host:8080/a?b"), b"/a");
        assert_eq!(of_request_uri(b"http://host"), b"/");
        assert_eq!(of_request_uri(b"*"), b"*");
    }

    #[test]
    fn below_minds_whole_segments() {
        assert_eq!(below(b"/app/x", b"/app"), Some(b"/x".as_slice()));
        assert_eq!(below(b"/app", b"/app"), Some(b"".as_slice()));
        assert_eq!(below(b"/application", b"/app"), None);
        assert_eq!(below(b"/x", b""), Some(b"/x".as_slice()));
    }

    #[test]
    fn slashes_collapse_and_dot_segments_are_seen() {
        assert_eq!(collapse_slashes(b"//a///b/"), b"/a/b/");
        assert!(has_dot_segments(b"/a/../b") && has_dot_segments(b"/."));
        assert!(!has_dot_segments(b"/a..b/..."));
    }
}
