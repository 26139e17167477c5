"""Answers with the request body, read from `wsgi.input` as the letters of `ways=` say and then to its end.
With `stream=1` each piece is answered before the next is read; otherwise they are joined.
"""

from urllib.parse import parse_qs


def lines(body, size):
    return b"".join(body.readlines(size))


WAYS = {
    "r": lambda body, size: body.read(size),
    "o": lambda body, size: body.read1(size),
    "l": lambda body, size: body.readline(),
    "L": lambda body, size: body.readline(size),
    "s": lines,
    "n": lambda body, size: next(body, b""),
    "z": lambda body, size: body.read(0),
}


def pieces(body, ways):
    for number, way in enumerate(ways, 1):
        yield WAYS[way](body, number * number * number)
    yield body.read()


def application(environ, start_response):
    query = parse_qs(environ.get("QUERY_STRING", ""))
    read = pieces(environ["wsgi.input"], query.get("ways", [""])[0])
    if "stream" not in query:
        read = [b"".join(read)]
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return read
