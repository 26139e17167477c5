//! The broken sites.

use super::Python::{Packages, Unnamed};
use super::{SITE, Site};

/// A Django site in one file; what stands in `...` is added to its settings.
macro_rules! django {
    ($settings:literal) => {
        concat!(
            "from django.conf import settings\nsettings.configure(ROOT_URLCONF='app', ",
            $settings,
            ")\nfrom django.core.wsgi import get_wsgi_application\nurlpatterns = []\n\
             application = get_wsgi_application()\n"
        )
    };
}

const HELLO: &str = super::HELLO;

/// What an Apache needs.
const APACHE: &str = "LoadModule cgid_module m\nLoadModule alias_module m\nLoadModule env_module m\nCGIPassAuth On\n\
                      SetEnv ap_trust_cgilike_cl 1\nAllowEncodedSlashes NoDecode\nScriptAlias /app {bin}/cgi2wsgi\n";

pub(super) const SITES: &[Site] = &[
    Site {
        name: "M8: a directory is no application, and what is in it is named",
        files: &[("site/mysite/wsgi.py", HELLO), ("site/manage.py", "")],
        arguments: &["site"],
        about: "✗ application",
        seen: &["site is a directory", "{place}/site/mysite/wsgi.py"],
        cure: "cgi2wsgi check {place}/site/mysite/wsgi.py",
        ..SITE
    },
    Site {
        name: "a device is no application",
        arguments: &["/dev/zero"],
        about: "✗ application",
        seen: &["/dev/zero is a device"],
        ..SITE
    },
    Site {
        name: "a FIFO is no application, and is not waited for",
        made: "mkfifo app.py",
        about: "✗ application",
        seen: &["is a FIFO"],
        ..SITE
    },
    Site {
        name: "an executable is no application",
        made: "cp /bin/sh program",
        arguments: &["program"],
        about: "✗ application",
        seen: &["program is an executable (ELF)"],
        ..SITE
    },
    Site {
        name: "a file that is misspelt is told what is there",
        files: &[("app.py", HELLO)],
        arguments: &["ap.py:application"],
        about: "✗ application",
        seen: &["did you mean app.py?"],
        cure: "cgi2wsgi check {place}/app.py:application",
        ..SITE
    },
    Site {
        name: "a directory that is missing on the way is named, the first one",
        arguments: &["{place}/no/such/app.py"],
        about: "✗ application",
        seen: &["there is no {place}/no, on the way to"],
        ..SITE
    },
    Site {
        name: "M2: a directory that this user may not enter is named, the first one on the way",
        files: &[("private/deep/app.py", HELLO)],
        made: "chmod 0 private",
        arguments: &["private/deep/app.py"],
        about: "✗ application",
        seen: &["may not enter {place}/private (mode 0,"],
        cure: "chmod o+x {place}/private",
        ..SITE
    },
    Site {
        name: "a file that this user may not read is named with its mode",
        files: &[("app.py", HELLO)],
        made: "chmod 0 app.py",
        about: "✗ application",
        seen: &["may not read {place}/app.py (mode 0,"],
        cure: "chmod a+r {place}/app.py",
        ..SITE
    },
    Site {
        name: "M5: manage.py is no application, and the project's wsgi.py is named",
        files: &[("manage.py", "import sys\n"), ("mysite/wsgi.py", HELLO)],
        arguments: &["manage.py"],
        about: "✗ application",
        seen: &["manage.py is Django's command"],
        cure: "cgi2wsgi check {place}/mysite/wsgi.py",
        ..SITE
    },
    Site {
        name: "M3: Windows line ends in a #! line",
        files: &[("index.cgi", "#!{bin}/cgi2wsgi\r\n")],
        arguments: &["index.cgi"],
        about: "✗ #! line",
        seen: &["Windows line ends"],
        cure: "sed -i 's/\\r$//' {place}/index.cgi",
        ..SITE
    },
    Site {
        name: "M3: a byte order mark before a #! line",
        files: &[("index.cgi", "\u{feff}#!{bin}/cgi2wsgi\n")],
        arguments: &["index.cgi"],
        about: "✗ #! line",
        seen: &["byte order mark"],
        cure: "sed -i '1s/^\\xef\\xbb\\xbf//' {place}/index.cgi",
        ..SITE
    },
    Site {
        name: "a #! line that names what is not there",
        files: &[("index.cgi", "#!/nowhere/cgi2wsgi --debug\n")],
        arguments: &["index.cgi"],
        about: "✗ #! line",
        seen: &["/nowhere/cgi2wsgi, which does not exist"],
        cure: "#!{bin}/cgi2wsgi|",
        ..SITE
    },
    Site {
        name: "a #! line with env and options, without -S",
        files: &[("index.cgi", "#!/usr/bin/env cgi2wsgi --debug\n")],
        arguments: &["index.cgi"],
        about: "✗ #! line",
        seen: &["one program with that whole name"],
        cure: "env -S ",
        ..SITE
    },
    Site {
        name: "a #! line that is longer than the kernel reads",
        files: &[(
            "index.cgi",
            "#!{bin}/cgi2wsgi --chdir /xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
             xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
             xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n",
        )],
        arguments: &["index.cgi"],
        about: "✗ #! line",
        seen: &["Linux reads 255"],
        cure: "ln -s {bin}/cgi2wsgi",
        ..SITE
    },
    Site {
        name: "a script without its executable bit",
        files: &[(
            "index.cgi",
            "#!{bin}/cgi2wsgi\ndef application(e, s):\n    s('200 OK', [])\n    return []\n",
        )],
        arguments: &["index.cgi"],
        about: "✗ #! line",
        seen: &["may not execute {place}/index.cgi (mode 644)"],
        cure: "chmod a+rx {place}/index.cgi",
        ..SITE
    },
    Site {
        name: "M3: an unknown option in a #! line is named",
        files: &[("index.cgi", "#!{bin}/cgi2wsgi --vnev /v\n")],
        arguments: &["index.cgi"],
        about: "✗ #! line",
        seen: &["unknown option \"--vnev\"", "did you mean --venv"],
        ..SITE
    },
    Site {
        name: "a worker of another build beside cgi2wsgi is named, and the one that is missing",
        files: &[("app.py", HELLO)],
        made: "cp \"$BRIDGE\" front; : > cgi2wsgi_worker-0123456789abcdef.so; ./front check app.py > report || test $? -eq 2; \
               grep '^✗ worker .*is neither in .*cgi2wsgi_worker-0123456789abcdef.so is of another build  → cp ' report",
        about: "✓ worker",
        code: 0,
        ..SITE
    },
    Site {
        name: "what an import writes to standard output is shown",
        files: &[("app.py", HELLO)],
        made: "echo \"print('loading', '\\x1b[2J')\" >> app.py",
        about: "✓ import",
        seen: &["to standard output", "loading"],
        code: 0,
        ..SITE
    },
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
        name: "a setting that is misspelt",
        files: &[("app.py", HELLO)],
        variables: &[("CGI2WSGI_TIMEOTU", "3")],
        about: "! settings",
        seen: &["CGI2WSGI_TIMEOTU is no setting"],
        cure: "CGI2WSGI_TIMEOUT",
        code: 1,
        ..SITE
    },
    Site {
        name: "a setting with a wrong value",
        files: &[("app.py", HELLO)],
        variables: &[("CGI2WSGI_MAX_BODY", "20 MB")],
        about: "✗ settings",
        seen: &["CGI2WSGI_MAX_BODY \"20 MB\""],
        ..SITE
    },
    Site {
        name: "M6: a directory for temporary files that is missing",
        files: &[("app.py", HELLO)],
        variables: &[("TMPDIR", "{place}/tmp")],
        about: "✗ TMPDIR",
        seen: &["{place}/tmp does not exist"],
        cure: "mkdir -m 1777 {place}/tmp",
        ..SITE
    },
    Site {
        name: "a directory for temporary files that this user may not write",
        files: &[("app.py", HELLO), ("tmp/", "")],
        made: "chmod 500 tmp",
        variables: &[("TMPDIR", "{place}/tmp")],
        about: "✗ TMPDIR",
        seen: &["cannot write to {place}/tmp"],
        cure: "chmod 1777 {place}/tmp",
        ..SITE
    },
    Site {
        name: "a virtual environment whose Python is gone",
        files: &[
            ("app.py", HELLO),
            (".venv/pyvenv.cfg", "home = /nowhere/bin\n"),
            (".venv/bin/", ""),
        ],
        made: "ln -s /nowhere/bin/python3 .venv/bin/python",
        python: Unnamed,
        about: "✗ python",
        seen: &["is gone", "/nowhere/bin/python3"],
        cure: "python3 -m venv --clear {place}/.venv",
        ..SITE
    },
    Site {
        name: "a virtual environment that another version of Python has made",
        files: &[("app.py", HELLO), (".venv/pyvenv.cfg", "version = 3.5.2\n"), (".venv/bin/", "")],
        made: "ln -s \"$PYTHON\" .venv/bin/python",
        python: Unnamed,
        about: "✗ venv",
        seen: &["was made with Python 3.5.2"],
        cure: "-m venv --clear {place}/.venv",
        ..SITE
    },
    Site {
        name: "a virtual environment that was moved",
        files: &[("app.py", HELLO)],
        made: "\"$PYTHON\" -m venv --without-pip old && mv old .venv",
        python: Unnamed,
        about: "! venv",
        seen: &["{place}/.venv was made at {place}/old"],
        cure: "-m venv --clear {place}/.venv",
        code: 1,
        ..SITE
    },
    Site {
        name: "a directory that is no virtual environment",
        files: &[("app.py", HELLO), ("env/", "")],
        arguments: &["--venv", "env", "app.py"],
        python: Unnamed,
        about: "✗ python",
        seen: &["is not a virtual environment"],
        cure: "python3 -m venv env",
        ..SITE
    },
    Site {
        name: "a program that is no Python",
        files: &[("app.py", HELLO)],
        arguments: &["--python", "/bin/false", "app.py"],
        python: Unnamed,
        about: "✗ python",
        seen: &["/bin/false: its process ended", "exit status 1"],
        ..SITE
    },
    Site {
        name: "P6: a PYTHONHOME that breaks the start",
        files: &[("app.py", HELLO)],
        variables: &[("PYTHONHOME", "/nowhere")],
        about: "✗ python",
        seen: &["PYTHONHOME is set, to /nowhere"],
        cure: "unset PYTHONHOME",
        ..SITE
    },
    Site {
        name: "a locale that is not installed",
        files: &[("app.py", HELLO)],
        variables: &[("LANG", "xx_XX.UTF-8")],
        about: "! locale",
        seen: &["LANG=xx_XX.UTF-8 names a locale that is not installed"],
        cure: "export LC_ALL=C.UTF-8",
        code: 1,
        ..SITE
    },
    Site {
        name: "a package that is missing, with the frames of the application",
        files: &[("app.py", "import yaml_of_nobody\n")],
        about: "✗ import",
        seen: &["No module named 'yaml_of_nobody'"],
        cure: "-m venv {place}/.venv && {place}/.venv/bin/pip install yaml_of_nobody",
        ..SITE
    },
    Site {
        name: "a package that has another name than its module",
        files: &[("app.py", "import MySQLdb\n")],
        python: Packages,
        about: "✗ import",
        seen: &["No module named 'MySQLdb'"],
        cure: "bin/python -m pip install mysqlclient",
        ..SITE
    },
    Site {
        name: "a module that is in a directory beside the application",
        files: &[("app.py", "import inner_part\n"), ("src/inner_part.py", "")],
        about: "✗ import",
        seen: &["it is in {place}/src"],
        cure: "cgi2wsgi check --pythonpath {place}/src {place}/app.py",
        ..SITE
    },
    Site {
        name: "a module of APP that is misspelt",
        files: &[("shop.py", HELLO)],
        arguments: &["shpo:application"],
        about: "✗ import",
        seen: &["did you mean shop?"],
        cure: "cgi2wsgi check shop",
        ..SITE
    },
    Site {
        name: "packages of requirements.txt that are not installed",
        files: &[
            ("app.py", HELLO),
            ("requirements.txt", "# all\npip>=1\nno-such-package==1.0\n-r x\n"),
        ],
        about: "! packages",
        seen: &["{place}/requirements.txt", "no-such-package"],
        cure: "pip install -r {place}/requirements.txt",
        code: 1,
        ..SITE
    },
    Site {
        name: "M5: print without parentheses is Python 2",
        files: &[("app.py", "import os\nprint \"x\"\n")],
        about: "✗ import",
        seen: &["SyntaxError", "this is Python 2"],
        cure: "vi +2 {place}/app.py",
        ..SITE
    },
    Site {
        name: "M5: a module of Python 2 is told its successor",
        files: &[("app.py", "import urllib2\n")],
        about: "✗ import",
        seen: &["urllib2 is of Python 2", "urllib.request"],
        ..SITE
    },
    Site {
        name: "an import that never ends is told its line",
        files: &[("app.py", "import time\n\ntime.sleep(600)\n")],
        arguments: &["--timeout", "3", "app.py"],
        about: "✗ import",
        seen: &["did not end within 3 s"],
        cure: "vi +3 {place}/app.py",
        ..SITE
    },
    Site {
        name: "M5: an import that runs a server says so",
        files: &[(
            "app.py",
            "from wsgiref.simple_server import make_server\n\n\
             make_server('127.0.0.1', 0, None).serve_forever()\n",
        )],
        arguments: &["--timeout", "8", "app.py"],
        about: "✗ import",
        seen: &["runs a server", "__main__"],
        cure: "vi +3 {place}/app.py",
        ..SITE
    },
    Site {
        name: "an import that ends the program says so",
        files: &[("app.py", "import sys\nsys.exit('usage')\n")],
        about: "✗ import",
        seen: &["SystemExit: usage", "__main__"],
        cure: "vi +2 {place}/app.py",
        ..SITE
    },
    Site {
        name: "an import that ends the process is told how",
        files: &[("app.py", "import os\nos._exit(3)\n")],
        about: "✗ import",
        seen: &["exit status 3"],
        ..SITE
    },
    Site {
        name: "a crash at import is told with the line",
        files: &[("app.py", "import os\nos.kill(os.getpid(), 11)\n")],
        about: "✗ import",
        seen: &["crashed (signal 11"],
        ..SITE
    },
    Site {
        name: "a variable that the environment lacks",
        files: &[("app.py", "import os\nos.environ['DATABASE_URL']\n")],
        about: "✗ import",
        seen: &["the environment has no DATABASE_URL"],
        cure: "export DATABASE_URL=...",
        ..SITE
    },
    Site {
        name: "M6: a relative name is told relative to what",
        files: &[("web/app.py", "open('config.ini')\n"), ("config.ini", "")],
        arguments: &["web/app.py"],
        about: "✗ import",
        seen: &["the name is relative to {place}/web"],
        cure: "cgi2wsgi check --chdir {place} {place}/web/app.py",
        ..SITE
    },
    Site {
        name: "a file that the import may not read is told with the directory that is closed",
        files: &[("app.py", "open('/{place}/private/key')\n"), ("private/key", "x")],
        made: "chmod 0 private",
        about: "✗ import",
        seen: &["PermissionError"],
        cure: "chmod o+x {place}/private",
        ..SITE
    },
    Site {
        name: "an application without a callable is told what it has",
        files: &[("app.py", "def web_app(environ, start_response):\n    pass\n")],
        about: "✗ callable",
        seen: &["neither application nor app; it has web_app"],
        cure: "cgi2wsgi check {place}/app.py:web_app",
        ..SITE
    },
    Site {
        name: "a callable that is misspelt",
        files: &[("app.py", HELLO)],
        arguments: &["app.py:aplication"],
        about: "✗ callable",
        seen: &["has no \"aplication\""],
        cure: "cgi2wsgi check {place}/app.py:application",
        ..SITE
    },
    Site {
        name: "what cannot be called is told its type",
        files: &[("app.py", "app = 5\n\n\ndef main(environ, start_response):\n    pass\n")],
        about: "✗ callable",
        seen: &["app is an int and cannot be called"],
        cure: "cgi2wsgi check {place}/app.py:main",
        ..SITE
    },
    Site {
        name: "M4: an async function is ASGI",
        files: &[("app.py", "async def app(scope, receive, send):\n    pass\n")],
        about: "✗ callable",
        seen: &["speaks ASGI", "a2wsgi.ASGIMiddleware(app)"],
        cure: "pip install a2wsgi",
        ..SITE
    },
    Site {
        name: "M4: an object whose call is async is ASGI, and a wsgi.py beside it is named",
        files: &[
            (
                "asgi.py",
                "class Handler:\n    async def __call__(self, scope, receive, send):\n        pass\n\n\napp = Handler()\n",
            ),
            ("wsgi.py", HELLO),
        ],
        arguments: &["asgi.py"],
        about: "✗ callable",
        seen: &["Handler and speaks ASGI"],
        cure: "cgi2wsgi check {place}/wsgi.py",
        ..SITE
    },
    Site {
        name: "a factory without parentheses",
        files: &[("app.py", "def create_app(config=None):\n    pass\n")],
        arguments: &["app.py:create_app"],
        about: "✗ callable",
        seen: &["it is a factory"],
        cure: "cgi2wsgi check '{place}/app.py:create_app()'",
        ..SITE
    },
    Site {
        name: "a factory that raises is told with its frames",
        files: &[("app.py", "def create_app():\n    raise LookupError('no config')\n")],
        arguments: &["app.py:create_app()"],
        about: "✗ callable",
        seen: &["create_app() raises LookupError: no config"],
        cure: "vi +2 {place}/app.py",
        ..SITE
    },
    Site {
        name: "a callable with one argument",
        files: &[("app.py", "def app(request):\n    pass\n")],
        about: "✗ callable",
        seen: &["takes 1 (request)"],
        cure: "def app(environ, start_response):",
        ..SITE
    },
    Site {
        name: "a request that fails is told with the frames of the application",
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
        name: "a limit of descriptors is told with its value",
        files: &[("app.py", HELLO)],
        made: "printf '#!/bin/sh\\nulimit -n 40\\nexec \"%s\" check \"$@\"\\n' \"$BRIDGE\" > limited; chmod +x limited; \
               ./limited app.py > report || test $? -eq 1; grep '^! limits .*40 files' report > found",
        about: "✓ callable",
        code: 0,
        ..SITE
    },
    Site {
        name: "--warm that falls back is told with the reason",
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
    Site {
        name: "Django: ALLOWED_HOSTS is empty",
        files: &[("app.py", django!("DEBUG=False, SECRET_KEY='x' * 60"))],
        python: Packages,
        about: "✗ ALLOWED_HOSTS",
        seen: &["every request is a 400"],
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
        name: "Django: a key that startproject made is told and not shown",
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
        seen: &["{place}/static (STATIC_ROOT) is empty or not there"],
        cure: "manage.py collectstatic",
        code: 1,
        ..SITE
    },
    Site {
        name: "Django: what check --deploy warns of is counted",
        files: &[("app.py", django!("DEBUG=True, SECRET_KEY='short'")), ("manage.py", "")],
        python: Packages,
        about: "! Django check",
        seen: &["--deploy warns of", "security.W009"],
        cure: "cd {place} && ",
        code: 1,
        ..SITE
    },
    Site {
        name: "Flask: a key that everybody tries",
        files: &[(
            "app.py",
            "from flask import Flask\napp = Flask(__name__)\napp.secret_key = 'dev'\n\n\n@app.get('/')\ndef page():\n    return 'x'\n",
        )],
        python: Packages,
        about: "! SECRET_KEY",
        seen: &["a word that everybody tries (3 characters)"],
        cure: "secrets.token_hex",
        code: 1,
        ..SITE
    },
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
        name: "--server: Apache keeps the Authorization header, in a file that is included",
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
        name: "--server: a .htaccess that gives away the sources",
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
        name: "--server: Caddy with a matcher that takes too much",
        files: &[
            ("app.py", HELLO),
            ("Caddyfile", "example.org {\n\tcgi /app* {bin}/cgi2wsgi\n}\n"),
        ],
        arguments: &["--server", "Caddyfile", "app.py"],
        about: "! server",
        seen: &["line 2: /app* takes /application too"],
        cure: "@app path /app /app/*",
        code: 1,
        ..SITE
    },
    Site {
        name: "--server: a device is no configuration, and is not read",
        files: &[("app.py", HELLO)],
        arguments: &["--server", "/dev/zero", "app.py"],
        about: "✗ server",
        seen: &["/dev/zero is no regular file"],
        ..SITE
    },
    Site {
        name: "--server: the name that it gives the site is compared with ALLOWED_HOSTS",
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
