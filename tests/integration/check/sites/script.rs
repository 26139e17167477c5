//! Mistakes in a script that starts with a `#!` line.

use crate::check::{SITE, Site};

pub(super) const SITES: &[Site] = &[
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
        seen: &["the name of one program"],
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
        seen: &["may not execute {place}/index.cgi (mode 0644,"],
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
];
