//! From the server's variables to a request as PEP 3333 wants it (E1 to E18,
//! B2, B4, B5, B9). Pure: a function from variables to variables.

use super::mount::{self, Mount};
use super::refusal::Refusal;
use super::variables::Variables;

/// One request, in which the peculiarities of its server are corrected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The meta-variables and the rest of the environment (E16), as the
    /// application will find them in its environ.
    pub variables: Variables,
    /// How long the request body is.
    pub body: BodyLength,
    /// The `wsgi.url_scheme`.
    pub scheme: Scheme,
}

/// The length of a request body, as the server tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// `CONTENT_LENGTH` bytes. 0 also if the variable is absent: standard input is then not touched (B5).
    Known(u64),
    /// The client sent `CONTENT_LENGTH` bytes, and a filter of the server may have changed their number (B9): the body
    /// ends where standard input does.
    Filtered {
        /// The `CONTENT_LENGTH`.
        announced: u64,
        /// Whether the client has encoded the body. Most filters decode it, so its length has to be determined.
        is_encoded: bool,
    },
    /// All of standard input: the client sent a chunked body, and the server decoded it and does not tell its length
    /// (B4).
    UntilEnd,
}

/// The scheme of the request's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn port(self) -> &'static str {
        match self {
            Self::Http => "80",
            Self::Https => "443",
        }
    }
}

impl Request {
    /// Makes a request from the variables that a server sent, or refuses it: 400 for what is malformed, 404 for a path
    /// outside the application, 413 for a body of more than `max_body` bytes.
    pub fn from_variables(
        mut variables: Variables,
        mount: &Mount,
        max_body: Option<u64>,
    ) -> Result<Self, Refusal> {
        let (script_name, path_info) = mount::split(&variables, mount)?;
        variables.set("SCRIPT_NAME", script_name);
        variables.set("PATH_INFO", path_info);

        restore(&mut variables, "HTTP_AUTHORIZATION");
        // Not for an error page: the password may have been wrong.
        if is_without_error(&variables) {
            restore(&mut variables, "REMOTE_USER");
            restore(&mut variables, "AUTH_TYPE");
        }
        let chunked = is_chunked(&variables);
        variables.retain(|name, value| {
            let absent = value.is_empty() && is_absent_when_empty(name);
            !absent && !is_misleading(name)
        });

        require_method(&mut variables)?;
        for (name, default) in [("QUERY_STRING", ""), ("SERVER_PROTOCOL", "HTTP/1.1")] {
            if variables.get(name).is_none() {
                variables.set(name, default);
            }
        }
        let scheme = scheme(&variables);
        let name = server_name(&variables);
        let port = server_port(&variables, scheme);
        variables.set("SERVER_NAME", name);
        variables.set("SERVER_PORT", port);

        let body = body_length(&variables, chunked, max_body)?;
        Ok(Self { variables, body, scheme })
    }
}

/// E9, E10, E12, B4: variables that would mislead an application.
fn is_misleading(name: &[u8]) -> bool {
    match name {
        b"HTTP_CONTENT_TYPE"
        | b"HTTP_CONTENT_LENGTH"
        | b"HTTP_PROXY"
        | b"HTTP_TRANSFER_ENCODING" => true,
        _ => name.strip_prefix(b"HTTP_").is_some_and(|rest| {
            !rest.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
        }),
    }
}

/// E8: servers send these empty if they have no value.
fn is_absent_when_empty(name: &[u8]) -> bool {
    matches!(name, b"CONTENT_LENGTH" | b"CONTENT_TYPE" | b"REMOTE_USER")
}

/// E11, E20: an internal redirect of Apache puts `REDIRECT_` before the name,
/// once for each redirect.
fn restore(variables: &mut Variables, wanted: &str) {
    if variables.get_nonempty(wanted).is_some() {
        return;
    }
    let nearest = variables
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| Some((redirects_before(name, wanted)?, value)))
        .filter(|(depth, _)| *depth > 0)
        .min_by_key(|(depth, _)| *depth)
        .map(|(_, value)| value.to_vec());
    if let Some(value) = nearest {
        variables.set(wanted, value);
    }
}

/// How many `REDIRECT_` stand before the name `wanted`.
fn redirects_before(name: &[u8], wanted: &str) -> Option<usize> {
    let mut rest = name.strip_suffix(wanted.as_bytes())?;
    let mut depth = 0;
    while let Some(shorter) = rest.strip_suffix(b"REDIRECT_") {
        rest = shorter;
        depth += 1;
    }
    rest.is_empty().then_some(depth)
}

/// E20: whether Apache has redirected, and not because of an error. After an error, `REDIRECT_REMOTE_USER` may be the
/// name that came with a wrong password.
fn is_without_error(variables: &Variables) -> bool {
    let mut statuses = variables
        .iter()
        .filter(|(name, _)| redirects_before(name, "STATUS").is_some_and(|depth| depth > 0))
        .map(|(_, value)| value)
        .peekable();
    statuses.peek().is_some() && statuses.all(|status| status == b"200")
}

fn require_method(variables: &mut Variables) -> Result<(), Refusal> {
    match variables.get_nonempty("REQUEST_METHOD") {
        None => variables.set("REQUEST_METHOD", "GET"),
        Some(method) if method.iter().all(u8::is_ascii_graphic) => {}
        Some(method) => {
            return Err(Refusal::new(
                400,
                format!("REQUEST_METHOD {:?} is not a token", String::from_utf8_lossy(method)),
            ));
        }
    }
    Ok(())
}

/// E7. What a client can send itself (X-Forwarded-Proto) is never trusted.
fn scheme(variables: &Variables) -> Scheme {
    let is = |name, values: &[&[u8]]| {
        variables
            .get_nonempty(name)
            .map(|value| values.iter().any(|wanted| value.eq_ignore_ascii_case(wanted)))
    };
    let https = is("HTTPS", &[b"on", b"1", b"yes", b"true"])
        .or_else(|| is("REQUEST_SCHEME", &[b"https"]))
        .unwrap_or(false);
    if https { Scheme::Https } else { Scheme::Http }
}

/// A `host` or `host:port`, taken apart; the brackets stay on an IPv6 host.
fn split_host(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    if text.starts_with(b"[") {
        let end = text.iter().position(|byte| *byte == b']').map_or(text.len(), |at| at + 1);
        let (host, rest) = text.split_at(end);
        return (host, rest.strip_prefix(b":"));
    }
    match text.iter().position(|byte| *byte == b':') {
        // More than one colon and no brackets: a bare IPv6 address.
        Some(colon) if !text[colon + 1..].contains(&b':') => {
            (&text[..colon], Some(&text[colon + 1..]))
        }
        _ => (text, None),
    }
}

/// E5.
fn server_name(variables: &Variables) -> Vec<u8> {
    ["SERVER_NAME", "HTTP_HOST"]
        .iter()
        .filter_map(|name| variables.get(name))
        .map(|value| split_host(value).0)
        .find(|host| !host.is_empty())
        .unwrap_or(b"localhost")
        .to_vec()
}

/// E6.
fn server_port(variables: &Variables, scheme: Scheme) -> Vec<u8> {
    let is_port = |text: &&[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let said = variables.get("SERVER_PORT").filter(is_port);
    match said {
        Some(port) if !(port == b"80" && scheme == Scheme::Https) => port.to_vec(),
        _ => variables
            .get("HTTP_HOST")
            .and_then(|host| split_host(host).1)
            .filter(is_port)
            .unwrap_or(scheme.port().as_bytes())
            .to_vec(),
    }
}

fn is_chunked(variables: &Variables) -> bool {
    let encoding = variables.get("HTTP_TRANSFER_ENCODING").unwrap_or_default();
    let last = encoding.rsplit(|byte| *byte == b',').next().unwrap_or_default();
    last.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

fn body_length(
    variables: &Variables,
    chunked: bool,
    max_body: Option<u64>,
) -> Result<BodyLength, Refusal> {
    let Some(text) = variables.get("CONTENT_LENGTH") else {
        return Ok(if chunked { BodyLength::UntilEnd } else { BodyLength::Known(0) });
    };
    let length = Some(text)
        .filter(|text| text.iter().all(u8::is_ascii_digit))
        .and_then(|text| std::str::from_utf8(text).ok())
        .and_then(|text| text.parse::<u64>().ok())
        .filter(|length| i64::try_from(*length).is_ok())
        .ok_or_else(|| {
            Refusal::new(
                400,
                format!(
                    "CONTENT_LENGTH {:?} is not a number of bytes",
                    String::from_utf8_lossy(text)
                ),
            )
        })?;
    match max_body {
        Some(max) if length > max => Err(too_large(&format!("{length} bytes"), max)),
        _ if length > 0 && has_input_filters(variables) => {
            let is_encoded = variables.get_nonempty("HTTP_CONTENT_ENCODING").is_some();
            Ok(BodyLength::Filtered { announced: length, is_encoded })
        }
        _ => Ok(BodyLength::Known(length)),
    }
}

/// B9: whether the server can have filters that change a body, and closes standard input where the body ends: Apache,
/// even if `ModSecurity` changes its name. Clients cannot set these variables. If the guess is wrong, the end of a body
/// is found some seconds late.
fn has_input_filters(variables: &Variables) -> bool {
    let software = variables.get("SERVER_SOFTWARE").unwrap_or_default();
    // LiteSpeed has Apache's variables and none of its filters.
    software.starts_with(b"Apache")
        || (variables.get("CONTEXT_DOCUMENT_ROOT").is_some() && !software.starts_with(b"LiteSpeed"))
}

/// B4, B9: sets the true length of a body that was read to its end and begins with `beginning`. If fewer bytes came
/// than were `announced` and no filter explains it, the client went away: sets nothing and returns false.
pub fn set_true_length(
    variables: &mut Variables,
    announced: u64,
    length: u64,
    beginning: &[u8],
) -> bool {
    let is_inflated = has_input_filters(variables) && remove_gzip(variables, beginning);
    let is_whole = length >= announced || is_inflated;
    if is_whole {
        variables.set("CONTENT_LENGTH", length.to_string());
    }
    is_whole
}

/// Apache's inflate filter decodes the body and leaves the variable as it was. Removes gzip from the variable if the
/// first bytes of the body are not those of gzip; returns whether it did.
fn remove_gzip(variables: &mut Variables, beginning: &[u8]) -> bool {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let Some(encoding) = variables.get("HTTP_CONTENT_ENCODING") else { return false };
    let encodings: Vec<&[u8]> =
        encoding.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
    let Some((last, others)) = encodings.split_last() else { return false };
    if !is_gzip(last) || beginning == GZIP {
        return false;
    }
    let others = others.join(b", ".as_slice());
    if others.is_empty() {
        variables.retain(|name, _| name != b"HTTP_CONTENT_ENCODING");
    } else {
        variables.set("HTTP_CONTENT_ENCODING", others);
    }
    true
}

fn is_gzip(encoding: &[u8]) -> bool {
    [b"gzip".as_slice(), b"x-gzip"].iter().any(|name| encoding.eq_ignore_ascii_case(name))
}

/// 413, with what was sent and what is allowed.
pub fn too_large(sent: &str, max: u64) -> Refusal {
    Refusal::new(
        413,
        format!(
            "the request body has {sent} and --max-body (CGI2WSGI_MAX_BODY) allows {max}: raise it if such \
             bodies are to be accepted"
        ),
    )
}

#[cfg(test)]
mod tests;
