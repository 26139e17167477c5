"""Allocates QUERY_STRING MiB in a request, which lasts until the file GATE exists; logs begin and end in MARKER."""

import os
import time


def note(text):
    with open(os.environ["MARKER"], "a") as marker:
        marker.write(text + "\n")


def application(environ, start_response):
    size = int(environ["QUERY_STRING"])
    held = bytearray(os.urandom(1 << 20) * size)
    note("begins with %d" % size)
    while not os.path.exists(environ["HTTP_GATE"]):
        time.sleep(0.005)
    note("ends with %d" % (len(held) >> 20))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done\n"]
