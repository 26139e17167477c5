//! Mistakes of the machine: the worker, settings, limits, directories for temporary files.

use crate::check::{HELLO, SITE, Site};

pub(super) const SITES: &[Site] = &[
    Site {
        name: "a worker of another build beside cgi2wsgi is named, and so is the missing worker",
        files: &[("app.py", HELLO)],
        made: "cp \"$BRIDGE\" front; : > cgi2wsgi_worker-0123456789abcdef.so; ./front check app.py > report || test $? -eq 2; \
               grep '^✗ worker .*is neither in .*cgi2wsgi_worker-0123456789abcdef.so is of another build  → cp ' report",
        about: "✓ worker",
        code: 0,
        ..SITE
    },
    Site {
        name: "a setting that is misspelt",
        files: &[("app.py", HELLO)],
        variables: &[("CGI2WSGI_TIMEOTU", "3")],
        about: "! settings",
        seen: &["CGI2WSGI_TIMEOTU is not a setting"],
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
        name: "a low limit of descriptors is reported with its value",
        files: &[("app.py", HELLO)],
        made: "printf '#!/bin/sh\\nulimit -n 40\\nexec \"%s\" check \"$@\"\\n' \"$BRIDGE\" > limited; chmod +x limited; \
               ./limited app.py > report || test $? -eq 1; grep '^! limits .*40 files' report > found",
        about: "✓ callable",
        code: 0,
        ..SITE
    },
];
