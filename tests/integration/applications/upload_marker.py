"""Reads an upload, and says in the file MARKER that it began and how it ended."""

import os


BEGAN = b"began\n"


def end(marker, ending):
    """Writes how the upload ended, unless that has been written."""
    if os.fstat(marker).st_size == len(BEGAN):
        os.write(marker, b"ended: %s\n" % ending.encode())


def application(environ, start_response):
    marker = os.open(os.environ["MARKER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    # Apache's SIGTERM may raise SystemExit once, before or after any of these calls, but within none of them.
    ending = "SystemExit"
    try:
        os.write(marker, BEGAN)
        while environ["wsgi.input"].read(4096):
            pass
        ending = "whole"
    except BaseException as error:
        ending = type(error).__name__
        raise
    finally:
        try:
            end(marker, ending)
        except SystemExit:
            end(marker, ending)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"whole\n"]
