"""Gives an unusual file to wsgi.file_wrapper; PATH_INFO selects it."""

import os

from werkzeug.utils import send_file
from werkzeug.wrappers import Request

TEXT = [("Content-Type", "text/plain")]


def of_the_kernel(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](open("/proc/version", "rb"))


def of_any_block_size(environ, start_response):
    start_response("200 OK", TEXT)
    size = {"none": None, "all": -1, "nothing": 0}[environ["QUERY_STRING"]]
    return environ["wsgi.file_wrapper"](open("/proc/version", "rb"), size)


def with_attributes(environ, start_response):
    start_response("200 OK", TEXT)
    file = open(__file__, "rb")
    wrapped = environ["wsgi.file_wrapper"](file, 100)
    wrapped.seek(3)
    plain = environ["wsgi.file_wrapper"](iter(()))
    has = [hasattr(plain, name) for name in ("seekable", "seek", "tell", "read")]
    facts = [wrapped.filelike is file, wrapped.seekable(), wrapped.tell(), wrapped.blksize, has]
    return [repr(facts).encode()]


def range_of(environ, start_response):
    """A file with holes, too large to be read in a test's time."""
    path = environ["LARGE"]
    with open(path, "wb") as file:
        os.truncate(file.fileno(), 1 << 40)
        file.seek((1 << 40) - 4)
        file.write(b"last")
    return send_file(path, Request(environ).environ, "text/plain")(environ, start_response)


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)
