//! Mistakes in a new Django project, as `startproject` makes it; and others of the first hour.

use super::Mistake;
use super::Outcome::Setup;
use crate::harness::django_project::{PACKAGE, SETTINGS, wsgi};

const fn project(
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    said: &'static str,
) -> Mistake {
    Mistake::app(name, files, said).words(&["mysite/wsgi.py"])
}

pub(super) const MISTAKES: &[Mistake] = &[
    project(
        "settings of Django that are misspelt",
        &[("mysite/wsgi.py", wsgi!("mysite.setings")), SETTINGS, PACKAGE],
        "the application raised ModuleNotFoundError: No module named 'mysite.setings'; DJANGO_SETTINGS_MODULE is \
         mysite.setings, and no mysite.setings is in {site}/mysite or {site}, nor among the installed packages: did you \
         mean mysite.settings? It is set in wsgi.py, or by the server's configuration",
    ),
    project(
        "settings of Django in a package that is misspelt",
        &[("mysite/wsgi.py", wsgi!("mysit.settings")), SETTINGS, PACKAGE],
        "the application raised ModuleNotFoundError: No module named 'mysit'; DJANGO_SETTINGS_MODULE is mysit.settings, \
         and no mysit is in {site}/mysite or {site}, nor among the installed packages: did you mean mysite.settings? It \
         is set in wsgi.py, or by the server's configuration",
    ),
    project(
        "settings of Django that the server names otherwise than wsgi.py",
        &[("mysite/wsgi.py", wsgi!("mysite.settings")), SETTINGS, PACKAGE],
        "the application raised ModuleNotFoundError: No module named 'production'; DJANGO_SETTINGS_MODULE is production, \
         and no production is in {site}/mysite or {site}, nor among the installed packages: did you mean \
         mysite.settings? It is set in wsgi.py, or by the server's configuration",
    )
    .variables(&[("DJANGO_SETTINGS_MODULE", "production")]),
    project(
        "settings of Django that nobody names",
        &[
            (
                "mysite/wsgi.py",
                "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
            ),
            SETTINGS,
            PACKAGE,
        ],
        "the application raised ImproperlyConfigured: Requested setting LOGGING_CONFIG, but settings are not configured. \
         You must either define the environment variable DJANGO_SETTINGS_MODULE or call settings.configure() before \
         accessing settings; DJANGO_SETTINGS_MODULE is not set: wsgi.py has to set it before it imports more of Django: \
         os.environ.setdefault(\"DJANGO_SETTINGS_MODULE\", \"mysite.settings\")",
    ),
    project(
        "a project of Django that is no package",
        &[("mysite/wsgi.py", wsgi!("mysite.settings")), SETTINGS],
        "the application raised ModuleNotFoundError: No module named 'mysite'; the file {site}/mysite/__init__.py is \
         missing, without which {site}/mysite is no package: touch {site}/mysite/__init__.py",
    ),
    project(
        "Django's settings in place of its application",
        &[("mysite/wsgi.py", wsgi!("mysite.settings")), SETTINGS, PACKAGE],
        "{site}/mysite/settings.py has neither application nor app: the application of a Django project is in \
         {site}/mysite/wsgi.py",
    )
    .words(&["mysite/settings.py"])
    .outcome(Setup),
    project(
        "Django's package in place of its application",
        &[("mysite/wsgi.py", wsgi!("mysite.settings")), SETTINGS, PACKAGE],
        "the module mysite has neither application nor app: the application of a Django project is in \
         {site}/mysite/wsgi.py",
    )
    .words(&["mysite"])
    .outcome(Setup),
    project(
        "a key of Django from a variable that the server does not set",
        &[
            ("mysite/wsgi.py", wsgi!("mysite.settings")),
            ("mysite/settings.py", "import os\nSECRET_KEY = os.environ['KEY_OF_MYSITE']\n"),
            PACKAGE,
        ],
        "the application raised KeyError: 'KEY_OF_MYSITE'; the environment variable KEY_OF_MYSITE is not set: a \
         server passes on only what its configuration sets (Apache: SetEnv KEY_OF_MYSITE ..., nginx: fastcgi_param), not the \
         variables of a shell",
    ),
    project(
        "a driver of Django's database that is missing",
        &[
            ("mysite/wsgi.py", wsgi!("mysite.settings")),
            (
                "mysite/settings.py",
                "SECRET_KEY = 'x' * 60\nINSTALLED_APPS = ['django.contrib.auth', 'django.contrib.contenttypes']\n\
                 DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql', 'NAME': 'x'}}\n",
            ),
            PACKAGE,
        ],
        "the application raised ImproperlyConfigured: Error loading MySQLdb module; because of ModuleNotFoundError: No \
         module named 'MySQLdb'; its packages come from the virtual environment {venv}: is it installed there? \
         {venv}/bin/python -m pip install mysqlclient",
    ),
    Mistake::app(
        "a module of the site that is misspelt",
        &[("app.py", "import blogg\n"), ("blog/__init__.py", "")],
        "the application raised ModuleNotFoundError: No module named 'blogg'; its packages come from the virtual \
         environment {venv}, and the site has a module blog: did you mean blog? If blogg is a package: \
         {venv}/bin/python -m pip install blogg",
    ),
    Mistake::app(
        "a module of the site's own package that is not there",
        &[("app.py", "import blog.viewss\n"), ("blog/__init__.py", ""), ("blog/views.py", "")],
        "the application raised ModuleNotFoundError: No module named 'blog.viewss'; {site}/blog has no viewss.py: did you \
         mean blog.views?",
    ),
    Mistake::app(
        "syntax of a newer Python",
        &[("app.py", "NAME = t\"{__name__}\"\n")],
        "the application raised SyntaxError: invalid syntax (app.py, line 1); this is syntax of Python 3.14, and the \
         application runs with {version} ({venv}/bin/python): name a newer one with --python, or make the virtual \
         environment with it",
    ),
    Mistake::app(
        "a limit of memory",
        &[(
            "app.py",
            "import resource\n\nresource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\nb'x' * (4 << 30)\n",
        )],
        "the application raised MemoryError; a process may have 1024 MiB of memory (RLIMIT_AS): raise that limit (Apache: \
         RLimitMEM; systemd: LimitAS; a shell: ulimit -v)",
    ),
    Mistake::app(
        "a text that is not ASCII, with Python's UTF-8 switched off",
        &[("app.py", "open('/dev/null', 'w').write('\\u00fc')\n")],
        "the application raised UnicodeEncodeError: 'ascii' codec can't encode character '\\xfc' in position 0: ordinal \
         not in range(128); PYTHONUTF8 is 0, and files have the locale's encoding unless the code names one: leave \
         PYTHONUTF8 out, or write encoding=\"utf-8\"",
    )
    .variables(&[("PYTHONUTF8", "0"), ("LC_ALL", "C")]),
    Mistake::app(
        "a database with a relative path, without its tables",
        &[("app.py", "import sqlite3\n\nsqlite3.connect(':memory:').execute('select * from t')\n")],
        "the application raised OperationalError: no such table: t; the database is not the one that has the tables, or \
         they were never made: make them; if that was done, look at the database's path: a relative one begins at \
         {site}, and SQLite makes a new file where there is none",
    ),
];
