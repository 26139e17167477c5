//! Mistakes in the Python, its virtual environment and its locale.

use crate::check::Python::Unnamed;
use crate::check::{HELLO, SITE, Site};

pub(super) const SITES: &[Site] = &[
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
        cure: "python3 -m venv {place}/env",
        ..SITE
    },
    Site {
        name: "a relative --venv that is missing begins at --chdir",
        files: &[("site/app.py", HELLO)],
        arguments: &["--chdir", "site", "--venv", "env", "app.py"],
        python: Unnamed,
        about: "✗ python",
        seen: &["not a virtual environment", "{place}/site/env"],
        cure: "python3 -m venv {place}/site/env",
        ..SITE
    },
    Site {
        name: "a relative --venv that is there, but not below --chdir, is found",
        files: &[("site/app.py", HELLO), ("env/pyvenv.cfg", "home = /usr/bin\n")],
        arguments: &["--chdir", "site", "--venv", "env", "app.py"],
        python: Unnamed,
        about: "✗ python",
        seen: &["not a virtual environment"],
        cure: "cgi2wsgi check --venv {place}/env",
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
        name: "P6: a PYTHONHOME that prevents Python's start",
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
];
