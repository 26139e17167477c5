//! Which parts of a request are secrets, by their names: cookies, authorization, passwords and tokens in forms and in
//! query strings. What logs and records show of a request is filtered here.

use crate::cgi::path;

/// What stands in the place of a secret.
pub const LEFT_OUT: &str = "***";

/// Whether the value of a header, a field of a form or a key of JSON is a secret, by its name.
pub fn is_secret(name: &[u8]) -> bool {
    const PARTS: [&str; 19] = [
        "password",
        "passwd",
        "passphrase",
        "passcode",
        "pwd",
        "secret",
        "token",
        "api_key",
        "apikey",
        "access_key",
        "private_key",
        "authoriz",
        "credential",
        "cookie",
        "session",
        "csrf",
        "xsrf",
        "signature",
        "card_number",
    ];
    const NAMES: [&str; 12] = [
        "pass",
        "auth",
        "key",
        "pin",
        "otp",
        "totp",
        "cvv",
        "cvc",
        "iban",
        "ssn",
        "pw",
        "cardnumber",
    ];
    const ENDINGS: [&str; 3] = ["_auth", "_key", "_pass"];
    let name = String::from_utf8_lossy(name).to_ascii_lowercase().replace(['-', '.', ' '], "_");
    PARTS.iter().any(|part| name.contains(part))
        || NAMES.contains(&name.as_str())
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// An address without the values of secret fields in its query.
pub fn without_query_values(address: &[u8]) -> Vec<u8> {
    match address.iter().position(|byte| *byte == b'?') {
        Some(mark) => {
            let (fields, _) = without_field_values(&address[mark + 1..]);
            [&address[..=mark], &fields].concat()
        }
        None => address.to_vec(),
    }
}

/// The fields of a query string or a form, without the values of secrets; and the names of these.
pub fn without_field_values(fields: &[u8]) -> (Vec<u8>, Vec<String>) {
    let mut names = Vec::new();
    let kept: Vec<Vec<u8>> = fields
        .split(|byte| *byte == b'&')
        .map(|field| {
            let equals = field.iter().position(|byte| *byte == b'=');
            let Some(equals) = equals.filter(|equals| equals + 1 < field.len()) else {
                return field.to_vec();
            };
            let name = path::decode(&field[..equals]);
            if !is_secret(&name) {
                return field.to_vec();
            }
            names.push(String::from_utf8_lossy(&name).into_owned());
            [&field[..=equals], LEFT_OUT.as_bytes()].concat()
        })
        .collect();
    (kept.join(&b'&'), names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [
            "HTTP_COOKIE",
            "HTTP_AUTHORIZATION",
            "HTTP_PROXY_AUTHORIZATION",
            "REDIRECT_HTTP_AUTHORIZATION",
            "HTTP_X_API_KEY",
            "X-Api-Key",
            "HTTP_X_CSRFTOKEN",
            "SSL_SESSION_ID",
            "Set-Cookie",
            "new_password2",
            "user[password]",
            "csrfmiddlewaretoken",
            "client_secret",
            "pin",
            "PHPSESSID_session",
        ] {
            assert!(is_secret(name.as_bytes()), "{name}");
        }
        for name in ["HTTP_ACCEPT", "HTTP_HOST", "PATH_INFO", "author", "keyword", "spinner", "q"] {
            assert!(!is_secret(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_query_keeps_everything_but_the_values_of_secrets() {
        for (address, kept) in [
            ("/a?b", "/a?b"),
            ("/token=x", "/token=x"),
            ("/a?token=x&b=1&b=2", "/a?token=***&b=1&b=2"),
            ("/a?pass%77ord=x&&password=", "/a?pass%77ord=***&&password="),
            ("/a?", "/a?"),
        ] {
            let shown = without_query_values(address.as_bytes());
            assert_eq!(String::from_utf8_lossy(&shown), kept);
        }
    }
}
