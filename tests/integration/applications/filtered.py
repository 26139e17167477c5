"""Answers the length of the body that it reads, CONTENT_LENGTH and HTTP_CONTENT_ENCODING, then the body. PATH_INFO says
how to read it."""

WAYS = {
    "read": lambda body, length: body.read(),
    "pieces": lambda body, length: b"".join(iter(lambda: body.read(8000), b"")),
    "lines": lambda body, length: b"".join(body),
    "length": lambda body, length: body.read(int(length)),
    "ignore": lambda body, length: b"x" * 300_000,
}


def application(environ, start_response):
    length = environ.get("CONTENT_LENGTH")
    found = WAYS[environ["PATH_INFO"].strip("/")](environ["wsgi.input"], length)
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [f"{len(found)} {length} {environ.get('HTTP_CONTENT_ENCODING')}\n".encode(), found]
