"""Which Python it is that answers."""

import sys


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [sys.version.replace("\n", " ").encode() + b"\n"]
