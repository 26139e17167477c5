//! Applications that cannot be imported.

use crate::check::Python::Packages;
use crate::check::{HELLO, SITE, Site};

pub(super) const SITES: &[Site] = &[
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
        seen: &["inner_part is in {place}/src"],
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
        seen: &["SyntaxError", "this is code of Python 2"],
        cure: "vi +2 {place}/app.py",
        ..SITE
    },
    Site {
        name: "M5: for a module of Python 2 its successor is named",
        files: &[("app.py", "import urllib2\n")],
        about: "✗ import",
        seen: &["it is a module of Python 2", "urllib.request"],
        cure: "vi +1 {place}/app.py",
        ..SITE
    },
    Site {
        name: "a file that hides a package of Python is named",
        files: &[("app.py", "import email.message\n"), ("email.py", "")],
        about: "✗ import",
        seen: &["{place}/email.py hides the module email"],
        cure: "mv {place}/email.py {place}/my_email.py",
        ..SITE
    },
    Site {
        name: "modules that import each other are reported",
        files: &[
            ("app.py", "from views_of_shop import index\n\nNAME = 'shop'\n"),
            ("views_of_shop.py", "from app import NAME\n"),
        ],
        about: "✗ import",
        seen: &["app is imported again by a module that it imports"],
        cure: "vi +1 {place}/views_of_shop.py",
        ..SITE
    },
    Site {
        name: "--chdir with a dot is shown as the directory",
        files: &[("app.py", "raise ValueError('x')\n")],
        arguments: &["--chdir", ".", "app"],
        about: "✗ import",
        seen: &["ValueError: x"],
        cure: "vi +1 {place}/app.py",
        ..SITE
    },
    Site {
        name: "a library of the system that is missing is named",
        files: &[("app.py", "import ctypes\n\nctypes.CDLL('libnobody.so.4')\n")],
        about: "✗ import",
        seen: &["the system library libnobody.so.4 is missing"],
        cure: "apt-file search libnobody.so.4",
        ..SITE
    },
    Site {
        name: "for an import that does not end the line is named",
        files: &[("app.py", "import time\n\ntime.sleep(600)\n")],
        arguments: &["--timeout", "3", "app.py"],
        about: "✗ import",
        seen: &["did not end within 3 s"],
        cure: "vi +3 {place}/app.py",
        ..SITE
    },
    Site {
        name: "M5: an import that runs a server is reported",
        files: &[(
            "app.py",
            "from wsgiref.simple_server import make_server\n\n\
             make_server('127.0.0.1', 0, None).serve_forever()\n",
        )],
        arguments: &["app.py"],
        about: "✗ import",
        seen: &["runs a server", "__main__"],
        cure: "vi +3 {place}/app.py",
        ..SITE
    },
    Site {
        name: "an import that calls sys.exit() is reported",
        files: &[("app.py", "import sys\nsys.exit('usage')\n")],
        about: "✗ import",
        seen: &["SystemExit: usage", "__main__"],
        cure: "vi +2 {place}/app.py",
        ..SITE
    },
    Site {
        name: "an import that ends the process is reported with its exit status",
        files: &[("app.py", "import os\nos._exit(3)\n")],
        about: "✗ import",
        seen: &["exit status 3"],
        ..SITE
    },
    Site {
        name: "a crash during the import is reported with its signal",
        files: &[("app.py", "import os\nos.kill(os.getpid(), 11)\n")],
        about: "✗ import",
        seen: &["crashed (signal 11"],
        ..SITE
    },
    Site {
        name: "a variable that the environment lacks",
        files: &[("app.py", "import os\nos.environ['DATABASE_URL']\n")],
        about: "✗ import",
        seen: &["the environment variable DATABASE_URL is not set"],
        cure: "export DATABASE_URL=...",
        ..SITE
    },
    Site {
        name: "M6: for a relative name the directory that it is relative to is named",
        files: &[("web/app.py", "open('config.ini')\n"), ("config.ini", "")],
        arguments: &["web/app.py"],
        about: "✗ import",
        seen: &["config.ini is relative to the current directory, {place}/web"],
        cure: "cgi2wsgi check --chdir {place} {place}/web/app.py",
        ..SITE
    },
    Site {
        name: "for a file that the import may not read the closed directory is named",
        files: &[("app.py", "open('/{place}/private/key')\n"), ("private/key", "x")],
        made: "chmod 0 private",
        about: "✗ import",
        seen: &["PermissionError"],
        cure: "chmod o+x {place}/private",
        ..SITE
    },
];
