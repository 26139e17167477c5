"""The `__main__.py` of an archive that `python -m zipapp` packs; the other modules are beside it in the archive."""

from packed import ANSWER


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [ANSWER]


def other(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the other one\n"]
