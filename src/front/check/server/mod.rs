//! `--server`: what the configuration of a web server means for CGI programs. It is read as text, with the files that
//! it includes; no server is started or queried.
//!
//! - [`text`]: the lines of a configuration, with those of the files that it includes;
//! - [`apache`], [`others`]: what they mean.

mod apache;
mod others;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use self::text::Line;
use super::finding::Finding;
use super::user::User;
use super::way;
use crate::front::settings::VARIABLES;

/// Which server a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Apache,
    Caddy,
    Lighttpd,
    Nginx,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Apache => "Apache",
            Self::Caddy => "Caddy",
            Self::Lighttpd => "lighttpd",
            Self::Nginx => "nginx",
        }
    }

    /// Where distributions put its configuration.
    fn places(self) -> &'static [&'static str] {
        match self {
            Self::Apache => &[
                "/etc/apache2/apache2.conf",
                "/etc/httpd/conf/httpd.conf",
                "/etc/apache2/httpd.conf",
                "/usr/local/etc/apache24/httpd.conf",
            ],
            Self::Caddy => &["/etc/caddy/Caddyfile"],
            Self::Lighttpd => &["/etc/lighttpd/lighttpd.conf"],
            Self::Nginx => &["/etc/nginx/nginx.conf"],
        }
    }

    /// The names of its systemd unit.
    fn units(self) -> &'static [&'static str] {
        match self {
            Self::Apache => &["apache2", "httpd"],
            Self::Caddy => &["caddy"],
            Self::Lighttpd => &["lighttpd"],
            Self::Nginx => &["fcgiwrap", "nginx"],
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "apache" => Some(Self::Apache),
            "caddy" => Some(Self::Caddy),
            "lighttpd" => Some(Self::Lighttpd),
            "nginx" => Some(Self::Nginx),
            _ => None,
        }
    }

    /// Guesses the server from the name and text of a file.
    fn guess(file: &Path, text: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if has(&["server.modules", "server.document-root", "$HTTP[", "alias.url", "cgi.assign"]) {
            Self::Lighttpd
        } else if has(&["fastcgi_pass", "fastcgi_param", "listen 80;", "http {", "location "]) {
            Self::Nginx
        } else if file.ends_with("Caddyfile") || has(&["cgi *", "cgi @", "{\n\tcgi", "handle {"]) {
            Self::Caddy
        } else {
            Self::Apache
        }
    }
}

const ABOUT: &str = "server";

/// What a configuration tells.
#[derive(Default)]
pub(super) struct Told {
    pub(super) findings: Vec<Finding>,
    /// The name that it gives the site.
    pub(super) name: Option<String>,
    /// The settings of cgi2wsgi for which it has exactly one value.
    pub(super) settings: Vec<(String, String)>,
}

/// Judges the configuration that `given` names: the name of a server, or a file.
pub(super) fn judge(given: &str, app: Option<&Path>, user: &User) -> Told {
    let only = |finding| Told { findings: vec![finding], ..Told::default() };
    let file = if let Some(kind) = Kind::named(given) {
        let usual = kind.places().iter().map(Path::new).find(|place| place.is_file());
        let Some(place) = usual else {
            let places = kind.places().join(" nor ");
            let seen = format!("there is no configuration of {}: neither {places}", kind.name());
            let cure = "cgi2wsgi check --server FILE";
            return only(Finding::problem(ABOUT, seen).cure(cure));
        };
        place.to_owned()
    } else {
        let file = PathBuf::from(given);
        std::path::absolute(&file).unwrap_or(file)
    };
    if let Some(finding) = way::readable(ABOUT, &file, user) {
        return only(finding);
    }
    // Only a regular file is opened: a FIFO would block.
    if !file.is_file() {
        let seen = format!("{} is not a regular file, and no configuration", file.display());
        return only(Finding::problem(ABOUT, seen));
    }
    let raw = text::read(&file);
    let kind = Kind::named(given).unwrap_or_else(|| Kind::guess(&file, &raw));
    let lines = text::gather(&file, kind == Kind::Apache);
    let mut findings = vec![Finding::fine(
        ABOUT,
        format!("{}, configured by {} ({} lines)", kind.name(), file.display(), lines.len()),
    )];
    findings.extend(match kind {
        Kind::Apache => apache::judge(&lines, &file, app),
        Kind::Caddy => others::caddy(&lines),
        Kind::Lighttpd => others::lighttpd(&lines),
        Kind::Nginx => others::nginx(&lines, |path| {
            rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
        }),
    });
    for program in programs(kind, &lines) {
        findings.push(match way::executable(ABOUT, &program, user) {
            Some(finding) => finding,
            None => Finding::fine(ABOUT, format!("starts {}", program.display())),
        });
    }
    findings.extend(private_temporary(kind));
    let settings = settings(&lines);
    if !settings.is_empty() {
        let names: Vec<&str> = settings.iter().map(|(name, _)| name.as_str()).collect();
        let seen = format!("{} has {}", file.display(), names.join(", "));
        findings.push(Finding::fine("settings", seen));
    }
    Told { findings, name: name(kind, &lines), settings }
}

/// The settings of cgi2wsgi in a configuration: in all four languages a value follows its name. A setting with several
/// values, for several sites, is left out: nothing tells which site is meant.
fn settings(lines: &[Line]) -> Vec<(String, String)> {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in lines {
        for (index, word) in line.words.iter().enumerate() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), line.words.get(index + 1).map(String::as_str)),
            };
            if VARIABLES.contains(&name)
                && let Some(value) = value
            {
                found.entry(name).or_default().insert(value);
            }
        }
    }
    let only = found.into_iter().filter(|(_, values)| values.len() == 1);
    only.filter_map(|(name, values)| Some((name.to_owned(), (*values.first()?).to_owned())))
        .collect()
}

/// The programs that a configuration starts for a URL, if it names them by an absolute path; in lighttpd's, only those
/// with `cgi2wsgi` in the path.
fn programs(kind: Kind, lines: &[Line]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for line in lines {
        let words = &line.words;
        let named: Vec<&String> = match (kind, words.first().map(|word| word.to_lowercase())) {
            (Kind::Apache, Some(first)) if first == "scriptalias" => {
                words.get(2).into_iter().collect()
            }
            (Kind::Nginx, Some(first))
                if first == "fastcgi_param"
                    && words.get(1).is_some_and(|name| name == "SCRIPT_FILENAME") =>
            {
                words.get(2).into_iter().collect()
            }
            (Kind::Caddy, Some(first)) if first == "cgi" => words.iter().skip(2).take(1).collect(),
            (Kind::Lighttpd, Some(first)) if first.starts_with("alias.url") => {
                words.iter().filter(|word| word.contains("cgi2wsgi")).collect()
            }
            _ => Vec::new(),
        };
        for name in named {
            let name = name.trim_end_matches('/');
            let is_variable = name.contains(['$', '{', '%', '*']);
            let path = PathBuf::from(name);
            if path.is_absolute() && !is_variable && !path.is_dir() && !found.contains(&path) {
                found.push(path);
            }
        }
    }
    found
}

/// The name of the site, if there is one.
fn name(kind: Kind, lines: &[Line]) -> Option<String> {
    let directive = match kind {
        Kind::Apache => "servername",
        Kind::Nginx => "server_name",
        _ => return None,
    };
    let mut all = lines
        .iter()
        .filter(|line| line.words.first().is_some_and(|word| word.to_lowercase() == directive));
    let name = all.next()?.words.get(1)?.split(':').next()?.to_owned();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    (name.contains('.') && name.chars().all(is_plain)).then_some(name)
}

/// A finding if the service has a private temporary directory.
fn private_temporary(kind: Kind) -> Option<Finding> {
    let units = kind.units().iter().flat_map(|unit| {
        ["/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"]
            .map(|place| (unit, Path::new(place).join(format!("{unit}.service"))))
    });
    let mut private = units.filter(|(_, file)| {
        text::read(file).lines().any(|line| {
            let line = line.trim().to_lowercase();
            line == "privatetmp=true" || line == "privatetmp=yes"
        })
    });
    let (unit, _) = private.next()?;
    let seen = format!(
        "the service {unit} has its own /tmp (PrivateTmp): only root and the service see the files and the \
         zygotes in it"
    );
    Some(Finding::fine("PrivateTmp", seen).cure("sudo cgi2wsgi warm status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_tells_which_server_it_is_for() {
        for (file, text, expected) in [
            ("a.conf", "server.modules = ()\n", Kind::Lighttpd),
            ("a.conf", "location / {\n fastcgi_pass x;\n}\n", Kind::Nginx),
            ("Caddyfile", "x {\n}\n", Kind::Caddy),
            ("a.conf", "ScriptAlias /a /b\n", Kind::Apache),
            (".htaccess", "RewriteEngine On\n", Kind::Apache),
        ] {
            assert_eq!(Kind::guess(Path::new(file), text), expected, "{text}");
        }
    }

    #[test]
    fn settings_are_read_in_all_four_languages_where_they_have_one_value() {
        for text in [
            "SetEnv CGI2WSGI_APP \"/s/a.py\"\nSetEnv CGI2WSGI_WARM 1\nSetEnv OTHER 1\n",
            "fastcgi_param CGI2WSGI_APP \"/s/a.py\";\nfastcgi_param CGI2WSGI_WARM 1;\n",
            "env `CGI2WSGI_APP=/s/a.py` CGI2WSGI_WARM=1\n",
            "x = (\"CGI2WSGI_APP\" => \"/s/a.py\", \"CGI2WSGI_WARM\" => \"1\")\n",
        ] {
            let expected = [("CGI2WSGI_APP", "/s/a.py"), ("CGI2WSGI_WARM", "1")];
            let found = settings(&text::parse(text, 1));
            let found: Vec<_> = found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(found, expected, "{text}");
            assert!(
                settings(&text::parse(&format!("{text}SetEnv CGI2WSGI_APP /b\n"), 1)).len() == 1
            );
        }
    }

    #[test]
    fn programs_and_names_are_found() {
        let lines = text::parse("ServerName example.org:80\nScriptAlias / \"/opt/cgi2wsgi/\"\n", 1);
        assert_eq!(programs(Kind::Apache, &lines), [PathBuf::from("/opt/cgi2wsgi")]);
        assert_eq!(name(Kind::Apache, &lines).as_deref(), Some("example.org"));
        let lines = text::parse("fastcgi_param SCRIPT_FILENAME /opt/c;\nserver_name a.b c.d;\n", 1);
        assert_eq!(programs(Kind::Nginx, &lines), [PathBuf::from("/opt/c")]);
        assert_eq!(name(Kind::Nginx, &lines).as_deref(), Some("a.b"));
        let lines = text::parse("\tcgi * `/opt/c` x {\n", 1);
        assert_eq!(programs(Kind::Caddy, &lines), [PathBuf::from("/opt/c")]);
        let lines = text::parse("alias.url = (\"/app\" => \"/opt/cgi2wsgi\")\n", 1);
        assert_eq!(programs(Kind::Lighttpd, &lines), [PathBuf::from("/opt/cgi2wsgi")]);
    }
}
