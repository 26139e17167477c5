//! Mistakes in the application's file: imports, callables, PEP 3333, frameworks.

use super::Outcome::Setup;
use super::{Mistake, RIGHT};

const fn app(
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    said: &'static str,
) -> Mistake {
    Mistake::app(name, files, said)
}

pub(super) const MISTAKES: &[Mistake] = &[
    // Which object is the application.
    app(
        "no callable of a usual name",
        &[("app.py", "def site(environ, start_response):\n    return []\n")],
        "{site}/app.py has neither application nor app: name the callable after a colon; it has site",
    )
    .outcome(Setup),
    app(
        "no callable at all",
        &[("app.py", "import os\nSETTING = 1\n")],
        "{site}/app.py has neither application nor app, nor any other callable of its own: give the file that has \
         the application",
    )
    .outcome(Setup),
    app(
        "a misspelt callable",
        &[("app.py", RIGHT)],
        "{site}/app.py has no \"aplication\"; did you mean application?",
    )
    .words(&["app.py:aplication"])
    .outcome(Setup),
    app(
        "a callable that cannot be called",
        &[("app.py", "application = 'shop'\n")],
        "application in {site}/app.py is a str and cannot be called: an application is called with environ and \
         start_response",
    )
    .outcome(Setup),
    app(
        "a module in place of its callable",
        &[("app.py", "import json as application\n")],
        "application in {site}/app.py is a module and cannot be called: name the application in it",
    )
    .outcome(Setup),
    app(
        "a factory without its parentheses",
        &[("app.py", "def create_app():\n    return None\n")],
        "<function create_app> cannot be called as application(environ, start_response): create_app() takes 0 \
         positional arguments but 2 were given; if it makes the application, write its name with ()",
    )
    .words(&["app.py:create_app"]),
    app(
        "a factory with optional arguments and without its parentheses",
        &[("app.py", "def create_app(config=None, debug=False):\n    return lambda environ, start_response: []\n")],
        "the application returned <function create_app.<locals>.<lambda>>, not an iterable of bytes such as \
         [b\"...\"]: it returned an application, so it is a factory: write its name with ()",
    )
    .words(&["app.py:create_app"]),
    app(
        "a factory that returns nothing",
        &[("app.py", "def create_app():\n    application = print\n")],
        "create_app in {site}/app.py is a NoneType and cannot be called: the factory has to return the \
         application; is there a return?",
    )
    .words(&["app.py:create_app()"])
    .outcome(Setup),
    app(
        "a factory that needs an argument",
        &[("app.py", "def create_app(config):\n    return print\n")],
        "create_app in {site}/app.py is called without arguments, and that fails: create_app() missing 1 required \
         positional argument: 'config'; write a module with application = create_app(...)",
    )
    .words(&["app.py:create_app()"])
    .outcome(Setup),
    app(
        "parentheses behind what is no factory",
        &[("app.py", "application = {}\n")],
        "application in {site}/app.py is a dict and not a factory: write its name without ()",
    )
    .words(&["app.py:application()"])
    .outcome(Setup),
    // ASGI.
    app(
        "an ASGI function",
        &[("app.py", "async def application(scope, receive, send):\n    pass\n")],
        "<function application> is an asynchronous (ASGI) application, and cgi2wsgi runs WSGI: use its \
         framework's WSGI entry point, such as Django's wsgi.py, or wrap it: from a2wsgi import ASGIMiddleware; \
         application = \
         ASGIMiddleware(app)",
    ),
    app(
        "an instance of an ASGI framework",
        &[(
            "app.py",
            "class FastAPI:\n    def __repr__(self):\n        return '<FastAPI>'\n\n    async def __call__(self, \
             scope, receive, send):\n        pass\n\n\napp = FastAPI()\n",
        )],
        "<FastAPI> is an asynchronous (ASGI) application, and cgi2wsgi runs WSGI: use its framework's WSGI \
         entry point, \
         such as Django's wsgi.py, or wrap it: from a2wsgi import ASGIMiddleware; application = ASGIMiddleware(app)",
    ),
    app(
        "an asynchronous function of two parameters",
        &[("app.py", "async def application(environ, start_response):\n    return [b'']\n")],
        "<function application> is an asynchronous (ASGI) application, and cgi2wsgi runs WSGI: use its \
         framework's WSGI entry point, such as Django's wsgi.py, or wrap it: from a2wsgi import ASGIMiddleware; \
         application = \
         ASGIMiddleware(app)",
    ),
    // Imports.
    app(
        "print of Python 2",
        &[("app.py", "print \"x\"\n")],
        "the application raised SyntaxError: Missing parentheses in call to 'print'. Did you mean print(...)? \
         (app.py, line 1); this is code of Python 2: cgi2wsgi runs Python 3.9 and newer, and the code must be \
         ported (2to3)",
    ),
    app(
        "a module of Python 2",
        &[("app.py", "import urllib2\n")],
        "the application raised ModuleNotFoundError: No module named 'urllib2'; it is a module of Python 2, in \
         Python 3 urllib.request: cgi2wsgi runs Python 3.9 and newer, and the code must be ported (2to3)",
    ),
    app(
        "a name of Python 2",
        &[("app.py", "def application(environ, start_response):\n    return unicode('x')\n")],
        "the application raised NameError: name 'unicode' is not defined; unicode is a name of Python 2: cgi2wsgi \
         runs Python 3.9 and newer, and the code must be ported (2to3)",
    ),
    app(
        "a missing package",
        &[("app.py", "import yaml_of_nobody\n")],
        "the application raised ModuleNotFoundError: No module named 'yaml_of_nobody'; its packages come from the \
         virtual environment {venv}: is it installed there? {venv}/bin/python -m pip install yaml_of_nobody",
    ),
    app(
        "a missing package whose name is not the module's",
        &[("app.py", "import MySQLdb\n")],
        "the application raised ModuleNotFoundError: No module named 'MySQLdb'; its packages come from the virtual \
         environment {venv}: is it installed there? {venv}/bin/python -m pip install mysqlclient",
    ),
    app(
        "a missing package without a virtual environment",
        &[("app.py", "import yaml_of_nobody\n")],
        "the application raised ModuleNotFoundError: No module named 'yaml_of_nobody'; no virtual environment is in \
         use, and Python {version} (/usr/bin/python3) does not have it: give the virtual environment that has \
         it with --venv, or \
         put .venv into {site}",
    )
    .words(&["--python", "/usr/bin/python3", "app.py"])
    .variables(&[("CGI2WSGI_VENV", "")]),
    app(
        "a virtual environment of another version",
        &[
            ("app.py", "import left_behind\n"),
            ("venv/pyvenv.cfg", "home = /usr/bin\n"),
            ("venv/bin/python", "#!/bin/sh\nexec /usr/bin/python3 \"$@\"\n"),
            ("venv/lib/python3.2/site-packages/left_behind/__init__.py", ""),
        ],
        "the application raised ModuleNotFoundError: No module named 'left_behind'; the virtual environment \
         {site}/venv has it for Python 3.2, and its Python is {version} now: make it again (python3 -m venv --clear \
         {site}/venv) and install the site's packages again",
    )
    .words(&["--venv", "venv", "app.py"]),
    app(
        "a module of the directory above",
        &[("shop/app.py", "import models_of_shop\n"), ("models_of_shop.py", "")],
        "the application raised ModuleNotFoundError: No module named 'models_of_shop'; models_of_shop is in {site}, \
         which is not an import directory: give --pythonpath {site}",
    )
    .words(&["shop/app.py"]),
    app(
        "PYTHONPATH of another Python",
        &[("app.py", "import left\n"), ("python3.2/left.py", "def broken(:\n")],
        "the application raised SyntaxError: invalid syntax (left.py, line 1); {site}/python3.2/left.py is imported \
         from PYTHONPATH, {site}/python3.2: unset it if its modules are those of another Python than this one, \
         {version}",
    )
    .variables(&[("PYTHONPATH", "{site}/python3.2")]),
    app(
        "a file with the name of its framework",
        &[("flask.py", "from flask import Flask\n\napp = Flask(__name__)\n")],
        "the application raised ImportError: cannot import name 'Flask' from partially initialized module 'flask' \
         (most likely due to a circular import) ({site}/flask.py); {site}/flask.py hides the module flask that is \
         imported: give the file another name",
    )
    .words(&["flask.py"]),
    app(
        "a file with the name of a module of Python",
        &[("app.py", "import random\n\nNUMBER = random.randint(1, 6)\n"), ("random.py", "")],
        "the application raised AttributeError: module 'random' has no attribute 'randint'; {site}/random.py hides \
         the module random that is imported: give the file another name",
    ),
    app(
        "a relative import outside of a package",
        &[("app.py", "from .views import index\n"), ("views.py", "")],
        "the application raised ImportError: attempted relative import with no known parent package; the file \
         is not in a package, because there is no __init__.py beside it or APP names it as a single file: write \
         an absolute import, or give --chdir with the directory around the package and APP as package.module",
    ),
    app(
        "a server of its own while it is imported",
        &[(
            "app.py",
            "import socketserver\n\n\nclass Server(socketserver.TCPServer):\n    def server_bind(self):\n        \
             raise OSError(98, 'Address already in use')\n\n\nServer(('127.0.0.1', 0), None).serve_forever()\n",
        )],
        "the application raised OSError: [Errno 98] Address already in use; the application starts a server of its \
         own while it is imported: put that call, such as app.run(), below if __name__ == \"__main__\":",
    ),
    app(
        "app.run() while it is imported",
        &[("app.py", "from flask import Flask\n\napp = Flask(__name__)\napp.run(port=0)\n")],
        "the application starts a server of its own while it is imported, and that import does not end: put line 4 \
         of {site}/app.py, app.run(port=0), below if __name__ == \"__main__\":",
    ),
    app(
        "sys.exit while it is imported",
        &[("app.py", "import sys\n\nsys.exit('usage: app.py PORT')\n")],
        "the application called sys.exit('usage: app.py PORT'); it ends the program while it is imported: put \
         the code for the command line below if __name__ == \"__main__\":",
    ),
    app(
        "a call that does not return while it is imported",
        &[("app.py", "import time\n\n\ndef run():\n    time.sleep(600)\n\n\nrun()\n")],
        "the application took longer than --timeout allows, 1 s: the traceback above shows where it was",
    )
    .words(&["--timeout", "1", "app.py"])
    .status(504),
    app(
        "os._exit while it is imported",
        &[("app.py", "import os\n\nos._exit(3)\n")],
        "the application's process ended itself with exit status 3 before it answered: an application must \
         return, and must not call os._exit(), exec or a library's exit()",
    ),
    app(
        "a file relative to another directory",
        &[("site/app.py", "open('data.json')\n"), ("data.json", "{}")],
        "the application raised FileNotFoundError: [Errno 2] No such file or directory: 'data.json'; data.json is \
         relative to the current directory, {site}/site: write the path from __file__, or give --chdir",
    )
    .words(&["site/app.py"]),
    app(
        "a database in a directory that cannot be written to",
        &[(
            "app.py",
            "import sqlite3\n\nsqlite3.connect('/proc/db.sqlite3').execute('create table t (a)')\n",
        )],
        "the application raised OperationalError: unable to open database file; SQLite needs to write to the \
         database file and to the directory that it is in, as user {uid}; a relative path begins at {site}",
    ),
    app(
        "a full disk",
        &[("app.py", "with open('/dev/full', 'w') as full:\n    full.write('x')\n")],
        "the application raised OSError: [Errno 28] No space left on device; a file system is full (the \
         traceback shows which file): make room there",
    ),
    // What works only at a shell or on another machine.
    app(
        "modules that import each other",
        &[
            ("app.py", "from views_of_shop import index\n\nNAME = 'shop'\n"),
            ("views_of_shop.py", "from app import NAME\n"),
        ],
        "the application raised ImportError: cannot import name 'NAME' from partially initialized module 'app' (most \
         likely due to a circular import) ({site}/app.py); app is imported again by a module that it imports: \
         move what both need into a third module, or move the import into the function that needs it",
    ),
    app(
        "a variable that the server does not set",
        &[("app.py", "import os\n\nKEY = os.environ['KEY_OF_SHOP']\n")],
        "the application raised KeyError: 'KEY_OF_SHOP'; the environment variable KEY_OF_SHOP is not set: a server \
         passes on only what its configuration sets (Apache: SetEnv KEY_OF_SHOP ..., nginx: fastcgi_param), not the variables of a shell",
    ),
    app(
        "a name that the installed version of a package does not have",
        &[("app.py", "from bottle import name_of_old\n")],
        "the application raised ImportError: cannot import name 'name_of_old' from 'bottle' \
         ({venv}/lib/python{version}/site-packages/bottle.py); the installed bottle 0.13.4 does not have it: the code \
         was written for another version; {venv}/bin/python -m pip install 'bottle==...', or change the code",
    ),
    app(
        "a module that the installed version of a package does not have",
        &[("app.py", "import flask.ext_of_old\n")],
        "the application raised ModuleNotFoundError: No module named 'flask.ext_of_old'; the installed flask 3.1.3 does \
         not have it: the code was written for another version; {venv}/bin/python -m pip install 'flask==...', or \
         change the code",
    ),
    app(
        "an extension module for another Python",
        &[("app.py", "import native\n"), ("native.cpython-32-x86_64-linux-gnu.so", "")],
        "the application raised ModuleNotFoundError: No module named 'native'; \
         {site}/native.cpython-32-x86_64-linux-gnu.so is for another Python than this one, {version}: install its \
         package again with {venv}/bin/python -m pip",
    ),
    app(
        "an extension module that is damaged",
        &[("app.py", "import native\n"), ("native.so", "")],
        "the application raised ImportError: {site}/native.so: file too short; an extension module was built for \
         another Python or system than this one, Python {version}: install the package again with \
         {venv}/bin/python -m pip",
    ),
    app(
        "a library of the system that is missing",
        &[("app.py", "import ctypes\n\nctypes.CDLL('libnobody.so.4')\n")],
        "the application raised OSError: libnobody.so.4: cannot open shared object file: No such file or directory; the \
         system library libnobody.so.4 is missing: install the package that has it (Debian: apt-file search \
         libnobody.so.4), or name its directory in LD_LIBRARY_PATH in the server's configuration",
    ),
    app(
        "a locale that is not installed",
        &[("app.py", "import locale\n\nlocale.setlocale(locale.LC_ALL, 'xx_XX.nothing')\n")],
        "the application raised Error: unsupported locale setting; this machine does not have that locale: \
         locale -a lists those that exist (Debian: dpkg-reconfigure locales), and C.UTF-8 is always there",
    ),
    app(
        "input() while it is imported",
        &[("app.py", "name = input()\n")],
        "the application raised EOFError: EOF when reading a line; it asks for input while it is imported, and \
         a server gives none: put the code that asks below if __name__ == \"__main__\":",
    ),
    app(
        "a file of the application's that cannot be read",
        &[("app.py", "import closed\n"), ("closed.py", "")],
        "the application raised PermissionError: [Errno 13] Permission denied: '{site}/closed.py'; this process runs as \
         user {uid}, who must be able to read it: chmod a+r {site}/closed.py",
    )
    .modes(&[("closed.py", 0)]),
    // PEP 3333.
    app(
        "no start_response",
        &[("app.py", "def application(environ, start_response):\n    return [b'x']\n")],
        "the application returned a body without having called start_response: call start_response(\"200 OK\", \
         [(\"Content-Type\", \"text/html\")]) before the first byte",
    ),
    app(
        "start_response with a number",
        &[("app.py", "def application(environ, start_response):\n    start_response(200, [])\n")],
        "the application raised TypeError: the status must be a str, not 200 (int): write it with its reason, such \
         as \"200 OK\"",
    ),
    app(
        "start_response with a word",
        &[("app.py", "def application(environ, start_response):\n    start_response('OK', [])\n")],
        "the application raised ValueError: the status \"OK\" is not three digits, a space and a reason, such as \"200 OK\"",
    ),
    app(
        "start_response with a dict",
        &[("app.py", "def application(environ, start_response):\n    start_response('200 OK', {'A': 'b'})\n")],
        "the application raised TypeError: the headers must be a list of (name, value) tuples, not a dict: write \
         list(headers.items())",
    ),
    app(
        "a header that is a text",
        &[("app.py", "def application(environ, start_response):\n    start_response('200 OK', ['A: b'])\n")],
        "the application raised TypeError: header 1 is 'A: b', not a (name, value) tuple such as (\"Content-Type\", \
         \"text/html\")",
    ),
    app(
        "a header whose value is a number",
        &[(
            "app.py",
            "def application(environ, start_response):\n    start_response('200 OK', [('Content-Length', 3)])\n",
        )],
        "the application raised TypeError: the value of a header must be a str, not 3 (int): write str() around it",
    ),
    app(
        "a header in bytes",
        &[(
            "app.py",
            "def application(environ, start_response):\n    start_response('200 OK', [(b'A', 'b')])\n",
        )],
        "the application raised TypeError: a header name must be a str, not b'A' (bytes): write \
         .decode(\"latin-1\"), or leave the b out",
    ),
    app(
        "start_response twice",
        &[(
            "app.py",
            "def application(environ, start_response):\n    start_response('200 OK', [])\n    \
             start_response('500 No', [])\n",
        )],
        "the application raised RuntimeError: start_response was already called: a second call needs exc_info",
    ),
    app(
        "a str in place of bytes",
        &[(
            "app.py",
            "def application(environ, start_response):\n    start_response('200 OK', [])\n    return ['x']\n",
        )],
        "chunk 1 of the body is 'x', a str and not bytes: write .encode(\"utf-8\")",
    ),
    app(
        "a str in place of a list",
        &[(
            "app.py",
            "def application(environ, start_response):\n    start_response('200 OK', [])\n    return 'x'\n",
        )],
        "the application returned a str, not an iterable of bytes: return [body.encode()]",
    ),
    app(
        "no return",
        &[("app.py", "def application(environ, start_response):\n    start_response('200 OK', [])\n")],
        "the application returned None, not an iterable of bytes such as [b\"...\"]: is there a return?",
    ),
    app(
        "a generator that raises",
        &[(
            "app.py",
            "def application(environ, start_response):\n    start_response('200 OK', [])\n    yield \
             environ['NOT_THERE'].encode()\n",
        )],
        "the application raised KeyError: 'NOT_THERE'",
    ),
];
