"""hello.py, with a mark where its module begins and where it is called."""

from os import access

access("/bench/module", 0)


def application(environ, start_response):
    access("/bench/call", 0)
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [b"Hello, world!\n"]
