//! The mount root: which part of the URL's path is `SCRIPT_NAME` and which is
//! `PATH_INFO` (RFC 3875 4.1.5, 4.1.13; E3, E4, E17, E18). Pure functions; the
//! table of E17 is their test.

use super::path;
use super::refusal::Refusal;
use super::variables::Variables;

/// Where the public root of the application is taken from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Mount {
    /// The server's `SCRIPT_NAME` is right.
    #[default]
    Server,
    /// Recover it from what the server says about its own rewriting.
    Auto,
    /// This path: `""`, or a path that begins with a slash and does not end with one.
    At(Vec<u8>),
    /// Apache's `Action`: the application is the file that `PATH_TRANSLATED` names without its last `rest` bytes (see
    /// [`super::handler`]).
    Handler {
        /// Length of what follows the file, in bytes.
        rest: usize,
    },
}

impl Mount {
    /// Reads `--mount`: `auto`, `/`, or a path such as `/app`.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let shown = String::from_utf8_lossy(text);
        if text == b"auto" {
            return Ok(Self::Auto);
        }
        if !text.starts_with(b"/") {
            return Err(format!(
                "{shown:?} is not a mount path: give one that begins with a slash, or \"auto\""
            ));
        }
        let path = path::collapse_slashes(text);
        if path::has_dot_segments(&path) || path.iter().any(|b| matches!(b, b'?' | b'#')) {
            return Err(format!(
                "{shown:?} is not a mount path: it may not contain ?, # or dot segments"
            ));
        }
        Ok(Self::At(path.strip_suffix(b"/").unwrap_or(&path).to_vec()))
    }
}

/// `SCRIPT_NAME` and `PATH_INFO`.
type Split = (Vec<u8>, Vec<u8>);

/// `SCRIPT_NAME` and `PATH_INFO` as the application sees them. The first is empty, or begins with a slash and does not
/// end with one. The second is empty or begins with a slash. At least one is not empty.
pub fn split(variables: &Variables, mount: &Mount) -> Result<Split, Refusal> {
    let script_name = variables.get("SCRIPT_NAME").unwrap_or_default();
    let path_info = variables.get("PATH_INFO").unwrap_or_default();
    let requested = RequestedPath::from_variables(variables);
    let (root, info) = match mount {
        Mount::Server => (script_name.to_vec(), path_info.to_vec()),
        Mount::At(root) => at(root, script_name, path_info, &requested)?,
        Mount::Auto => match recovered(variables, script_name, path_info, &requested)? {
            Some(found) => found,
            None => (script_name.to_vec(), path_info.to_vec()),
        },
        Mount::Handler { rest } => handled(path_info, *rest)?,
    };
    normalized(root, info, &requested)
}

/// The decoded path of `REQUEST_URI`, if the server sends one.
struct RequestedPath(Option<Vec<u8>>);

impl RequestedPath {
    fn from_variables(variables: &Variables) -> Self {
        let uri = variables.get_nonempty("REQUEST_URI");
        Self(uri.map(|uri| path::decode(path::of_request_uri(uri))))
    }

    /// As Apache resolves it before it looks for a script.
    fn collapsed(&self) -> Option<Vec<u8>> {
        self.0.as_deref().map(path::collapse_slashes)
    }
}

/// An explicit mount wins. `PATH_INFO` is what lies below it in the URL.
fn at(
    root: &[u8],
    script_name: &[u8],
    path_info: &[u8],
    requested: &RequestedPath,
) -> Result<Split, Refusal> {
    if let Some(requested) = requested.collapsed()
        && let Some(rest) = path::below(&requested, root)
    {
        refuse_dot_segments(rest)?;
        // If the server's own PATH_INFO names the same path, it may show better which slashes were encoded.
        let servers = path_info.starts_with(b"/") && path::collapse_slashes(path_info) == rest;
        return Ok((root.to_vec(), if servers { path_info } else { rest }.to_vec()));
    }
    let whole = [script_name, path_info].concat();
    let below = path::below(&whole, root).filter(|_| !root.is_empty());
    Ok((root.to_vec(), below.unwrap_or(path_info).to_vec()))
}

/// E17: finds the public root in the variables that the server's rewriting left behind.
fn recovered(
    variables: &Variables,
    script_name: &[u8],
    path_info: &[u8],
    requested: &RequestedPath,
) -> Result<Option<Split>, Refusal> {
    if variables.get_nonempty("REDIRECT_HANDLER").is_some() {
        return Ok(None);
    }
    let redirect_status = variables.get_nonempty("REDIRECT_STATUS");
    if redirect_status == Some(b"200")
        && !path_info.is_empty()
        && let Some(redirect_url) = variables.get_nonempty("REDIRECT_URL")
        && let Some(root) = redirect_url.strip_suffix(path_info)
    {
        return Ok(Some((root.to_vec(), path_info.to_vec())));
    }
    // REDIRECT_STATUS=200 proves nothing by itself: lighttpd and nginx always
    // send it. Another status is an ErrorDocument, which has no root to find.
    if !path_info.is_empty() || !matches!(redirect_status, None | Some(b"200")) {
        return Ok(None);
    }
    let Some(requested) = requested.collapsed() else { return Ok(None) };
    let root = path::parent(script_name);
    if requested == script_name {
        return Ok(None);
    }
    match path::below(&requested, root) {
        Some(rest) => {
            refuse_dot_segments(rest)?;
            Ok(Some((root.to_vec(), rest.to_vec())))
        }
        None => Ok(None),
    }
}

/// E18: `SCRIPT_NAME` is the URL of the file, and `PATH_INFO` is what follows it.
fn handled(path_info: &[u8], rest: usize) -> Result<Split, Refusal> {
    match path_info.split_at_checked(path_info.len().wrapping_sub(rest)) {
        Some((file, rest)) if rest.is_empty() || rest.starts_with(b"/") => {
            Ok((file.to_vec(), rest.to_vec()))
        }
        _ => Err(Refusal::new(
            403,
            format!(
                "PATH_INFO {:?} does not end as PATH_TRANSLATED does: this is not a request \
                 that Apache's Action hands over",
                String::from_utf8_lossy(path_info)
            ),
        )),
    }
}

fn refuse_dot_segments(path: &[u8]) -> Result<(), Refusal> {
    if path::has_dot_segments(path) {
        let shown = String::from_utf8_lossy(path).into_owned();
        return Err(Refusal::new(400, format!("the requested path {shown:?} has dot segments")));
    }
    Ok(())
}

fn normalized(
    mut root: Vec<u8>,
    mut info: Vec<u8>,
    requested: &RequestedPath,
) -> Result<Split, Refusal> {
    // E3: a slash at the end of SCRIPT_NAME belongs to PATH_INFO, once.
    if root.ends_with(b"/") {
        let kept = root.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
        root.truncate(kept);
        if !info.starts_with(b"/") {
            info.insert(0, b'/');
        }
    }
    if !root.is_empty() && !root.starts_with(b"/") {
        root.insert(0, b'/');
    }
    // E4: caddy-cgi with `script_name /app` and the matcher `/app*` makes
    // `lication/x` of `/application/x`.
    if !info.is_empty() && !info.starts_with(b"/") {
        let whole = [root.as_slice(), b"/", &info].concat();
        if requested.0.as_deref() != Some(&whole) {
            return Err(Refusal::new(
                404,
                format!(
                    "PATH_INFO {:?} does not begin with a slash and REQUEST_URI does not lie \
                     under SCRIPT_NAME {:?}: the server's matcher catches more than the \
                     application's paths (in a Caddyfile, write `/app /app/*`, not `/app*`)",
                    String::from_utf8_lossy(&info),
                    String::from_utf8_lossy(&root)
                ),
            ));
        }
        info.insert(0, b'/');
    }
    if root.is_empty() && info.is_empty() {
        info.push(b'/');
    }
    Ok((root, info))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| (*name, *value)).collect()
    }

    fn mounted(mount: &Mount, pairs: &[(&str, &str)]) -> Result<(String, String), u16> {
        let text = |bytes| String::from_utf8(bytes).expect("the tests are in UTF-8");
        split(&variables(pairs), mount)
            .map(|(root, info)| (text(root), text(info)))
            .map_err(|refusal| refusal.status)
    }

    #[expect(clippy::unnecessary_wraps, reason = "to be compared with what may be refused")]
    fn pair(root: &str, info: &str) -> Result<(String, String), u16> {
        Ok((root.into(), info.into()))
    }

    /// The rows of E17, as Apache was seen to send them.
    const SCRIPT_ALIAS: &[(&str, &str)] =
        &[("SCRIPT_NAME", "/app"), ("PATH_INFO", "/foo"), ("REQUEST_URI", "/app/foo?q")];
    const SCRIPT_ALIAS_MATCH: &[(&str, &str)] = &[("SCRIPT_NAME", "/foo"), ("REQUEST_URI", "/foo")];
    const HTACCESS_WITH_PATH: &[(&str, &str)] = &[
        ("SCRIPT_NAME", "/hta/index.cgi"),
        ("PATH_INFO", "/foo"),
        ("REQUEST_URI", "/hta/foo?a=1"),
        ("REDIRECT_URL", "/hta/foo"),
        ("REDIRECT_STATUS", "200"),
    ];
    const HTACCESS_BARE: &[(&str, &str)] = &[
        ("SCRIPT_NAME", "/hta/index.cgi"),
        ("REQUEST_URI", "/hta//foo%20bar"),
        ("REDIRECT_URL", "/hta/foo bar"),
        ("REDIRECT_STATUS", "200"),
    ];
    const FALLBACK: &[(&str, &str)] =
        &[("SCRIPT_NAME", "/fb/index.cgi"), ("REQUEST_URI", "/fb/foo/bar")];
    const DIRECTORY_INDEX: &[(&str, &str)] =
        &[("SCRIPT_NAME", "/index.cgi"), ("REQUEST_URI", "/?a=1")];
    const ERROR_DOCUMENT: &[(&str, &str)] = &[
        ("SCRIPT_NAME", "/cgi-bin/x"),
        ("REQUEST_URI", "/cgi-bin/missing"),
        ("REDIRECT_URL", "/cgi-bin/missing"),
        ("REDIRECT_STATUS", "404"),
    ];

    #[test]
    fn e17_auto_recovers_the_root_from_rewriting() {
        let auto = |pairs| mounted(&Mount::Auto, pairs);
        assert_eq!(auto(SCRIPT_ALIAS), pair("/app", "/foo"));
        assert_eq!(auto(SCRIPT_ALIAS_MATCH), pair("/foo", ""));
        assert_eq!(auto(HTACCESS_WITH_PATH), pair("/hta", "/foo"));
        assert_eq!(auto(HTACCESS_BARE), pair("/hta", "/foo bar"));
        assert_eq!(auto(FALLBACK), pair("/fb", "/foo/bar"));
        assert_eq!(auto(DIRECTORY_INDEX), pair("", "/"));
        assert_eq!(auto(ERROR_DOCUMENT), pair("/cgi-bin/x", ""));
    }

    #[test]
    fn e17_without_mount_the_server_is_believed() {
        let server = |pairs| mounted(&Mount::Server, pairs);
        assert_eq!(server(HTACCESS_WITH_PATH), pair("/hta/index.cgi", "/foo"));
        assert_eq!(server(&[]), pair("", "/"));
    }

    #[test]
    fn e17_an_explicit_mount_wins() {
        let at = |mount: &str, pairs| {
            mounted(&Mount::parse(mount.as_bytes()).expect("a mount path"), pairs)
        };
        assert_eq!(at("/hta", HTACCESS_WITH_PATH), pair("/hta", "/foo"));
        assert_eq!(at("/hta/", HTACCESS_BARE), pair("/hta", "/foo bar"));
        assert_eq!(at("/", SCRIPT_ALIAS_MATCH), pair("", "/foo"));
        assert_eq!(at("/fb", FALLBACK), pair("/fb", "/foo/bar"));
        // A proxy in front took the prefix away.
        let stripped = &[("SCRIPT_NAME", ""), ("PATH_INFO", "/foo"), ("REQUEST_URI", "/foo")];
        assert_eq!(at("/app", stripped), pair("/app", "/foo"));
        // No REQUEST_URI: a request made by hand.
        assert_eq!(at("/app", &[("PATH_INFO", "/app/x")]), pair("/app", "/x"));
    }

    #[test]
    fn e17_redirect_variables_of_lighttpd_and_nginx_prove_nothing() {
        let pairs = &[
            ("SCRIPT_NAME", "/app"),
            ("PATH_INFO", "/foo"),
            ("REQUEST_URI", "/app/foo"),
            ("REDIRECT_STATUS", "200"),
        ];
        assert_eq!(mounted(&Mount::Auto, pairs), pair("/app", "/foo"));
    }

    #[test]
    fn e17_dot_segments_are_refused() {
        let pairs = &[("SCRIPT_NAME", "/fb/index.cgi"), ("REQUEST_URI", "/fb/%2e%2e/etc")];
        assert_eq!(mounted(&Mount::Auto, pairs), Err(400));
        assert_eq!(mounted(&Mount::At(b"/fb".to_vec()), pairs), Err(400));
    }

    #[test]
    fn e3_no_slash_is_lost_or_doubled() {
        let server =
            |root, info| mounted(&Mount::Server, &[("SCRIPT_NAME", root), ("PATH_INFO", info)]);
        assert_eq!(server("/", "/x"), pair("", "/x"));
        assert_eq!(server("/", ""), pair("", "/"));
        assert_eq!(server("/app/", "/x"), pair("/app", "/x"));
        assert_eq!(server("/app/", "x"), pair("/app", "/x"));
        assert_eq!(server("/app", "//x"), pair("/app", "//x"));
        assert_eq!(server("app", "/x"), pair("/app", "/x"));
    }

    #[test]
    fn e4_a_path_without_its_slash_is_rebuilt_or_not_found() {
        let at = |uri| {
            mounted(
                &Mount::Server,
                &[("SCRIPT_NAME", "/app"), ("PATH_INFO", "lication/x"), ("REQUEST_URI", uri)],
            )
        };
        assert_eq!(at("/application/x"), Err(404));
        assert_eq!(at("/app/lication/x?q"), pair("/app", "/lication/x"));
        assert_eq!(mounted(&Mount::Server, &[("PATH_INFO", "x")]), Err(404));
    }

    #[test]
    fn e18_the_url_of_the_file_is_the_root() {
        let handled = |rest, info| {
            mounted(&Mount::Handler { rest }, &[("SCRIPT_NAME", "/cgi-bin/x"), ("PATH_INFO", info)])
        };
        assert_eq!(handled(2, "/a/h.wsgi/p"), pair("/a/h.wsgi", "/p"));
        assert_eq!(handled(0, "/a/h.wsgi"), pair("/a/h.wsgi", ""));
        assert_eq!(handled(3, "/a"), Err(403));
        assert_eq!(handled(1, "/a"), Err(403));
    }

    #[test]
    fn mount_paths_are_plain_segments() {
        for text in ["", "app", "/a/../b", "/a?b", "Auto"] {
            assert!(Mount::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(Mount::parse(b"//a//b/"), Ok(Mount::At(b"/a/b".to_vec())));
        assert_eq!(Mount::parse(b"/"), Ok(Mount::At(b"".to_vec())));
    }
}
