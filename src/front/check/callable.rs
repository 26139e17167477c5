//! The callable: whether it exists, can be called, and is a WSGI application.

use std::path::Path;

use serde_json::Value;

use super::exception::raised;
use super::finding::{Finding, word};
use super::site::Site;
use super::user::User;
use crate::did_you_mean;
use crate::handoff::Source;
use crate::remedies::wsgi_beside;

const ABOUT: &str = "callable";

/// The finding, and whether the callable can answer a request.
pub(super) fn judge(
    facts: &Value,
    factory: Option<&Value>,
    site: &Site,
    user: &User,
) -> (Finding, bool) {
    if let Some(factory) = factory {
        let name = text(factory, "name");
        let mut finding = raised(ABOUT, &factory["error"], site, user);
        finding.seen = format!("{name}() raises {}", finding.seen);
        return (finding, false);
    }
    if facts.is_null() {
        return (
            Finding::problem(ABOUT, "the process ended before the application was found"),
            false,
        );
    }
    if let Some(finding) = problem(facts, site) {
        return (finding, false);
    }
    let seen = format!("{} is a {} and speaks WSGI", text(facts, "name"), text(facts, "type"));
    (Finding::fine(ABOUT, seen), true)
}

fn text<'f>(facts: &'f Value, name: &str) -> &'f str {
    facts[name].as_str().unwrap_or_default()
}

fn problem(facts: &Value, site: &Site) -> Option<Finding> {
    let there: Vec<&str> =
        facts["there"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let module = site.name();
    let has = |there: &[&str]| match there {
        [] => "nothing else that could be called".to_owned(),
        names => names.join(", "),
    };
    if let Some(missing) = facts["missing"].as_str() {
        if let Some(wsgi) = wsgi_beside(&site.application).filter(|_| missing.is_empty()) {
            let seen = format!(
                "{module} has neither application nor app: the application of a Django project is in {}",
                wsgi.display()
            );
            let cure = format!("cgi2wsgi check {}", word(wsgi));
            return Some(Finding::problem(ABOUT, seen).cure(cure));
        }
        if missing.is_empty() {
            let seen = format!("{module} has neither application nor app; it has {}", has(&there));
            let cure = likely(&there).map(|name| site.check_of(&name));
            return Some(Finding::problem(ABOUT, seen).maybe_cure(cure));
        }
        let near = did_you_mean::names(missing, there.iter().copied());
        let seen = format!("{module} has no {missing:?}; it has {}", has(&there));
        let meant = near.first().map(|near| (*near).to_owned()).or_else(|| likely(&there));
        return Some(
            Finding::problem(ABOUT, seen).maybe_cure(meant.map(|name| site.check_of(&name))),
        );
    }
    let (name, kind) = (text(facts, "name"), text(facts, "type"));
    if facts["is_callable"] == false {
        let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        let what = if facts["is_factory"] == true { "no factory: it is" } else { "is" };
        let seen = format!("{name} {what} {article} {kind} and cannot be called");
        let others: Vec<&str> = there.into_iter().filter(|other| *other != name).collect();
        let cure = likely(&others).map(|name| site.check_of(&name));
        return Some(Finding::problem(ABOUT, seen).maybe_cure(cure));
    }
    let takes: Vec<u64> =
        facts["takes"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let parameters: Vec<&str> =
        facts["parameters"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let is_asgi = facts["is_async"] == true
        || parameters == ["scope", "receive", "send"]
        || parameters == ["scope"];
    if is_asgi {
        return Some(asgi(name, kind, site));
    }
    if facts.get("takes").is_some() && !takes.contains(&2) {
        let count = parameters.len();
        if takes.contains(&0) {
            let seen =
                format!("{name} takes no arguments, where WSGI gives it two: it is a factory");
            return Some(Finding::problem(ABOUT, seen).cure(site.check_of(&format!("{name}()"))));
        }
        let seen = format!(
            "{name} takes {count} ({}), where WSGI gives it two, environ and start_response",
            parameters.join(", ")
        );
        let line = format!("def {name}(environ, start_response):");
        return Some(Finding::problem(ABOUT, seen).cure(line));
    }
    None
}

/// The name that was probably meant; a factory gets its parentheses.
fn likely(there: &[&str]) -> Option<String> {
    let factory =
        |name: &str| ["create_app", "make_app", "get_app", "create_application"].contains(&name);
    if let Some(name) = there.iter().find(|name| factory(name)) {
        return Some(format!("{name}()"));
    }
    let usual = |name: &&&str| name.contains("app") || name.contains("wsgi");
    there.iter().find(usual).or_else(|| there.first()).map(|name| (*name).to_owned())
}

fn asgi(name: &str, kind: &str, site: &Site) -> Finding {
    let seen = format!("{name} is a {kind} and speaks ASGI, which is not WSGI");
    let beside = match &site.application.source {
        Source::File(file) => file.with_file_name("wsgi.py"),
        Source::Module(module) => {
            let path = module.replace('.', "/");
            site.application.directory.join(Path::new(&path).with_file_name("wsgi.py"))
        }
    };
    if beside.is_file() {
        return Finding::problem(ABOUT, seen + ": the project has a wsgi.py too")
            .cure(format!("cgi2wsgi check {}", word(beside)));
    }
    let line = format!(
        "{seen}: a2wsgi translates, with `application = a2wsgi.ASGIMiddleware({})`",
        if name.is_empty() { "app" } else { name }
    );
    Finding::problem(ABOUT, line).cure(site.pip_install("a2wsgi"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Level;
    use super::super::import::tests::site;
    use super::*;

    #[test]
    fn what_is_no_wsgi_application_is_told_with_the_cure() {
        let site = site(Path::new("/s"), true);
        let user = User::current();
        for (facts, expected, cure) in [
            (
                json!({"missing": "", "there": ["main", "web_app"]}),
                "neither application nor app; it has main, web_app",
                "/s/app.py:web_app",
            ),
            (
                json!({"missing": "", "there": ["create_app"]}),
                "neither",
                "'/s/app.py:create_app()'",
            ),
            (
                json!({"missing": "aplication", "there": ["application"]}),
                "no \"aplication\"",
                "/s/app.py:application",
            ),
            (
                json!({"name": "app", "type": "int", "is_callable": false, "there": ["main"]}),
                "is an int and cannot be called",
                "/s/app.py:main",
            ),
            (
                json!({"name": "app", "type": "FastAPI", "is_callable": true, "is_async": true}),
                "ASGI",
                "pip install a2wsgi",
            ),
            (
                json!({"name": "app", "type": "function", "is_callable": true, "takes": [1], "parameters": ["scope"]}),
                "ASGI",
                "a2wsgi",
            ),
            (
                json!({"name": "create", "type": "function", "is_callable": true, "takes": [0, 1], "parameters": ["config"]}),
                "it is a factory",
                "create()",
            ),
            (
                json!({"name": "app", "type": "function", "is_callable": true, "takes": [1], "parameters": ["request"]}),
                "takes 1 (request)",
                "def app(environ, start_response):",
            ),
        ] {
            let (finding, goes_on) = judge(&facts, None, &site, &user);
            assert!(finding.seen.contains(expected), "{}", finding.seen);
            assert!(
                finding.cure.as_ref().is_some_and(|found| found.contains(cure)),
                "{:?}",
                finding.cure
            );
            assert!(!goes_on && finding.level == Level::Problem);
        }
        let facts = json!({"name": "app", "type": "Flask", "is_callable": true, "takes": [2]});
        let (finding, goes_on) = judge(&facts, None, &site, &user);
        assert!(goes_on && finding.seen == "app is a Flask and speaks WSGI");
    }
}
