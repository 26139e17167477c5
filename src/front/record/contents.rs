//! What a record has of a request: the variables, the body and the head of the response, without the values whose names
//! mark secrets ([`secrets`]).

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Body, LARGEST_BODY, Text};
use crate::cgi::variables::Variables;
use crate::front::secrets::{self, LEFT_OUT, is_secret};
use crate::handoff::request_variables::is_of_a_request;

/// The variables of a request without secrets; with `secrets`, all variables.
pub fn variables(
    all: &Variables,
    secrets: bool,
    left_out: &mut Vec<String>,
) -> BTreeMap<String, Text> {
    let mut kept = BTreeMap::new();
    for (name, value) in all.iter() {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if secrets {
            kept.insert(name.to_owned(), Text::from_bytes(value));
            continue;
        }
        if !is_of_a_request(name.as_bytes()) || name.starts_with("CGI2WSGI_") || name == "_" {
            continue;
        }
        if is_secret(name.as_bytes()) {
            left_out.push(name.to_owned());
            continue;
        }
        let shown = if name.ends_with("QUERY_STRING") {
            secrets::without_field_values(value).0
        } else {
            secrets::without_query_values(value)
        };
        if shown != value {
            left_out.push(name.to_owned());
        }
        kept.insert(name.to_owned(), Text::from_bytes(&shown));
    }
    kept
}

/// A body of `length` bytes, whose content is known unless it is too large.
pub fn body(
    content: Option<&[u8]>,
    length: u64,
    content_type: &[u8],
    secrets: bool,
    left_out: &mut Vec<String>,
) -> Body {
    let Some(content) = content else {
        let why_not = format!("it is larger than the {LARGEST_BODY} bytes that a record keeps");
        return Body { length, content: None, why_not: Some(why_not) };
    };
    if secrets {
        return Body { length, content: Some(Text::from_bytes(content)), why_not: None };
    }
    let Some((kept, names)) = without_secrets(content, content_type) else {
        left_out.push("the body".to_owned());
        let why_not = "it may have secrets, and could not be read".to_owned();
        return Body { length, content: None, why_not: Some(why_not) };
    };
    left_out.extend(names.iter().map(|name| format!("{name} in the body")));
    Body { length, content: Some(Text::from_bytes(&kept)), why_not: None }
}

/// A body without the values of secret fields, and the names of these. `None` if it may have some and cannot be parsed.
fn without_secrets(content: &[u8], content_type: &[u8]) -> Option<(Vec<u8>, Vec<String>)> {
    let whole = String::from_utf8_lossy(content_type).into_owned();
    let media = whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let unchanged = || (content.to_vec(), Vec::new());
    if media == "application/x-www-form-urlencoded" {
        return Some(secrets::without_field_values(content));
    }
    if media == "multipart/form-data" {
        let boundary = whole.split(';').find_map(|part| part.trim().strip_prefix("boundary="));
        return boundary.and_then(|boundary| multipart(content, boundary.trim_matches('"')));
    }
    if media == "application/json" || media.ends_with("+json") {
        return match serde_json::from_slice::<Value>(content) {
            Ok(mut value) => {
                let mut names = Vec::new();
                json(&mut value, &mut names);
                let kept = serde_json::to_vec(&value).ok()?;
                // Nothing is left out: the body as it was sent.
                Some(if names.is_empty() { unchanged() } else { (kept, names) })
            }
            // Broken JSON is often the reason of a failure.
            Err(_) => (!is_secret(content)).then(unchanged),
        };
    }
    Some(unchanged())
}

fn json(value: &mut Value, names: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| json(item, names)),
        Value::Object(fields) => {
            for (name, value) in fields {
                if is_secret(name.as_bytes()) && !value.is_null() {
                    names.push(name.clone());
                    *value = LEFT_OUT.into();
                } else {
                    json(value, names);
                }
            }
        }
        _ => {}
    }
}

fn multipart(content: &[u8], boundary: &str) -> Option<(Vec<u8>, Vec<String>)> {
    let delimiter = format!("--{boundary}");
    let mut kept = Vec::new();
    let mut names = Vec::new();
    let mut rest = content;
    if boundary.is_empty() {
        return None;
    }
    loop {
        let Some(at) = find(rest, delimiter.as_bytes()) else {
            // After the last delimiter, or the client has disconnected in the middle of a part.
            let (part, name) = part(rest);
            kept.extend(part);
            names.extend(name);
            return Some((kept, names));
        };
        let (part, name) = part(&rest[..at]);
        kept.extend(part);
        names.extend(name);
        kept.extend_from_slice(delimiter.as_bytes());
        rest = &rest[at + delimiter.len()..];
    }
}

/// A part between two delimiters, and its name if its content is left out.
fn part(part: &[u8]) -> (Vec<u8>, Option<String>) {
    let unchanged = (part.to_vec(), None);
    let Some(end) = find(part, b"\r\n\r\n") else { return unchanged };
    let head = String::from_utf8_lossy(&part[..end]).into_owned();
    let Some((_, after)) = head.split_once("name=") else { return unchanged };
    let name = match after.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default(),
        None => after.split([';', '\r', ' ']).next().unwrap_or_default(),
    };
    if !is_secret(name.as_bytes()) {
        return unchanged;
    }
    let kept = [&part[..end + 4], LEFT_OUT.as_bytes(), b"\r\n"].concat();
    (kept, Some(name.to_owned()))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// The fields of a head; `sent` begins with its first line.
pub fn head(sent: &[u8], secrets: bool) -> Vec<(String, Text)> {
    let end = find(sent, b"\r\n\r\n").unwrap_or(sent.len());
    let lines = sent[..end].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let fields = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8_lossy(&line[..colon]).into_owned();
        let value = line[colon + 1..].trim_ascii();
        let value = match (secrets, is_secret(name.as_bytes())) {
            (true, _) => value.to_vec(),
            (false, true) => LEFT_OUT.into(),
            (false, false) => secrets::without_query_values(value),
        };
        (name != "Status").then(|| (name, Text::from_bytes(&value)))
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(content: &str, content_type: &str) -> (Option<String>, Vec<String>) {
        let mut left_out = Vec::new();
        let length = content.len() as u64;
        let body =
            body(Some(content.as_bytes()), length, content_type.as_bytes(), false, &mut left_out);
        let text = body.content.map(|text| match text {
            Text::Plain(text) => text,
            Text::Encoded { base64 } => base64,
        });
        (text, left_out)
    }

    #[test]
    fn passwords_in_bodies_of_forms_are_left_out() {
        let form = "application/x-www-form-urlencoded";
        let (text, left_out) = shown("name=Ann&password=hunter2", form);
        assert_eq!(text.as_deref(), Some("name=Ann&password=***"));
        assert_eq!(left_out, ["password in the body"]);
        let multipart = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
                         --B\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nhunter2\r\n--B--\r\n";
        let (text, left_out) = shown(multipart, "multipart/form-data; boundary=B");
        assert_eq!(text, Some(multipart.replace("hunter2", "***")));
        assert_eq!(left_out, ["password in the body"]);
        // The body is cut in the middle of a secret.
        let (text, _) =
            shown(&multipart[..multipart.len() - 10], "multipart/form-data; boundary=B");
        assert!(!text.expect("it is kept").contains("hunter"));
        let json = r#"{"user": {"token": "x", "n": [{"secret": 1}]}, "b": 2}"#;
        let (text, left_out) = shown(json, "application/json; charset=utf-8");
        assert_eq!(
            text.as_deref(),
            Some(r#"{"b":2,"user":{"n":[{"secret":"***"}],"token":"***"}}"#)
        );
        assert_eq!(left_out.len(), 2);
    }

    #[test]
    fn what_has_no_secret_is_kept_as_it_was_sent_and_what_may_have_one_is_not() {
        for (content, content_type) in [
            ("{\"b\" : 1,  \"a\": 2}", "application/json"),
            ("{broken", "application/json"),
            ("any password=1", "text/plain"),
        ] {
            assert_eq!(shown(content, content_type), (Some(content.to_owned()), Vec::new()));
        }
        for (content, content_type) in
            [("{\"password\": \"x", "application/json"), ("x", "multipart/form-data")]
        {
            assert_eq!(shown(content, content_type), (None, vec!["the body".to_owned()]));
        }
    }

    #[test]
    fn variables_are_those_of_the_request_without_its_secrets() {
        let all: Variables = [
            ("HTTP_COOKIE", "id=1"),
            ("HTTP_AUTHORIZATION", "Basic x"),
            ("HTTP_HOST", "example.org"),
            ("QUERY_STRING", "token=x&q=1"),
            ("REQUEST_URI", "/a?token=x&q=1"),
            ("DATABASE_URL", "postgres://u:p@h/"),
            ("CGI2WSGI_LOG", "/x"),
        ]
        .into_iter()
        .collect();
        let mut left_out = Vec::new();
        let kept = variables(&all, false, &mut left_out);
        let text = |name: &str| kept.get(name).and_then(|text| text.bytes().ok());
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["HTTP_HOST", "QUERY_STRING", "REQUEST_URI"]);
        assert_eq!(text("QUERY_STRING"), Some(b"token=***&q=1".to_vec()));
        assert_eq!(text("REQUEST_URI"), Some(b"/a?token=***&q=1".to_vec()));
        let names = ["HTTP_COOKIE", "HTTP_AUTHORIZATION", "QUERY_STRING", "REQUEST_URI"];
        assert_eq!(left_out, names);
        assert_eq!(variables(&all, true, &mut Vec::new()).len(), 7);
    }

    #[test]
    fn a_head_is_its_fields_without_cookies() {
        let sent = b"Status: 302 Found\r\nSet-Cookie: id=1\r\nLocation: /x?token=1\r\n\r\n";
        let fields = head(sent, false);
        let expected = [("Set-Cookie", "***"), ("Location", "/x?token=***")]
            .map(|(name, value)| (name.to_owned(), Text::Plain(value.to_owned())));
        assert_eq!(fields, expected);
        assert_eq!(head(sent, true)[0].1, Text::Plain("id=1".into()));
    }
}
