//! Applications whose request fails, alone or with `--warm`.

use crate::check::{HELLO, SITE, Site};

pub(super) const SITES: &[Site] = &[
    Site {
        name: "--handler, whose requests name the file, is checked with APP",
        files: &[("app.py", HELLO)],
        arguments: &["--handler", "app.py"],
        about: "✓ request",
        seen: &["200 OK"],
        code: 0,
        ..SITE
    },
    Site {
        name: "a request that fails is reported with the application's frames",
        files: &[("app.py", "def app(environ, start_response):\n    return 1 / 0\n")],
        about: "✗ request",
        seen: &["gives 500"],
        cure: "cgi2wsgi request --debug app.py /",
        ..SITE
    },
    Site {
        name: "a request that hangs ends with --timeout",
        files: &[(
            "app.py",
            "import time\n\n\ndef app(environ, start_response):\n    time.sleep(600)\n",
        )],
        arguments: &["--timeout", "4", "app.py"],
        about: "✗ request",
        seen: &["gives 504"],
        cure: "cgi2wsgi request",
        ..SITE
    },
    Site {
        name: "a header line that Caddy and nginx do not pass on",
        files: &[(
            "app.py",
            "def app(environ, start_response):\n    start_response('200 OK', [('X-Long', 'x' * 5000)])\n    return []\n",
        )],
        about: "! header",
        seen: &["X-Long has 5008 bytes", "Caddy", "nginx"],
        cure: "fastcgi_buffer_size 32k;",
        code: 1,
        ..SITE
    },
    Site {
        name: "--warm that falls back is reported with the reason",
        files: &[(
            "app.py",
            "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n\n\n\
             def app(environ, start_response):\n    start_response('200 OK', [])\n    return []\n",
        )],
        arguments: &["--warm", "app.py"],
        about: "! warm",
        seen: &["--warm does not help", "thread"],
        cure: "cgi2wsgi warm log",
        code: 1,
        ..SITE
    },
];
