"""Writes to MARKER which processes run an atexit handler registered at import, and which run a request."""

import atexit
import os


def note(text):
    with open(os.environ["MARKER"], "a") as marker:
        marker.write("%s %d\n" % (text, os.getpid()))


atexit.register(note, "exit")


def application(environ, start_response):
    note("request")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"noted\n"]
