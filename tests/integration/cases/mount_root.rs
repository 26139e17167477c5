//! Where the application is mounted (E17), and which file it is when Apache's `Action` chooses it (E18). The
//! variables are those that Apache was seen to send; `apache_sites.rs` tests the set-ups themselves.

use super::listed;
use crate::harness::http::Request;
use crate::harness::table::Case;

struct Seen {
    sentence: &'static str,
    /// `--mount`.
    mount: &'static str,
    script_name: &'static str,
    /// Empty when absent.
    path_info: &'static str,
    request_uri: &'static str,
    /// Empty when there was no rewriting.
    redirect_url: &'static str,
    root: &'static str,
    path: &'static str,
}

const SEEN: &[Seen] = &[
    Seen {
        sentence: "--mount auto finds the root behind a rewriting to index.cgi/$1",
        mount: "auto",
        script_name: "/hta/index.cgi",
        path_info: "/foo",
        request_uri: "/hta/foo",
        redirect_url: "/hta/foo",
        root: "/hta",
        path: "/foo",
    },
    Seen {
        sentence: "--mount auto finds the root behind a rewriting to index.cgi without the path",
        mount: "auto",
        script_name: "/hta/index.cgi",
        path_info: "",
        request_uri: "/hta/foo?a=1",
        redirect_url: "/hta/foo",
        root: "/hta",
        path: "/foo",
    },
    Seen {
        sentence: "--mount auto finds the root behind FallbackResource and DirectoryIndex",
        mount: "auto",
        script_name: "/fb/index.cgi",
        path_info: "",
        request_uri: "/fb/a%20b",
        redirect_url: "",
        root: "/fb",
        path: "/a b",
    },
    Seen {
        sentence: "--mount auto keeps the script's own URL as the root",
        mount: "auto",
        script_name: "/fb/index.cgi",
        path_info: "",
        request_uri: "/fb/index.cgi",
        redirect_url: "",
        root: "/fb/index.cgi",
        path: "",
    },
    Seen {
        sentence: "--mount auto does not change a plain ScriptAlias",
        mount: "auto",
        script_name: "/app",
        path_info: "/foo",
        request_uri: "/app/foo",
        redirect_url: "",
        root: "/app",
        path: "/foo",
    },
    Seen {
        sentence: "--mount PATH takes precedence over SCRIPT_NAME",
        mount: "/hta",
        script_name: "/hta/index.cgi",
        path_info: "/foo",
        request_uri: "/hta/foo",
        redirect_url: "",
        root: "/hta",
        path: "/foo",
    },
    Seen {
        sentence: "--mount PATH corrects ScriptAliasMatch without the path",
        mount: "/",
        script_name: "/foo",
        path_info: "",
        request_uri: "/foo",
        redirect_url: "",
        root: "",
        path: "/foo",
    },
    Seen {
        sentence: "REDIRECT_STATUS alone does not change the root",
        mount: "auto",
        script_name: "/app",
        path_info: "/foo",
        request_uri: "/app/foo",
        redirect_url: "",
        root: "/app",
        path: "/foo",
    },
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = SEEN.iter().map(case).collect();
    cases.push(
        Case::new("E17", "dot segments in REQUEST_URI are refused", "show_environ.py")
            .variable("CGI2WSGI_MOUNT", "auto")
            .with("SCRIPT_NAME", "/hta/index.cgi")
            .with("REQUEST_URI", "/hta/../etc/passwd")
            .with("REDIRECT_STATUS", "200")
            .without("PATH_INFO")
            .expect(|answer| answer.status(400)?.lacks("PATH_INFO").map(drop)),
    );
    cases.extend(handler());
    cases
}

fn case(seen: &'static Seen) -> Case {
    let case = Case::new("E17", seen.sentence, "show_environ.py")
        .variable("CGI2WSGI_MOUNT", seen.mount)
        .with("SCRIPT_NAME", seen.script_name)
        .with("REQUEST_URI", seen.request_uri)
        .with("REDIRECT_STATUS", "200");
    let case = match seen.path_info {
        "" => case.without("PATH_INFO"),
        path => case.with("PATH_INFO", path),
    };
    let case = match seen.redirect_url {
        "" => case,
        url => case.with("REDIRECT_URL", url),
    };
    case.expect(|answer| {
        answer.status(200)?;
        listed(answer, format!("SCRIPT_NAME={}", seen.root))?;
        listed(answer, format!("PATH_INFO={}", seen.path))
    })
}

fn handler() -> Vec<Case> {
    let action = |sentence| {
        Case::import("E18", sentence, "")
            .variable("CGI2WSGI_HANDLER", "1")
            .with("SCRIPT_NAME", "/cgi-bin/cgi2wsgi")
            .with("REDIRECT_STATUS", "200")
    };
    vec![
        action("Action runs the file of PATH_TRANSLATED and keeps the path after it")
            .with("REDIRECT_HANDLER", "wsgi")
            .with("PATH_TRANSLATED", "{fixtures}/script.wsgi/p")
            .with("PATH_INFO", "/a/script.wsgi/p")
            .with("REQUEST_URI", "/a/script.wsgi/p")
            .expect(|answer| answer.status(200)?.contains("/fixtures/script.wsgi\n").map(drop)),
        action("a direct call of the handler is refused")
            .with("PATH_TRANSLATED", "{fixtures}/script.wsgi")
            .with("PATH_INFO", "/a/script.wsgi")
            .expect(|answer| answer.status(403)?.lacks("script.wsgi").map(drop)),
        action("a file without the suffix is refused")
            .with("REDIRECT_HANDLER", "wsgi")
            .with("PATH_TRANSLATED", "{fixtures}/hello.py")
            .with("PATH_INFO", "/a/hello.py")
            .expect(|answer| answer.status(403)?.lacks("Hello").map(drop)),
        action("headers with which a client imitates Action's variables are ignored")
            .request(
                Request::get("").header("Redirect-Handler", "x").header("Redirect-Status", "200"),
            )
            .with("PATH_TRANSLATED", "{fixtures}/script.wsgi")
            .with("PATH_INFO", "/a/script.wsgi")
            .expect(|answer| answer.status(403).map(drop)),
    ]
}
