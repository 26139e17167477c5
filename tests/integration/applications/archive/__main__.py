"""What `python -m zipapp` packs: the application is a name of this module, and the rest is beside it in the archive."""

from packed import ANSWER


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [ANSWER]


def other(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the other one\n"]
