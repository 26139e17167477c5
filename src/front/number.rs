//! The number of a request: on the visitor's error page, in the lines on standard error, in `--log` and `--record`, so
//! that a visitor's report leads to the reason. Also the label, which names the request of a line in a shared log.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use super::secrets;
use crate::cgi::variables::Variables;
use crate::report::printable_line;

/// The letters of a number, without those that are mistaken for others when they are read aloud or copied by hand.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How many letters a number has: 40 bits. After a million requests two numbers are probably alike.
const LENGTH: u32 = 8;

/// How many characters of an address or of an application a label shows at most.
const LONGEST: usize = 200;

/// The number of the request that this process answers. It is made of random bits: a visitor can neither choose nor
/// guess one.
pub fn of_request() -> &'static str {
    static NUMBER: OnceLock<String> = OnceLock::new();
    NUMBER.get_or_init(|| {
        let mut hasher = RandomState::new().build_hasher();
        // Where the system has no random bits yet, these values differ at least.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        hasher.write_u128(now.as_nanos());
        hasher.write_u32(std::process::id());
        text(hasher.finish())
    })
}

fn text(bits: u64) -> String {
    let letters = (0..LENGTH).map(|at| LETTERS[(bits >> (5 * at) & 31) as usize]);
    letters.map(char::from).collect()
}

/// What follows each line on standard error: address, application and number. `[GET /x, /srv/app.py, request 7h3k9x2m]`
pub fn label(variables: &Variables, application: &str) -> String {
    let method = String::from_utf8_lossy(variables.get("REQUEST_METHOD").unwrap_or(b"?"));
    let address = String::from_utf8_lossy(&address(variables)).into_owned();
    let application = if application.is_empty() { "no application" } else { application };
    format!(
        "[{} {}, {}, request {}]",
        printable_line(&method, 20),
        printable_line(&address, LONGEST),
        printable_line(application, LONGEST),
        of_request()
    )
}

/// Path and query of a request as the client sent them, or as far as the server passes them on; without the values of
/// fields whose names mark secrets.
pub fn address(variables: &Variables) -> Vec<u8> {
    if let Some(address) = variables.get_nonempty("REQUEST_URI") {
        return secrets::without_query_values(address);
    }
    let of = |name| variables.get(name).unwrap_or_default();
    let query = of("QUERY_STRING");
    let mark: &[u8] = if query.is_empty() { b"" } else { b"?" };
    secrets::without_query_values(&[of("SCRIPT_NAME"), of("PATH_INFO"), mark, query].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_eight_letters_that_nobody_mistakes() {
        assert_eq!(text(0), "00000000");
        assert_eq!(text(u64::MAX), "zzzzzzzz");
        let number = of_request();
        assert_eq!((number.len(), number), (8, of_request()));
        assert!(!number.contains(['i', 'l', 'o', 'u']), "{number}");
    }

    #[test]
    fn a_label_is_one_bounded_line_without_what_a_terminal_obeys() {
        let uri = "/\x1b[2J\n".to_owned() + &"x".repeat(999);
        let variables: Variables =
            [("REQUEST_METHOD", "GET"), ("REQUEST_URI", &uri)].into_iter().collect();
        let label = label(&variables, "/srv/a\n.py");
        assert!(label.starts_with("[GET /\\u{1b}[2J "), "{label}");
        assert!(label.contains("…, /srv/a .py, request "), "{label}");
        assert!(label.chars().all(|character| !character.is_control()) && label.len() < 500);
    }

    #[test]
    fn an_address_is_the_clients_or_made_of_what_the_server_tells() {
        let told = [("SCRIPT_NAME", "/a"), ("PATH_INFO", "/b c"), ("QUERY_STRING", "q=1")];
        assert_eq!(address(&told.into_iter().collect()), b"/a/b c?q=1");
        let uri = [("REQUEST_URI", "/a/b%20c?password=x&q=1"), ("PATH_INFO", "/other")];
        assert_eq!(address(&uri.into_iter().collect()), b"/a/b%20c?password=***&q=1");
    }
}
