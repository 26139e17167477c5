//! What Django and Flask need in addition: hosts, keys, logging, databases, static files.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::exception::raised;
use super::finding::{Finding, word};
use super::inside::Inside;
use super::site::Site;
use super::user::User;
use crate::front::find::way::rights;

const DATABASE: &str = "database";
const KEY: &str = "SECRET_KEY";

/// How many identifiers of Django's messages are named.
const MOST_NAMED: usize = 6;

/// What was found about the frameworks that the application uses.
pub(super) fn judge(inside: &Inside, site: &Site, host: Option<&str>, user: &User) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in ["django", "flask"] {
        let Some(facts) = inside.about(name) else { continue };
        if facts.get("version").is_some() || facts.get("key").is_some() {
            findings.extend(if name == "django" {
                django(facts, site, host, user)
            } else {
                flask(facts, user)
            });
        }
    }
    if let Some(facts) = inside.about("django check") {
        findings.extend(checks(facts, site));
    }
    let failed = inside.all_about("django").find_map(|facts| facts.get("error"));
    if let Some(error) = failed {
        let mut finding = raised("Django", error, site, user);
        finding.seen = format!("check --deploy raises {}", finding.seen);
        findings.push(finding);
    }
    findings
}

/// The host to request if none is given: one that Django allows.
pub(super) fn allowed_host(inside: &Inside) -> Option<String> {
    let hosts = inside.about("django")?["allowed_hosts"].as_array()?;
    let host = hosts.first()?.as_str()?.trim_start_matches('.');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    (!host.is_empty() && host.chars().all(is_plain)).then(|| host.to_owned())
}

/// A command line that runs a Django project's `manage.py`.
pub(super) fn manage(site: &Site, command: &str) -> String {
    let here = &site.application.directory;
    let roots = [Some(here.clone()), here.parent().map(Path::to_owned)];
    let roots =
        roots.into_iter().flatten().chain(site.application.import_directories.iter().cloned());
    let root: PathBuf =
        roots.into_iter().find(|root| root.join("manage.py").is_file()).unwrap_or(here.clone());
    format!("cd {} && {} manage.py {command}", word(root), word(&site.interpreter.executable))
}

fn django(facts: &Value, site: &Site, host: Option<&str>, user: &User) -> Vec<Finding> {
    let mut findings = Vec::new();
    let text = |name: &str| facts[name].as_str().unwrap_or_default();
    let is_debug = facts["debug"] == true;
    let version = format!("{} with {}", text("version"), text("settings"));
    findings.push(if is_debug {
        let seen = format!("{version}: DEBUG is on, which shows settings and code to every visitor of a public site");
        Finding::warning("Django", seen).cure("DEBUG = False")
    } else {
        Finding::fine("Django", version)
    });
    findings.extend(hosts(facts, host, is_debug));
    if facts["logs_errors"] == false {
        let line = "LOGGING = {\"version\": 1, \"disable_existing_loggers\": False, \"handlers\": {\"log\": \
                    {\"class\": \"logging.StreamHandler\"}}, \"root\": {\"handlers\": [\"log\"]}}";
        findings.push(
            Finding::warning(
                "LOGGING",
                "hides errors: with DEBUG off Django answers 500 and writes nothing to the server's log",
            )
            .cure(line),
        );
    }
    let new_key = format!(
        "{} -c 'from django.core.management.utils import get_random_secret_key as key; print(key())'",
        word(&site.interpreter.executable)
    );
    findings.extend(key(&facts["key"], &new_key));
    findings.extend(databases(facts, user, &manage(site, "migrate")));
    if let Some(files) = facts.get("static").filter(|_| !is_debug) {
        findings.push(static_files(files, site));
    }
    findings
}

fn hosts(facts: &Value, host: Option<&str>, is_debug: bool) -> Option<Finding> {
    const ABOUT: &str = "ALLOWED_HOSTS";
    let hosts: Vec<&str> =
        facts["allowed_hosts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let shown = format!("{hosts:?}");
    if let Some(host) = host {
        return Some(if facts["allows_host"] == true {
            Finding::fine(ABOUT, format!("{shown} has {host}"))
        } else {
            let mut with = hosts;
            with.push(host);
            Finding::problem(
                ABOUT,
                format!("{shown} lacks {host}: every request for it gets a 400"),
            )
            .cure(format!("ALLOWED_HOSTS = {with:?}"))
        });
    }
    if hosts.is_empty() && !is_debug {
        return Some(
            Finding::problem(ABOUT, "is empty: every request gets a 400")
                .cure("ALLOWED_HOSTS = [\"example.org\"]"),
        );
    }
    (!is_debug).then(|| {
        Finding::fine(ABOUT, format!("{shown}; --host NAME compares it with the site's name"))
    })
}

fn key(facts: &Value, cure: &str) -> Option<Finding> {
    let length = facts["length"].as_u64().unwrap_or_default();
    let reason = if facts["is_empty"] == true {
        return Some(
            Finding::warning(KEY, "is not set: sessions and signed values do not work").cure(cure),
        );
    } else if facts["is_insecure"] == true {
        "begins with django-insecure-: startproject generated it, and the project's version history may have it"
    } else if facts["is_known"] == true {
        "is a word that attackers try first"
    } else if length < 16 || facts["different"].as_u64().unwrap_or_default() < 5 {
        "is short, or repeats a few characters: an attacker who guesses it can sign in as any user"
    } else {
        return None;
    };
    Some(Finding::warning(KEY, format!("{reason} ({length} characters)")).cure(cure))
}

fn databases(facts: &Value, user: &User, migrate: &str) -> Vec<Finding> {
    let all = facts["databases"].as_array().into_iter().flatten();
    all.map(|facts| {
        let text = |name: &str| facts[name].as_str().unwrap_or_default();
        let (path, directory) = (text("path"), text("directory"));
        let rights = |path: &str| rights(Path::new(path));
        let who = user.shown();
        if facts["directory_is_there"] == false {
            return Finding::problem(
                DATABASE,
                format!("{path}: there is no directory {directory}"),
            )
            .cure(format!("mkdir -p {}", word(directory)));
        }
        if facts["is_there"] == true && facts["is_writable"] == false {
            let seen = format!("{who} may not write {path}{}", rights(path));
            return Finding::problem(DATABASE, seen).cure(format!(
                "chown {} {} {}",
                word(&user.name),
                word(directory),
                word(path)
            ));
        }
        if facts["directory_is_writable"] == false {
            let seen = format!(
                "{who} may not write into {directory}{}, where SQLite puts the journal of {path}",
                rights(directory)
            );
            return Finding::problem(DATABASE, seen).cure(format!(
                "chown {} {}",
                word(&user.name),
                word(directory)
            ));
        }
        if facts["is_there"] == false {
            let seen = format!("{path} does not exist yet, and can be made");
            return Finding::warning(DATABASE, seen).cure(migrate);
        }
        Finding::fine(DATABASE, format!("{path} can be written"))
    })
    .collect()
}

fn static_files(facts: &Value, site: &Site) -> Finding {
    const ABOUT: &str = "static files";
    let text = |name: &str| facts[name].as_str().unwrap_or_default();
    let (url, root) = (text("url"), text("root"));
    if root.is_empty() {
        let seen = "STATIC_ROOT is not set: with DEBUG off static files are not served";
        let here = word(site.application.directory.join("static"));
        return Finding::warning(ABOUT, seen).cure(format!("STATIC_ROOT = {here:?}"));
    }
    if facts["is_filled"] == false {
        return Finding::warning(ABOUT, format!("{root} (STATIC_ROOT) is empty or does not exist"))
            .cure(manage(site, "collectstatic"));
    }
    let by = if facts["whitenoise"] == true {
        "WhiteNoise"
    } else {
        "the server, if its configuration says so,"
    };
    Finding::fine(ABOUT, format!("{root}, which {by} serves at {url}"))
}

fn flask(facts: &Value, user: &User) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts["debug"] == true {
        let seen = "debug is on: a failure shows its traceback to the visitor";
        findings.push(Finding::warning("Flask", seen).cure("app.debug = False"));
    }
    let is_set = facts["key"]["is_empty"] != true;
    let cure = "python3 -c 'import secrets; print(secrets.token_hex())'";
    findings.extend(key(&facts["key"], cure).filter(|_| is_set));
    findings.extend(databases(facts, user, "flask db upgrade"));
    findings
}

/// Django's own `check --deploy`: each error, and the warnings in one line.
fn checks(facts: &Value, site: &Site) -> Vec<Finding> {
    const ABOUT: &str = "Django check";
    const ERROR: u64 = 40;
    let command = manage(site, "check --deploy");
    let all: Vec<&Value> = facts["messages"].as_array().into_iter().flatten().collect();
    let text = |message: &Value, name: &str| message[name].as_str().unwrap_or_default().to_owned();
    let is_error = |message: &&&Value| message["level"].as_u64() >= Some(ERROR);
    let mut findings: Vec<Finding> = all
        .iter()
        .filter(is_error)
        .map(|message| {
            Finding::problem(ABOUT, format!("{}: {}", text(message, "id"), text(message, "text")))
                .cure(command.clone())
        })
        .collect();
    let mut names: Vec<String> = all
        .iter()
        .filter(|message| !is_error(message))
        .map(|message| text(message, "id"))
        .collect();
    let count = names.len();
    names.truncate(MOST_NAMED);
    if count > 0 {
        let more = if count > names.len() { ", ..." } else { "" };
        let seen = format!("--deploy warns of {count}: {}{more}", names.join(", "));
        findings.push(Finding::warning(ABOUT, seen).cure(command));
    } else if findings.is_empty() {
        findings.push(Finding::fine(ABOUT, "--deploy finds nothing"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Level;
    use super::super::import::tests::site;
    use super::*;

    fn found(findings: &[Finding]) -> Vec<(Level, &'static str)> {
        findings.iter().map(|finding| (finding.level, finding.about)).collect()
    }

    #[test]
    fn what_a_django_site_forgets_is_told() {
        let site = site(Path::new("/s"), true);
        let user = User::current();
        let facts = json!({"version": "4.2", "settings": "mysite.settings", "debug": false,
            "allowed_hosts": [], "logs_errors": false, "key": {"is_insecure": true, "length": 66, "different": 30},
            "databases": [{"path": "/s/db", "directory": "/s", "is_there": true, "is_writable": true,
                           "directory_is_there": true, "directory_is_writable": false}],
            "static": {"url": "/static/", "root": "", "is_filled": false, "whitenoise": false}});
        let findings = django(&facts, &site, None, &user);
        let expected = [
            (Level::Fine, "Django"),
            (Level::Problem, "ALLOWED_HOSTS"),
            (Level::Warning, "LOGGING"),
            (Level::Warning, KEY),
            (Level::Problem, DATABASE),
            (Level::Warning, "static files"),
        ];
        assert_eq!(found(&findings), expected);
        assert!(findings[1..].iter().all(|finding| finding.cure.is_some()));
        let lacking = hosts(&json!({"allowed_hosts": ["a.org"]}), Some("b.org"), false);
        let lacking = lacking.expect("a finding");
        assert_eq!(lacking.cure.as_deref(), Some("ALLOWED_HOSTS = [\"a.org\", \"b.org\"]"));
    }

    #[test]
    fn errors_of_djangos_check_stand_alone_and_its_warnings_together() {
        let site = site(Path::new("/s"), true);
        let facts = json!({"messages": [
            {"id": "a.E1", "level": 40, "text": "bad"}, {"id": "b.W1", "level": 30, "text": "x"},
            {"id": "b.W2", "level": 30, "text": "x"}]});
        let findings = checks(&facts, &site);
        assert_eq!(findings[0].seen, "a.E1: bad");
        assert_eq!(findings[1].seen, "--deploy warns of 2: b.W1, b.W2");
        assert_eq!(checks(&json!({"messages": []}), &site)[0].level, Level::Fine);
    }

    #[test]
    fn a_key_that_can_be_guessed_is_told_and_never_shown() {
        for (facts, expected) in [
            (json!({"is_empty": true}), Some("is not set")),
            (
                json!({"length": 3, "is_known": true, "different": 3}),
                Some("attackers try first (3"),
            ),
            (json!({"length": 40, "different": 1}), Some("repeats a few characters")),
            (json!({"length": 50, "different": 30}), None),
        ] {
            let finding = key(&facts, "x");
            assert_eq!(finding.is_some(), expected.is_some());
            assert!(finding.is_none_or(|it| it.seen.contains(expected.unwrap_or_default())));
        }
    }
}
