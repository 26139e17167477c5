//! The configuration of each server. Pure functions: from values to text, or the reason why a value cannot stand in it.

use anyhow::{Result, ensure};

use crate::front::cli::Server;

const APACHE: &str = include_str!("templates/apache.conf");
const HTACCESS: &str = include_str!("templates/htaccess");
const CADDY: &str = include_str!("templates/Caddyfile");
const LIGHTTPD_MODULES: &str = include_str!("templates/lighttpd-modules.conf");
const LIGHTTPD: &str = include_str!("templates/lighttpd.conf");
const NGINX: &str = include_str!("templates/nginx.conf");

/// Where Debian's fcgiwrap listens.
const FCGIWRAP: &str = "unix:/run/fcgiwrap.socket";

/// The values in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Values {
    /// The application, for a comment.
    pub(super) application: String,
    /// The URL path of the application, without a slash at the end; empty for the root.
    pub(super) mount: String,
    /// The name of the site.
    pub(super) name: Option<String>,
    /// This executable.
    pub(super) program: String,
    /// Variables with their values.
    pub(super) settings: Vec<(String, String)>,
}

impl Server {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Apache => "apache",
            Self::Htaccess => "htaccess",
            Self::Caddy => "caddy",
            Self::Lighttpd => "lighttpd",
            Self::Nginx => "nginx",
        }
    }

    /// The users that the server runs programs as, by the names in use. A shared host runs them as the site's owner.
    pub(super) fn users(self) -> &'static [&'static str] {
        match self {
            Self::Apache => &["www-data", "apache", "http", "wwwrun"],
            Self::Htaccess => &[],
            Self::Caddy => &["caddy", "www-data"],
            Self::Lighttpd => &["www-data", "lighttpd", "http"],
            Self::Nginx => &["www-data", "nginx", "http"],
        }
    }

    /// What to do with the text.
    fn what_to_do(self) -> &'static str {
        match self {
            Self::Apache => {
                "Put it where Apache reads it (Debian: /etc/apache2/conf-available/mysite.conf, then a2enconf mysite), \
                 and reload Apache.\n# It needs the modules alias, env, authz_core and one of cgid (with the event or \
                 worker MPM) and cgi (prefork)."
            }
            Self::Htaccess => {
                "It is the .htaccess of the public folder, beside index.cgi (mode 755). What Apache may give to anybody \
                 goes into\n# static/ beside them; everything else goes to the application, whether a file of that name is \
                 here or not."
            }
            Self::Caddy => {
                "It is a site of a Caddyfile. The `cgi` directive is the plugin github.com/aksdb/caddy-cgi/v2, which is \
                 compiled\n# into Caddy (xcaddy build --with github.com/aksdb/caddy-cgi/v2)."
            }
            Self::Lighttpd => {
                "Put it where lighttpd 1.4.65 or newer reads it (Debian: /etc/lighttpd/conf-enabled/90-mysite.conf), and \
                 reload\n# lighttpd. Of several blocks that match, the last one's settings are taken: an application at the \
                 root goes first."
            }
            Self::Nginx => {
                "Put it where nginx reads sites (Debian: /etc/nginx/sites-enabled/mysite), install fcgiwrap, and reload \
                 nginx. In a\n# server block that is already there the lines between its braces are enough."
            }
        }
    }

    /// The whole text.
    pub(super) fn write(self, values: &Values) -> Result<String> {
        let text = match self {
            Self::Apache => apache(values),
            Self::Htaccess => htaccess(values),
            Self::Caddy => caddy(values),
            Self::Lighttpd => lighttpd(values),
            Self::Nginx => nginx(values),
        }?;
        let url = if values.mount.is_empty() { "/" } else { &values.mount };
        let head = format!(
            "# The WSGI application {} at {url}, answered by cgi2wsgi as a CGI program.\n# Written by `cgi2wsgi init \
             {}`. {}\n",
            comment(&values.application),
            self.name(),
            self.what_to_do()
        );
        let is_marker =
            |line: &&str| !line.trim_start().starts_with("# From here on it is made from");
        let body: Vec<&str> = text.lines().filter(is_marker).collect();
        Ok(format!("{head}\n{}\n", body.join("\n").trim_matches('\n')))
    }
}

/// `text` for a comment, on one line.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `text` in quotes. It must not contain the quote, `meaningful` characters or control characters.
fn quoted(text: &str, quote: char, meaningful: &[char], server: &str) -> Result<String> {
    let is_meaningful = |c: char| c.is_control() || c == quote || meaningful.contains(&c);
    ensure!(
        !text.contains(is_meaningful),
        "{text:?} cannot be in a configuration of {server}, where {} has a special meaning: rename it, or make a link \
         to it with a plain name",
        text.chars().find(|c| is_meaningful(*c)).map_or_else(String::new, |c| format!("{c:?}"))
    );
    Ok(format!("{quote}{text}{quote}"))
}

/// Puts values into a template. A line that is only a name is replaced by the lines of its value, or removed if the
/// value is empty.
fn render(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for line in template.lines() {
        let alone = values.iter().find(|(name, _)| line.trim() == format!("{{{{{name}}}}}"));
        if let Some((_, value)) = alone {
            let indent = &line[..line.len() - line.trim_start().len()];
            for line in value.lines() {
                text += &[indent, line, "\n"].concat();
            }
            continue;
        }
        let filled = values.iter().fold(line.to_owned(), |line, (name, value)| {
            line.replace(&format!("{{{{{name}}}}}"), value)
        });
        text += &filled;
        text.push('\n');
    }
    // An empty value has left its blank line.
    while text.contains("\n\n</") {
        text = text.replace("\n\n</", "\n</");
    }
    text
}

fn indented(text: &str, by: &str) -> String {
    let line = |line: &str| {
        if line.is_empty() { "\n".to_owned() } else { format!("{by}{line}\n") }
    };
    text.lines().map(line).collect()
}

/// `SetEnv NAME "value"` for each.
fn set_env(values: &Values) -> Result<String> {
    let lines = values.settings.iter().map(|(name, value)| {
        Ok(format!("SetEnv {name} {}\n", quoted(value, '"', &['\\', '$', '%'], "Apache")?))
    });
    lines.collect()
}

fn apache(values: &Values) -> Result<String> {
    let slash = if values.mount.is_empty() { "/" } else { "" };
    let program = format!("{}{slash}", values.program);
    let program = quoted(&program, '"', &['\\', '$', '%'], "Apache")?;
    let url = if values.mount.is_empty() { "/" } else { &values.mount };
    let settings = format!("# The application, and the options of cgi2wsgi.\n{}", set_env(values)?);
    let text = render(
        APACHE,
        &[("url", url), ("program", program.trim_matches('"')), ("settings", &settings)],
    );
    Ok(match &values.name {
        None => text,
        Some(name) => {
            let (host, port) = name.rsplit_once(':').unwrap_or((name, "80"));
            format!(
                "<VirtualHost *:{port}>\n    ServerName {host}\n\n{}</VirtualHost>\n",
                indented(&text, "    ")
            )
        }
    })
}

fn htaccess(values: &Values) -> Result<String> {
    let settings =
        format!("# The options of cgi2wsgi, which index.cgi starts.\n{}", set_env(values)?);
    Ok(render(HTACCESS, &[("settings", &settings)]))
}

fn caddy(values: &Values) -> Result<String> {
    let quoted = |text: &str| quoted(text, '`', &['{', '}'], "Caddy");
    let settings: Vec<String> = values
        .settings
        .iter()
        .map(|(name, value)| quoted(&format!("{name}={value}")))
        .collect::<Result<_>>()?;
    let mount = &values.mount;
    let (line, matcher, script_name) = if mount.is_empty() {
        (String::new(), "*", String::new())
    } else {
        let line = format!(
            "# Both forms, because /app* would match /application too; with a name, because a directive takes one \
             matcher.\n\
             @application path {mount} {mount}/*\n"
        );
        (
            line,
            "@application",
            format!(
                "# The path that the application is at, without a slash at the end.\nscript_name {mount}\n"
            ),
        )
    };
    Ok(render(
        CADDY,
        &[
            ("address", values.name.as_deref().unwrap_or("http://localhost:8080")),
            ("matcher_line", &line),
            ("matcher", matcher),
            ("program", &quoted(&values.program)?),
            ("script_name", &script_name),
            ("settings", &settings.join(" ")),
        ],
    ))
}

fn lighttpd(values: &Values) -> Result<String> {
    let quoted = |text: &str| quoted(text, '"', &['\\', '$'], "lighttpd");
    let settings: Vec<String> = values
        .settings
        .iter()
        .map(|(name, value)| Ok(format!("\"{name}\" => {}", quoted(value)?)))
        .collect::<Result<_>>()?;
    let text = render(
        LIGHTTPD,
        &[
            ("mount", &quoted(&values.mount)?),
            ("program", &quoted(&values.program)?),
            ("settings", &format!("({})", settings.join(", "))),
        ],
    );
    Ok(match &values.name {
        None => format!("{LIGHTTPD_MODULES}{text}"),
        Some(name) => {
            let host = name.split(':').next().unwrap_or(name);
            format!(
                "{LIGHTTPD_MODULES}$HTTP[\"host\"] == \"{host}\" {{\n{}}}\n",
                indented(&text, "    ")
            )
        }
    })
}

fn nginx(values: &Values) -> Result<String> {
    let quoted = |text: &str| quoted(text, '"', &['\\', '$'], "nginx");
    let (host, port) = match &values.name {
        Some(name) => name.rsplit_once(':').unwrap_or((name, "80")),
        None => ("localhost", "80"),
    };
    let rest = if values.mount.is_empty() { "(?<rest>/.*)" } else { "(?<rest>/.*)?" };
    let mut settings = format!("fastcgi_param  SCRIPT_FILENAME    {};\n", quoted(&values.program)?);
    for (name, value) in &values.settings {
        settings +=
            &[&format!("fastcgi_param  {name:<17}  "), quoted(value)?.as_str(), ";\n"].concat();
    }
    let core = render(NGINX, &[("fcgiwrap", FCGIWRAP)]);
    let core = core.lines().skip(2).collect::<Vec<_>>().join("\n");
    let mount = values.mount.replace('.', "\\.");
    let location =
        format!("# The program, the application and the options of cgi2wsgi.\n{settings}\n{core}");
    Ok(format!(
        "server {{\n    listen {port};\n    server_name {host};\n\n    # The port as the visitor wrote it, for HTTP_HOST: \
         nginx's $host has none.\n    set $public_port \"\";\n    if ($http_host ~ \"(?<port>:\\d+)$\") {{\n        set \
         $public_port $port;\n    }}\n\n    # Of several such locations the first that matches is taken. Without (?s) a path \
         with %0a in it would match none.\n    location ~ \"(?s)^(?<mount>{mount}){rest}$\" {{\n{}    }}\n}}\n",
        indented(&location, "        ")
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn values(mount: &str, value: &str) -> Values {
        Values {
            application: "/srv/app.py".into(),
            mount: mount.into(),
            name: None,
            program: "/usr/bin/cgi2wsgi".into(),
            settings: vec![("CGI2WSGI_APP".into(), value.into())],
        }
    }

    const ALL: [Server; 5] =
        [Server::Apache, Server::Htaccess, Server::Caddy, Server::Lighttpd, Server::Nginx];

    #[test]
    fn every_server_gets_the_values_and_nothing_of_a_template_is_left() {
        for server in ALL {
            for (mount, name) in [("", None), ("/app", None), ("/a/b.c", Some("example.org"))] {
                let mut values = values(mount, "/srv/app.py");
                values.name = name.map(str::to_owned);
                let text = server.write(&values).expect("plain values");
                assert!(text.contains("/srv/app.py") && !text.contains("{{"), "{text}");
                assert!(!text.contains("made from src"), "{text}");
                assert!(server == Server::Htaccess || text.contains("/usr/bin/cgi2wsgi"), "{text}");
                let has_name =
                    server == Server::Htaccess || name.is_none_or(|name| text.contains(name));
                assert!(has_name, "{text}");
            }
        }
    }

    #[test]
    fn what_would_break_out_of_the_syntax_is_refused() {
        for (server, hostile) in [
            (Server::Apache, vec!["a\"b", "a\\b", "${HOME}", "%{x}", "a\nb"]),
            (Server::Htaccess, vec!["a\"b", "a\\b", "${HOME}", "a\nSetEnv x"]),
            (Server::Caddy, vec!["a`b", "{env.HOME}", "{$HOME}", "a\nb"]),
            (Server::Lighttpd, vec!["a\"b", "a\\b", "a\nb"]),
            (Server::Nginx, vec!["a\"b", "a\\b", "$host", "a\nb"]),
        ] {
            for value in hostile {
                let refused = server.write(&values("", value)).expect_err(value).to_string();
                assert!(refused.contains("cannot be in a configuration"), "{refused}");
            }
            // Blanks and other scripts are allowed.
            assert!(server.write(&values("", "/srv/my site/ü;#'.py")).is_ok());
        }
    }

    /// Checks that the committed file ends with what a template gives; with REGENERATE=1 in the environment, writes it.
    fn assert_made(path: &str, made: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let committed = std::fs::read_to_string(&file).expect(path);
        let marker = made.lines().next().expect("a line");
        let head = committed.split(marker).next().unwrap_or_default();
        let whole = format!("{head}{made}");
        if std::env::var_os("REGENERATE").is_some() {
            std::fs::write(&file, &whole).expect("room");
            return;
        }
        assert!(committed.contains(marker), "{path} has no line {marker:?}");
        assert!(committed == whole, "{path} is stale: REGENERATE=1 cargo test --lib init");
    }

    #[test]
    fn the_configurations_in_servers_and_caddy_are_made_from_the_templates() {
        let apache = [("url", "${MOUNT}"), ("program", "${CGI2WSGI}"), ("settings", "")];
        assert_made("tests/apache/site.conf", &render(APACHE, &apache));
        let lighttpd =
            [("mount", "var.mount"), ("program", "var.cgi2wsgi"), ("settings", "var.settings")];
        let lighttpd = format!("{LIGHTTPD_MODULES}{}", render(LIGHTTPD, &lighttpd));
        assert_made("servers/lighttpd-site.conf", &lighttpd);
        assert_made("servers/nginx-site.conf", &render(NGINX, &[("fcgiwrap", "fcgiwrap")]));
        let settings = "# Where index.cgi is the one file that is all of cgi2wsgi, this says what it runs:\n\
                        #SetEnv CGI2WSGI_APP /home/me/site/app.py\n#SetEnv CGI2WSGI_MOUNT auto\n";
        assert_made("servers/shared-host/.htaccess", &render(HTACCESS, &[("settings", settings)]));
        let environment = "\"CGI2WSGI_APP=mysite.wsgi\" \"CGI2WSGI_CHDIR={$SITE}\" \"CGI2WSGI_VENV={$VENV}\" \
                           \"DJANGO_DB={$DJANGO_DB}\" \"DJANGO_MEDIA={$DJANGO_MEDIA}\"";
        let caddy = [
            ("address", "http://localhost:{$PORT:8080}"),
            ("matcher_line", ""),
            ("matcher", "*"),
            ("program", "\"{$CGI2WSGI}\""),
            ("script_name", ""),
            ("settings", environment),
        ];
        assert_made("caddy/Caddyfile", &render(CADDY, &caddy));
    }
}
