//! Mistakes in what `APP` names.

use crate::check::{HELLO, SITE, Site};

pub(super) const SITES: &[Site] = &[
    Site {
        name: "M8: for a directory as APP the applications in it are named",
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
        name: "a FIFO is no application, and check does not wait for it",
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
        name: "for a misspelt file the existing file is suggested",
        files: &[("app.py", HELLO)],
        arguments: &["ap.py:application"],
        about: "✗ application",
        seen: &["did you mean app.py?"],
        cure: "cgi2wsgi check {place}/app.py:application",
        ..SITE
    },
    Site {
        name: "of missing directories in a path the first is named",
        arguments: &["{place}/no/such/app.py"],
        about: "✗ application",
        seen: &["there is no {place}/no, on the way to"],
        ..SITE
    },
    Site {
        name: "M2: of directories that this user may not enter the first is named",
        files: &[("private/deep/app.py", HELLO)],
        made: "chmod 0 private",
        arguments: &["private/deep/app.py"],
        about: "✗ application",
        seen: &["may not enter the directory {place}/private (mode 0000,"],
        cure: "chmod o+x {place}/private",
        ..SITE
    },
    Site {
        name: "a file that this user may not read is named with its mode",
        files: &[("app.py", HELLO)],
        made: "chmod 0 app.py",
        about: "✗ application",
        seen: &["may not read {place}/app.py (mode 0000,"],
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
];
