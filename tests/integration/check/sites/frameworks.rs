//! Mistakes in the settings of Django and Flask.

use crate::check::Python::Packages;
use crate::check::{SITE, Site};

pub(super) const SITES: &[Site] = &[
    Site {
        name: "Django: ALLOWED_HOSTS is empty",
        files: &[("app.py", django!("DEBUG=False, SECRET_KEY='x' * 60"))],
        python: Packages,
        about: "✗ ALLOWED_HOSTS",
        seen: &["every request gets a 400"],
        cure: "ALLOWED_HOSTS = [\"example.org\"]",
        ..SITE
    },
    Site {
        name: "Django: ALLOWED_HOSTS lacks the site's name",
        files: &[("app.py", django!("ALLOWED_HOSTS=['a.example']"))],
        arguments: &["--host", "b.example", "app.py"],
        python: Packages,
        about: "✗ ALLOWED_HOSTS",
        seen: &["lacks b.example"],
        cure: "ALLOWED_HOSTS = [\"a.example\", \"b.example\"]",
        ..SITE
    },
    Site {
        name: "M7: Django: LOGGING hides errors",
        files: &[("app.py", django!("ALLOWED_HOSTS=['*']"))],
        python: Packages,
        about: "! LOGGING",
        seen: &["hides errors"],
        cure: "LOGGING = {",
        code: 1,
        ..SITE
    },
    Site {
        name: "Django: a SECRET_KEY made by startproject is reported, but not shown",
        files: &[(
            "app.py",
            django!(
                "DEBUG=True, SECRET_KEY='django-insecure-abcdefghijklmnopqrstuvwxyz0123456789abcdefghijk'"
            ),
        )],
        python: Packages,
        about: "! SECRET_KEY",
        seen: &["begins with django-insecure-"],
        cure: "get_random_secret_key",
        code: 1,
        ..SITE
    },
    Site {
        name: "Django: DEBUG is on",
        files: &[("app.py", django!("DEBUG=True, SECRET_KEY='x' * 60"))],
        python: Packages,
        about: "! Django ",
        seen: &["DEBUG is on"],
        cure: "DEBUG = False",
        code: 1,
        ..SITE
    },
    Site {
        name: "Django: a database whose directory this user may not write",
        files: &[
            (
                "app.py",
                django!(
                    "ALLOWED_HOSTS=['*'], DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': '{place}/data/db.sqlite3'}}"
                ),
            ),
            ("data/db.sqlite3", ""),
        ],
        made: "chmod 500 data",
        python: Packages,
        about: "✗ database",
        seen: &["may not write into {place}/data"],
        cure: "chown ",
        ..SITE
    },
    Site {
        name: "Django: a database that this user may not write",
        files: &[
            (
                "app.py",
                django!(
                    "ALLOWED_HOSTS=['*'], DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': '{place}/db.sqlite3'}}"
                ),
            ),
            ("db.sqlite3", ""),
        ],
        made: "chmod 400 db.sqlite3",
        python: Packages,
        about: "✗ database",
        seen: &["may not write {place}/db.sqlite3"],
        cure: "{place} {place}/db.sqlite3",
        ..SITE
    },
    Site {
        name: "Django: static files that are collected nowhere",
        files: &[
            (
                "app.py",
                django!(
                    "ALLOWED_HOSTS=['*'], STATIC_URL='static/', STATIC_ROOT='{place}/static', INSTALLED_APPS=['django.contrib.staticfiles']"
                ),
            ),
            ("manage.py", ""),
        ],
        python: Packages,
        about: "! static files",
        seen: &["{place}/static (STATIC_ROOT) is empty or does not exist"],
        cure: "manage.py collectstatic",
        code: 1,
        ..SITE
    },
    Site {
        name: "Django: the warnings of check --deploy are counted",
        files: &[("app.py", django!("DEBUG=True, SECRET_KEY='short'")), ("manage.py", "")],
        python: Packages,
        about: "! Django check",
        seen: &["--deploy warns of", "security.W009"],
        cure: "cd {place} && ",
        code: 1,
        ..SITE
    },
    Site {
        name: "Flask: a SECRET_KEY that is easy to guess",
        files: &[(
            "app.py",
            "from flask import Flask\napp = Flask(__name__)\napp.secret_key = 'dev'\n\n\n@app.get('/')\ndef page():\n    return 'x'\n",
        )],
        python: Packages,
        about: "! SECRET_KEY",
        seen: &["a word that attackers try first (3 characters)"],
        cure: "secrets.token_hex",
        code: 1,
        ..SITE
    },
];
