"""Says how long the request body is that it finds, and the variables of its length, and gives it back; reads it as PATH_INFO says."""

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
