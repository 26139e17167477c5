"""Gives a log what it must record: failures, and lines on standard error."""

import os
import sys


def application(environ, start_response):
    path = environ["PATH_INFO"]
    print("printed by", path)
    if path == "/raises":
        raise RuntimeError("on purpose")
    if path == "/dies":
        os.kill(os.getpid(), 9)
    if path == "/cut":
        return cut(start_response)
    if path == "/502":
        environ["wsgi.errors"].write("the other side is gone\n")
        start_response("502 Bad Gateway", [("Content-Type", "text/plain")])
        return [b"no\n"]
    body = environ["wsgi.input"].read()
    sys.stderr.write("a line of \x1b[31mthe application\n")
    answer = b"hello %d\n" % len(body)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Set-Cookie", "id=secret")])
    return [answer]


def cut(start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
    yield b"begun\n"
    raise RuntimeError("in the middle")
