//! Exceptions whose remedy is the log's too (`src/remedies`): a new Django project, and an older Python.

use crate::check::Python::Packages;
use crate::check::{HELLO, SITE, Site};
use crate::harness::django_project::{PACKAGE, SETTINGS, wsgi};

pub(super) const SITES: &[Site] = &[
    Site {
        name: "Django: the settings are misspelt",
        files: &[("mysite/wsgi.py", wsgi!("mysite.setings")), SETTINGS, PACKAGE],
        arguments: &["mysite/wsgi.py"],
        python: Packages,
        about: "✗ import",
        seen: &["DJANGO_SETTINGS_MODULE is mysite.setings", "did you mean mysite.settings?"],
        cure: "vi +4 {place}/mysite/wsgi.py",
        ..SITE
    },
    Site {
        name: "Django: the package of the settings is misspelt",
        files: &[("mysite/wsgi.py", wsgi!("mysit.settings")), SETTINGS, PACKAGE],
        arguments: &["mysite/wsgi.py"],
        python: Packages,
        about: "✗ import",
        seen: &["DJANGO_SETTINGS_MODULE is mysit.settings", "did you mean mysite.settings?"],
        cure: "vi +4 {place}/mysite/wsgi.py",
        ..SITE
    },
    Site {
        name: "Django: no settings are named",
        files: &[
            (
                "mysite/wsgi.py",
                "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
            ),
            SETTINGS,
            PACKAGE,
        ],
        arguments: &["mysite/wsgi.py"],
        python: Packages,
        about: "✗ import",
        seen: &["DJANGO_SETTINGS_MODULE is not set"],
        cure: "export DJANGO_SETTINGS_MODULE=mysite.settings",
        ..SITE
    },
    Site {
        name: "Django: the package of the project is none",
        files: &[("mysite/wsgi.py", wsgi!("mysite.settings")), SETTINGS],
        arguments: &["mysite/wsgi.py"],
        python: Packages,
        about: "✗ import",
        seen: &["the file {place}/mysite/__init__.py is missing"],
        cure: "touch {place}/mysite/__init__.py",
        ..SITE
    },
    Site {
        name: "Django: the settings in place of the application",
        files: &[("mysite/wsgi.py", wsgi!("mysite.settings")), SETTINGS, PACKAGE],
        arguments: &["mysite/settings.py"],
        python: Packages,
        about: "✗ callable",
        seen: &["the application of a Django project is in {place}/mysite/wsgi.py"],
        cure: "cgi2wsgi check {place}/mysite/wsgi.py",
        ..SITE
    },
    Site {
        name: "Django: the driver of its database is missing",
        files: &[
            ("mysite/wsgi.py", wsgi!("mysite.settings")),
            (
                "mysite/settings.py",
                "SECRET_KEY = 'x' * 60\nINSTALLED_APPS = ['django.contrib.auth', 'django.contrib.contenttypes']\n\
                 DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql', 'NAME': 'x'}}\n",
            ),
            PACKAGE,
        ],
        arguments: &["mysite/wsgi.py"],
        python: Packages,
        about: "✗ import",
        seen: &["because of ModuleNotFoundError: No module named 'MySQLdb'"],
        cure: "pip install mysqlclient",
        ..SITE
    },
    Site {
        name: "an application of the project that is misspelt is no package to install",
        files: &[("app.py", "import blogg\n"), ("blog/__init__.py", "")],
        python: Packages,
        about: "✗ import",
        seen: &["the site has a module blog", "did you mean blog?"],
        cure: "vi +1 {place}/app.py",
        ..SITE
    },
    Site {
        name: "a module of the site's own package that is not there",
        files: &[
            ("app.py", "import blog.viewss\n"),
            ("blog/__init__.py", ""),
            ("blog/views.py", ""),
        ],
        about: "✗ import",
        seen: &["{place}/blog has no viewss.py", "did you mean blog.views?"],
        cure: "vi +1 {place}/app.py",
        ..SITE
    },
    Site {
        name: "a module with a dot in place of a colon",
        files: &[("app.py", HELLO)],
        arguments: &["app.application"],
        about: "✗ import",
        seen: &["app is a module, and its callable comes after a colon"],
        cure: "cgi2wsgi check app:application",
        ..SITE
    },
    Site {
        name: "an extension module for another Python",
        files: &[("app.py", "import native\n"), ("native.cpython-32-x86_64-linux-gnu.so", "")],
        about: "✗ import",
        seen: &["{place}/native.cpython-32-x86_64-linux-gnu.so is for another Python"],
        cure: "vi +1 {place}/app.py",
        ..SITE
    },
    Site {
        name: "syntax of a newer Python",
        files: &[("app.py", "NAME = t\"{__name__}\"\n")],
        about: "✗ import",
        seen: &["this is syntax of Python 3.14, and the application runs with 3."],
        cure: "vi +1 {place}/app.py",
        ..SITE
    },
    Site {
        name: "a database with a relative path, without its tables",
        files: &[(
            "app.py",
            "import sqlite3\nsqlite3.connect('db.sqlite3').execute('select * from t')\n",
        )],
        about: "✗ import",
        seen: &[
            "no such table: t",
            "a relative one begins at {place}, and SQLite makes a new file",
        ],
        cure: "vi +2 {place}/app.py",
        ..SITE
    },
];
