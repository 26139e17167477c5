//! `-L`: where a redirect leads, if it leads back to the application.

/// How many redirects are followed: as many as curl follows.
pub(super) const MOST: u32 = 50;

/// Whether a status is a redirect.
pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Whether the next request has the method and the body of the last one (RFC 9110 15.4).
pub(super) fn keeps_method(status: u16) -> bool {
    matches!(status, 307 | 308)
}

/// The URL that `location` means relative to `url` (RFC 3986 5.2); nothing if it is on another host, for which no
/// application here answers.
pub(super) fn next(url: &str, location: &str) -> Option<String> {
    let location = location.split('#').next().unwrap_or_default();
    let (origin, path) = split(url);
    if let Some((scheme, rest)) = location.split_once("://")
        && !scheme.contains(['/', '?'])
    {
        let (other, path) = split(location);
        let is_same = host(&other).eq_ignore_ascii_case(host(&origin))
            && matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https")
            && !rest.is_empty();
        return is_same.then(|| format!("{other}{path}"));
    }
    if let Some(rest) = location.strip_prefix("//") {
        let name = rest.split(['/', '?']).next().unwrap_or_default();
        let is_same = name.eq_ignore_ascii_case(host(&origin));
        return is_same.then(|| format!("{origin}{}", &rest[name.len()..]));
    }
    let without_query = path.split('?').next().unwrap_or_default();
    let target = if location.starts_with('/') {
        without_dots(location)
    } else if location.starts_with('?') {
        format!("{without_query}{location}")
    } else if location.is_empty() {
        path.clone()
    } else {
        let directory = &without_query[..=without_query.rfind('/').unwrap_or_default()];
        without_dots(&format!("{directory}{location}"))
    };
    Some(format!("{origin}{target}"))
}

/// Scheme and host, both empty if `url` is only a path; path and query.
fn split(url: &str) -> (String, String) {
    let begin = match url.split_once("://") {
        Some((scheme, _)) if !scheme.contains(['/', '?']) => scheme.len() + 3,
        _ => 0,
    };
    let end = if begin == 0 {
        0
    } else {
        url[begin..].find(['/', '?']).map_or(url.len(), |at| begin + at)
    };
    let path = url[end..].split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    (url[..end].to_owned(), format!("{slash}{path}"))
}

fn host(origin: &str) -> &str {
    let host = origin.split_once("://").map_or("", |(_, host)| host);
    if host.is_empty() { "localhost" } else { host }
}

fn without_dots(target: &str) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (target, String::new()),
    };
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (at, segment) in segments.iter().enumerate() {
        let is_last = at + 1 == segments.len();
        match *segment {
            ".." => {
                kept.pop();
                if is_last {
                    kept.push("");
                }
            }
            "." if is_last => kept.push(""),
            "." => {}
            segment => kept.push(segment),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_resolved_as_a_browser_does() {
        for (url, location, expected) in [
            ("/a/b?x", "/login?next=/a", Some("/login?next=/a")),
            ("/a/b?x", "c", Some("/a/c")),
            ("/a/b/", "../c?y#z", Some("/a/c?y")),
            ("/a/b/c", "./../../x", Some("/x")),
            ("/a/b", "..", Some("/")),
            ("/a?x", "?y", Some("/a?y")),
            ("/a", "http://localhost/b", Some("http://localhost/b")),
            ("http://h:8080/a", "http://H:8080/b", Some("http://H:8080/b")),
            ("http://h/a", "https://h/b", Some("https://h/b")),
            ("https://h/a", "//h/b", Some("https://h/b")),
            ("https://h/a", "/b", Some("https://h/b")),
            ("http://h", "x", Some("http://h/x")),
            ("/a", "http://example.org/", None),
            ("http://h/a", "//evil/b", None),
            ("http://h/a", "ftp://h/b", None),
        ] {
            assert_eq!(next(url, location).as_deref(), expected, "{url} {location}");
        }
    }
}
