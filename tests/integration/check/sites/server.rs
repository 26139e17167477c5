//! `--server`: mistakes in a server's configuration.

use crate::check::Python::Packages;
use crate::check::{HELLO, SITE, Site};

/// What Apache's configuration needs.
const APACHE: &str = "LoadModule cgid_module m\nLoadModule alias_module m\nLoadModule env_module m\nCGIPassAuth On\n\
                      SetEnv ap_trust_cgilike_cl 1\nAllowEncodedSlashes NoDecode\nScriptAlias /app {bin}/cgi2wsgi\n";

pub(super) const SITES: &[Site] = &[
    Site {
        name: "M10: --server: Apache without a module for CGI",
        files: &[("app.py", HELLO), ("apache.conf", APACHE)],
        made: "sed -i '/cgid_module/d' apache.conf",
        arguments: &["--server", "apache.conf", "app.py"],
        about: "✗ server",
        seen: &["neither cgid_module nor cgi_module is loaded"],
        cure: "a2enmod cgid",
        ..SITE
    },
    Site {
        name: "--server: an included file in which Apache does not pass on the Authorization header",
        files: &[
            ("app.py", HELLO),
            ("apache.conf", "ServerRoot {place}\nInclude sites/*.conf\n"),
            ("sites/1.conf", APACHE),
        ],
        made: "sed -i '/CGIPassAuth/d' sites/1.conf",
        arguments: &["--server", "apache.conf", "app.py"],
        about: "! server",
        seen: &["CGIPassAuth is off"],
        cure: "CGIPassAuth On",
        code: 1,
        ..SITE
    },
    Site {
        name: "--server: ScriptAlias to a file that may not be executed",
        files: &[("app.py", HELLO), ("apache.conf", APACHE), ("program", "")],
        made: "echo \"ScriptAlias /x $PWD/program\" >> apache.conf",
        arguments: &["--server", "apache.conf", "app.py"],
        about: "✗ server",
        seen: &["may not execute {place}/program"],
        cure: "chmod a+rx {place}/program",
        ..SITE
    },
    Site {
        name: "--server: a .htaccess that Apache does not read",
        files: &[("app.py", HELLO), (".htaccess", "Options +ExecCGI\n"), ("apache.conf", APACHE)],
        made: "printf '<Directory />\\nAllowOverride None\\n</Directory>\\n' >> apache.conf",
        arguments: &["--server", "apache.conf", "app.py"],
        about: "✗ server",
        seen: &["AllowOverride is None everywhere"],
        cure: "AllowOverride All",
        ..SITE
    },
    Site {
        name: "--server: a .htaccess that lets visitors download the sources",
        files: &[
            ("app.py", HELLO),
            (
                ".htaccess",
                "Options +ExecCGI\nRewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^ index.cgi\n",
            ),
        ],
        arguments: &["--server", ".htaccess", "app.py"],
        about: "! server",
        seen: &["line 3 lets visitors download"],
        cure: "RewriteRule ^static/ - [END]",
        code: 1,
        ..SITE
    },
    Site {
        name: "M10: --server: lighttpd without mod_cgi",
        files: &[
            ("app.py", HELLO),
            (
                "lighttpd.conf",
                "server.modules = (\"mod_alias\", \"mod_setenv\")\ncgi.assign = (\"\" => \"\")\n",
            ),
        ],
        arguments: &["--server", "lighttpd.conf", "app.py"],
        about: "✗ server",
        seen: &["mod_cgi is not loaded"],
        cure: "server.modules += (\"mod_cgi\")",
        ..SITE
    },
    Site {
        name: "--server: nginx whose fcgiwrap does not run",
        files: &[
            ("app.py", HELLO),
            (
                "nginx.conf",
                "location / {\n    fastcgi_pass unix:{place}/no.socket;\n    fastcgi_param SCRIPT_FILENAME {bin}/cgi2wsgi;\n}\n",
            ),
        ],
        arguments: &["--server", "nginx.conf", "app.py"],
        about: "✗ server",
        seen: &["there is no socket {place}/no.socket"],
        cure: "systemctl enable --now fcgiwrap.socket",
        ..SITE
    },
    Site {
        name: "--server: a matcher of Caddy that matches too much",
        files: &[
            ("app.py", HELLO),
            ("Caddyfile", "example.org {\n\tcgi /app* {bin}/cgi2wsgi\n}\n"),
        ],
        arguments: &["--server", "Caddyfile", "app.py"],
        about: "! server",
        seen: &["line 2: /app* also matches /application"],
        cure: "@app path /app /app/*",
        code: 1,
        ..SITE
    },
    Site {
        name: "--server: a device is no configuration, and is not read",
        files: &[("app.py", HELLO)],
        arguments: &["--server", "/dev/zero", "app.py"],
        about: "✗ server",
        seen: &["/dev/zero is not a regular file"],
        ..SITE
    },
    Site {
        name: "--server: the site's name in the configuration is compared with ALLOWED_HOSTS",
        files: &[("app.py", django!("ALLOWED_HOSTS=['a.example']")), ("apache.conf", APACHE)],
        made: "echo 'ServerName b.example' >> apache.conf",
        arguments: &["--server", "apache.conf", "app.py"],
        python: Packages,
        about: "✗ ALLOWED_HOSTS",
        seen: &["lacks b.example"],
        cure: "ALLOWED_HOSTS = [\"a.example\", \"b.example\"]",
        ..SITE
    },
];
