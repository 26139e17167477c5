"""Reads an upload, and says in the file MARKER that it began and how it ended."""

import os


def mark(text):
    with open(os.environ["MARKER"], "a") as marker:
        marker.write(text + "\n")


def application(environ, start_response):
    mark("began")
    # Apache's SIGTERM may raise SystemExit at any line.
    ending = "SystemExit"
    try:
        while environ["wsgi.input"].read(4096):
            pass
        ending = "whole"
    except BaseException as error:
        ending = type(error).__name__
        raise
    finally:
        # Here too, but only once.
        try:
            mark("ended: " + ending)
        except SystemExit:
            mark("ended: " + ending)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"whole\n"]
