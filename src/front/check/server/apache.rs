//! What Apache's configuration, or a `.htaccess`, means for a CGI program.

use std::path::Path;

use super::text::Line;
use crate::front::check::finding::Finding;

const ABOUT: &str = "server";

/// What is missing, or wrong.
pub(super) fn judge(lines: &[Line], file: &Path, app: Option<&Path>) -> Vec<Finding> {
    let of = |directive: &str| -> Vec<&Line> {
        let is_it = |line: &&Line| {
            line.words.first().is_some_and(|word| word.eq_ignore_ascii_case(directive))
        };
        lines.iter().filter(is_it).collect()
    };
    let has = |directive: &str, value: &str| {
        of(directive)
            .iter()
            .any(|line| line.words.iter().skip(1).any(|word| word.eq_ignore_ascii_case(value)))
    };
    let mut findings = Vec::new();
    let is_htaccess = file.file_name().is_some_and(|name| name == ".htaccess");
    let loads = !of("LoadModule").is_empty();
    let is_loaded = |module: &str| has("LoadModule", &format!("{module}_module"));
    if loads && !is_loaded("cgi") && !is_loaded("cgid") {
        findings.push(
            Finding::problem(
                ABOUT,
                "neither cgid_module nor cgi_module is loaded: Apache sends the program to visitors as a file",
            )
            .cure("a2enmod cgid && systemctl restart apache2"),
        );
    }
    for module in ["alias", "env"] {
        if loads && !is_loaded(module) {
            let seen = format!("{module}_module is not loaded, which ScriptAlias and SetEnv need");
            findings.push(Finding::problem(ABOUT, seen).cure(format!("a2enmod {module}")));
        }
    }
    let passes = has("CGIPassAuth", "On")
        || lines.iter().any(|line| {
            line.words.iter().any(|word| {
                word.contains("HTTP_AUTHORIZATION") || word.contains("HTTP:Authorization")
            })
        });
    if !passes {
        findings.push(
            Finding::warning(
                ABOUT,
                "CGIPassAuth is off: the application never sees an Authorization header",
            )
            .cure("CGIPassAuth On"),
        );
    }
    if is_htaccess {
        findings.extend(folder(lines));
        return findings;
    }
    if !has("SetEnv", "ap_trust_cgilike_cl") {
        findings.push(
            Finding::warning(
                ABOUT,
                "ap_trust_cgilike_cl is not set: Apache 2.4.59 and newer drops the application's Content-Length",
            )
            .cure("SetEnv ap_trust_cgilike_cl 1"),
        );
    }
    if !has("AllowEncodedSlashes", "NoDecode") && !has("AllowEncodedSlashes", "On") {
        findings.push(
            Finding::warning(
                ABOUT,
                "AllowEncodedSlashes is off: Apache itself answers 404 for a path with %2F",
            )
            .cure("AllowEncodedSlashes NoDecode"),
        );
    }
    let has_htaccess =
        app.and_then(Path::parent).is_some_and(|directory| directory.join(".htaccess").is_file());
    let overrides = of("AllowOverride");
    let is_none =
        |line: &&&Line| line.words.get(1).is_some_and(|word| word.eq_ignore_ascii_case("None"));
    if has_htaccess && (overrides.is_empty() || overrides.iter().all(|line| is_none(&line))) {
        findings.push(
            Finding::problem(ABOUT, "AllowOverride is None everywhere: the .htaccess beside the application is not read")
                .cure("AllowOverride All"),
        );
    }
    findings
}

/// A public folder's `.htaccess`.
fn folder(lines: &[Line]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_about = |line: &Line, parts: &[&str]| {
        parts.iter().all(|part| line.words.iter().any(|word| word.contains(part)))
    };
    if let Some(line) = lines.iter().find(|line| is_about(line, &["REQUEST_FILENAME", "!-f"])) {
        findings.push(
            Finding::warning(
                ABOUT,
                format!(
                    "line {} lets visitors download every file of the folder, also source code and \
                     databases",
                    line.number
                ),
            )
            .cure("RewriteRule ^static/ - [END]"),
        );
    }
    let runs =
        lines.iter().any(|line| is_about(line, &["cgi-script"]) || is_about(line, &["ExecCGI"]));
    if !runs {
        findings.push(
            Finding::problem(
                ABOUT,
                "no program may run here: there is neither ExecCGI nor a handler cgi-script",
            )
            .cure("Options +ExecCGI"),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::text::parse;
    use super::*;

    fn seen(text: &str, file: &str) -> Vec<(String, Option<String>)> {
        let findings = judge(&parse(text, 1), Path::new(file), None);
        findings.into_iter().map(|finding| (finding.seen, finding.cure)).collect()
    }

    #[test]
    fn what_is_easily_forgotten_is_told_line_by_line() {
        let whole = "LoadModule cgid_module x\nLoadModule alias_module x\nLoadModule env_module x\nCGIPassAuth On\n\
                     SetEnv ap_trust_cgilike_cl 1\nAllowEncodedSlashes NoDecode\n";
        assert!(seen(whole, "a.conf").is_empty());
        for (line, expected) in [
            ("LoadModule cgid_module x\n", "neither cgid_module nor cgi_module"),
            ("LoadModule env_module x\n", "env_module is not loaded"),
            ("CGIPassAuth On\n", "CGIPassAuth is off"),
            ("SetEnv ap_trust_cgilike_cl 1\n", "ap_trust_cgilike_cl is not set"),
            ("AllowEncodedSlashes NoDecode\n", "AllowEncodedSlashes is off"),
        ] {
            let found = seen(&whole.replace(line, ""), "a.conf");
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].0.contains(expected) && found[0].1.is_some(), "{found:?}");
        }
    }

    #[test]
    fn a_recipe_that_gives_away_the_sources_is_told() {
        let text = "Options +ExecCGI\nRewriteCond %{REQUEST_FILENAME} !-f\n\
                    RewriteRule ^ - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]\n";
        let found = seen(text, "/x/.htaccess");
        assert_eq!(found.len(), 1);
        assert!(found[0].0.contains("line 2 lets visitors download"));
    }
}
