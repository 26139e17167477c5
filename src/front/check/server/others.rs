//! What the configurations of Caddy, lighttpd and nginx mean for a CGI program.

use std::path::Path;

use super::text::Line;
use crate::front::check::finding::{Finding, word};

const ABOUT: &str = "server";

fn first(line: &Line) -> &str {
    line.words.first().map_or("", String::as_str)
}

fn has(lines: &[Line], part: &str) -> bool {
    lines.iter().any(|line| line.words.iter().any(|word| word.contains(part)))
}

pub(super) fn caddy(lines: &[Line]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !lines.iter().any(|line| first(line) == "cgi") {
        findings.push(
            Finding::problem(
                ABOUT,
                "no directive `cgi` starts a program (github.com/aksdb/caddy-cgi/v2)",
            )
            .cure("cgi2wsgi init caddy APP"),
        );
    }
    for line in lines {
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["cgi", matcher, ..] if matcher.starts_with('/') && matcher.contains("cgi2wsgi") => {
                let seen = format!(
                    "line {}: {matcher} is read as the matcher, not as the program",
                    line.number
                );
                findings.push(
                    Finding::problem(ABOUT, seen).cure(format!("cgi * {}", words[1..].join(" "))),
                );
            }
            ["cgi", matcher, ..]
                if matcher.starts_with('/')
                    && matcher.ends_with('*')
                    && !matcher.ends_with("/*") =>
            {
                let path = matcher.trim_end_matches('*');
                let seen = format!(
                    "line {}: {matcher} also matches {path}lication, and all that begins with {path}",
                    line.number
                );
                findings
                    .push(Finding::warning(ABOUT, seen).cure(format!("@app path {path} {path}/*")));
            }
            ["handle_path" | "uri", ..]
                if has(lines, "cgi2wsgi") && !words.contains(&"/static/*") =>
            {
                let seen = format!(
                    "line {}: {} removes the prefix from REQUEST_URI too",
                    line.number, words[0]
                );
                findings.push(Finding::warning(ABOUT, seen).cure("script_name /app"));
            }
            _ => {}
        }
    }
    let environments = lines.windows(2).filter(|pair| pair.iter().all(|line| first(line) == "env"));
    for pair in environments {
        let seen = format!("line {}: a second env replaces the first", pair[1].number);
        findings.push(Finding::problem(ABOUT, seen).cure("env A=1 B=2"));
    }
    findings
}

pub(super) fn lighttpd(lines: &[Line]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for module in ["mod_cgi", "mod_alias", "mod_setenv"] {
        if !has(lines, module) {
            let seen = match module {
                "mod_cgi" => {
                    "mod_cgi is not loaded: lighttpd sends the program to visitors as a file"
                        .to_owned()
                }
                _ => format!("{module} is not loaded"),
            };
            findings.push(
                Finding::problem(ABOUT, seen).cure(format!("server.modules += (\"{module}\")")),
            );
        }
    }
    if !lines.iter().any(|line| first(line) == "cgi.assign") {
        findings.push(
            Finding::problem(ABOUT, "cgi.assign is not set: no program is run")
                .cure("cgi.assign = (\"\" => \"\")"),
        );
    }
    if !lines.iter().any(|line| first(line) == "server.stream-response-body") {
        findings.push(
            Finding::warning(
                ABOUT,
                "server.stream-response-body is 0: a streamed response arrives only when it is complete",
            )
            .cure("server.stream-response-body = 2"),
        );
    }
    findings
}

/// `is_open`: whether this user may connect to a socket.
pub(super) fn nginx(lines: &[Line], is_open: impl Fn(&Path) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let passes: Vec<&Line> = lines.iter().filter(|line| first(line) == "fastcgi_pass").collect();
    if passes.is_empty() {
        findings.push(
            Finding::problem(
                ABOUT,
                "no fastcgi_pass leads to fcgiwrap: nginx itself starts no programs",
            )
            .cure("cgi2wsgi init nginx APP"),
        );
    }
    let sockets = lines.iter().filter(|line| ["fastcgi_pass", "server"].contains(&first(line)));
    let mut sockets: Vec<&str> =
        sockets.filter_map(|line| line.words.get(1)?.strip_prefix("unix:")).collect();
    sockets.dedup();
    for socket in sockets {
        let path = Path::new(socket);
        if !path.exists() {
            let seen = format!("there is no socket {socket}: fcgiwrap does not run");
            findings
                .push(Finding::problem(ABOUT, seen).cure("systemctl enable --now fcgiwrap.socket"));
        } else if !is_open(path) {
            let seen = format!("this user may not connect to {socket}");
            findings.push(Finding::problem(ABOUT, seen).cure(format!("chmod a+rw {}", word(path))));
        }
    }
    let remote = lines.iter().find(|line| {
        first(line) == "fastcgi_param"
            && line.words.get(1).is_some_and(|name| name == "REMOTE_USER")
            && line.words.get(2).is_some_and(|value| value == "$remote_user")
    });
    if let Some(line) = remote.filter(|_| !lines.iter().any(|line| first(line) == "auth_basic")) {
        let seen = format!(
            "line {}: REMOTE_USER is a name whose password was not checked, as in nginx's own fastcgi_params",
            line.number
        );
        findings.push(Finding::warning(ABOUT, seen).cure("fastcgi_param REMOTE_USER \"\";"));
    }
    if !lines.iter().any(|line| first(line) == "fastcgi_buffer_size") {
        findings.push(
            Finding::warning(
                ABOUT,
                "fastcgi_buffer_size is 4 KiB: a response with a few cookies becomes a 502",
            )
            .cure("fastcgi_buffer_size 32k; fastcgi_buffers 4 32k;"),
        );
    }
    if !lines.iter().any(|line| first(line) == "client_max_body_size") {
        findings.push(
            Finding::warning(ABOUT, "client_max_body_size is 1 MiB: a larger upload gets a 413")
                .cure("client_max_body_size 100m;"),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::text::parse;
    use super::*;

    fn seen(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.seen.as_str()).collect()
    }

    #[test]
    fn caddys_traps_are_told() {
        assert!(
            caddy(&parse("x {\n\tcgi * /usr/bin/cgi2wsgi {\n\t\tenv A=1\n\t}\n}\n", 1)).is_empty()
        );
        for (text, expected) in [
            ("respond x\n", "no directive"),
            ("cgi /usr/bin/cgi2wsgi app.py\n", "read as the matcher"),
            ("cgi /app* /usr/bin/cgi2wsgi\n", "also matches /application,"),
            ("cgi * /c\nenv A=1\nenv B=2\n", "replaces the first"),
            ("handle_path /x/* {\ncgi * /usr/bin/cgi2wsgi\n", "from REQUEST_URI"),
        ] {
            let found = caddy(&parse(text, 1));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].seen.contains(expected) && found[0].cure.is_some(), "{found:?}");
        }
    }

    #[test]
    fn what_lighttpd_lacks_is_told() {
        let whole = "server.modules = (\"mod_alias\", \"mod_setenv\", \"mod_cgi\")\ncgi.assign = (\"\" => \"\")\n\
                     server.stream-response-body = 2\n";
        assert!(lighttpd(&parse(whole, 1)).is_empty());
        let without = lighttpd(&parse(&whole.replace(", \"mod_cgi\"", ""), 1));
        assert!(seen(&without)[0].contains("to visitors as a file"), "{without:?}");
        assert_eq!(lighttpd(&[]).len(), 5);
    }

    #[test]
    fn what_nginx_lacks_is_told() {
        let whole = "fastcgi_pass unix:/;\nfastcgi_buffer_size 32k;\nclient_max_body_size 1g;\n";
        assert!(nginx(&parse(whole, 1), |_| true).is_empty());
        assert!(seen(&nginx(&parse(whole, 1), |_| false))[0].contains("may not connect"));
        let gone = whole.replace("unix:/", "unix:/nowhere.socket");
        assert!(seen(&nginx(&parse(&gone, 1), |_| true))[0].contains("fcgiwrap does not run"));
        let open = format!("{whole}fastcgi_param REMOTE_USER $remote_user;\n");
        assert!(seen(&nginx(&parse(&open, 1), |_| true))[0].contains("was not checked"));
        assert_eq!(nginx(&[], |_| true).len(), 3);
    }
}
