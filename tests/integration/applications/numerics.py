"""Multiplies matrices with numpy, and reports the variables that set the libraries' number of threads."""

import ctypes
import json
import os
import subprocess
import sys

NAMES = [f"{library}_NUM_THREADS" for library in ("OPENBLAS", "MKL", "BLIS", "NUMEXPR", "OMP")]


def seen():
    """The variables as Python, C libraries and a child see them."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    script = "import os, sys; print([os.environ.get(name) for name in sys.argv[1:]])"
    child = subprocess.run([sys.executable, "-c", script, *NAMES], capture_output=True, check=True)
    return {
        "os.environ": [os.environ.get(name) for name in NAMES],
        "C": [(getenv(name.encode()) or b"-").decode() for name in NAMES],
        "child": child.stdout.decode(),
    }


# numexpr reads its variable from os.environ; all other libraries are C.
AT_IMPORT = [os.environ.get(name) for name in NAMES if name != "NUMEXPR_NUM_THREADS"]

import numpy  # noqa: E402


def application(environ, start_response):
    square = numpy.arange(250_000.0).reshape(500, 500) / 250_000
    facts = seen() | {
        "at import": AT_IMPORT,
        "product": float((square @ square).trace()),
        "inverse": float(numpy.linalg.inv(square + numpy.eye(500)).trace()),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(facts, sort_keys=True).encode()]
