"""Reports facts of its process, one `name = value` line each. The query names a variable of os.environ to report."""

import os
import subprocess
import sys
from urllib.parse import unquote


def application(environ, start_response):
    asked = unquote(environ["QUERY_STRING"].partition("=")[2])
    broken_pipe = subprocess.run(["/bin/sh", "-c", "kill -PIPE $$; exit 0"])
    facts = {
        "variable": os.environ.get(asked),
        "utf8_mode": sys.flags.utf8_mode,
        "filesystem encoding": sys.getfilesystemencoding(),
        "stdout encoding": sys.stdout.encoding,
        "argv": sys.argv,
        "a child's end by SIGPIPE": broken_pipe.returncode,
        "cwd": os.getcwd(),
        "first on sys.path": sys.path[0],
        "prefix": sys.prefix,
        "file": __file__,
        "name": __name__,
        "stdin": sys.stdin.read() if sys.stdin else None,
    }
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return ["{} = {!r}\n".format(name, fact).encode("utf-8", "backslashreplace") for name, fact in facts.items()]
