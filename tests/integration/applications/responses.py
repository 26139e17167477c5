"""Rare kinds of responses, by PATH_INFO: what PEP 3333 allows or forbids with start_response and the iterable."""

import hashlib
import sys

TEXT = [("Content-Type", "text/plain")]


def exc_info_before_the_head(environ, start_response):
    start_response("200 OK", TEXT)
    try:
        raise RuntimeError("noticed in time")
    except RuntimeError:
        start_response("503 Replaced", TEXT, sys.exc_info())
    return [b"the replacement\n"]


def exc_info_by_keyword(environ, start_response):
    start_response(status="200 OK", headers=TEXT)
    try:
        raise RuntimeError("noticed in time")
    except RuntimeError:
        start_response("503 Replaced", headers=TEXT, exc_info=sys.exc_info())
    return [b"the replacement\n"]


def exc_info_after_the_head(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"sent\n"
    try:
        raise RuntimeError("noticed too late")
    except RuntimeError:
        start_response("503 Replaced", TEXT, sys.exc_info())
    yield b"never sent\n"


def start_response_twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return [b"never sent\n"]


def empty_chunks_first(environ, start_response):
    yield b""
    start_response("202 Accepted", TEXT)
    yield b""
    yield b"at last\n"


def head_never_started(environ, start_response):
    yield b"a chunk without a head\n"


def nothing_at_all(environ, start_response):
    start_response("200 OK", TEXT)
    return []


def raises_after_start_response(environ, start_response):
    start_response("200 OK", TEXT)
    raise RuntimeError("failed after start_response")


def headers_changed_later(environ, start_response):
    headers = list(TEXT)
    start_response("200 OK", headers)
    headers.append(("X-Late", "1"))
    return [b"unchanged\n"]


def answers_before_it_reads(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"x" * 200_000
    body = environ["wsgi.input"].read()
    yield "{} {}\n".format(hashlib.sha256(body).hexdigest(), len(body)).encode()


def system_exit_midway(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"half\n"
    sys.exit(0)


def a_very_long_header(environ, start_response):
    start_response("200 OK", TEXT + [("X-Long", "a" * 9000)])
    return [b"ok\n"]


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    return globals()[name](environ, start_response)
