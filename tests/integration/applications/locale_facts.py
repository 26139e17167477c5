"""Reports which locale the C library and the children of the process use."""

import ctypes
import os
import subprocess
import sys

LC_CTYPE = 0


def said(*command):
    return subprocess.run(command, stdout=subprocess.PIPE).stdout.decode().strip()


def application(environ, start_response):
    libc = ctypes.CDLL(None)
    libc.setlocale.restype = ctypes.c_char_p
    facts = {
        "setlocale": libc.setlocale(LC_CTYPE, None).decode(),
        "os.environ": os.environ.get("LC_CTYPE"),
        "environ": environ.get("LC_CTYPE"),
        "charmap": said("locale", "charmap"),
        "python": said(sys.executable, "-c", "import os; print(os.environ.get('LC_CTYPE'))"),
    }
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{name} = {fact}\n".encode() for name, fact in facts.items()]
